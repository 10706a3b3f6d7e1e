//! Secrets are sealed on disk: the keys, and how they are changed.
//!
//! The file of keys lies beside the CA, as `secrets.key`: one `name:key` a line, the key in base64. The first seals what
//! is written, all open what was. A Secret is sealed with AES-256-GCM under its storage key, so that what is sealed of
//! one cannot be put in place of another.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use wherry_api::clock::Clock;
use wherry_store::{Durability, Seal, SealError, Store, Txn};

use crate::control_plane::{StartError, open_store};
use crate::pki::{PkiError, write_file};

const FILE: &str = "secrets.key";
const KEY_LEN: usize = 32;
/// The storage keys of Secrets begin so.
const SECRETS: &str = "/registry/secrets/";

/// Why the keys of Secrets cannot be used or changed.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file.
    #[error("cannot read the keys of Secrets from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line of it.
    #[error("line {line} of {} is not NAME:KEY with a key of 32 bytes in base64", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers to make a key of")]
    Random,
    /// It cannot be written.
    #[error("cannot keep the keys of Secrets")]
    Write(#[source] PkiError),
    /// There is no cluster.
    #[error("there is no cluster in {}", .0.display())]
    Missing(PathBuf),
    /// The store cannot be opened.
    #[error("cannot open the store; a cluster must not run while the keys of its Secrets are changed")]
    Open(#[source] Box<StartError>),
    /// A Secret cannot be written.
    #[error("cannot seal the Secrets anew")]
    Rewrite(#[from] wherry_store::TxnError),
    /// What is outdated cannot be removed.
    #[error("cannot remove what the old keys sealed")]
    Compact(#[from] wherry_store::CompactError),
}

struct Key {
    name: String,
    bytes: [u8; KEY_LEN],
    cipher: LessSafeKey,
}

/// The keys of Secrets.
pub struct SecretKeys {
    path: PathBuf,
    keys: Vec<Key>,
    random: SystemRandom,
}

impl SecretKeys {
    /// Reads the keys in a directory of certificates; makes one at first start.
    pub fn open(dir: &Path) -> Result<Self, SecretsError> {
        let path = dir.join(FILE);
        let mut keys = Self { path, keys: Vec::new(), random: SystemRandom::new() };
        if keys.path.exists() {
            let text = std::fs::read_to_string(&keys.path)
                .map_err(|source| SecretsError::Read { path: keys.path.clone(), source })?;
            keys.keys = parse(&text).map_err(|line| SecretsError::Line { path: keys.path.clone(), line })?;
        }
        if keys.keys.is_empty() {
            keys.add()?;
        }
        Ok(keys)
    }

    /// Makes a key that seals from now on.
    fn add(&mut self) -> Result<(), SecretsError> {
        let mut bytes = [0; KEY_LEN];
        self.random.fill(&mut bytes).map_err(|_| SecretsError::Random)?;
        let number = |key: &Key| key.name.strip_prefix("key").and_then(|number| number.parse::<u64>().ok());
        let last = self.keys.iter().filter_map(number).max().unwrap_or(0);
        let name = format!("key{}", last + 1);
        self.keys.insert(0, Key::new(name, bytes).ok_or(SecretsError::Random)?);
        self.write()
    }

    fn write(&self) -> Result<(), SecretsError> {
        let mut text = String::new();
        for key in &self.keys {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}:{}", key.name, STANDARD.encode(key.bytes));
        }
        write_file(&self.path, &text).map_err(SecretsError::Write)
    }
}

impl Key {
    fn new(name: String, bytes: [u8; KEY_LEN]) -> Option<Self> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
        Some(Self { name, bytes, cipher })
    }
}

/// The keys of a file, or the number of the line that is none.
fn parse(text: &str) -> Result<Vec<Key>, usize> {
    let key = |line: &str| {
        let (name, key) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
        let bytes: [u8; KEY_LEN] = STANDARD.decode(key).ok()?.try_into().ok()?;
        Key::new(name.to_owned(), bytes)
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| key(line.trim()).ok_or(at + 1)).collect()
}

impl Seal for SecretKeys {
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, SealError> {
        if !key.starts_with(SECRETS) {
            return Ok(None);
        }
        let failed = || SealError("the Secret cannot be sealed".to_owned());
        let with = self.keys.first().ok_or_else(failed)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| failed())?;
        let mut body = value.to_vec();
        with.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(key), &mut body)
            .map_err(|_| failed())?;
        Ok(Some([with.name.as_bytes(), b":", &nonce, &body].concat()))
    }

    fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let unreadable = || SealError("it is no sealed Secret".to_owned());
        let colon = sealed.iter().position(|byte| *byte == b':').ok_or_else(unreadable)?;
        let name = String::from_utf8_lossy(&sealed[..colon]).into_owned();
        let with = self.keys.iter().find(|key| key.name == name);
        let with =
            with.ok_or_else(|| SealError(format!("the key {name:?} that sealed it is not in {FILE}")))?;
        let (nonce, body) = sealed[colon + 1..].split_first_chunk::<NONCE_LEN>().ok_or_else(unreadable)?;
        let mut body = body.to_vec();
        let open = with
            .cipher
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(key), &mut body)
            .map_err(|_| SealError(format!("it was not sealed so by the key {name:?}")))?;
        Ok(open.to_vec())
    }
}

/// Seals all Secrets of a cluster that is not running with a new key, removes what older keys sealed, and forgets them.
/// Answers how many Secrets there are.
pub async fn rotate(data_dir: &Path, clock: &Arc<dyn Clock>) -> Result<usize, SecretsError> {
    let pki = data_dir.join("pki");
    if !data_dir.join("store.redb").exists() {
        return Err(SecretsError::Missing(data_dir.to_owned()));
    }
    let store = open(data_dir, &pki, clock)?;
    // Only now is it certain that nobody else uses the keys.
    store.close().await;
    SecretKeys::open(&pki)?.add()?;
    let store = open(data_dir, &pki, clock)?;
    let rewritten = rewrite(&store).await;
    let compacted = match &rewritten {
        Ok(_) => store.compact(store.revision()).await,
        Err(_) => Ok(()),
    };
    store.close().await;
    let count = rewritten?;
    compacted?;
    let mut keys = SecretKeys::open(&pki)?;
    keys.keys.truncate(1);
    keys.write()?;
    Ok(count)
}

fn open(data_dir: &Path, pki: &Path, clock: &Arc<dyn Clock>) -> Result<Store, SecretsError> {
    open_store(data_dir, pki, clock).map_err(|error| SecretsError::Open(Box::new(error)))
}

async fn rewrite(store: &Store) -> Result<usize, SecretsError> {
    let snapshot = store.snapshot();
    let mut count = 0;
    for entry in snapshot.range(SECRETS, None) {
        let ops = vec![wherry_apiserver::rewrite(entry)];
        store.txn(Txn { preconditions: Vec::new(), ops, durability: Durability::Durable }).await?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const SECRET: &str = "/registry/secrets/default/s";

    #[test]
    fn what_is_sealed_opens_under_its_name_alone() {
        let dir = tempfile::tempdir().unwrap();
        let keys = SecretKeys::open(dir.path()).unwrap();
        let sealed = keys.seal(SECRET, b"hunter2").unwrap().unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(keys.seal(SECRET, b"hunter2").unwrap().unwrap(), sealed);
        assert_eq!(keys.open(SECRET, &sealed).unwrap(), b"hunter2");
        keys.open("/registry/secrets/default/t", &sealed).unwrap_err();
        assert_eq!(keys.seal("/registry/configmaps/default/s", b"x").unwrap(), None);
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let mut keys = SecretKeys::open(dir.path()).unwrap();
        let sealed = keys.seal(SECRET, b"x").unwrap().unwrap();
        keys.add().unwrap();
        let mut again = SecretKeys::open(dir.path()).unwrap();
        assert_eq!(again.open(SECRET, &sealed).unwrap(), b"x");
        assert!(again.seal(SECRET, b"x").unwrap().unwrap().starts_with(b"key2:"));
        again.keys.truncate(1);
        let why = again.open(SECRET, &sealed).unwrap_err();
        assert_eq!(why.to_string(), "the key \"key1\" that sealed it is not in secrets.key");
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "\nkey1:AAAA\n").unwrap();
        let error = SecretKeys::open(dir.path()).err().unwrap();
        assert!(error.to_string().starts_with("line 2 of "), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_opened_or_refused(text in "\\PC{0,80}", sealed: Vec<u8>) {
            let dir = tempfile::tempdir().unwrap();
            let keys = SecretKeys::open(dir.path()).unwrap();
            proptest::prop_assert!(keys.open(SECRET, &sealed).is_err());
            let tagged = [b"key1:", sealed.as_slice()].concat();
            proptest::prop_assert!(keys.open(SECRET, &tagged).is_err());
            drop(parse(&text));
        }
    }
}
