//! Secrets are sealed on disk: the cluster's own keys, and how they are changed.
//!
//! The file of keys lies beside the CA, as `secrets.key`: one `name:key` a line, the key in base64. The first seals what
//! is written, all open what was. An `EncryptionConfiguration` may say otherwise, and of other resources too; what does
//! the sealing is [`Encryption`].

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use wherry_api::clock::Clock;
use wherry_apiserver::encryption::{Encryption, EncryptionConfig, EncryptionConfigError};
use wherry_store::{Durability, Store, Txn};

use crate::control_plane::{StartError, open_store};
use crate::pki::{PkiError, write_file};

const FILE: &str = "secrets.key";
const KEY_LEN: usize = 32;

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
    /// The configuration that says what is sealed cannot be read.
    #[error("error reading encryption provider configuration file {:?}", path.display())]
    ReadConfig {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It says something that cannot be done.
    #[error("cannot use the encryption provider configuration file {:?}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: EncryptionConfigError,
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
}

/// The cluster's own keys.
struct SecretKeys {
    path: PathBuf,
    keys: Vec<Key>,
}

impl SecretKeys {
    /// Reads the keys in a directory of certificates; makes one at first start.
    fn open(dir: &Path) -> Result<Self, SecretsError> {
        let path = dir.join(FILE);
        let mut keys = Self { path, keys: Vec::new() };
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
        SystemRandom::new().fill(&mut bytes).map_err(|_| SecretsError::Random)?;
        let number = |key: &Key| key.name.strip_prefix("key").and_then(|number| number.parse::<u64>().ok());
        let last = self.keys.iter().filter_map(number).max().unwrap_or(0);
        self.keys.insert(0, Key { name: format!("key{}", last + 1), bytes });
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

/// What seals with the keys in a directory of certificates, and as a configuration says.
pub(crate) fn encryption(pki: &Path, config: Option<&Path>) -> Result<Encryption, SecretsError> {
    let keys = SecretKeys::open(pki)?;
    let keys = keys.keys.iter().map(|key| (key.name.as_str(), key.bytes.as_slice()));
    let encryption = Encryption::new(keys).expect("every key has the length of one");
    if let Some(path) = config {
        encryption.configure(read_config(path)?);
    }
    Ok(encryption)
}

/// Reads an `EncryptionConfiguration`.
pub(crate) fn read_config(path: &Path) -> Result<EncryptionConfig, SecretsError> {
    let bytes =
        std::fs::read(path).map_err(|source| SecretsError::ReadConfig { path: path.to_owned(), source })?;
    EncryptionConfig::parse(&bytes).map_err(|source| SecretsError::Config { path: path.to_owned(), source })
}

/// The keys of a file, or the number of the line that is none.
fn parse(text: &str) -> Result<Vec<Key>, usize> {
    let key = |line: &str| {
        let (name, key) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
        let bytes: [u8; KEY_LEN] = STANDARD.decode(key).ok()?.try_into().ok()?;
        Some(Key { name: name.to_owned(), bytes })
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| key(line.trim()).ok_or(at + 1)).collect()
}

/// Seals all Secrets of a cluster that is not running, and all else that a configuration is about, with a new key of the
/// cluster or with the first provider of the configuration; removes what older keys sealed, and forgets those of the
/// cluster. Answers how many objects there are.
pub async fn rotate(
    data_dir: &Path,
    config: Option<&Path>,
    clock: &Arc<dyn Clock>,
) -> Result<usize, SecretsError> {
    let pki = data_dir.join("pki");
    if !data_dir.join("store.redb").exists() {
        return Err(SecretsError::Missing(data_dir.to_owned()));
    }
    let (store, _) = open(data_dir, config, clock)?;
    // Only now is it certain that nobody else uses the keys.
    store.close().await;
    SecretKeys::open(&pki)?.add()?;
    let (store, encryption) = open(data_dir, config, clock)?;
    let rewritten = rewrite(&store, &encryption).await;
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

fn open(
    data_dir: &Path,
    config: Option<&Path>,
    clock: &Arc<dyn Clock>,
) -> Result<(Store, Arc<Encryption>), SecretsError> {
    let opened = open_store(data_dir, config, clock);
    opened.map_err(|error| match error {
        StartError::Secrets(error) => error,
        error => SecretsError::Open(Box::new(error)),
    })
}

async fn rewrite(store: &Store, encryption: &Encryption) -> Result<usize, SecretsError> {
    let snapshot = store.snapshot();
    let mut count = 0;
    for entry in snapshot.range("/registry/", None).filter(|entry| encryption.concerns(&entry.key)) {
        let ops = vec![wherry_apiserver::rewrite(entry)];
        store.txn(Txn { preconditions: Vec::new(), ops, durability: Durability::Durable }).await?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use wherry_store::Seal as _;

    use super::*;

    const SECRET: &str = "/registry/secrets/default/s";

    #[test]
    fn a_key_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = encryption(dir.path(), None).unwrap().seal(SECRET, b"hunter2").unwrap().unwrap();
        assert!(sealed.starts_with(b"k8s:enc:aesgcm:v1:key1:"));
        assert_eq!(encryption(dir.path(), None).unwrap().open(SECRET, &sealed).unwrap(), b"hunter2");
        let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_still_opens() {
        let dir = tempfile::tempdir().unwrap();
        let sealed = encryption(dir.path(), None).unwrap().seal(SECRET, b"x").unwrap().unwrap();
        SecretKeys::open(dir.path()).unwrap().add().unwrap();
        let again = encryption(dir.path(), None).unwrap();
        assert_eq!(again.open(SECRET, &sealed).unwrap(), b"x");
        assert!(again.seal(SECRET, b"x").unwrap().unwrap().starts_with(b"k8s:enc:aesgcm:v1:key2:"));
    }

    #[test]
    fn a_file_that_holds_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "\nkey1:AAAA\n").unwrap();
        let error = SecretKeys::open(dir.path()).err().unwrap();
        assert!(error.to_string().starts_with("line 2 of "), "{error}");
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        let config = dir.path().join("config.yaml");
        let error = encryption(dir.path(), Some(&config)).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("error reading encryption provider configuration file \"{}\"", config.display())
        );
        std::fs::write(&config, "kind: Secret").unwrap();
        let error = encryption(dir.path(), Some(&config)).unwrap_err().to_string();
        assert!(error.starts_with("cannot use the encryption provider configuration file"), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_keys_or_refused(text in "\\PC{0,80}") {
            drop(parse(&text));
        }
    }
}
