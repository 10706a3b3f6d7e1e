//! What part of a log is asked for: the query of a log request.

use std::time::Duration;

use jiff::Timestamp;
use wherry_runtime_api::logs::Stream;

/// A query that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid query parameter {name}={value:?}: {expected}")]
pub(crate) struct OptionsError {
    name: String,
    value: String,
    expected: &'static str,
}

/// What part of a log to send, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogOptions {
    /// Whether to go on while the container runs.
    pub(crate) follow: bool,
    /// Whether to send the log of the attempt before.
    pub(crate) previous: bool,
    /// Only so many lines from the end.
    pub(crate) tail_lines: Option<u64>,
    /// Only what was written since.
    pub(crate) since: Option<Timestamp>,
    /// Whether each line begins with its time.
    pub(crate) timestamps: bool,
    /// At most so many bytes.
    pub(crate) limit_bytes: Option<u64>,
    /// Only what was written to this stream.
    pub(crate) stream: Option<Stream>,
}

impl LogOptions {
    /// Parses a query; what is not known is ignored.
    pub(crate) fn parse(query: &str, now: Timestamp) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong =
                |expected| OptionsError { name: name.to_string(), value: value.to_string(), expected };
            let flag = || parse_bool(&value).ok_or_else(|| wrong("expected true or false"));
            let number = || value.parse::<u64>().map_err(|_| wrong("expected a number, zero or more"));
            match &*name {
                "follow" => options.follow = flag()?,
                "previous" => options.previous = flag()?,
                "timestamps" => options.timestamps = flag()?,
                "tailLines" => options.tail_lines = Some(number()?),
                "limitBytes" => options.limit_bytes = Some(number()?),
                "sinceSeconds" => options.since = now.checked_sub(Duration::from_secs(number()?)).ok(),
                "sinceTime" => {
                    options.since = Some(value.parse().map_err(|_| wrong("expected a time as in RFC 3339"))?);
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// As Go parses booleans, and a parameter without value is true.
fn parse_bool(value: &str) -> Option<bool> {
    match value {
        "" | "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_query_is_parsed() {
        let now = Timestamp::from_second(1000).unwrap();
        let options =
            LogOptions::parse("follow=true&tailLines=5&sinceSeconds=10&container=web", now).unwrap();
        let since = Timestamp::from_second(990).ok();
        let expected = LogOptions { follow: true, tail_lines: Some(5), since, ..LogOptions::default() };
        assert_eq!(options, expected);
    }

    #[rstest]
    #[case("tailLines=-1", "invalid query parameter tailLines=\"-1\": expected a number, zero or more")]
    #[case("follow=maybe", "invalid query parameter follow=\"maybe\": expected true or false")]
    #[case("sinceTime=today", "invalid query parameter sinceTime=\"today\": expected a time as in RFC 3339")]
    fn nonsense_is_named(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(LogOptions::parse(query, Timestamp::UNIX_EPOCH).unwrap_err().to_string(), expected);
    }
}
