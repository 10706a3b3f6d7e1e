//! The certificates of a cluster, as a person wants to see them.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use x509_parser::pem::Pem;

use super::{PkiError, file, validity};

/// A certificate on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The name of its file.
    pub file: String,
    /// Whom it names.
    pub subject: String,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
}

/// All certificates in a directory, by the names of their files.
pub fn list(dir: &Path) -> Result<Vec<Listed>, PkiError> {
    let failed = |source| PkiError::File { action: "read", path: dir.to_owned(), source };
    let mut listed = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.extension().is_none_or(|extension| extension != "crt") {
            continue;
        }
        let text = file::read(&path)?;
        for block in Pem::iter_from_buffer(text.as_bytes()).map_while(Result::ok) {
            listed.extend(described(name, &block.contents));
        }
    }
    listed.sort_by(|a, b| (&a.file, a.not_after).cmp(&(&b.file, b.not_after)));
    Ok(listed)
}

fn described(file: &str, der: &[u8]) -> Option<Listed> {
    let validity = validity(der)?;
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    Some(Listed {
        file: file.to_owned(),
        subject: certificate.subject().to_string(),
        not_before: validity.not_before,
        not_after: validity.not_after,
    })
}
