//! A key with its certificates and its times, in a file that the next agent goes on with.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Credentials;
use crate::checkpoint;
use crate::volumes::WriteError;

/// What was issued, and when another is asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    /// PEM.
    pub(super) key: String,
    /// PEM.
    pub(super) chain: String,
    pub(super) refresh_at: Timestamp,
    pub(super) not_after: Timestamp,
}

impl Kept {
    /// What is in a file, if it is a key with certificates.
    pub(super) fn load(path: &Path) -> Option<Self> {
        Self::parse(&fs::read(path).ok()?)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let kept: Self = serde_json::from_slice(bytes).ok()?;
        pem::parse(&kept.key).ok()?;
        pem::parse(&kept.chain).ok()?;
        Some(kept)
    }

    /// Puts it into a file that nobody else reads, whole or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), WriteError> {
        checkpoint::write(path, self)
    }

    /// Whether nobody believes it any more.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        now >= self.not_after
    }

    /// What of it pods are shown.
    pub(super) fn credentials(&self) -> Credentials {
        Credentials { key: self.key.clone(), chain: self.chain.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pem::Pem;
    use proptest::prelude::*;

    use super::*;
    use crate::trust_bundles::encode;

    #[test]
    fn what_is_saved_is_found_again_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("certificates/v-0.json");
        assert!(Kept::load(&path).is_none());
        let kept = Kept {
            key: encode(&[Pem::new("PRIVATE KEY", b"k".to_vec())]),
            chain: encode(&[Pem::new("CERTIFICATE", b"c".to_vec())]),
            refresh_at: Timestamp::from_second(10).unwrap(),
            not_after: Timestamp::from_second(20).unwrap(),
        };
        kept.save(&path).unwrap();
        kept.save(&path).unwrap();
        assert!(Kept::load(&path) == Some(kept.clone()));
        assert!(!kept.is_over(Timestamp::from_second(19).unwrap()) && kept.is_over(kept.not_after));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        assert!(Kept::load(&path).is_none());
    }

    proptest! {
        #[test]
        fn any_bytes_are_kept_or_not(text in r"\PC{0,60}") {
            let json = serde_json::json!({ "key": text, "chain": text, "refreshAt": text, "notAfter": text });
            prop_assert!(Kept::parse(text.as_bytes()).is_none());
            prop_assert!(Kept::parse(json.to_string().as_bytes()).is_none());
        }
    }
}
