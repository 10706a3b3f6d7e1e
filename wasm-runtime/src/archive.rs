//! Archives of compiled code, which a machine with a compiler makes for nodes to import.
//!
//! ```text
//! "wherry-aot-v1\0\0\n"
//! length of the head (4 bytes, little endian), the head
//! length of the signature (2 bytes, little endian), the signature
//! the code of each line `code`, one after the other
//! ```
//! The head is text, and each of its lines ends:
//!
//! ```text
//! digest sha256:…                     of the WebAssembly
//! target aarch64-unknown-linux-gnu
//! engine wasmtime 48
//! code LENGTH SHA-256                 at least one: for each kind of node of the target
//! ```
//! The signature is that of all before its own length. Native code does whatever it wants to: nothing but the lengths is looked at before somebody who
//! is trusted is known to have signed it.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

use ring::digest::{SHA256, digest};

const MAGIC: &[u8; 16] = b"wherry-aot-v1\0\0\n";
/// The longest head and signature.
const HEAD: usize = 4096;
const SIGNATURE: usize = 1024;
/// The most code for one kind of node.
const CODE: u64 = 1 << 30;

/// Code compiled from one WebAssembly file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The digest of the WebAssembly, `sha256:` and hexadecimal digits.
    pub digest: String,
    /// The triple of the machines that it is for.
    pub target: String,
    /// What it was compiled by.
    pub engine: String,
    /// The code, for each kind of node.
    pub codes: Vec<Vec<u8>>,
}

/// What is no archive, or none to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It ends early, or cannot be read.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It has another form; the text says where.
    #[error("it is no archive of compiled code: {0}")]
    Form(&'static str),
    /// Nobody who is trusted signed it.
    #[error("it was not signed with this key")]
    Signature,
    /// The code is not what was signed.
    #[error("the code was changed after it was signed")]
    Changed,
}

impl Archive {
    /// Writes it, with the signature that `sign` makes.
    pub fn write(&self, mut to: impl Write, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let mut head = format!("digest {}\ntarget {}\nengine {}\n", self.digest, self.target, self.engine);
        for code in &self.codes {
            // Writing to a String cannot fail.
            let _ = writeln!(head, "code {} {}", code.len(), sha256(code));
        }
        let too_long = |_| io::Error::other("too much for an archive");
        let length = u32::try_from(head.len()).map_err(too_long)?;
        let signed = [MAGIC, &length.to_le_bytes()[..], head.as_bytes()].concat();
        let signature = sign(&signed);
        let length = u16::try_from(signature.len()).map_err(too_long)?;
        to.write_all(&signed)?;
        to.write_all(&length.to_le_bytes())?;
        to.write_all(&signature)?;
        self.codes.iter().try_for_each(|code| to.write_all(code))
    }

    /// Reads one whose signature `verifies`: it is given what was signed, and the signature.
    pub fn read(
        mut from: impl Read,
        verifies: impl FnOnce(&[u8], &[u8]) -> bool,
    ) -> Result<Self, ArchiveError> {
        let mut signed = vec![0; MAGIC.len() + 4];
        from.read_exact(&mut signed)?;
        let Some(length) = signed.strip_prefix(MAGIC).and_then(|rest| rest.try_into().ok()) else {
            return Err(ArchiveError::Form("it begins otherwise"));
        };
        let length = u32::from_le_bytes(length) as usize;
        let head = part(&mut from, length, HEAD)?;
        signed.extend(&head);
        let mut length = [0; 2];
        from.read_exact(&mut length)?;
        let signature = part(&mut from, u16::from_le_bytes(length).into(), SIGNATURE)?;
        if !verifies(&signed, &signature) {
            return Err(ArchiveError::Signature);
        }
        let head = String::from_utf8(head).map_err(|_| ArchiveError::Form("its head is no text"))?;
        let (mut archive, codes) = parse(&head).ok_or(ArchiveError::Form("its head"))?;
        for (length, digest) in codes {
            let mut code = Vec::new();
            from.by_ref().take(length).read_to_end(&mut code)?;
            if sha256(&code) != digest {
                return Err(ArchiveError::Changed);
            }
            archive.codes.push(code);
        }
        match from.read(&mut [0])? {
            0 => Ok(archive),
            _ => Err(ArchiveError::Form("something follows it")),
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn part(from: &mut impl Read, length: usize, most: usize) -> Result<Vec<u8>, ArchiveError> {
    if length > most {
        return Err(ArchiveError::Form("a part is too long"));
    }
    let mut part = vec![0; length];
    from.read_exact(&mut part)?;
    Ok(part)
}

/// The archive without its code, and the lengths and digests of that.
fn parse(head: &str) -> Option<(Archive, Vec<(u64, String)>)> {
    let mut lines = head.strip_suffix('\n')?.split('\n');
    let mut line = |name: &str| Some(lines.next()?.strip_prefix(name)?.strip_prefix(' ')?.to_owned());
    let (digest, target, engine) = (line("digest")?, line("target")?, line("engine")?);
    is_digest(digest.strip_prefix("sha256:")?).then_some(())?;
    let codes = lines.map(|line| {
        let (length, digest) = line.strip_prefix("code ")?.split_once(' ')?;
        let length = length.parse().ok().filter(|length| *length <= CODE)?;
        is_digest(digest).then(|| (length, digest.to_owned()))
    });
    let codes: Vec<_> = codes.collect::<Option<_>>()?;
    (!codes.is_empty()).then(|| (Archive { digest, target, engine, codes: Vec::new() }, codes))
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive() -> Archive {
        Archive {
            digest: format!("sha256:{}", "0a".repeat(32)),
            target: "s390x-unknown-linux-gnu".to_owned(),
            engine: "wasmtime 48".to_owned(),
            codes: vec![b"first".to_vec(), Vec::new(), b"third".to_vec()],
        }
    }

    /// A signature that only this function makes.
    fn sign(message: &[u8]) -> Vec<u8> {
        digest(&SHA256, &[b"secret", message].concat()).as_ref().to_vec()
    }

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write(&mut bytes, sign).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
        Archive::read(bytes, |message, signature| sign(message) == signature)
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&written(&archive())).unwrap(), archive());
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let bytes = written(&archive());
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "changed at {place}");
            assert!(read(&bytes[..place]).is_err(), "cut at {place}");
        }
        assert!(matches!(read(&[&bytes[..], b"x"].concat()), Err(ArchiveError::Form(_))));
        let nobody = Archive::read(&bytes[..], |_, _| false);
        assert!(matches!(nobody, Err(ArchiveError::Signature)));
    }

    #[test]
    fn a_head_that_is_signed_must_make_sense_too() {
        let good = archive();
        for digest in ["sha256:", "sha512:00", &"0".repeat(71), "sha256:../../../etc/passwd"] {
            let archive = Archive { digest: digest.to_owned(), ..good.clone() };
            assert!(matches!(read(&written(&archive)), Err(ArchiveError::Form(_))), "{digest}");
        }
        let without = Archive { codes: Vec::new(), ..good };
        assert!(matches!(read(&written(&without)), Err(ArchiveError::Form(_))));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(head in any::<Vec<u8>>(), rest in any::<Vec<u8>>()) {
            let length = u32::try_from(head.len()).unwrap().to_le_bytes();
            let bytes = [MAGIC, &length[..], &head, &[0, 0], &rest].concat();
            prop_assert!(Archive::read(&bytes[..], |_, _| true).is_err());
            prop_assert!(Archive::read(&rest[..], |_, _| true).is_err());
        }

        #[test]
        fn any_head_is_parsed_or_refused(head in "(digest|target|engine|code|sha256:|[0-9a-f]{64}|[0-9]|[ \n])*") {
            if let Some((archive, codes)) = parse(&head) {
                prop_assert!(!codes.is_empty() && archive.digest.len() == 71);
            }
        }
    }
}
