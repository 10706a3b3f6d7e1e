//! The query string: options of reads and writes, parsed once at the edge.

use wherry_api::selector::{FieldSelector, LabelSelector};
use wherry_schema::FieldValidation;

use crate::error::Failure;
use crate::validation::{Errors, Path, Shown};

/// The decoded pairs of a query string, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string; any text is one.
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    /// A boolean as Kubernetes reads one: present counts as true unless it says `false` or `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !matches!(v, "false" | "0"))
    }

    /// A number, where the parameter is there and not empty.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        text.parse()
            .map(Some)
            .map_err(|_| Failure::BadRequest(format!("strconv.ParseInt: parsing {text:?}: invalid syntax")))
    }
}

/// How a list's resourceVersion is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Match {
    /// Exactly the state at that revision.
    Exact,
    /// That state or any later one.
    NotOlderThan,
}

/// Options of list, watch and deletecollection.
#[derive(Debug, Clone)]
pub(crate) struct ListOptions {
    /// Which labels the objects must have.
    pub(crate) labels: LabelSelector,
    /// Which fields the objects must have.
    pub(crate) fields: FieldSelector,
    /// At most so many objects; 0 is no limit.
    pub(crate) limit: usize,
    /// Where an earlier page ended.
    pub(crate) continue_token: String,
    /// The revision asked for, as text; empty is "the latest".
    pub(crate) resource_version: String,
    /// How that revision is meant.
    pub(crate) version_match: Option<Match>,
    /// Whether events are wanted instead of a list.
    pub(crate) watch: bool,
    /// How long a watch may last.
    pub(crate) timeout_seconds: Option<u64>,
    /// Whether the watcher understands bookmarks.
    pub(crate) bookmarks: bool,
    /// Whether a watch starts with the whole state.
    pub(crate) send_initial: Option<bool>,
}

impl ListOptions {
    /// Reads the options, refusing combinations that mean nothing.
    pub(crate) fn parse(query: &Query, watch: bool) -> Result<Self, Failure> {
        let bad = |e: &dyn std::fmt::Display| Failure::BadRequest(e.to_string());
        let text = |name: &str| query.get(name).unwrap_or_default().to_owned();
        let mut options = Self {
            labels: LabelSelector::parse(&text("labelSelector")).map_err(|e| bad(&e))?,
            fields: FieldSelector::parse(&text("fieldSelector")).map_err(|e| bad(&e))?,
            limit: usize::try_from(query.number("limit")?.unwrap_or(0)).unwrap_or(0),
            continue_token: text("continue"),
            resource_version: text("resourceVersion"),
            version_match: None,
            watch,
            timeout_seconds: query.number("timeoutSeconds")?.and_then(|n| u64::try_from(n).ok()),
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial: query.get("sendInitialEvents").map(|v| !matches!(v, "" | "false" | "0")),
        };
        let errors = options.check_match(&text("resourceVersionMatch"));
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Failure::invalid_named("meta.k8s.io", "ListOptions", "", errors))
    }

    fn check_match(&mut self, asked: &str) -> Errors {
        let mut errors = Errors::default();
        let path = Path::new("resourceVersionMatch");
        self.version_match = match asked {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        if self.watch {
            self.check_watch(asked, &mut errors);
            return errors;
        }
        if self.send_initial.is_some() {
            errors.forbidden(&Path::new("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        if asked.is_empty() {
            return errors;
        }
        if self.resource_version.is_empty() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !self.continue_token.is_empty() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
        }
        if self.version_match.is_none() {
            errors.unsupported(&path, asked, &["Exact", "NotOlderThan", ""]);
        }
        if self.version_match == Some(Match::Exact) && self.resource_version == "0" {
            errors.forbidden(&path, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        errors
    }

    fn check_watch(&self, asked: &str, errors: &mut Errors) {
        let path = Path::new("resourceVersionMatch");
        if !self.continue_token.is_empty() {
            errors.forbidden(&Path::new("continue"), "continue is forbidden for watch");
        }
        match (self.send_initial, asked) {
            (None, "") | (Some(_), "NotOlderThan") => {}
            (None, _) => errors.forbidden(
                &path,
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
            ),
            (Some(_), "") => {
                errors.forbidden(
                    &path,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
                );
            }
            (Some(_), other) => errors.unsupported(&path, other, &["NotOlderThan"]),
        }
    }
}

/// Options of create, update and patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    /// Do everything but write.
    pub(crate) dry_run: bool,
    /// What to do about fields the schema does not know.
    pub(crate) validation: FieldValidation,
}

impl WriteOptions {
    /// Reads the options; `kind` is the name errors give them (`CreateOptions`).
    pub(crate) fn parse(query: &Query, kind: &str) -> Result<Self, Failure> {
        let mut errors = Errors::default();
        let dry_run = parse_dry_run(&query.all("dryRun"), &mut errors);
        let manager = query.get("fieldManager").unwrap_or_default();
        if manager.len() > 128 {
            errors.too_long(&Path::new("fieldManager"), 128);
        }
        if let Some(bad) = manager.chars().find(|c| c.is_control()) {
            errors.invalid(
                &Path::new("fieldManager"),
                manager,
                &format!("should not contain unprintable characters, got {bad:?}"),
            );
        }
        let asked = query.get("fieldValidation").unwrap_or_default();
        let validation = match asked {
            "Strict" => FieldValidation::Strict,
            "Ignore" => FieldValidation::Ignore,
            "Warn" | "" => FieldValidation::Warn,
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.unsupported(&Path::new("fieldValidation"), other, &supported);
                FieldValidation::Warn
            }
        };
        if errors.is_empty() {
            return Ok(Self { dry_run, validation });
        }
        Err(Failure::invalid_named("meta.k8s.io", kind, "", errors))
    }
}

/// Whether a dry run is asked for.
pub(crate) fn parse_dry_run(values: &[&str], errors: &mut Errors) -> bool {
    if values.iter().any(|v| *v != "All") {
        let shown: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        errors.unsupported(&Path::new("dryRun"), Shown::raw(format!("[{}]", shown.join(","))), &["All"]);
    }
    !values.is_empty()
}
