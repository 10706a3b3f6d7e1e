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
        let mut message = go_message(&error.to_string());
        if let Some((end, _)) = message.char_indices().nth(LONGEST_MESSAGE) {
            message.truncate(end);
        }
        DecodeError::Yaml(message)
    })
}

/// An error as Go's YAML parser puts it: the line in front, and only if it is not the first.
fn go_message(message: &str) -> String {
    let Some((what, place)) = message.rsplit_once(" at line ") else { return message.to_owned() };
    let line = place.split(',').next().and_then(|line| line.parse::<u32>().ok()).unwrap_or(1);
    if what.starts_with("unclosed bracket") {
        return format!("line {line}: did not find expected node content");
    }
    if line > 1 { format!("line {line}: {what}") } else { what.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::to_value;

    #[test]
    fn errors_read_as_those_of_the_parser_in_go() {
        let error = |text: &str| to_value(text.as_bytes()).unwrap_err().to_string();
        let prefix = "error converting YAML to JSON: yaml: ";
        assert_eq!(error("{"), format!("{prefix}line 1: did not find expected node content"));
        assert_eq!(error("a: b: c"), format!("{prefix}mapping values are not allowed in this context"));
        assert_eq!(
            error("x: 1\na: b: c"),
            format!("{prefix}line 2: mapping values are not allowed in this context")
        );
    }
}
