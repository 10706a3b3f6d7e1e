//! Target: who is meant by `scheme:name:port`, and which address that is.
//!
//! Which addresses are allowed keeps a client from reaching, through this server, what only this server's machine can
//! reach. A Pod or Node is at a unicast address that is neither loopback nor link-local. Two exceptions make clusters
//! on loopback work: where Services have loopback addresses so may Pods, but never one of 127.0.0.0/16; and a Pod on the
//! network of its node is wherever that node says it is itself, at the ports that the Pod declares. Addresses come out of the Pod's own status; endpoints
//! count only while a Pod of the same namespace has their address.

use std::net::{IpAddr, SocketAddr};

use wherry_api::kinds::{Kind, by_kind};
use wherry_schema::Value;

use crate::codec;
use crate::error::Failure;
use crate::node_client::NodeClient;
use crate::object::Fields;
use crate::verbs::{Cx, log};

/// Who is connected to.
pub(super) struct Target<'a> {
    pub(super) transport: Transport<'a>,
    pub(super) ip: IpAddr,
    pub(super) port: u16,
}

/// What is spoken.
pub(super) enum Transport<'a> {
    /// HTTP.
    Plain,
    /// HTTPS with whoever answers.
    Tls,
    /// HTTPS with a node's agent, both sides showing certificates.
    Node(&'a NodeClient),
}

impl Target<'_> {
    /// Address and port.
    pub(super) fn authority(&self) -> String {
        SocketAddr::new(self.ip, self.port).to_string()
    }
}

/// A name with what may stand around it.
#[derive(Debug, PartialEq, Eq)]
struct Id<'a> {
    tls: bool,
    name: &'a str,
    port: &'a str,
}

impl<'a> Id<'a> {
    /// Reads `name`, `name:port` or `scheme:name:port`.
    fn parse(id: &'a str) -> Option<Self> {
        let parts: Vec<&str> = id.split(':').collect();
        let (scheme, name, port) = match parts.as_slice() {
            [name] => ("", *name, ""),
            [name, port] => ("", *name, *port),
            [scheme, name, port] => (*scheme, *name, *port),
            _ => return None,
        };
        let known = matches!(scheme, "" | "http" | "https");
        (known && !name.is_empty()).then_some(Self { tls: scheme == "https", name, port })
    }

    fn transport<'t>(&self) -> Transport<'t> {
        if self.tls { Transport::Tls } else { Transport::Plain }
    }
}

fn kind(name: &str) -> &'static Kind {
    by_kind("", "v1", name).expect("the kinds table has the kinds that are proxied to")
}

fn not_allowed() -> Failure {
    Failure::BadRequest("address not allowed".to_owned())
}

/// Finds who is meant.
pub(super) fn find<'a>(cx: &Cx<'a>, id: &str) -> Result<Target<'a>, Failure> {
    let invalid = || Failure::BadRequest(format!("invalid {} request {id:?}", cx.kind.singular));
    let parsed = Id::parse(id).ok_or_else(invalid)?;
    match cx.kind.kind {
        "Pod" => of_pod(cx, &parsed),
        "Service" => of_service(cx, id, &parsed),
        _ => of_node(cx, &parsed),
    }
}

fn of_pod<'a>(cx: &Cx<'a>, id: &Id<'_>) -> Result<Target<'a>, Failure> {
    let pod = cx.state.find(&cx.key(id.name))?.ok_or_else(|| cx.not_found(id.name))?;
    let ip = pod.text("status.podIP").parse().map_err(|_| not_allowed())?;
    let port = port_of_pod(&pod, id)?;
    if !allowed(cx, &pod, (ip, port)) {
        return Err(not_allowed());
    }
    Ok(Target { transport: id.transport(), ip, port })
}

/// The port that was asked for by number or name, else the first one the Pod has, else that of the scheme.
fn port_of_pod(pod: &Value, id: &Id<'_>) -> Result<u16, Failure> {
    let mut ports = pod.items("spec.containers").iter().flat_map(|container| container.items("ports"));
    let number = |port: &Value| port.int("containerPort").and_then(|port| u16::try_from(port).ok());
    if id.port.is_empty() {
        let first = ports.next().and_then(number);
        return Ok(first.unwrap_or(if id.tls { 443 } else { 80 }));
    }
    let named = || ports.find(|port| port.text("name") == id.port).and_then(number);
    id.port.parse().ok().or_else(named).ok_or_else(|| {
        let why = format!("dial tcp: lookup tcp/{}: unknown port", id.port);
        Failure::Unreachable(format!("error trying to reach service: {why}"))
    })
}

/// Whether a Pod may be reached at an address that its status has.
fn allowed(cx: &Cx<'_>, pod: &Value, (ip, port): (IpAddr, u16)) -> bool {
    if is_public(ip) {
        return true;
    }
    let services_on_loopback = cx.state.allocator.service_cidr().primary().addr().is_loopback();
    let of_pods = matches!(ip, IpAddr::V4(v4) if v4.is_loopback() && v4.octets()[1] != 0);
    (services_on_loopback && of_pods)
        || (pod.flag("spec.hostNetwork") && declares(pod, port) && is_of_node(cx, pod, ip))
}

/// Whether a Pod says that it listens at a port.
fn declares(pod: &Value, port: u16) -> bool {
    let containers = pod.items("spec.containers").iter();
    let mut ports = containers.flat_map(|container| container.items("ports"));
    ports.any(|declared| declared.int("containerPort") == Some(i64::from(port)))
}

/// Whether a Pod's node says that the address is its own.
fn is_of_node(cx: &Cx<'_>, pod: &Value, ip: IpAddr) -> bool {
    let key = codec::key(kind("Node"), "", pod.text("spec.nodeName"));
    let node = cx.state.find(&key).ok().flatten();
    node.is_some_and(|node| {
        node.items("status.addresses").iter().any(|address| address.text("address").parse() == Ok(ip))
    })
}

/// Whether an address is one of a single machine, and not of every machine for itself.
fn is_public(ip: IpAddr) -> bool {
    let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !special
        && match ip {
            IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast(),
            IpAddr::V6(v6) => {
                // An IPv4 address in the clothes of an IPv6 one is what it is.
                v6.to_ipv4_mapped().is_none_or(|v4| is_public(IpAddr::V4(v4))) && !v6.is_unicast_link_local()
            }
        }
}

fn of_service<'a>(cx: &Cx<'a>, asked: &str, id: &Id<'_>) -> Result<Target<'a>, Failure> {
    let service = cx.state.find(&cx.key(id.name))?.ok_or_else(|| cx.not_found(id.name))?;
    let name = match id.port.parse::<i64>() {
        Ok(number) => {
            let ports = service.items("spec.ports");
            let port = ports.iter().find(|port| port.int("port") == Some(number));
            let why = || format!("no service port {number} found for service {:?}", id.name);
            port.ok_or_else(|| Failure::Unreachable(why()))?.text("name")
        }
        Err(_) => id.port,
    };
    let mut ready = endpoints(cx, id.name, name);
    let none = || Failure::Unreachable(format!("no endpoints available for service {asked:?}"));
    if ready.is_empty() {
        return Err(none());
    }
    let first = cx.state.pick(ready.len());
    ready.rotate_left(first);
    let found = ready.into_iter().find(|endpoint| endpoint.is_of_pod(cx)).ok_or_else(none)?;
    Ok(Target { transport: id.transport(), ip: found.ip, port: found.port })
}

/// A ready endpoint of a Service.
struct Endpoint {
    pod: String,
    ip: IpAddr,
    port: u16,
}

impl Endpoint {
    /// Whether the Pod it stands for exists, has its address and may be reached there.
    fn is_of_pod(&self, cx: &Cx<'_>) -> bool {
        let key = codec::key(kind("Pod"), cx.namespace, &self.pod);
        let pod = cx.state.find(&key).ok().flatten();
        pod.is_some_and(|pod| {
            let ips = pod.items("status.podIPs").iter().map(|address| address.text("ip"));
            let mut ips = ips.chain([pod.text("status.podIP")]);
            ips.any(|ip| ip.parse() == Ok(self.ip)) && allowed(cx, &pod, (self.ip, self.port))
        })
    }
}

/// The ready endpoints of a Service that have a port of this name.
fn endpoints(cx: &Cx<'_>, service: &str, port: &str) -> Vec<Endpoint> {
    let kind = by_kind("discovery.k8s.io", "v1", "EndpointSlice").expect("the kinds table has EndpointSlice");
    let prefix = codec::prefix(kind, Some(cx.namespace));
    let snapshot = cx.state.store.snapshot();
    let slices = snapshot.range(&prefix, None);
    let slices = slices.filter_map(|entry| codec::decode(&entry.key, &entry.value).ok());
    let own = slices.filter(|slice| service_of(slice) == Some(service));
    own.flat_map(|slice| endpoints_of(&slice, cx.namespace, port)).collect()
}

/// The Service that a slice belongs to.
fn service_of(slice: &Value) -> Option<&str> {
    slice.map("metadata.labels")?.get("kubernetes.io/service-name")?.as_str()
}

fn endpoints_of(slice: &Value, namespace: &str, port: &str) -> Vec<Endpoint> {
    let named = slice.items("ports").iter().find(|candidate| candidate.text("name") == port);
    let number = named.and_then(|found| found.int("port")).and_then(|number| u16::try_from(number).ok());
    let Some(port) = number else { return Vec::new() };
    let ready = slice.items("endpoints").iter().filter(|endpoint| {
        let condition = endpoint.field("conditions.ready").and_then(Value::as_bool);
        let of_pod = endpoint.text("targetRef.kind") == "Pod";
        condition != Some(false) && of_pod && endpoint.text("targetRef.namespace") == namespace
    });
    ready
        .filter_map(|endpoint| {
            let ip = endpoint.items("addresses").first()?.as_str()?.parse().ok()?;
            Some(Endpoint { pod: endpoint.text("targetRef.name").to_owned(), ip, port })
        })
        .collect()
}

/// A node's agent, unless another port of the node is asked for.
fn of_node<'a>(cx: &Cx<'a>, id: &Id<'_>) -> Result<Target<'a>, Failure> {
    let agent = log::address(cx, id.name)?;
    if id.port.is_empty() || id.port.parse() == Ok(agent.port) {
        let client = log::client(cx)?;
        return Ok(Target { transport: Transport::Node(client), ip: agent.ip, port: agent.port });
    }
    if !is_public(agent.ip) {
        return Err(not_allowed());
    }
    let port = id.port.parse().map_err(|_| {
        let why = format!("dial tcp: lookup tcp/{}: unknown port", id.port);
        Failure::Unreachable(format!("error trying to reach service: {why}"))
    })?;
    Ok(Target { transport: id.transport(), ip: agent.ip, port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("web", Some((false, "web", "")))]
    #[case("web:80", Some((false, "web", "80")))]
    #[case("https:web:main", Some((true, "web", "main")))]
    #[case("http:web:", Some((false, "web", "")))]
    #[case(":web:80", Some((false, "web", "80")))]
    #[case("ftp:web:80", None)]
    #[case("a:b:c:d", None)]
    #[case("", None)]
    #[case(":80", None)]
    fn names_stand_between_scheme_and_port(#[case] id: &str, #[case] expected: Option<(bool, &str, &str)>) {
        let found = Id::parse(id).map(|id| (id.tls, id.name, id.port));
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case("10.1.2.3", true)]
    #[case("fd00::1", true)]
    #[case("127.0.0.1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("fe80::1", false)]
    #[case("0.0.0.0", false)]
    #[case("255.255.255.255", false)]
    #[case("224.0.0.1", false)]
    #[case("::1", false)]
    fn addresses_of_every_machine_are_nobodys(#[case] ip: &str, #[case] public: bool) {
        assert_eq!(is_public(ip.parse().unwrap()), public);
    }

    proptest! {
        #[test]
        fn any_id_is_read_or_refused(id in "\\PC{0,20}") {
            if let Some(read) = Id::parse(&id) {
                prop_assert!(!read.name.is_empty() && !read.name.contains(':'));
            }
        }
    }
}
