//! What a request is to those who let it in and count it, before anybody answers it.

use http::request::Parts;
use wherry_api::kinds::Kind;

use crate::auth::UserInfo;
use crate::error::Failure;
use crate::flow::{Asked, Subject};
use crate::metrics::Labels;
use crate::request::negotiate::is_apply;
use crate::request::path::Route;

/// Parts of objects whose requests last as long as the client likes.
const ENDLESS: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// A request at the door.
pub(crate) struct Visit<'a> {
    parts: &'a Parts,
    route: Option<&'a Route>,
    /// As authorization names it; none if the method is not one that the path has.
    verb: Option<&'static str>,
}

impl<'a> Visit<'a> {
    /// A request by where it leads and what it does there.
    pub(crate) fn new(
        parts: &'a Parts,
        route: &'a Result<Route, Failure>,
        verb: Option<&'static str>,
    ) -> Self {
        Self { parts, route: route.as_ref().ok(), verb }
    }

    /// Whether it is a watch.
    pub(crate) fn watches(&self) -> bool {
        self.verb == Some("watch")
    }

    /// Whether it lasts as long as the client likes, so that it never takes a seat.
    pub(crate) fn endless(&self) -> bool {
        match self.route {
            Some(Route::Resource(target)) => {
                target.subresource.is_some_and(|sub| ENDLESS.contains(&sub.name))
            }
            _ => false,
        }
    }

    /// Whether it may change objects.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb, Some("get" | "list" | "watch"))
    }

    /// Whether it may change who has priority.
    pub(crate) fn changes_flow(&self) -> bool {
        self.changes(|kind| kind.group == "flowcontrol.apiserver.k8s.io")
    }

    /// Whether the request may change policies the types of which are checked.
    pub(crate) fn changes_policies(&self) -> bool {
        self.changes(|kind| kind.plural == "validatingadmissionpolicies")
    }

    fn changes(&self, wanted: fn(&Kind) -> bool) -> bool {
        match self.route {
            Some(Route::Resource(target)) => wanted(target.kind) && self.writes(),
            _ => false,
        }
    }

    /// What priority and fairness look at.
    pub(crate) fn asked(&self, user: &'a UserInfo) -> Asked<'a> {
        let subject = match self.route {
            Some(Route::Resource(target)) => Subject::Resource {
                group: target.kind.group,
                resource: target.kind.plural,
                subresource: target.subresource.map_or("", |sub| sub.name),
                namespace: target.namespace.as_deref(),
            },
            Some(Route::Bindings(namespace)) => Subject::Resource {
                group: "",
                resource: "bindings",
                subresource: "",
                namespace: Some(namespace),
            },
            _ => Subject::Path(self.parts.uri.path()),
        };
        let verb = match (&subject, self.verb) {
            (Subject::Resource { .. }, Some(verb)) => verb,
            _ => lowercase(self.parts.method.as_str()),
        };
        Asked { user: &user.name, groups: &user.groups, verb, subject }
    }

    /// What it is counted under.
    pub(crate) fn labels(&self, dry_run: bool) -> Labels {
        match self.route {
            Some(Route::Resource(target)) => {
                let sub = target.subresource.map(|sub| sub.name);
                let named = target.name.is_some() || self.verb == Some("create");
                let verb = match self.verb {
                    Some("patch") if is_apply(&self.parts.headers) => "apply",
                    verb => verb.unwrap_or_default(),
                };
                Labels::resource(target.kind, sub, verb)
                    .scoped(named, target.namespace.is_some())
                    .dry_run(dry_run)
            }
            _ => Labels::path(self.parts.method.as_str()),
        }
    }
}

/// Methods as rules on paths name them.
fn lowercase(method: &str) -> &'static str {
    match method {
        "GET" => "get",
        "POST" => "post",
        "PUT" => "put",
        "PATCH" => "patch",
        "DELETE" => "delete",
        "HEAD" => "head",
        "OPTIONS" => "options",
        _ => "",
    }
}
