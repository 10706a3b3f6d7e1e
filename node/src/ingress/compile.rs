//! From what is known to what is served. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use wherry_ingress::{
    Action, Backend, Certificate, Conditions, Forward, HeaderEdits, Host, PathMatch, Protocol, Rule,
};

use super::model::{Ingress, PortRef, Target};
use super::served::Served;
use super::world::World;
use crate::services::ObjectKey;

/// What the Ingresses say.
pub(super) fn compile(world: &World) -> Served {
    let ours = world.ours();
    let mut backends = Backends { world, known: BTreeMap::new() };
    let mut rules = Vec::new();
    for (key, ingress) in &ours {
        for (host, path, target) in &ingress.rules {
            rules.push(backends.rule(key, host.clone(), path.clone(), target));
        }
    }
    // They count for what no rule is about, and so come last.
    for (key, ingress) in &ours {
        if let Some(target) = &ingress.default {
            rules.push(backends.rule(key, Host::Any, PathMatch::Prefix("/".to_owned()), target));
        }
    }
    Served { rules, certificates: certificates(world, &ours), is_secure: false }
}

fn certificates(world: &World, ours: &[(&ObjectKey, &Ingress)]) -> Vec<(Host, Certificate)> {
    let mut certificates = Vec::new();
    for (key, ingress) in ours {
        for tls in &ingress.tls {
            let secret = tls
                .secret
                .as_ref()
                .map(|name| ObjectKey { namespace: key.namespace.clone(), name: name.clone() });
            let found = secret.and_then(|secret| world.secrets.get(&secret));
            let Some(certificate) = found.and_then(|secret| secret.certificate.as_ref()) else { continue };
            // One for no host is for those of the Ingress's rules.
            let of_rules = ingress.rules.iter().map(|(host, ..)| host).filter(|_| tls.hosts.is_empty());
            let named = tls.hosts.iter().chain(of_rules).filter(|host| **host != Host::Any);
            certificates.extend(named.map(|host| (host.clone(), certificate.clone())));
        }
    }
    certificates
}

/// The backends made so far.
struct Backends<'w> {
    world: &'w World,
    known: BTreeMap<(ObjectKey, PortRef), Arc<Backend>>,
}

impl Backends<'_> {
    fn rule(&mut self, key: &ObjectKey, host: Host, path: PathMatch, target: &Target) -> Rule {
        let action = match target {
            Target::Service(name, port) => {
                let service = ObjectKey { namespace: key.namespace.clone(), name: name.clone() };
                Action::Forward(Arc::new(Forward::to(self.backend(service, port))))
            }
            Target::Resource => Action::Answer(StatusCode::SERVICE_UNAVAILABLE),
        };
        Rule { name: key.to_string().into(), host, path, conditions: Conditions::default(), action }
    }

    fn backend(&mut self, service: ObjectKey, port: &PortRef) -> Arc<Backend> {
        let world = self.world;
        let known = self.known.entry((service, port.clone()));
        let made = |(service, port): &(ObjectKey, PortRef)| Arc::new(backend(world, service, port));
        known.or_insert_with_key(made).clone()
    }
}

/// The endpoints of a Service's port: those that are ready; where none is, those that still answer.
pub(super) fn backend(world: &World, service: &ObjectKey, port: &PortRef) -> Backend {
    let name = match port {
        PortRef::Number(number) => format!("{service}:{number}"),
        PortRef::Name(name) => format!("{service}:{name}"),
    };
    let (request, response) = (HeaderEdits::default(), HeaderEdits::default());
    let nobody = Backend {
        name: name.into(),
        endpoints: Vec::new(),
        protocol: Protocol::Http1,
        nowhere: StatusCode::SERVICE_UNAVAILABLE,
        request,
        response,
    };
    let Some(port) = world.services.get(service).and_then(|found| found.port(port)) else {
        return nobody;
    };
    let all: Vec<_> = world.slices_of(service).flat_map(|slice| slice.behind(&port.name)).collect();
    let any_ready = all.iter().any(|(ready, _)| *ready);
    let mut endpoints: Vec<_> =
        all.into_iter().filter(|(ready, _)| *ready == any_ready).map(|(_, address)| address).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    Backend { endpoints, protocol: port.protocol, ..nobody }
}
