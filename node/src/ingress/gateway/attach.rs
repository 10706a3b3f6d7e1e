//! Which routes belong to which listeners, and what is then served at which port. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::core::SelectorExt as _;
use serde_json::Value;
use wherry_api::gateway::GROUP;
use wherry_ingress::Host;

use super::backends::Finder;
use super::hosts;
use super::listeners::{OurGateway, OurListener, Problem, ours};
use super::objects::{Kind, Object, Reference};
use super::route::{Ends, Route, RouteRule};
use super::world::GatewayApi;
use crate::ingress::served::Served;
use crate::ingress::world::World;
use crate::services::ObjectKey;

/// What the objects come to.
pub(super) struct Outcome<'w> {
    pub(super) gateways: Vec<OurGateway<'w>>,
    pub(super) routes: Vec<OurRoute<'w>>,
    /// What is served at each port.
    pub(super) ports: Ports,
}

/// What is served at each port.
pub(in crate::ingress) type Ports = BTreeMap<u16, Served>;

/// A route with the Gateways of ours that it names.
pub(super) struct OurRoute<'w> {
    pub(super) kind: Kind,
    pub(super) key: &'w ObjectKey,
    pub(super) object: &'w Object<Route>,
    /// As each was written, and whether the route belongs to it.
    pub(super) parents: Vec<(&'w Value, Result<(), Problem>)>,
    /// Why references of it lead nowhere.
    pub(super) resolved: Result<(), Problem>,
}

/// What is known comes to.
pub(super) fn settle(world: &World) -> Outcome<'_> {
    let known = &world.gateways;
    let mut gateways = ours(known, &world.secrets);
    let mut ports = Ports::new();
    for listener in gateways.iter().flat_map(|gateway| &gateway.listeners).filter(|one| one.is_served()) {
        let served = ports.entry(listener.spec.port).or_default();
        served.is_secure = listener.is_secure();
        let host = hosts::host(listener.spec.hostname.as_deref());
        let certificates = listener.certificates.iter();
        served.certificates.extend(certificates.map(|certificate| (host.clone(), (*certificate).clone())));
    }
    let mut routes = Vec::new();
    for (kind, key, object) in known.routes() {
        let mut finder = Finder { world, kind, route: key, resolved: Ok(()) };
        let rules = object.spec.rules.as_ref();
        let rules = rules.map(|rules| rules.iter().map(|rule| (rule, finder.ends(rule))).collect::<Vec<_>>());
        let place = Place {
            known,
            kind,
            key,
            route: &object.spec,
            rules: rules.as_deref().map_err(|problem| *problem),
        };
        let mut parents = Vec::new();
        for (value, parent) in object.spec.parents() {
            let Some(gateway) = named(&mut gateways, key, &parent) else { continue };
            parents.push((value, place.join(gateway, &parent, &mut ports)));
        }
        routes.push(OurRoute { kind, key, object, parents, resolved: finder.resolved });
    }
    Outcome { gateways, routes, ports }
}

/// The Gateway of ours that a reference of a route names.
fn named<'g, 'w>(
    gateways: &'g mut [OurGateway<'w>],
    route: &ObjectKey,
    parent: &Reference,
) -> Option<&'g mut OurGateway<'w>> {
    if !parent.is(GROUP, Kind::Gateway.name()) {
        return None;
    }
    let namespace = parent.namespace.as_ref().unwrap_or(&route.namespace);
    gateways.iter_mut().find(|one| one.key.name == parent.name && one.key.namespace == *namespace)
}

/// A route that wants to belong to Gateways.
struct Place<'a> {
    known: &'a GatewayApi,
    kind: Kind,
    key: &'a ObjectKey,
    route: &'a Route,
    rules: Result<&'a [(&'a RouteRule, Ends)], &'a String>,
}

impl Place<'_> {
    fn join(
        &self,
        gateway: &mut OurGateway<'_>,
        parent: &Reference,
        ports: &mut Ports,
    ) -> Result<(), Problem> {
        let is_meant = |listener: &OurListener<'_>| {
            parent.section_name.as_ref().is_none_or(|name| *name == listener.spec.name)
                && parent.port.is_none_or(|port| port == listener.spec.port)
        };
        let namespace = gateway.key.namespace.clone();
        let mut listeners: Vec<_> = gateway.listeners.iter_mut().filter(|one| is_meant(one)).collect();
        if listeners.is_empty() {
            return Err(("NoMatchingParent", "the Gateway has no such listener".to_owned()));
        }
        listeners.retain(|listener| self.is_let_in(&namespace, listener));
        if listeners.is_empty() {
            let text = format!("no listener lets {}s of this namespace in", self.kind.name());
            return Err(("NotAllowedByListeners", text));
        }
        let shared = |listener: &OurListener<'_>| {
            hosts::of_route(listener.spec.hostname.as_deref(), &self.route.hostnames)
        };
        listeners.retain(|listener| !shared(listener).is_empty());
        if listeners.is_empty() {
            return Err(("NoMatchingListenerHostname", "no hostname is one of a listener's".to_owned()));
        }
        let rules = self.rules.map_err(|problem| ("UnsupportedValue", problem.clone()))?;
        for listener in listeners {
            listener.attached += 1;
            if let Some(served) = ports.get_mut(&listener.spec.port).filter(|_| listener.is_served()) {
                self.add(rules, &shared(listener), listener.spec.port, served);
            }
        }
        Ok(())
    }

    fn add(&self, rules: &[(&RouteRule, Ends)], hosts: &[Host], port: u16, served: &mut Served) {
        let name: Arc<str> = format!("{}/{}", self.kind.name().to_ascii_lowercase(), self.key).into();
        for (rule, ends) in rules {
            served.rules.extend(rule.compile(&name, hosts, port, ends));
        }
    }

    fn is_let_in(&self, gateway: &str, listener: &OurListener<'_>) -> bool {
        let allowed = &listener.spec.allowed_routes.namespaces;
        let is_of = match allowed.from.as_deref() {
            Some("All") => true,
            Some("None") => false,
            Some("Selector") => {
                let key = ObjectKey { namespace: String::new(), name: self.key.namespace.clone() };
                let selector =
                    allowed.selector.clone().and_then(|it| kube::core::Selector::try_from(it).ok());
                let labels = self.known.namespaces.get(&key);
                selector.zip(labels).is_some_and(|(selector, labels)| selector.matches(labels))
            }
            _ => self.key.namespace == gateway,
        };
        is_of && listener.kinds.contains(&self.kind)
    }
}
