//! What is wrong between Services and IPAddresses.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::IPAddress;

use super::MANAGED_BY;
use crate::objects::meta::{Key, labels};

/// The label of the family of an IPAddress.
pub(super) const FAMILY: &str = "ipaddress.kubernetes.io/ip-family";
/// How old an IPAddress has to be before it counts as leaked.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// What is wrong with a cluster IP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// No range holds it.
    OutOfRange,
    /// It has no IPAddress.
    Missing,
    /// Its IPAddress names another.
    WrongReference,
    /// Its IPAddress does not say what it is.
    WrongLabels,
    /// Another Service has it, too.
    Doubled,
}

/// What is wrong with an IPAddress that was made for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stray {
    /// It names no Service.
    Foreign,
    /// Its Service is gone.
    Leaked,
    /// Its Service may be on its way.
    TooYoung(SignedDuration),
    /// Its Service has another address.
    Unused,
}

/// The cluster IPs of a Service.
pub(super) fn ips(service: &Service) -> Vec<IpAddr> {
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"));
    let ips = spec.and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    ips.iter().filter_map(|ip| ip.parse().ok()).collect()
}

/// `IPv4` or `IPv6`.
pub(super) fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// Looks at one cluster IP of a Service: at the ranges, its IPAddress, and the Service that this names.
pub(super) fn judge_ip(
    ip: IpAddr,
    service: &Key,
    ranges: &[IpNet],
    address: Option<&IPAddress>,
    named: Option<&Service>,
) -> Option<Fault> {
    if !ranges.iter().any(|range| range.contains(&ip)) {
        return Some(Fault::OutOfRange);
    }
    let Some(address) = address else { return Some(Fault::Missing) };
    let parent = parent(address);
    if parent.as_ref() != Some(service) {
        let is_doubled = parent.is_some() && named.is_some_and(|named| ips(named).contains(&ip));
        return Some(if is_doubled { Fault::Doubled } else { Fault::WrongReference });
    }
    let labels = labels(&address.metadata);
    let is_labelled = labels.get(FAMILY).is_some_and(|found| found == family(ip))
        && labels.get(MANAGED_BY.0).is_some_and(|manager| manager == MANAGED_BY.1);
    (!is_labelled).then_some(Fault::WrongLabels)
}

/// Looks at an IPAddress and the Service that it names.
pub(super) fn judge_address(address: &IPAddress, named: Option<&Service>, now: Timestamp) -> Option<Stray> {
    let ip = super::allocated(address)?;
    if parent(address).is_none() {
        return Some(Stray::Foreign);
    }
    let Some(service) = named else {
        let born = address.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
        let left = GRACE.saturating_sub(now.duration_since(born));
        return Some(if left > SignedDuration::ZERO { Stray::TooYoung(left) } else { Stray::Leaked });
    };
    (!ips(service).contains(&ip)).then_some(Stray::Unused)
}

/// The Service that an IPAddress names.
pub(super) fn parent(address: &IPAddress) -> Option<Key> {
    let parent = &address.spec.parent_ref;
    let is_service = parent.group.as_deref().unwrap_or_default().is_empty() && parent.resource == "services";
    is_service.then(|| Key::new(parent.namespace.clone().unwrap_or_default(), parent.name.clone()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn service(ip: &str) -> Service {
        let object = json!({"metadata": {"namespace": "ns", "name": "web"}, "spec": {"clusterIPs": [ip]}});
        serde_json::from_value(object).unwrap()
    }

    fn address(name: &str, parent: &Value) -> IPAddress {
        let object = json!({
            "metadata": {
                "name": name, "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {FAMILY: "IPv4", MANAGED_BY.0: MANAGED_BY.1},
            },
            "spec": {"parentRef": parent},
        });
        serde_json::from_value(object).unwrap()
    }

    fn of(resource: &str, name: &str) -> Value {
        json!({"resource": resource, "namespace": "ns", "name": name})
    }

    #[rstest]
    #[case::right(Some(address("10.96.0.9", &of("services", "web"))), None, None)]
    #[case::missing(None, None, Some(Fault::Missing))]
    #[case::of_something_else(Some(address("10.96.0.9", &of("things", "web"))), None, Some(Fault::WrongReference))]
    #[case::of_nobody(Some(address("10.96.0.9", &of("services", "old"))), None, Some(Fault::WrongReference))]
    #[case::of_one_who_has_another(
        Some(address("10.96.0.9", &of("services", "old"))), Some(service("10.96.0.8")), Some(Fault::WrongReference)
    )]
    #[case::of_two(Some(address("10.96.0.9", &of("services", "old"))), Some(service("10.96.0.9")), Some(Fault::Doubled))]
    fn cluster_ips_are_judged(
        #[case] address: Option<IPAddress>,
        #[case] named: Option<Service>,
        #[case] expected: Option<Fault>,
    ) {
        let (ip, ranges) = ("10.96.0.9".parse().unwrap(), ["10.96.0.0/16".parse().unwrap()]);
        let service = Key::new("ns", "web");
        assert_eq!(judge_ip(ip, &service, &ranges, address.as_ref(), named.as_ref()), expected);
        assert_eq!(judge_ip(ip, &service, &[], address.as_ref(), named.as_ref()), Some(Fault::OutOfRange));
    }

    #[test]
    fn an_address_without_its_labels_is_made_anew() {
        let (ip, ranges) = ("10.96.0.9".parse().unwrap(), ["10.96.0.0/16".parse().unwrap()]);
        let mut bare = address("10.96.0.9", &of("services", "web"));
        bare.metadata.labels = None;
        let fault = judge_ip(ip, &Key::new("ns", "web"), &ranges, Some(&bare), None);
        assert_eq!(fault, Some(Fault::WrongLabels));
    }

    #[rstest]
    #[case::right(of("services", "web"), Some(service("10.96.0.9")), 0, None)]
    #[case::of_no_service(of("things", "web"), None, 0, Some(Stray::Foreign))]
    #[case::young(of("services", "web"), None, 20, Some(Stray::TooYoung(SignedDuration::from_secs(40))))]
    #[case::leaked(of("services", "web"), None, 60, Some(Stray::Leaked))]
    #[case::unused(of("services", "web"), Some(service("10.96.0.8")), 0, Some(Stray::Unused))]
    fn addresses_are_judged(
        #[case] parent: Value,
        #[case] named: Option<Service>,
        #[case] age: i64,
        #[case] expected: Option<Stray>,
    ) {
        let now = "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap();
        let now = now.checked_add(SignedDuration::from_secs(age)).unwrap();
        let mut address = address("10.96.0.9", &parent);
        assert_eq!(judge_address(&address, named.as_ref(), now), expected);
        address.metadata.labels = None;
        assert_eq!(judge_address(&address, named.as_ref(), now), None, "what others made is theirs");
    }
}
