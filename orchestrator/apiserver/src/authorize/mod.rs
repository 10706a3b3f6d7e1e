//! Authorization: who may do what.
//!
//! Everybody who decides asks the same [`Authorizer`] with the same [`Attributes`]: requests on their way in
//! (`handle`), and the reviews that tell clients what would be decided (`verbs::review`).
//!
//! Reading order: `attributes` (what a request is to authorization), `authorizer` (who is asked, one after the other),
//! `rule` (what a rule allows), `policy` (all rules, by whom they are for), `rbac` (how they stay current), `node` (what
//! nodes may do besides), `webhook` (programs that decide), `config` (the file that says who is asked), `reload` (how
//! that stays current), `counts` (what is counted), `refusal` (how a no is told).

mod attributes;
mod authorizer;
mod config;
pub(crate) mod counts;
pub(crate) mod cover;
pub(crate) mod defaults;
pub(crate) mod node;
mod policy;
mod rbac;
mod refusal;
pub(crate) mod reload;
mod rule;
mod subject;
mod webhook;

use std::collections::HashSet;

use wherry_api::selector::FieldRequirement;

pub(crate) use attributes::Wish;
pub(crate) use authorizer::Authorizer;
pub use config::{AuthorizationConfiguration, AuthorizationError, WebhookFlags};
pub(crate) use policy::Granted;
pub(crate) use refusal::refusal;
pub(crate) use rule::PolicyRule;

use crate::auth::UserInfo;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a> {
    /// Who.
    pub(crate) user: &'a UserInfo,
    /// What: `list`, or the method in small letters for a path that leads to no resource.
    pub(crate) verb: &'a str,
    /// With what.
    pub(crate) object: Object<'a>,
}

/// What something is done with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Object<'a> {
    /// A resource, an object of it, or a part of one.
    Resource(Resource<'a>),
    /// A path that leads to no resource.
    Path(&'a str),
}

/// A resource as rules name it; empty is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resource<'a> {
    /// Its API group.
    pub(crate) group: &'a str,
    /// The version of the group; empty for any.
    pub(crate) version: &'a str,
    /// Its plural name.
    pub(crate) plural: &'a str,
    /// The part of the object.
    pub(crate) part: &'a str,
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// The object's name.
    pub(crate) name: &'a str,
    /// What fields must be, where many objects are asked for.
    pub(crate) fields: &'a [FieldRequirement],
    /// What labels must be, as a selector.
    pub(crate) labels: &'a str,
}

/// What was decided, and what there is to say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether it may be done.
    pub(crate) allowed: bool,
    /// Whether it may not be done whatever others say; otherwise a no is only that nobody allows it.
    pub(crate) denied: bool,
    /// Why, if there is more to say than that nothing allows it.
    pub(crate) reason: String,
    /// What went wrong while it was decided.
    pub(crate) error: String,
}

impl Decision {
    /// A yes.
    fn yes(reason: String) -> Self {
        Self { allowed: true, reason, ..Self::default() }
    }

    /// No opinion, for a reason.
    fn unsaid(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }

    /// Whether nobody else is asked.
    fn is_final(&self) -> bool {
        self.allowed || self.denied
    }
}

/// Several errors as one text.
pub(crate) fn aggregate(mut errors: Vec<String>) -> String {
    let mut seen = HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
