//! One named key, and the mark by which what it sealed is known.

use std::fmt;

use super::cipher::Cipher;

/// A key that seals and opens.
pub(super) struct Key {
    /// `k8s:enc:aesgcm:v1:NAME:`, which every value it sealed begins with.
    mark: Vec<u8>,
    secret: Vec<u8>,
    cipher: Box<dyn Cipher>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.mark))
    }
}

/// A key is what it does, not where it was read.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.mark == other.mark && self.secret == other.secret
    }
}

impl Key {
    pub(super) fn new(provider: &str, name: &str, secret: &[u8], cipher: Box<dyn Cipher>) -> Self {
        Self { mark: format!("k8s:enc:{provider}:v1:{name}:").into_bytes(), secret: secret.to_vec(), cipher }
    }

    /// The sealed form of a value; none if there are no random numbers.
    pub(super) fn seal(&self, key: &str, value: &[u8]) -> Option<Vec<u8>> {
        Some([self.mark.as_slice(), &self.cipher.seal(key, value)?].concat())
    }

    /// What it sealed of a value that bears its mark.
    pub(super) fn body<'v>(&self, sealed: &'v [u8]) -> Option<&'v [u8]> {
        sealed.strip_prefix(self.mark.as_slice())
    }

    /// The value of such a body.
    pub(super) fn open(&self, key: &str, body: &[u8]) -> Option<Vec<u8>> {
        self.cipher.open(key, body)
    }
}
