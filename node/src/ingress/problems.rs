//! What of Ingresses is not served as they say, in words for their owners. Pure.

use std::collections::BTreeSet;

use super::model::{Ingress, PortRef, Service, Target, Tls};
use super::world::World;
use crate::services::ObjectKey;

/// A part of an Ingress that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Problem {
    pub(super) ingress: ObjectKey,
    /// One word.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
}

/// What is wrong with the Ingresses that are ours. That a Service has no endpoints is in the nature of Services, and not told.
pub(super) fn problems(world: &World) -> BTreeSet<Problem> {
    let of = |(key, ingress): (&ObjectKey, &Ingress)| {
        let targets = ingress.rules.iter().map(|(.., target)| target).chain(&ingress.default);
        let of_targets = targets.filter_map(|target| of_target(world, key, target));
        let all: Vec<_> =
            of_targets.chain(ingress.tls.iter().filter_map(|tls| of_tls(world, key, tls))).collect();
        let ingress = key.clone();
        all.into_iter().map(move |(reason, message)| Problem { ingress: ingress.clone(), reason, message })
    };
    world.ours().into_iter().flat_map(of).collect()
}

fn of_target(world: &World, ingress: &ObjectKey, target: &Target) -> Option<(&'static str, String)> {
    let Target::Service(name, port) = target else {
        return Some((
            "UnsupportedBackend",
            "a backend is a resource, and only Services are served".to_owned(),
        ));
    };
    let key = ObjectKey { namespace: ingress.namespace.clone(), name: name.clone() };
    match world.services.get(&key) {
        None => Some(("BackendNotFound", format!("there is no Service {key}"))),
        Some(Service::External) => Some((
            "UnsupportedBackend",
            format!("Service {key} is of type ExternalName, which is not followed"),
        )),
        Some(service) if service.port(port).is_none() => {
            let port = match port {
                PortRef::Number(number) => number.to_string(),
                PortRef::Name(name) => name.clone(),
            };
            Some(("BackendNotFound", format!("Service {key} has no TCP port {port}")))
        }
        Some(_) => None,
    }
}

fn of_tls(world: &World, ingress: &ObjectKey, tls: &Tls) -> Option<(&'static str, String)> {
    let key = ObjectKey { namespace: ingress.namespace.clone(), name: tls.secret.clone()? };
    match world.secrets.get(&key) {
        None => Some(("CertificateNotFound", format!("there is no Secret {key} of type kubernetes.io/tls"))),
        Some(secret) if secret.certificate.is_none() => Some((
            "InvalidCertificate",
            format!("the certificate of Secret {key} cannot be used with its key"),
        )),
        Some(_) => None,
    }
}
