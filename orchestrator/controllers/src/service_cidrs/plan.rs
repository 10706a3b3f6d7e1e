//! Whether a range has to stay.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};

const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";

/// What to do about a ServiceCIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is in use.
    Keep,
    /// It is to go and has to stay.
    Wait,
    /// It can go.
    Release,
}

/// Decides, given all ranges and the addresses of Services.
pub(super) fn plan(cidr: &ServiceCIDR, all: &[Arc<ServiceCIDR>], addresses: &[IpAddr]) -> Action {
    if cidr.metadata.deletion_timestamp.is_none() {
        return Action::Keep;
    }
    let staying: Vec<_> = all
        .iter()
        .filter(|other| {
            other.metadata.uid != cidr.metadata.uid && other.metadata.deletion_timestamp.is_none()
        })
        .flat_map(|other| nets(other))
        .collect();
    let own: Vec<_> =
        nets(cidr).into_iter().filter(|net| !staying.iter().any(|other| other.contains(net))).collect();
    let needs =
        |ip: &IpAddr| own.iter().any(|net| net.contains(ip)) && !staying.iter().any(|net| net.contains(ip));
    if addresses.iter().any(needs) { Action::Wait } else { Action::Release }
}

/// The ranges of a ServiceCIDR.
pub(super) fn nets(cidr: &ServiceCIDR) -> Vec<IpNet> {
    let cidrs = cidr.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten());
    cidrs.filter_map(|cidr| cidr.parse().ok()).collect()
}

/// The finalizers with ours, if it is missing.
pub(super) fn with_finalizer(meta: &ObjectMeta) -> Option<Vec<String>> {
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    finalizers.push(FINALIZER.to_owned());
    Some(finalizers)
}

/// The finalizers without ours, if it is there.
pub(super) fn without_finalizer(meta: &ObjectMeta) -> Option<Vec<String>> {
    let mut finalizers = meta.finalizers.clone().unwrap_or_default();
    let before = finalizers.len();
    finalizers.retain(|finalizer| finalizer != FINALIZER);
    (finalizers.len() < before).then_some(finalizers)
}

/// That addresses are given out.
pub(super) fn ready(now: Timestamp) -> Condition {
    condition("True", "", "Kubernetes Service CIDR is ready", now)
}

/// That somebody still has an address.
pub(super) fn terminating(now: Timestamp) -> Condition {
    let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
    condition("False", "Terminating", message, now)
}

fn condition(status: &str, reason: &str, message: &str, now: Timestamp) -> Condition {
    Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Time(now),
        observed_generation: None,
    }
}

/// Whether the object says so already.
pub(super) fn is_told(cidr: &ServiceCIDR, condition: &Condition) -> bool {
    let mut conditions = cidr.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.any(|found| {
        let what = |condition: &Condition| {
            (condition.status.clone(), condition.reason.clone(), condition.message.clone())
        };
        found.type_ == condition.type_ && what(found) == what(condition)
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn cidr(name: &str, cidrs: &Value, deleting: bool) -> Arc<ServiceCIDR> {
        let mut object = json!({"metadata": {"name": name, "uid": name}, "spec": {"cidrs": cidrs}});
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Arc::new(serde_json::from_value(object).unwrap())
    }

    #[rstest]
    #[case::alive(cidr("a", &json!(["10.1.0.0/24"]), false), &[], &["10.1.0.1"], Action::Keep)]
    #[case::unused(cidr("a", &json!(["10.1.0.0/24"]), true), &[], &["10.2.0.1"], Action::Release)]
    #[case::used(cidr("a", &json!(["10.1.0.0/24"]), true), &[], &["10.1.0.1"], Action::Wait)]
    #[case::held_by_a_larger_one(
        cidr("a", &json!(["10.1.0.0/24"]), true), &[cidr("b", &json!(["10.0.0.0/8"]), false)], &["10.1.0.1"], Action::Release
    )]
    #[case::held_by_one_that_goes(
        cidr("a", &json!(["10.1.0.0/24"]), true), &[cidr("b", &json!(["10.0.0.0/8"]), true)], &["10.1.0.1"], Action::Wait
    )]
    #[case::the_address_is_of_a_smaller_one(
        cidr("a", &json!(["10.0.0.0/8"]), true), &[cidr("b", &json!(["10.1.0.0/24"]), false)], &["10.1.0.1"], Action::Release
    )]
    #[case::one_address_is_not(
        cidr("a", &json!(["10.0.0.0/8"]), true), &[cidr("b", &json!(["10.1.0.0/24"]), false)], &["10.1.0.1", "10.2.0.1"],
        Action::Wait
    )]
    #[case::the_other_family(
        cidr("a", &json!(["10.1.0.0/24", "fd00::/112"]), true), &[cidr("b", &json!(["10.1.0.0/24"]), false)], &["fd00::1"],
        Action::Wait
    )]
    fn ranges_stay_as_long_as_they_are_needed(
        #[case] judged: Arc<ServiceCIDR>,
        #[case] others: &[Arc<ServiceCIDR>],
        #[case] addresses: &[&str],
        #[case] expected: Action,
    ) {
        let all: Vec<_> = others.iter().cloned().chain([judged.clone()]).collect();
        let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        assert_eq!(plan(&judged, &all, &addresses), expected);
    }

    #[test]
    fn only_our_finalizer_comes_and_goes() {
        let mut meta = ObjectMeta { finalizers: Some(vec!["a/b".into()]), ..ObjectMeta::default() };
        assert_eq!(without_finalizer(&meta), None);
        meta.finalizers = with_finalizer(&meta);
        assert_eq!(with_finalizer(&meta), None);
        assert_eq!(without_finalizer(&meta).unwrap(), ["a/b"]);
    }

    #[test]
    fn a_condition_is_written_once() {
        let mut object = ServiceCIDR::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!is_told(&object, &ready(at(1))));
        object.status.get_or_insert_default().conditions = Some(vec![ready(at(1))]);
        assert!(is_told(&object, &ready(at(2))));
        assert!(!is_told(&object, &terminating(at(2))));
    }
}
