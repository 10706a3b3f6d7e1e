//! The policy of `--audit-policy-file`: how much of which requests is recorded.
//!
//! The first rule that a request matches decides; what no rule matches is not recorded. A policy is read strictly
//! (`read`): a field that means nothing could leave out what somebody believes is recorded.

mod read;
#[cfg(test)]
mod tests;

pub use read::PolicyError;

use crate::auth::UserInfo;
use crate::authorize::{Attributes, Object, Resource};

/// How much of a request is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Nothing.
    None,
    /// Who did what to which object, and how it was answered.
    Metadata,
    /// That, and what was sent.
    Request,
    /// That, and what was answered.
    RequestResponse,
}

impl Level {
    /// All levels, least first.
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];
    /// Their names.
    pub(crate) const NAMES: [&'static str; 4] = ["None", "Metadata", "Request", "RequestResponse"];

    /// The level's name.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// When something is recorded of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It came.
    RequestReceived,
    /// Its answer begins, if that takes as long as the client likes.
    ResponseStarted,
    /// It is answered.
    ResponseComplete,
    /// The server failed to answer it.
    Panic,
}

impl Stage {
    /// All stages.
    pub(crate) const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];
    /// Their names.
    pub(crate) const NAMES: [&'static str; 4] =
        ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

    /// The stage's name.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// A set of stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stages(u8);

impl Stages {
    /// Puts a stage into the set.
    pub(crate) fn insert(&mut self, stage: Stage) {
        self.0 |= 1 << stage as u8;
    }

    /// Whether a stage is in the set.
    pub(crate) fn has(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is recorded of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// How much.
    pub(crate) level: Level,
    /// Stages at which nothing is.
    pub(crate) omit: Stages,
    /// Whether who owns which field is left out of objects.
    pub(crate) omit_managed: bool,
}

/// How much of which requests is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    omit: Stages,
    omit_managed: bool,
}

/// What a rule is about, as far as it says; empty lists are everything.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    level: Level,
    users: Vec<String>,
    groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Resources>,
    namespaces: Vec<String>,
    paths: Vec<String>,
    omit: Stages,
    omit_managed: Option<bool>,
}

/// Resources of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Resources {
    group: String,
    /// `pods`, `pods/log`, `pods/*`, `*/scale` or `*`.
    patterns: Vec<String>,
    names: Vec<String>,
}

fn holds(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

fn admits(list: &[String], text: &str) -> bool {
    list.is_empty() || holds(list, text)
}

impl Policy {
    /// What is recorded of a request. The user is none if it is not known who asks.
    pub(crate) fn decide(&self, user: Option<&UserInfo>, wish: &Attributes<'_>) -> Verdict {
        match self.rules.iter().find(|rule| rule.matches(user, wish)) {
            Some(rule) => Verdict {
                level: rule.level,
                omit: rule.omit.and(self.omit),
                omit_managed: rule.omit_managed.unwrap_or(self.omit_managed),
            },
            None => Verdict { level: Level::None, omit: self.omit, omit_managed: self.omit_managed },
        }
    }
}

impl Rule {
    fn matches(&self, user: Option<&UserInfo>, wish: &Attributes<'_>) -> bool {
        let by = |user: &UserInfo| {
            admits(&self.users, &user.name)
                && (self.groups.is_empty() || user.groups.iter().any(|group| holds(&self.groups, group)))
        };
        let anybody = self.users.is_empty() && self.groups.is_empty();
        if !user.map_or(anybody, by) || !admits(&self.verbs, wish.verb) {
            return false;
        }
        let about_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        match wish.object {
            Object::Resource(resource) if about_resources => self.matches_resource(&resource),
            Object::Path(path) if !about_resources && !self.paths.is_empty() => {
                self.paths.iter().any(|pattern| matches_path(pattern, path))
            }
            _ => !about_resources && self.paths.is_empty(),
        }
    }

    fn matches_resource(&self, resource: &Resource<'_>) -> bool {
        admits(&self.namespaces, resource.namespace)
            && (self.resources.is_empty() || self.resources.iter().any(|one| one.matches(resource)))
    }
}

impl Resources {
    fn matches(&self, resource: &Resource<'_>) -> bool {
        if self.group != resource.group {
            return false;
        }
        let fits = |pattern: &String| matches_resource(pattern, resource);
        self.patterns.is_empty() || (admits(&self.names, resource.name) && self.patterns.iter().any(fits))
    }
}

fn matches_resource(pattern: &str, resource: &Resource<'_>) -> bool {
    match pattern.split_once('/') {
        None => pattern == "*" || (pattern == resource.plural && resource.part.is_empty()),
        // Upstream's `pods/*` covers Pods themselves, too.
        Some((plural, "*")) if plural == resource.plural => true,
        Some(("*", part)) => !resource.part.is_empty() && part == resource.part,
        Some((plural, part)) => plural == resource.plural && !part.is_empty() && part == resource.part,
    }
}

fn matches_path(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix.trim_end_matches('*')),
        None => pattern == path,
    }
}
