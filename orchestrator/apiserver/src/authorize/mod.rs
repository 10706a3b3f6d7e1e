//! Authorization: who may do what.
//!
//! Everybody who decides asks the same [`Authorizer`] with the same [`Attributes`]: requests on their way in
//! (`handle`), and the reviews that tell clients what would be decided (`verbs::review`).

//!
//! Reading order: `attributes` (what a request is to authorization), `rule` (what a rule allows), `policy` (all rules,
//! by whom they are for), `rbac` (how they stay current), `node` (what nodes may do besides), `refusal` (how a no is
//! told).

mod attributes;
pub(crate) mod cover;
pub(crate) mod defaults;
pub(crate) mod node;
mod policy;
mod rbac;
mod refusal;
mod rule;
mod subject;

use std::collections::HashSet;

use wherry_api::selector::FieldRequirement;
use wherry_store::Store;

pub(crate) use attributes::Wish;
use node::Nodes;
pub(crate) use policy::Granted;
pub(crate) use rbac::Rbac;
pub(crate) use refusal::refusal;
pub(crate) use rule::PolicyRule;
use rule::Question;

use crate::auth::{MASTERS, UserInfo};
use crate::config::Authorization;

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
}

/// What was decided, and what there is to say about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Whether it may be done.
    pub(crate) allowed: bool,
    /// Why, if there is more to say than that nothing allows it.
    pub(crate) reason: String,
}

impl Decision {
    /// This no, or else what somebody else decides, who may have more to say against it.
    fn or(self, other: Self) -> Self {
        if other.allowed || self.reason.is_empty() {
            return other;
        }
        let reasons = [self.reason, other.reason];
        let said = reasons.iter().map(String::as_str).filter(|reason| !reason.is_empty());
        Self { allowed: false, reason: said.collect::<Vec<_>>().join("\n") }
    }
}

/// Who decides.
pub(crate) enum Authorizer {
    /// Everybody may do everything.
    AlwaysAllow,
    /// Members of `system:masters` may do everything, others what roles and bindings allow.
    Rbac(Rbac),
    /// The same, and nodes may do what they need to.
    NodeRbac(Box<Nodes>, Rbac),
}

impl Authorizer {
    /// Who decides under this configuration.
    pub(crate) fn new(configured: Authorization, store: &Store) -> Self {
        match configured {
            Authorization::AlwaysAllow => Self::AlwaysAllow,
            Authorization::Rbac => Self::Rbac(Rbac::new(store)),
            Authorization::NodeRbac => Self::NodeRbac(Box::new(Nodes::new(store.clone())), Rbac::new(store)),
        }
    }

    /// Whether those may ask who do not say who they are. Where everybody may do everything, nobody else may.
    pub(crate) fn admits_anonymous(&self) -> bool {
        self.rbac().is_some()
    }

    /// Whether nodes may write only what is theirs.
    pub(crate) fn restricts_nodes(&self) -> bool {
        matches!(self, Self::NodeRbac(..))
    }

    /// The roles and bindings, where they count.
    pub(crate) fn rbac(&self) -> Option<&Rbac> {
        match self {
            Self::AlwaysAllow => None,
            Self::Rbac(rbac) | Self::NodeRbac(_, rbac) => Some(rbac),
        }
    }

    /// Whether something may be done.
    pub(crate) fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let Some(rbac) = self.rbac() else { return Decision { allowed: true, reason: String::new() } };
        let user = attributes.user;
        if user.groups.iter().any(|group| group == MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        let by_nodes = match self {
            Self::NodeRbac(nodes, _) => nodes.decide(attributes),
            Self::AlwaysAllow | Self::Rbac(_) => Decision::default(),
        };
        if by_nodes.allowed {
            return by_nodes;
        }
        by_nodes.or(Self::by_roles(rbac, attributes))
    }

    fn by_roles(rbac: &Rbac, attributes: &Attributes<'_>) -> Decision {
        let user = attributes.user;
        let namespace = match attributes.object {
            Object::Resource(resource) => resource.namespace,
            Object::Path(_) => "",
        };
        match rbac.index().decide(&Question::new(attributes), user, namespace) {
            Ok(reason) => Decision { allowed: true, reason },
            Err(errors) if errors.is_empty() => Decision::default(),
            Err(errors) => Decision { allowed: false, reason: format!("RBAC: {}", aggregate(errors)) },
        }
    }

    /// The rules that allow a user what they may do in a namespace and outside of all.
    pub(crate) fn granted(&self, user: &UserInfo, namespace: &str) -> Granted {
        match self.rbac() {
            None => Granted {
                rules: vec![PolicyRule::every_resource(), PolicyRule::every_path()],
                errors: Vec::new(),
            },
            Some(rbac) => rbac.index().granted(user, namespace),
        }
    }

    /// Why a user may do more than [`Authorizer::granted`] tells.
    pub(crate) fn ungranted(&self, user: &UserInfo) -> Option<&'static str> {
        let is_node = self.restricts_nodes() && node::node_of(user).is_some();
        is_node.then_some("node authorizer does not support user rule resolution")
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
