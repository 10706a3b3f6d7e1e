//! Reading a policy from YAML or JSON.

use wherry_schema::decode::{duplicate_keys, parse};
use wherry_schema::{DecodeError, Format, Value};

use super::{Level, Policy, Resources, Rule, Stage, Stages};
use crate::object::Fields;
use crate::reader::Reader;
use crate::validation::{Path, names};

const VERSION: &str = "audit.k8s.io/v1";
const TOP: &[&str] = &["apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"];
const RULE: &[&str] = &[
    "level",
    "users",
    "userGroups",
    "verbs",
    "resources",
    "namespaces",
    "nonResourceURLs",
    "omitStages",
    "omitManagedFields",
];
const RESOURCES: &[&str] = &["group", "resources", "resourceNames"];

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is neither YAML nor JSON.
    #[error("the audit policy cannot be read")]
    Syntax(#[source] DecodeError),
    /// A key is given twice.
    #[error("the audit policy is ambiguous: {0}")]
    Duplicate(String),
    /// It is something else.
    #[error(
        "the audit policy is of apiVersion {version:?} and kind {kind:?}; write {VERSION:?} and \"Policy\""
    )]
    Kind {
        /// Its `apiVersion`.
        version: String,
        /// Its `kind`.
        kind: String,
    },
    /// Fields that are not allowed or say nothing.
    #[error("the audit policy is invalid: {0}")]
    Invalid(String),
    /// It would record nothing at all.
    #[error("the audit policy has no rules, so that nothing would be recorded; write at least one")]
    Empty,
}

impl Policy {
    /// Reads a policy.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let value = parse(bytes, Format::Yaml).map_err(PolicyError::Syntax)?;
        if let Some(twice) = duplicate_keys(bytes) {
            return Err(PolicyError::Duplicate(twice));
        }
        let (version, kind) = (value.text("apiVersion").to_owned(), value.text("kind").to_owned());
        if version != VERSION || kind != "Policy" {
            return Err(PolicyError::Kind { version, kind });
        }
        let mut reader = Reader::default();
        let policy = reader.policy(&value);
        if !reader.errors.is_empty() {
            return Err(PolicyError::Invalid(reader.errors.to_string()));
        }
        if policy.rules.is_empty() { Err(PolicyError::Empty) } else { Ok(policy) }
    }
}

impl Reader {
    fn policy(&mut self, value: &Value) -> Policy {
        let top = Path::default();
        self.known(value, &top, TOP);
        let rules = self.list(value, &top, "rules");
        let rules = rules.iter().enumerate().map(|(at, rule)| self.rule(rule, &Path::new("rules").index(at)));
        let rules = rules.collect();
        Policy {
            rules,
            omit: self.stages(value, &top),
            omit_managed: self.flag(value, &top, "omitManagedFields").unwrap_or_default(),
        }
    }

    fn rule(&mut self, value: &Value, path: &Path) -> Rule {
        self.known(value, path, RULE);
        let rule = Rule {
            level: self.level(value, path),
            users: self.texts(value, path, "users"),
            groups: self.texts(value, path, "userGroups"),
            verbs: self.texts(value, path, "verbs"),
            resources: self.resources(value, path),
            namespaces: self.texts(value, path, "namespaces"),
            paths: self.texts(value, path, "nonResourceURLs"),
            omit: self.stages(value, path),
            omit_managed: self.flag(value, path, "omitManagedFields"),
        };
        self.check_paths(&rule, &path.child("nonResourceURLs"));
        rule
    }

    fn level(&mut self, value: &Value, path: &Path) -> Level {
        let text = self.text(value, path, "level");
        let path = path.child("level");
        let found = Level::ALL.into_iter().find(|level| level.name() == text);
        match found {
            Some(_) => {}
            None if text.is_empty() => self.errors.required(&path, ""),
            None => self.errors.unsupported(&path, &text, &Level::NAMES),
        }
        found.unwrap_or(Level::None)
    }

    fn stages(&mut self, value: &Value, path: &Path) -> Stages {
        let mut stages = Stages::default();
        for (at, text) in self.texts(value, path, "omitStages").iter().enumerate() {
            if let Some(stage) = Stage::ALL.into_iter().find(|stage| stage.name() == text) {
                stages.insert(stage);
            } else {
                let detail = format!("allowed stages are {}", Stage::NAMES.join(","));
                self.errors.invalid(&path.child("omitStages").index(at), text, &detail);
            }
        }
        stages
    }

    fn resources(&mut self, value: &Value, path: &Path) -> Vec<Resources> {
        let items = self.list(value, path, "resources");
        let path = path.child("resources");
        let mut all = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            let path = path.index(at);
            self.known(item, &path, RESOURCES);
            let one = Resources {
                group: self.text(item, &path, "group"),
                patterns: self.texts(item, &path, "resources"),
                names: self.texts(item, &path, "resourceNames"),
            };
            if !one.group.is_empty() {
                let problems = names::subdomain(&one.group);
                if !problems.is_empty() {
                    self.errors.invalid(&path.child("group"), &one.group, &problems.join(","));
                }
            }
            if one.patterns.is_empty() && !one.names.is_empty() {
                let names = Value::from(one.names.clone());
                let detail = "using resourceNames requires at least one resource";
                self.errors.invalid(&path.child("resourceNames"), &names, detail);
            }
            all.push(one);
        }
        all
    }

    fn check_paths(&mut self, rule: &Rule, path: &Path) {
        for (at, url) in rule.paths.iter().enumerate().filter(|(_, url)| *url != "*") {
            let path = path.index(at);
            if !url.starts_with('/') {
                let detail = "non-resource URL rules must begin with a '/' character";
                self.errors.invalid(&path, url, detail);
            }
            if url.find('*').is_some_and(|star| star + 1 < url.len()) {
                let detail = "non-resource URL wildcards '*' must be the final character of the rule";
                self.errors.invalid(&path, url, detail);
            }
        }
        if !rule.paths.is_empty() && (!rule.resources.is_empty() || !rule.namespaces.is_empty()) {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            self.errors.invalid(path, &Value::from(rule.paths.clone()), detail);
        }
    }
}
