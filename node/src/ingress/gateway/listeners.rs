//! Which listeners of Gateways are ours, and what is wrong with them. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use wherry_api::gateway::{CONTROLLER, GROUP};
use wherry_ingress::Certificate;

use super::objects::{AllowedKind, GatewaySpec, Kind, Listener, Object, Reference};
use super::world::GatewayApi;
use crate::ingress::model::Secret;
use crate::services::{ObjectKey, Replica};

/// The kinds of routes.
const ROUTES: [Kind; 2] = [Kind::HttpRoute, Kind::GrpcRoute];

/// A reason and a message of a condition that is not met.
pub(super) type Problem = (&'static str, String);

/// A Gateway that is ours.
pub(super) struct OurGateway<'w> {
    pub(super) key: &'w ObjectKey,
    pub(super) object: &'w Object<GatewaySpec>,
    /// Why it is not accepted, whatever its listeners are.
    pub(super) refused: Option<Problem>,
    pub(super) listeners: Vec<OurListener<'w>>,
}

/// A listener of it.
pub(super) struct OurListener<'w> {
    pub(super) spec: &'w Listener,
    /// Why it is not used at all.
    pub(super) accepted: Result<(), Problem>,
    pub(super) conflict: Option<Problem>,
    /// Why references of it lead nowhere.
    pub(super) resolved: Result<(), Problem>,
    pub(super) certificates: Vec<&'w Certificate>,
    /// The kinds of routes that it takes.
    pub(super) kinds: Vec<Kind>,
    /// How many routes belong to it.
    pub(super) attached: u32,
    /// Whether its Gateway is refused.
    is_off: bool,
}

impl OurListener<'_> {
    pub(super) fn is_secure(&self) -> bool {
        self.spec.protocol == "HTTPS"
    }

    /// Whether requests are taken by it. That some kind of routes is unknown does no harm to the others.
    pub(super) fn is_served(&self) -> bool {
        let is_usable = match &self.resolved {
            Ok(()) => true,
            Err((reason, _)) => *reason == "InvalidRouteKinds" && !self.kinds.is_empty(),
        };
        !self.is_off && self.accepted.is_ok() && self.conflict.is_none() && is_usable
    }
}

/// All Gateways that are ours, the oldest first.
pub(super) fn ours<'w>(world: &'w GatewayApi, secrets: &'w Replica<Secret>) -> Vec<OurGateway<'w>> {
    let class = |name: &str| ObjectKey { namespace: String::new(), name: name.to_owned() };
    let is_ours = |spec: &GatewaySpec| {
        let class = world.classes.get(&class(&spec.gateway_class_name));
        class.is_some_and(|class| {
            class.spec.controller_name == CONTROLLER && class.spec.parameters_ref.is_none()
        })
    };
    let mut found: Vec<_> = world.gateways.iter().filter(|(_, object)| is_ours(&object.spec)).collect();
    found.sort_by_key(|(key, object)| (object.created, *key));
    // Who came first to a port says what is spoken there.
    let mut protocols = BTreeMap::new();
    let gateway = |(key, object): (&'w ObjectKey, &'w Object<GatewaySpec>)| {
        let refused = refused(&object.spec);
        let mut hosts = Vec::new();
        let listeners = object.spec.listeners.iter().map(|spec| {
            let mut listener = listener(world, secrets, key, spec);
            listener.is_off = refused.is_some();
            if listener.accepted.is_ok() && !listener.is_off {
                let host = (spec.port, spec.hostname.as_deref().unwrap_or_default().to_ascii_lowercase());
                let protocol = *protocols.entry(spec.port).or_insert(spec.protocol.as_str());
                listener.conflict = conflict(spec, protocol, hosts.contains(&host));
                hosts.push(host);
            }
            listener
        });
        let listeners = listeners.collect();
        OurGateway { key, object, refused, listeners }
    };
    found.into_iter().map(gateway).collect()
}

/// Parameters of a class or a Gateway, which are not built.
pub(super) fn parameters(reference: Option<&Value>) -> Option<Problem> {
    reference.map(|_| ("InvalidParameters", "there are no parameters; remove parametersRef".to_owned()))
}

fn refused(spec: &GatewaySpec) -> Option<Problem> {
    let kind = |kind: &Option<String>| kind.as_deref().is_none_or(|kind| kind == "IPAddress");
    let other = spec.addresses.iter().find(|address| !kind(&address.kind));
    let unknown = other.map(|_| ("UnsupportedAddress", "addresses are of type IPAddress".to_owned()));
    parameters(spec.infrastructure.as_ref().and_then(|it| it.parameters_ref.as_ref())).or(unknown)
}

fn conflict(spec: &Listener, protocol: &str, is_taken: bool) -> Option<Problem> {
    if protocol != spec.protocol {
        return Some(("ProtocolConflict", format!("port {} is one of {protocol} already", spec.port)));
    }
    let text = || "another listener of the Gateway has this port and hostname".to_owned();
    is_taken.then(|| ("HostnameConflict", text()))
}

fn listener<'w>(
    world: &GatewayApi,
    secrets: &'w Replica<Secret>,
    gateway: &ObjectKey,
    spec: &'w Listener,
) -> OurListener<'w> {
    let tls = spec.tls.as_ref();
    let mode = tls.and_then(|tls| tls.mode.as_deref()).unwrap_or("Terminate");
    let accepted = match (spec.protocol.as_str(), mode) {
        ("HTTP", _) | ("HTTPS", "Terminate") => Ok(()),
        ("HTTPS", mode) => {
            Err(("UnsupportedProtocol", format!("HTTPS with TLS of mode {mode} is not built")))
        }
        (other, _) => {
            Err(("UnsupportedProtocol", format!("protocol {other} is not built; HTTP and HTTPS are")))
        }
    };
    let (kinds, mut resolved) = match &spec.allowed_routes.kinds {
        _ if accepted.is_err() => (Vec::new(), Ok(())),
        Some(allowed) => allowed_kinds(allowed),
        None => (ROUTES.to_vec(), Ok(())),
    };
    let mut certificates = Vec::new();
    if spec.protocol == "HTTPS" && accepted.is_ok() {
        let references = tls.map(|tls| tls.certificate_refs.as_slice()).unwrap_or_default();
        match find_certificates(world, secrets, gateway, references) {
            Ok(found) => certificates = found,
            Err(problem) => resolved = Err(problem),
        }
    }
    OurListener { spec, accepted, conflict: None, resolved, certificates, kinds, attached: 0, is_off: false }
}

/// The kinds of routes that are both allowed and built, and whether those are all.
fn allowed_kinds(allowed: &[AllowedKind]) -> (Vec<Kind>, Result<(), Problem>) {
    let is = |one: &AllowedKind, kind: &Kind| {
        one.kind == kind.name() && one.group.as_deref().is_none_or(|group| group == GROUP)
    };
    let kinds = ROUTES.into_iter().filter(|kind| allowed.iter().any(|one| is(one, kind))).collect();
    let unknown = allowed.iter().find(|one| !ROUTES.iter().any(|kind| is(one, kind)));
    let problem =
        unknown.map(|one| ("InvalidRouteKinds", format!("routes of kind {} are not built", one.kind)));
    (kinds, problem.map_or(Ok(()), Err))
}

fn find_certificates<'w>(
    world: &GatewayApi,
    secrets: &'w Replica<Secret>,
    gateway: &ObjectKey,
    references: &[Reference],
) -> Result<Vec<&'w Certificate>, Problem> {
    if references.is_empty() {
        return Err(("InvalidCertificateRef", "a listener of HTTPS needs a certificate".to_owned()));
    }
    let one = |reference: &Reference| {
        if !reference.is("", "Secret") {
            return Err(("InvalidCertificateRef", "certificates are Secrets".to_owned()));
        }
        let namespace = reference.namespace.clone().unwrap_or_else(|| gateway.namespace.clone());
        let key = ObjectKey { namespace, name: reference.name.clone() };
        if !world.may_refer(Kind::Gateway, &gateway.namespace, ("Secret", &key)) {
            let text = format!("no ReferenceGrant lets Gateways of {} use Secret {key}", gateway.namespace);
            return Err(("RefNotPermitted", text));
        }
        let certificate = secrets.get(&key).and_then(|secret| secret.certificate.as_ref());
        let missing =
            || format!("Secret {key} is missing, is not of type kubernetes.io/tls or cannot be used");
        certificate.ok_or_else(|| ("InvalidCertificateRef", missing()))
    };
    references.iter().map(one).collect()
}
