//! Values that are sealed on disk: the store does not know how, and not which.

use std::sync::Arc;

/// Seals values before they are written to the file, and opens them when they are read from it. What is in memory is
/// open.
pub trait Seal: Send + Sync {
    /// The sealed form of a value, if values under this key are to be sealed.
    fn seal(&self, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, SealError>;

    /// The value that was sealed.
    fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError>;
}

/// Who seals, if anybody does.
pub(crate) type Sealer = Option<Arc<dyn Seal>>;

/// Why a value cannot be sealed or opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealError(
    /// What is wrong.
    pub String,
);

/// Opens a value that a row says is sealed.
pub(crate) fn open(sealer: &Sealer, key: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let missing = || SealError("it is sealed, and there is no key to open it".to_owned());
    sealer.as_ref().ok_or_else(missing)?.open(key, sealed)
}
