//! What a namespace asks of its Pods, as its labels say it.

use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::{Errors, Path};

/// What the labels begin with.
pub(super) const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much Pods are held to, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing.
    Privileged,
    /// What keeps them from known ways to become more than they are.
    Baseline,
    /// What is good practice.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }

    /// As labels have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

/// The level as it was in a version of Kubernetes; none is the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standard {
    pub(super) level: Level,
    pub(super) minor: Option<u32>,
}

impl Standard {
    /// Whether a rule of this minor version applies.
    pub(super) fn since(self, minor: u32) -> bool {
        self.minor.is_none_or(|own| own >= minor)
    }
}

impl std::fmt::Display for Standard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.minor {
            None => write!(f, "{}:latest", self.level.name()),
            Some(minor) => write!(f, "{}:v1.{minor}", self.level.name()),
        }
    }
}

/// What a namespace refuses, what it has recorded and what it warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) enforce: Standard,
    pub(super) audit: Standard,
    pub(super) warn: Standard,
}

impl Policy {
    /// Reads the labels of a namespace; what they break goes into the errors.
    pub(super) fn read(namespace: &Value, errors: &mut Errors) -> Self {
        let labels = namespace.map("metadata.labels");
        let enforce = standard(labels, "enforce", errors);
        let audit = standard(labels, "audit", errors);
        let mut warn = standard(labels, "warn", errors);
        if get(labels, "warn").is_none() && get(labels, "enforce").is_some() {
            warn = enforce;
        }
        let or_nothing = |standard: Option<Standard>| standard.unwrap_or(NOTHING);
        Self { enforce: or_nothing(enforce), audit: or_nothing(audit), warn: or_nothing(warn) }
    }
}

/// The standard that lets Pods do everything.
pub(super) const NOTHING: Standard = Standard { level: Level::Privileged, minor: None };

fn get<'a>(labels: Option<&'a Object>, name: &str) -> Option<&'a str> {
    labels?.get(&format!("{PREFIX}{name}"))?.as_str()
}

fn standard(labels: Option<&Object>, mode: &str, errors: &mut Errors) -> Option<Standard> {
    let path = |name: &str| Path::new("metadata.labels").key(&format!("{PREFIX}{name}"));
    let level = get(labels, mode).map(|text| {
        Level::parse(text).unwrap_or_else(|| {
            errors.invalid(&path(mode), text, "must be one of privileged, baseline, restricted");
            // What cannot be read is taken for the strictest.
            Level::Restricted
        })
    });
    let name = format!("{mode}-version");
    let minor = get(labels, &name).and_then(|text| {
        let minor = text.strip_prefix("v1.").and_then(parse_minor);
        if minor.is_none() && text != "latest" {
            errors.invalid(&path(&name), text, "must be \"latest\" or \"v1.x\"");
        }
        minor
    });
    level.map(|level| Standard { level, minor })
}

fn parse_minor(text: &str) -> Option<u32> {
    let plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(labels: &[(&str, &str)]) -> Value {
        let mut namespace = Value::object();
        for (name, value) in labels {
            namespace.set(&["metadata", "labels", &format!("{PREFIX}{name}")], *value);
        }
        namespace
    }

    #[test]
    fn who_enforces_also_warns_unless_told_otherwise() {
        let mut errors = Errors::default();
        let policy = Policy::read(&namespace(&[("enforce", "baseline")]), &mut errors);
        assert_eq!(policy.warn.to_string(), "baseline:latest");
        let labels = [("enforce", "baseline"), ("warn", "restricted"), ("warn-version", "v1.30")];
        let policy = Policy::read(&namespace(&labels), &mut errors);
        assert_eq!(policy.warn.to_string(), "restricted:v1.30");
        assert!(errors.is_empty() && policy.warn.since(30) && !policy.warn.since(31));
    }

    #[test]
    fn unknown_levels_and_versions_are_told() {
        let mut errors = Errors::default();
        Policy::read(&namespace(&[("enforce", "bogus"), ("audit-version", "v9")]), &mut errors);
        assert_eq!(errors.causes().len(), 2);
    }
}
