//! `wherry compile`, of a program with a compiler.

use std::path::Path;

use anyhow::Context as _;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use wherry_wasm_runtime::{AddressSpace, Archive, Target};

use super::{CompileArgs, SpaceArg};
use crate::wasm::print;

/// Compiles a file or an image.
pub(crate) async fn compile(args: CompileArgs) -> anyhow::Result<()> {
    let CompileArgs { source, target, address_space, key, output } = args;
    let key = Key::read(&key)?;
    let spaces = match address_space {
        None => target.or_else(Target::own).map_or(&[AddressSpace::Large][..], Target::address_spaces),
        Some(SpaceArg::Large) => &[AddressSpace::Large],
        Some(SpaceArg::Small) => &[AddressSpace::Small],
        Some(SpaceArg::Both) => &[AddressSpace::Large, AddressSpace::Small],
    };
    let name = source.source.clone();
    let source = source.open().await?;
    let bytes = crate::wasm::read(&source.path)?;
    let archive = wherry_wasm_runtime::compile(&bytes, target, spaces);
    let archive = archive.with_context(|| format!("cannot compile {name:?}"))?;
    let written = write(&archive, &output, |message| key.sign(message));
    written.with_context(|| format!("cannot write {}", output.display()))?;
    print(&format!("compiled {} for {}\n", archive.digest, archive.target))
}

/// Writes an archive, whole or not at all.
fn write(archive: &Archive, path: &Path, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or_else(|| Path::new(".")))?;
    archive.write(&mut file, sign)?;
    file.persist(path)?;
    Ok(())
}

/// The key of who compiles.
struct Key(Ed25519KeyPair);

impl Key {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let what = || format!("{} is no key of Ed25519 in PEM", path.display());
        let pem = crate::wasm::read(path)?;
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).with_context(what)?;
        // openssl leaves the public key out, which is then worked out.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        Ok(Self(key.map_err(anyhow::Error::msg).with_context(what)?))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}
