//! Tests of what is allocated, with objects as users and drivers write them.

use std::sync::Arc;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::cycle::{Scratch, schedule};

fn parse<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

const DRIVER: &str = "gpu.example.com";

/// Nodes `a` and `b`, and the class `gpu`.
fn cluster() -> Cluster {
    let mut cluster = Cluster::default();
    for name in ["a", "b"] {
        let status = json!({ "allocatable": { "pods": "10" } });
        let labels = json!({ "rack": format!("rack-{name}") });
        cluster.set_node(&parse(json!({ "metadata": { "name": name, "labels": labels }, "status": status })));
    }
    set_class(&mut cluster, "gpu", &json!({ "selectors": [cel("device.driver == 'gpu.example.com'")] }));
    cluster
}

fn cel(expression: &str) -> Value {
    json!({ "cel": { "expression": expression } })
}

fn set_class(cluster: &mut Cluster, name: &str, spec: &Value) {
    cluster.devices.set_class(parse(json!({ "metadata": { "name": name }, "spec": spec })));
}

/// A slice for some nodes; `more` comes on top of its spec.
fn set_slice(cluster: &mut Cluster, name: &str, devices: &Value, more: Value) {
    let pool = json!({ "name": name, "generation": 1, "resourceSliceCount": 1 });
    let mut spec = json!({ "driver": DRIVER, "pool": pool, "devices": devices });
    let Value::Object(more) = more else { panic!("{more} is no object") };
    spec.as_object_mut().unwrap().extend(more);
    cluster.devices.set_slice(parse(json!({ "metadata": { "name": name }, "spec": spec })));
}

/// Devices of these models, `gpu-0` and so on.
fn gpus(models: &[&str]) -> Value {
    let device = |(at, model): (usize, &&str)| json!({ "name": format!("gpu-{at}"), "attributes": { "model": { "string": model } } });
    models.iter().enumerate().map(device).collect()
}

fn set_claim(cluster: &mut Cluster, name: &str, devices: &Value, status: &Value) {
    cluster.devices.set_claim(parse(json!({
        "metadata": { "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": "1" },
        "spec": { "devices": devices }, "status": status,
    })));
}

/// A request for one device of a model, or of any.
fn request(name: &str, model: Option<&str>) -> Value {
    let selectors =
        model.map(|model| json!([cel(&format!("device.attributes['{DRIVER}'].model == '{model}'"))]));
    json!({ "name": name, "exactly": { "deviceClassName": "gpu", "selectors": selectors } })
}

fn requests(requests: &[Value]) -> Value {
    json!({ "requests": requests })
}

fn pod(name: &str, claims: &[&str]) -> PodInfo {
    let claims: Vec<_> =
        claims.iter().map(|claim| json!({ "name": claim, "resourceClaimName": claim })).collect();
    PodInfo::new(Arc::new(parse(json!({
        "metadata": { "name": name, "namespace": "ns", "uid": name },
        "spec": { "containers": [], "resourceClaims": claims },
    }))))
}

/// The node that a Pod goes to, or why to none.
fn placed(cluster: &mut Cluster, pod: &PodInfo) -> Result<String, String> {
    let profile = Profile::new("default-scheduler".to_owned());
    match schedule(pod, cluster, &profile, &mut Scratch::default(), |_| 0) {
        Ok(decision) => Ok(cluster.node(decision.node).name.clone()),
        Err(refused) => Err(refused.message()),
    }
}

/// What is reserved on a node for a Pod.
fn reserved(cluster: &Cluster, pod: &PodInfo, node: &str) -> Vec<AllocationResult> {
    let profile = Profile::new("default-scheduler".to_owned());
    let needs = Needs::of(pod, cluster, &profile).unwrap().unwrap();
    let reservations = needs.reservations(cluster.node_named(node).unwrap(), cluster);
    reservations.into_iter().filter_map(|reservation| reservation.allocation).collect()
}

/// Requests and devices of the results.
fn results(allocation: &AllocationResult) -> Vec<(&str, &str)> {
    let results = allocation.devices.as_ref().unwrap().results.as_ref().unwrap();
    results.iter().map(|result| (result.request.as_str(), result.device.as_str())).collect()
}

const NOWHERE: &str = "0/2 nodes are available: 2 cannot allocate all claims.";

#[test]
fn a_pod_goes_where_its_devices_are() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["small", "large"]), json!({ "nodeName": "b" }));
    set_claim(&mut cluster, "c", &requests(&[request("r", Some("large"))]), &json!({}));
    let pod = pod("p", &["c"]);
    assert_eq!(placed(&mut cluster, &pod).as_deref(), Ok("b"));
    let allocation = &reserved(&cluster, &pod, "b")[0];
    assert_eq!(results(allocation), [("r", "gpu-1")]);
    let term = &allocation.node_selector.as_ref().unwrap().node_selector_terms[0];
    let name = &term.match_fields.as_ref().unwrap()[0];
    assert_eq!((name.key.as_str(), name.values.as_deref()), ("metadata.name", Some(&["b".to_owned()][..])));
}

#[test]
fn what_is_assumed_is_nobody_elses() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["small"]), json!({ "nodeName": "a" }));
    for name in ["c", "d"] {
        set_claim(&mut cluster, name, &requests(&[request("r", None)]), &json!({}));
    }
    let first = pod("p", &["c"]);
    let allocation = reserved(&cluster, &first, "a").remove(0);
    cluster.devices.assume("uid-c", allocation.clone());
    assert_eq!(placed(&mut cluster, &pod("q", &["d"])), Err(NOWHERE.to_owned()));
    let waits = "0/2 nodes are available: resource claim ns/c is in the process of being allocated.";
    assert_eq!(placed(&mut cluster, &pod("r", &["c"])), Err(waits.to_owned()), "sharing Pods wait for it");
    // The API shows it: whoever shares the claim goes there.
    let status =
        json!({ "allocation": allocation, "reservedFor": [{ "resource": "pods", "name": "p", "uid": "p" }] });
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &status);
    assert_eq!(placed(&mut cluster, &pod("r", &["c"])).as_deref(), Ok("a"));
    assert_eq!(placed(&mut cluster, &pod("q", &["d"])), Err(NOWHERE.to_owned()));
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
    assert_eq!(placed(&mut cluster, &pod("q", &["d"])).as_deref(), Ok("a"), "it was given back");
}

#[test]
fn what_could_not_be_written_is_free_again() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["small"]), json!({ "nodeName": "a" }));
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
    let pod = pod("p", &["c"]);
    let allocation = reserved(&cluster, &pod, "a").remove(0);
    cluster.devices.assume("uid-c", allocation);
    cluster.devices.give_back("uid-c");
    assert_eq!(placed(&mut cluster, &pod).as_deref(), Ok("a"));
}

#[rstest]
#[case::as_many_as_are_there(2, true)]
#[case::one_too_many(3, false)]
fn several_devices_of_one_request(#[case] count: usize, #[case] fits: bool) {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["m", "m"]), json!({ "nodeName": "a" }));
    let exactly = json!({ "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": count });
    set_claim(&mut cluster, "c", &requests(&[json!({ "name": "r", "exactly": exactly })]), &json!({}));
    assert_eq!(placed(&mut cluster, &pod("p", &["c"])).is_ok(), fits);
}

#[test]
fn all_devices_are_all_or_none() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["m", "m", "m"]), json!({ "nodeName": "a" }));
    let all = json!({ "deviceClassName": "gpu", "allocationMode": "All" });
    set_claim(&mut cluster, "c", &requests(&[json!({ "name": "r", "exactly": all })]), &json!({}));
    let pod = pod("p", &["c"]);
    let allocation = reserved(&cluster, &pod, "a").remove(0);
    assert_eq!(results(&allocation), [("r", "gpu-0"), ("r", "gpu-1"), ("r", "gpu-2")]);
    set_claim(&mut cluster, "one", &requests(&[request("r", None)]), &json!({}));
    let taken = reserved(&cluster, &self::pod("q", &["one"]), "a").remove(0);
    cluster.devices.assume("uid-one", taken);
    assert_eq!(placed(&mut cluster, &pod), Err(NOWHERE.to_owned()));
}

#[test]
fn the_first_available_is_taken() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["small", "small"]), json!({ "nodeName": "a" }));
    let sub = |name: &str, model: &str, count: usize| {
        let selectors = json!([cel(&format!("device.attributes['{DRIVER}'].model == '{model}'"))]);
        json!({ "name": name, "deviceClassName": "gpu", "selectors": selectors, "count": count })
    };
    let list = json!({ "name": "r", "firstAvailable": [sub("large", "large", 1), sub("small", "small", 2)] });
    set_claim(&mut cluster, "c", &requests(&[list]), &json!({}));
    let allocation = reserved(&cluster, &pod("p", &["c"]), "a").remove(0);
    assert_eq!(results(&allocation), [("r/small", "gpu-0"), ("r/small", "gpu-1")]);
}

#[rstest]
#[case::same("matchAttribute", &["gpu-0", "gpu-2"])]
#[case::different("distinctAttribute", &["gpu-0", "gpu-1"])]
fn constraints_hold_among_requests(#[case] constraint: &str, #[case] expected: &[&str]) {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["x", "y", "x"]), json!({ "nodeName": "a" }));
    let mut devices = requests(&[request("one", None), request("two", None)]);
    devices["constraints"] = json!([{ "requests": ["one", "two"], constraint: "gpu.example.com/model" }]);
    set_claim(&mut cluster, "c", &devices, &json!({}));
    let allocation = reserved(&cluster, &pod("p", &["c"]), "a").remove(0);
    assert_eq!(results(&allocation).into_iter().map(|(_, device)| device).collect::<Vec<_>>(), expected);
}

#[test]
fn the_search_goes_back() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["large", "small"]), json!({ "nodeName": "a" }));
    // Any device comes first and would have the only large one.
    set_claim(
        &mut cluster,
        "c",
        &requests(&[request("any", None), request("large", Some("large"))]),
        &json!({}),
    );
    let allocation = reserved(&cluster, &pod("p", &["c"]), "a").remove(0);
    assert_eq!(results(&allocation), [("any", "gpu-1"), ("large", "gpu-0")]);
}

#[test]
fn who_only_looks_after_devices_shares_them() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["m"]), json!({ "nodeName": "a" }));
    let admin = json!({ "deviceClassName": "gpu", "allocationMode": "All", "adminAccess": true });
    set_claim(&mut cluster, "admin", &requests(&[json!({ "name": "r", "exactly": admin })]), &json!({}));
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
    let allocation = reserved(&cluster, &pod("p", &["admin"]), "a").remove(0);
    assert_eq!(allocation.devices.as_ref().unwrap().results.as_ref().unwrap()[0].admin_access, Some(true));
    cluster.devices.assume("uid-admin", allocation);
    let own = reserved(&cluster, &pod("q", &["c"]), "a").remove(0);
    cluster.devices.assume("uid-c", own);
    set_claim(&mut cluster, "admin", &requests(&[json!({ "name": "r", "exactly": admin })]), &json!({}));
    cluster.devices.give_back("uid-admin");
    assert_eq!(placed(&mut cluster, &pod("p", &["admin"])).as_deref(), Ok("a"));
}

#[rstest]
#[case::untolerated(json!([]), false)]
#[case::tolerated(json!([{ "key": "broken", "operator": "Exists" }]), true)]
#[case::another_value(json!([{ "key": "broken", "value": "no" }]), false)]
#[case::this_value(json!([{ "key": "broken", "value": "yes", "effect": "NoSchedule" }]), true)]
fn taints_keep_devices_from_claims(#[case] tolerations: Value, #[case] fits: bool) {
    let mut cluster = cluster();
    let taints = json!([{ "key": "broken", "value": "yes", "effect": "NoSchedule" }]);
    set_slice(&mut cluster, "s", &json!([{ "name": "g", "taints": taints }]), json!({ "nodeName": "a" }));
    let exactly = json!({ "deviceClassName": "gpu", "tolerations": tolerations });
    set_claim(&mut cluster, "c", &requests(&[json!({ "name": "r", "exactly": exactly })]), &json!({}));
    assert_eq!(placed(&mut cluster, &pod("p", &["c"])).is_ok(), fits);
}

#[test]
fn slices_say_for_which_nodes_they_are() {
    let rack = |rack: &str| json!({ "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "rack", "operator": "In", "values": [rack] }] }] });
    for (more, device, expected) in [
        (json!({ "allNodes": true }), json!({ "name": "g" }), Ok("a")),
        (json!({ "nodeSelector": rack("rack-b") }), json!({ "name": "g" }), Ok("b")),
        (json!({ "perDeviceNodeSelection": true }), json!({ "name": "g", "nodeName": "b" }), Ok("b")),
        (
            json!({ "perDeviceNodeSelection": true }),
            json!({ "name": "g", "nodeSelector": rack("rack-c") }),
            Err(NOWHERE),
        ),
    ] {
        let mut cluster = cluster();
        set_slice(&mut cluster, "s", &json!([device]), more);
        set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
        let found = placed(&mut cluster, &pod("p", &["c"]));
        assert_eq!(found.as_deref().map_err(String::as_str), expected);
    }
}

#[test]
fn pools_are_used_when_they_are_whole_and_only_in_their_newest_generation() {
    let mut cluster = cluster();
    let pool = |generation: i64, count: i64| json!({ "nodeName": "a", "pool": { "name": "p", "generation": generation, "resourceSliceCount": count } });
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
    let pod = pod("p", &["c"]);
    set_slice(&mut cluster, "s1", &gpus(&["m"]), pool(1, 2));
    assert_eq!(placed(&mut cluster, &pod), Err(NOWHERE.to_owned()), "half of it is not there");
    set_slice(&mut cluster, "s2", &json!([]), pool(1, 2));
    assert_eq!(placed(&mut cluster, &pod).as_deref(), Ok("a"));
    set_slice(&mut cluster, "s2", &json!([]), pool(2, 1));
    assert_eq!(placed(&mut cluster, &pod), Err(NOWHERE.to_owned()), "the device is of the past");
    set_slice(&mut cluster, "s1", &gpus(&["m", "m"]), pool(2, 2));
    set_slice(&mut cluster, "s2", &gpus(&["m"]), pool(2, 2));
    let invalid = "0/2 nodes are available: invalid resource pools were encountered.";
    assert_eq!(placed(&mut cluster, &pod), Err(invalid.to_owned()), "two devices have one name");
    cluster.devices.remove_slice("s2");
    set_slice(&mut cluster, "s1", &gpus(&["m"]), pool(3, 1));
    assert_eq!(placed(&mut cluster, &pod).as_deref(), Ok("a"));
}

#[test]
fn parts_of_a_device_share_its_counters() {
    let mut cluster = cluster();
    let part = |name: &str, memory: &str| json!({ "name": name, "consumesCounters": [{ "counterSet": "gpu", "counters": { "memory": { "value": memory } } }] });
    let devices = json!([part("half-0", "20Gi"), part("half-1", "20Gi"), part("whole", "40Gi")]);
    let counters = json!([{ "name": "gpu", "counters": { "memory": { "value": "40Gi" } } }]);
    set_slice(&mut cluster, "s", &devices, json!({ "nodeName": "a", "sharedCounters": counters }));
    for name in ["c", "d", "e"] {
        set_claim(&mut cluster, name, &requests(&[request("r", None)]), &json!({}));
    }
    for (name, expected) in [("c", "half-0"), ("d", "half-1")] {
        let allocation = reserved(&cluster, &pod(name, &[name]), "a").remove(0);
        assert_eq!(results(&allocation), [("r", expected)]);
        cluster.devices.assume(&format!("uid-{name}"), allocation);
    }
    assert_eq!(
        placed(&mut cluster, &pod("e", &["e"])),
        Err(NOWHERE.to_owned()),
        "nothing is left for the whole"
    );
}

#[test]
fn a_request_may_ask_for_room() {
    let mut cluster = cluster();
    let device =
        |name: &str, memory: &str| json!({ "name": name, "capacity": { "memory": { "value": memory } } });
    set_slice(
        &mut cluster,
        "s",
        &json!([device("g0", "10Gi"), device("g1", "80Gi")]),
        json!({ "nodeName": "a" }),
    );
    let exactly = json!({ "deviceClassName": "gpu", "capacity": { "requests": { "memory": "40Gi" } } });
    set_claim(&mut cluster, "c", &requests(&[json!({ "name": "r", "exactly": exactly })]), &json!({}));
    assert_eq!(results(&reserved(&cluster, &pod("p", &["c"]), "a")[0]), [("r", "g1")]);
}

#[test]
fn drivers_are_told_what_classes_and_claims_say() {
    let mut cluster = cluster();
    let opaque = |of: &str| json!({ "opaque": { "driver": DRIVER, "parameters": { "of": of } } });
    let selectors = json!([cel("true")]);
    set_class(&mut cluster, "gpu", &json!({ "selectors": selectors, "config": [opaque("class")] }));
    set_slice(&mut cluster, "s", &gpus(&["m", "m"]), json!({ "nodeName": "a" }));
    let mut devices = requests(&[request("one", None), request("two", None)]);
    let mut of_one = opaque("one");
    of_one["requests"] = json!(["one"]);
    devices["config"] = json!([opaque("all"), of_one]);
    set_claim(&mut cluster, "c", &devices, &json!({}));
    let allocation = reserved(&cluster, &pod("p", &["c"]), "a").remove(0);
    let configs = serde_json::to_value(allocation.devices.unwrap().config).unwrap();
    let config = |source: &str, of: &str| {
        let mut config = opaque(of);
        config["source"] = json!(source);
        config
    };
    let mut last = config("FromClaim", "one");
    last["requests"] = json!(["one"]);
    assert_eq!(configs, json!([config("FromClass", "class"), config("FromClaim", "all"), last]));
}

#[rstest]
#[case::missing(json!([]), &["c"], "resourceclaim.resource.k8s.io \"c\" not found")]
#[case::class(
    json!([{ "name": "r", "exactly": { "deviceClassName": "none" } }]), &["c"],
    "request r: device class none does not exist"
)]
#[case::expression(
    json!([{ "name": "r", "exactly": { "deviceClassName": "gpu", "selectors": [cel("device.attributes['x'].y == 1")] } }]),
    &["c"],
    "claim ns/c: selector #0 on device gpu.example.com/s/gpu-0: CEL runtime error: no such key: y"
)]
fn what_is_wrong_with_a_claim_is_said(#[case] asked: Value, #[case] claims: &[&str], #[case] expected: &str) {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["m"]), json!({ "nodeName": "a" }));
    if asked != json!([]) {
        set_claim(&mut cluster, "c", &json!({ "requests": asked }), &json!({}));
    }
    let found = placed(&mut cluster, &pod("p", claims));
    assert_eq!(found, Err(format!("0/2 nodes are available: {expected}.")));
}

#[test]
fn claims_made_for_a_pod_are_its_own() {
    let mut cluster = cluster();
    let with_status = |statuses: Value| {
        PodInfo::new(Arc::new(parse(json!({
            "metadata": { "name": "p", "namespace": "ns", "uid": "p" },
            "spec": { "containers": [], "resourceClaims": [{ "name": "c", "resourceClaimTemplateName": "t" }] },
            "status": { "resourceClaimStatuses": statuses },
        }))))
    };
    let waits = "0/2 nodes are available: pod \"ns/p\": ResourceClaim not created yet.";
    assert_eq!(placed(&mut cluster, &with_status(json!([]))), Err(waits.to_owned()));
    set_claim(&mut cluster, "made", &requests(&[request("r", None)]), &json!({}));
    let foreign =
        "0/2 nodes are available: ResourceClaim ns/made was not created for pod ns/p (pod is not owner).";
    let named = with_status(json!([{ "name": "c", "resourceClaimName": "made" }]));
    assert_eq!(placed(&mut cluster, &named), Err(foreign.to_owned()));
    let unneeded = with_status(json!([{ "name": "c" }]));
    assert_eq!(placed(&mut cluster, &unneeded).as_deref(), Ok("a"));
}

#[test]
fn a_claim_is_where_its_devices_are() {
    let mut cluster = cluster();
    set_slice(&mut cluster, "s", &gpus(&["m"]), json!({ "nodeName": "a" }));
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({}));
    let allocation = reserved(&cluster, &pod("p", &["c"]), "a").remove(0);
    set_claim(&mut cluster, "c", &requests(&[request("r", None)]), &json!({ "allocation": allocation }));
    cluster.remove_node("a");
    let pod = pod("p", &["c"]);
    let refusal = "0/1 nodes are available: 1 resourceclaim not available on the node.";
    assert_eq!(placed(&mut cluster, &pod), Err(refusal.to_owned()));
    let needs = Needs::of(&pod, &cluster, &Profile::new("default-scheduler".to_owned())).unwrap().unwrap();
    let hindering = needs.hindering(&cluster).map(|claim| claim.metadata.name.clone());
    assert_eq!(hindering, Some(Some("c".to_owned())), "nobody else uses it, so it can be given back");
}
