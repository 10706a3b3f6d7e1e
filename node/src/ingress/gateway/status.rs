//! What objects of the Gateway API are told. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use wherry_api::gateway::{CONTROLLER, GROUP};

use super::attach::{OurRoute, Outcome};
use super::conditions::{Conditions, Wanted};
use super::listeners::{OurGateway, OurListener, Problem, parameters};
use super::objects::{ClassSpec, GatewaySpec, Kind, Object};
use crate::ingress::status::Write;
use crate::ingress::world::World;
use crate::services::ObjectKey;

/// What is told besides what objects say.
pub(in crate::ingress) struct Facts<'a> {
    /// Where Gateways are served.
    pub(in crate::ingress) addresses: &'a [IpAddr],
    /// The ports that could not be listened on, and why.
    pub(in crate::ingress) failed: &'a BTreeMap<u16, String>,
    /// The time, as the API writes it.
    pub(in crate::ingress) now: &'a str,
}

/// What differs from what objects were told.
pub(super) fn plan(world: &World, outcome: &Outcome<'_>, facts: &Facts<'_>) -> Vec<Write> {
    let known = &world.gateways;
    let classes = known.classes.iter().filter(|(_, class)| class.spec.controller_name == CONTROLLER);
    let classes = classes.map(|(key, class)| write(Kind::GatewayClass, key, class, facts.class(class)));
    let gateways = outcome.gateways.iter();
    let gateways = gateways.map(|one| write(Kind::Gateway, one.key, one.object, facts.gateway(one)));
    let routes = outcome.routes.iter().map(|route| {
        // A route that was never told anything needs not be told that.
        let is_nothing = route.parents.is_empty() && route.object.status.is_null();
        write(route.kind, route.key, route.object, facts.route(route)).filter(|_| !is_nothing)
    });
    classes.chain(gateways).chain(routes).flatten().collect()
}

fn write<S>(kind: Kind, key: &ObjectKey, object: &Object<S>, status: Value) -> Option<Write> {
    // Parts that others wrote stay.
    let is_told = status.as_object().into_iter().flatten().all(|(part, value)| object.status[part] == *value);
    let write =
        || Write { resource: kind.resource(), key: key.clone(), version: object.version.clone(), status };
    (!is_told).then(write)
}

impl Facts<'_> {
    fn about(&self, generation: i64) -> Conditions<'_> {
        Conditions { generation, now: self.now }
    }

    fn class(&self, class: &Object<ClassSpec>) -> Value {
        let problem = parameters(class.spec.parameters_ref.as_ref());
        let wanted = [Wanted("Accepted", "Accepted", problem.as_ref())];
        json!({"conditions": self.about(class.generation).list(&class.status["conditions"], &wanted)})
    }

    fn gateway(&self, gateway: &OurGateway<'_>) -> Value {
        let before = &gateway.object.status;
        let is_well = |listener: &&OurListener<'_>| {
            listener.is_served() && !self.failed.contains_key(&listener.spec.port)
        };
        let well = gateway.listeners.iter().filter(is_well).count();
        let is_valid = well == gateway.listeners.len();
        let invalid = || ("ListenersNotValid", "see the conditions of listeners".to_owned());
        let accepted = gateway.refused.clone().or_else(|| (well == 0).then(invalid));
        let unusable = self.unusable(&gateway.object.spec);
        let nothing = || ("Invalid", "see the condition Accepted".to_owned());
        let programmed = accepted.as_ref().map(|_| nothing()).or(unusable);
        // Some listeners may be wrong in a Gateway that is accepted; the reason says so.
        let reason = if is_valid { "Accepted" } else { "ListenersNotValid" };
        let wanted = [
            Wanted("Accepted", reason, accepted.as_ref()),
            Wanted("Programmed", "Programmed", programmed.as_ref()),
        ];
        let addresses = self.addresses.iter().map(|ip| json!({"type": "IPAddress", "value": ip}));
        let listeners = gateway.listeners.iter().map(|listener| self.listener(gateway, listener));
        json!({
            "addresses": addresses.collect::<Value>(),
            "conditions": self.about(gateway.object.generation).list(&before["conditions"], &wanted),
            "listeners": listeners.collect::<Value>(),
        })
    }

    /// Why it is not served at the addresses that it asks for.
    fn unusable(&self, spec: &GatewaySpec) -> Option<Problem> {
        let is_own = |value: &str| self.addresses.iter().any(|ip| value.parse() == Ok(*ip));
        let values = spec.addresses.iter().filter_map(|address| address.value.as_deref());
        let other = values.filter(|value| !value.is_empty()).find(|value| !is_own(value))?;
        Some(("AddressNotUsable", format!("{other} is no address that requests are taken at")))
    }

    fn listener(&self, gateway: &OurGateway<'_>, listener: &OurListener<'_>) -> Value {
        let name = &listener.spec.name;
        let mut before = gateway.object.status["listeners"].as_array().into_iter().flatten();
        let before = before.find(|known| known["name"] == **name).unwrap_or(&Value::Null);
        let kinds = listener.kinds.iter().map(|kind| json!({"group": GROUP, "kind": kind.name()}));
        let failed = self.failed.get(&listener.spec.port).filter(|_| listener.is_served());
        let failed: Option<Problem> = failed.map(|why| ("PortUnavailable", why.clone()));
        let accepted = listener.accepted.as_ref().err().or(listener.conflict.as_ref()).or(failed.as_ref());
        let is_programmed = listener.is_served() && failed.is_none();
        let invalid = (!is_programmed).then(|| ("Invalid", "see the other conditions".to_owned()));
        let wanted = [
            Wanted("Accepted", "Accepted", accepted),
            Wanted("Programmed", "Programmed", invalid.as_ref()),
            Wanted("ResolvedRefs", "ResolvedRefs", listener.resolved.as_ref().err()),
            Wanted("Conflicted", "NoConflicts", listener.conflict.as_ref()),
        ];
        json!({
            "name": name, "supportedKinds": kinds.collect::<Value>(), "attachedRoutes": listener.attached,
            "conditions": self.about(gateway.object.generation).list(&before["conditions"], &wanted),
        })
    }

    /// What others told of it stays.
    fn route(&self, route: &OurRoute<'_>) -> Value {
        let before: Vec<&Value> = route.object.status["parents"].as_array().into_iter().flatten().collect();
        let (own, others): (Vec<&Value>, Vec<&Value>) =
            before.into_iter().partition(|parent| parent["controllerName"] == CONTROLLER);
        let parents = route.parents.iter().map(|(parent, accepted)| {
            let known = own.iter().find(|known| known["parentRef"] == **parent);
            let known = known.map_or(&Value::Null, |known| &known["conditions"]);
            let wanted = [
                Wanted("Accepted", "Accepted", accepted.as_ref().err()),
                Wanted("ResolvedRefs", "ResolvedRefs", route.resolved.as_ref().err()),
            ];
            let conditions = self.about(route.object.generation).list(known, &wanted);
            json!({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions})
        });
        json!({"parents": others.into_iter().cloned().chain(parents).collect::<Value>()})
    }
}
