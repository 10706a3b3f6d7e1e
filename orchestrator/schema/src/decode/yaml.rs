//! YAML as JSON values, with the scalars of YAML 1.1 (`yes`, `0777`) that Kubernetes reads.

use serde_saphyr::{DuplicateKeyPolicy, Error, Options};

use super::DecodeError;
use crate::value::Value;

/// How long an error of the YAML parser may be when it is passed on.
const LONGEST_MESSAGE: usize = 300;

fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        duplicate_keys: duplicate_keys,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// The document; of a key given twice the last value wins.
pub(super) fn to_value(bytes: &[u8]) -> Result<Value, DecodeError> {
    serde_saphyr::from_slice_with_options(bytes, options(DuplicateKeyPolicy::LastWins)).map_err(|error| {
        let mut message = error.to_string();
        if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(end);
        }
        DecodeError::Yaml(message)
    })
}

/// The first key that is given twice in one mapping, as a message.
pub(super) fn duplicates(bytes: &[u8]) -> Option<String> {
    let result: Result<Value, Error> =
        serde_saphyr::from_slice_with_options(bytes, options(DuplicateKeyPolicy::Error));
    match result.err()?.without_snippet() {
        Error::DuplicateMappingKey { key, location } => {
            let key = key.as_deref().unwrap_or_default();
            Some(format!(
                "yaml: unmarshal errors:\n  line {}: key {key:?} already set in map",
                location.line()
            ))
        }
        _ => None,
    }
}
