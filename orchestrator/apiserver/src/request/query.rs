//! The query string: options of reads and writes, parsed once at the edge.

use std::num::{IntErrorKind, ParseIntError};

use wherry_api::selector::{FieldOp, FieldSelector, LabelSelector};
use wherry_schema::FieldValidation;

use crate::error::Failure;
use crate::validation::{Errors, Path, Shown};

/// The decoded pairs of a query string, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string; any text is one. Pairs that are not well encoded are left out, as Go does.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| well_encoded(pair));
        Self(pairs.flat_map(|pair| form_urlencoded::parse(pair.as_bytes()).into_owned()).collect())
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
        self.get(name).is_some_and(truth)
    }

    /// A number, where the parameter is there.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error: ParseIntError| {
            let why = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            Failure::BadRequest(format!("strconv.ParseInt: parsing {text:?}: {why}"))
        })
    }
}

/// A boolean as Kubernetes reads one.
fn truth(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

/// Whether every `%` starts an escape and no `;` is in the way.
fn well_encoded(pair: &str) -> bool {
    let bytes = pair.as_bytes();
    let escape = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|h| h.iter().all(u8::is_ascii_hexdigit));
    bytes.iter().enumerate().all(|(at, byte)| match byte {
        b'%' => escape(at),
        byte => *byte != b';',
    })
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
    pub(crate) timeout_seconds: Option<i64>,
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
            timeout_seconds: query.number("timeoutSeconds")?,
            limit: usize::try_from(query.number("limit")?.unwrap_or(0)).unwrap_or(0),
            continue_token: text("continue"),
            resource_version: text("resourceVersion"),
            version_match: None,
            watch,
            bookmarks: query.flag("allowWatchBookmarks"),
            send_initial: query.get("sendInitialEvents").map(truth),
        };
        let mut matched = text("resourceVersionMatch");
        let anywhere = matches!(options.resource_version.as_str(), "" | "0") && matched.is_empty();
        if watch && anywhere && options.send_initial.is_none() {
            options.send_initial = Some(true);
            "NotOlderThan".clone_into(&mut matched);
        }
        let errors = options.check_match(&matched);
        if errors.is_empty() {
            return Ok(options);
        }
        Err(Failure::invalid_named("meta.k8s.io", "ListOptions", "", errors))
    }

    /// Makes this a watch: of one object if there is a name.
    pub(crate) fn watch_only(&mut self, name: Option<&str>) -> Result<(), Failure> {
        self.watch = true;
        let Some(name) = name else { return Ok(()) };
        let clauses = self.fields.requirements();
        let named = clauses.iter().find(|r| r.field == "metadata.name" && r.op == FieldOp::Eq);
        if named.map_or(!clauses.is_empty(), |r| r.value != name) {
            let why = "fieldSelector metadata.name doesn't match requested name";
            return Err(Failure::BadRequest(why.to_owned()));
        }
        if named.is_none() {
            self.fields = FieldSelector::exactly("metadata.name", name);
        }
        Ok(())
    }

    fn check_match(&mut self, asked: &str) -> Errors {
        let mut errors = Errors::default();
        self.version_match = match asked {
            "Exact" => Some(Match::Exact),
            "NotOlderThan" => Some(Match::NotOlderThan),
            _ => None,
        };
        if self.watch {
            self.check_watch(asked, &mut errors);
            return errors;
        }
        if !asked.is_empty() {
            self.check_list(asked, &mut errors);
        }
        if self.send_initial.is_some() {
            errors.forbidden(&Path::new("sendInitialEvents"), "sendInitialEvents is forbidden for list");
        }
        errors
    }

    fn check_list(&self, asked: &str, errors: &mut Errors) {
        let path = Path::new("resourceVersionMatch");
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
    }

    fn check_watch(&self, asked: &str, errors: &mut Errors) {
        let path = Path::new("resourceVersionMatch");
        if self.send_initial.is_some() && asked != "NotOlderThan" {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.forbidden(&path, why);
        }
        if asked.is_empty() {
            return;
        }
        if self.send_initial.is_none() {
            let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.forbidden(&path, why);
        }
        if asked != "NotOlderThan" {
            errors.unsupported(&path, asked, &["NotOlderThan"]);
        }
        if !self.continue_token.is_empty() {
            errors.forbidden(&path, "resourceVersionMatch is forbidden when continue is provided");
        }
    }
}

/// The most bytes the name of a field manager has.
const MAX_MANAGER: usize = 128;

/// Options of create, update and patch.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    /// Do everything but write.
    pub(crate) dry_run: bool,
    /// What to do about fields the schema does not know.
    pub(crate) validation: FieldValidation,
    /// Who owns the fields written, empty if the client does not say.
    pub(crate) manager: String,
    /// Whether the client itself says who owns them.
    pub(crate) names_manager: bool,
    /// Whether an apply takes fields from other managers.
    pub(crate) force: Option<bool>,
}

impl WriteOptions {
    /// Those of a part of the server itself, which owns what it writes as `manager`.
    pub(crate) fn own(manager: &str) -> Self {
        Self {
            dry_run: false,
            validation: FieldValidation::Ignore,
            manager: manager.to_owned(),
            names_manager: true,
            force: None,
        }
    }

    /// Reads the options; `kind` is the name errors give them (`CreateOptions`).
    pub(crate) fn parse(query: &Query, kind: &str) -> Result<Self, Failure> {
        Self::read(query, kind, Errors::default())
    }

    /// Reads the options of a patch, which have rules of their own for server-side apply.
    pub(crate) fn parse_patch(query: &Query, apply: bool) -> Result<Self, Failure> {
        let mut errors = Errors::default();
        if apply && query.get("fieldManager").unwrap_or_default().is_empty() {
            errors.required(&Path::new("fieldManager"), "is required for apply patch");
        }
        if !apply && query.get("force").is_some() {
            errors.forbidden(&Path::new("force"), "may not be specified for non-apply patch");
        }
        Self::read(query, "PatchOptions", errors)
    }

    fn read(query: &Query, kind: &str, mut errors: Errors) -> Result<Self, Failure> {
        let dry_run = parse_dry_run(&query.all("dryRun"), &mut errors);
        let manager = query.get("fieldManager").unwrap_or_default();
        if manager.len() > MAX_MANAGER {
            errors.too_long(&Path::new("fieldManager"), MAX_MANAGER);
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
            let force = query.get("force").map(|_| query.flag("force"));
            return Ok(Self {
                dry_run,
                validation,
                manager: manager.to_owned(),
                names_manager: !manager.is_empty(),
                force,
            });
        }
        Err(Failure::invalid_named("meta.k8s.io", kind, "", errors))
    }
}

/// The field manager of a client that names none: the printable start of its User-Agent.
pub(crate) fn manager_of(agent: &str) -> String {
    let product = agent.split('/').next().unwrap_or_default();
    let mut manager = String::new();
    for letter in product.chars().filter(|letter| !letter.is_control()) {
        if manager.len() + letter.len_utf8() > MAX_MANAGER {
            break;
        }
        manager.push(letter);
    }
    manager
}

/// Whether a dry run is asked for.
pub(crate) fn parse_dry_run(values: &[&str], errors: &mut Errors) -> bool {
    if values.iter().any(|v| *v != "All") {
        let shown: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        errors.unsupported(&Path::new("dryRun"), Shown::raw(format!("[{}]", shown.join(","))), &["All"]);
    }
    !values.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn refusal(query: &str, watch: bool) -> String {
        ListOptions::parse(&Query::parse(query), watch).unwrap_err().to_string()
    }

    #[rstest]
    #[case(
        "sendInitialEvents=true&resourceVersionMatch=Exact&resourceVersion=5",
        "sendInitialEvents requires setting \
        resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \
        \"NotOlderThan\"]"
    )]
    #[case(
        "sendInitialEvents=&resourceVersion=5",
        "Forbidden: sendInitialEvents requires setting resourceVersionMatch to \
        NotOlderThan"
    )]
    #[case(
        "resourceVersionMatch=NotOlderThan&continue=x",
        "unless sendInitialEvents is provided, resourceVersionMatch: \
        Forbidden: resourceVersionMatch is forbidden when continue is provided]"
    )]
    fn a_watch_refuses_options_that_contradict_each_other(#[case] query: &str, #[case] end: &str) {
        let told = refusal(query, true);
        assert!(told.ends_with(end), "{told}");
    }

    #[test]
    fn a_watch_from_anywhere_starts_with_the_state() {
        let options = ListOptions::parse(&Query::parse("watch=1&resourceVersion=0"), true).unwrap();
        assert_eq!(options.send_initial, Some(true));
        let options = ListOptions::parse(&Query::parse("watch=1&resourceVersion=7"), true).unwrap();
        assert_eq!(options.send_initial, None);
    }

    #[rstest]
    #[case("limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax")]
    #[case("limit=", "strconv.ParseInt: parsing \"\": invalid syntax")]
    #[case(
        "limit=99999999999999999999",
        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range"
    )]
    fn a_number_that_is_none_is_told_as_go_tells_it(#[case] query: &str, #[case] message: &str) {
        assert_eq!(refusal(query, false), message);
    }

    #[test]
    fn pairs_that_are_not_well_encoded_are_left_out() {
        let query = Query::parse("a=%zz&b=1;c=2&d=x%20y+z&watch=FALSE");
        assert_eq!((query.get("a"), query.get("b"), query.get("d")), (None, None, Some("x y z")));
        assert!(!query.flag("watch"));
    }

    proptest! {
        #[test]
        fn any_query_is_understood_or_refused(text in "\\PC{0,60}|([a-zA-Z]{1,20}=[^&]{0,10}&){0,5}", watch: bool) {
            let query = Query::parse(&text);
            let _ = ListOptions::parse(&query, watch);
            let _ = WriteOptions::parse(&query, "CreateOptions");
        }

        #[test]
        fn what_is_encoded_is_decoded(name in "\\PC{1,10}", value in "\\PC{0,20}") {
            let text: String = form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish();
            let query = Query::parse(&text);
            prop_assert_eq!(query.get(&name), Some(value.as_str()));
        }
    }
}
