//! What is known of the objects of the Gateway API.

use std::collections::BTreeSet;
use std::convert::identity;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::runtime::watcher::Event;
use wherry_api::gateway::GROUP;

use super::objects::{ClassSpec, GatewaySpec, GrantSpec, GrantTo, Kind, Labels, Object};
use super::route::Route;
use crate::services::{ObjectKey, Replica};

/// A definition of custom objects, as far as anybody here looks.
pub(in crate::ingress) type Definition = PartialObjectMeta<CustomResourceDefinition>;

/// The state of the watches.
#[derive(Default)]
pub(in crate::ingress) struct GatewayApi {
    pub(super) classes: Replica<Object<ClassSpec>>,
    pub(super) gateways: Replica<Object<GatewaySpec>>,
    pub(super) http_routes: Replica<Object<Route>>,
    pub(super) grpc_routes: Replica<Object<Route>>,
    pub(super) namespaces: Replica<Labels>,
    grants: Replica<Object<GrantSpec>>,
    /// The definitions there are.
    definitions: Replica<()>,
    /// The kinds of which nothing can be known at the time.
    unreadable: BTreeSet<Kind>,
    /// Whether that holds of definitions.
    is_blind: bool,
}

impl GatewayApi {
    /// Answers whether an object says something else.
    pub(in crate::ingress) fn record(&mut self, kind: Kind, event: &Event<DynamicObject>) -> bool {
        self.unreadable.remove(&kind);
        match kind {
            Kind::GatewayClass => follow(&mut self.classes, event, |it| Object::parse(it, identity)),
            Kind::Gateway => follow(&mut self.gateways, event, |it| Object::parse(it, identity)),
            Kind::HttpRoute => follow(&mut self.http_routes, event, |it| Object::parse(it, Route::http)),
            Kind::GrpcRoute => follow(&mut self.grpc_routes, event, |it| Object::parse(it, Route::grpc)),
            Kind::ReferenceGrant => follow(&mut self.grants, event, |it| Object::parse(it, identity)),
        }
    }

    pub(in crate::ingress) fn record_definition(&mut self, event: &Event<Definition>) {
        self.is_blind = false;
        self.definitions.record(event, |_| Some(()));
    }

    /// Whether there are objects of this kind.
    pub(in crate::ingress) fn is_defined(&self, kind: Kind) -> bool {
        let key = ObjectKey { namespace: String::new(), name: kind.definition() };
        self.definitions.get(&key).is_some()
    }

    /// Definitions cannot be read: nobody waits for them.
    pub(in crate::ingress) fn definitions_are_not_read(&mut self) {
        self.is_blind = true;
    }

    /// Whether all is known that could be.
    pub(in crate::ingress) fn is_complete(&self) -> bool {
        let is_known = |kind: &Kind| !self.is_defined(*kind) || self.is_known(*kind);
        self.is_blind || self.definitions.is_complete() && Kind::ALL.iter().all(is_known)
    }

    /// Answers whether something changed.
    pub(in crate::ingress) fn record_namespace(&mut self, event: &Event<Namespace>) -> bool {
        let labels = |object: &Namespace| Some(object.labels().clone());
        !self.namespaces.record(event, labels).is_empty()
    }

    /// Objects of this kind cannot be read: nobody waits for them.
    pub(in crate::ingress) fn is_not_read(&mut self, kind: Kind) {
        self.unreadable.insert(kind);
    }

    /// There are no objects of this kind any more.
    pub(in crate::ingress) fn forget(&mut self, kind: Kind) {
        self.unreadable.remove(&kind);
        match kind {
            Kind::GatewayClass => self.classes = Replica::default(),
            Kind::Gateway => self.gateways = Replica::default(),
            Kind::HttpRoute => self.http_routes = Replica::default(),
            Kind::GrpcRoute => self.grpc_routes = Replica::default(),
            Kind::ReferenceGrant => self.grants = Replica::default(),
        }
    }

    /// Whether the list of this kind has been seen to its end, or cannot be seen.
    fn is_known(&self, kind: Kind) -> bool {
        self.unreadable.contains(&kind)
            || match kind {
                Kind::GatewayClass => self.classes.is_complete(),
                Kind::Gateway => self.gateways.is_complete(),
                Kind::HttpRoute => self.http_routes.is_complete(),
                Kind::GrpcRoute => self.grpc_routes.is_complete(),
                Kind::ReferenceGrant => self.grants.is_complete(),
            }
    }

    /// All routes, the oldest first.
    pub(super) fn routes(&self) -> Vec<(Kind, &ObjectKey, &Object<Route>)> {
        let http = self.http_routes.iter().map(|(key, route)| (Kind::HttpRoute, key, route));
        let grpc = self.grpc_routes.iter().map(|(key, route)| (Kind::GrpcRoute, key, route));
        let mut all: Vec<_> = http.chain(grpc).collect();
        all.sort_by_key(|(kind, key, route)| (route.created, *key, *kind));
        all
    }

    /// Whether objects of this kind in this namespace may refer to that object of the core group: to those of their own
    /// namespace, and to those that a ReferenceGrant says.
    pub(super) fn may_refer(&self, kind: Kind, namespace: &str, (to, key): (&str, &ObjectKey)) -> bool {
        let names = |one: &GrantTo| {
            let is_named = one.name.as_ref().is_none_or(|name| name.is_empty() || *name == key.name);
            one.group.is_empty() && one.kind == to && is_named
        };
        let allows = |grant: &GrantSpec| {
            let mut from = grant.from.iter();
            from.any(|from| from.group == GROUP && from.kind == kind.name() && from.namespace == namespace)
                && grant.to.iter().any(names)
        };
        key.namespace == namespace
            || self.grants.iter().any(|(own, grant)| own.namespace == key.namespace && allows(&grant.spec))
    }
}

/// Answers whether an object says something else; what it was told is of no matter.
fn follow<S: PartialEq>(
    known: &mut Replica<Object<S>>,
    event: &Event<DynamicObject>,
    parse: impl Fn(&DynamicObject) -> Option<Object<S>>,
) -> bool {
    let changes = known.record(event, parse);
    changes.iter().any(|(key, before)| match (before, known.get(key)) {
        (Some(before), Some(now)) => before.spec != now.spec || before.created != now.created,
        _ => true,
    })
}
