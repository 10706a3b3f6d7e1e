//! What objects count for, case by case.

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};

use super::amounts::{beyond, show};
use super::{Amounts, Quota, Resource};

const PODS: Resource<'static> = Resource { group: "", plural: "pods" };
const SERVICES: Resource<'static> = Resource { group: "", plural: "services" };
const CLAIMS: Resource<'static> = Resource { group: "", plural: "persistentvolumeclaims" };
const DEVICES: Resource<'static> = Resource { group: "resource.k8s.io", plural: "resourceclaims" };
const DEPLOYMENTS: Resource<'static> = Resource { group: "apps", plural: "deployments" };
const SECRETS: Resource<'static> = Resource { group: "", plural: "secrets" };

fn container(name: &str, cpu: &str) -> Value {
    json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
}

#[rstest]
#[case(PODS, json!({"spec": {"containers": [container("a", "1"), container("b", "500m")]}}), "count/pods=1,cpu=1500m,pods=1,requests.cpu=1500m")]
#[case(PODS, json!({"spec": {"containers": [container("a", "1")], "initContainers": [container("i", "2")]}}), "count/pods=1,cpu=2,pods=1,requests.cpu=2")]
#[case(PODS, json!({"spec": {"containers": [container("a", "1")], "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}, container("i", "3")]}}), "count/pods=1,cpu=4,pods=1,requests.cpu=4")]
#[case(PODS, json!({"spec": {"containers": [container("a", "1")], "resources": {"requests": {"cpu": "5"}}, "overhead": {"cpu": "1", "memory": "1Mi"}}}), "count/pods=1,cpu=6,memory=1Mi,pods=1,requests.cpu=6,requests.memory=1Mi")]
#[case(PODS, json!({"spec": {"containers": [{"name": "a", "resources": {"limits": {"memory": "1Gi", "cpu": "2"}, "requests": {"hugepages-2Mi": "4Mi", "example.com/gpu": "2", "ephemeral-storage": "1"}}}]}}), "count/pods=1,ephemeral-storage=1,hugepages-2Mi=4Mi,limits.cpu=2,limits.memory=1Gi,pods=1,requests.ephemeral-storage=1,requests.example.com/gpu=2,requests.hugepages-2Mi=4Mi")]
#[case(PODS, json!({"status": {"phase": "Succeeded"}, "spec": {"containers": [container("a", "1")]}}), "count/pods=1")]
#[case(PODS, json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:00Z", "deletionGracePeriodSeconds": 10}, "spec": {"containers": [container("a", "1")]}}), "count/pods=1")]
#[case(PODS, json!({"metadata": {"deletionTimestamp": "1970-01-01T00:00:55Z", "deletionGracePeriodSeconds": 10}, "spec": {"containers": []}}), "count/pods=1,pods=1")]
#[case(PODS, json!({"spec": {"containers": [container("a", "1")]}, "status": {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "2"}}}]}}), "count/pods=1,cpu=3,pods=1,requests.cpu=3")]
#[case(PODS, json!({"spec": {"containers": [container("a", "9")]}, "status": {"conditions": [{"type": "PodResizePending", "reason": "Infeasible"}], "containerStatuses": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}}), "count/pods=1,cpu=2,pods=1,requests.cpu=2")]
#[case(SERVICES, json!({"spec": {"type": "ClusterIP", "ports": [{"port": 1}]}}), "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0")]
#[case(SERVICES, json!({"spec": {"type": "NodePort", "ports": [{"port": 1}, {"port": 2}]}}), "count/services=1,services=1,services.loadbalancers=0,services.nodeports=2")]
#[case(SERVICES, json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 1}]}}), "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1")]
#[case(SERVICES, json!({"spec": {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 1}, {"port": 2, "nodePort": 30000}]}}), "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1")]
#[case(CLAIMS, json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}}}), "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=1Gi,persistentvolumeclaims=1,requests.storage=1Gi")]
#[case(CLAIMS, json!({"spec": {"resources": {"requests": {"storage": "500m"}}}}), "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1")]
#[case(CLAIMS, json!({"spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"allocatedResources": {"storage": "2Gi"}}}), "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=2Gi")]
#[case(DEVICES, json!({"spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}, {"name": "s", "firstAvailable": [{"deviceClassName": "gpu"}, {"deviceClassName": "fpga", "allocationMode": "All"}]}]}}}), "count/resourceclaims.resource.k8s.io=1,fpga.deviceclass.resource.k8s.io/devices=32,gpu.deviceclass.resource.k8s.io/devices=3")]
#[case(DEPLOYMENTS, json!({}), "count/deployments.apps=1")]
#[case(SECRETS, json!({}), "count/secrets=1,secrets=1")]
fn objects_take(#[case] resource: Resource<'static>, #[case] object: Value, #[case] told: &str) {
    let usage = resource.usage(&object, Timestamp::from_second(60).unwrap());
    assert_eq!(show(&usage), told);
    for name in usage.keys().filter(|name| !name.starts_with("hugepages")) {
        assert!(resource.tracks(name), "{name}");
    }
}

#[rstest]
#[case(PODS, "requests.kubernetes.io/x", false)]
#[case(PODS, "services", false)]
#[case(SERVICES, "services.nodeports", true)]
#[case(CLAIMS, "a.b.storageclass.storage.k8s.io/requests.storage", true)]
#[case(CLAIMS, "a.storageclass.storage.k8s.io/pods", false)]
#[case(DEPLOYMENTS, "count/deployments.extensions", false)]
#[case(DEPLOYMENTS, "deployments", false)]
#[case(SECRETS, "configmaps", false)]
fn quotas_are_about(#[case] resource: Resource<'static>, #[case] name: &str, #[case] tracked: bool) {
    assert_eq!(resource.tracks(name), tracked);
}

#[rstest]
#[case(json!({"scopes": ["Terminating"]}), json!({"spec": {"activeDeadlineSeconds": 1}}), true)]
#[case(json!({"scopes": ["NotTerminating"]}), json!({"spec": {"activeDeadlineSeconds": 1}}), false)]
#[case(json!({"scopes": ["BestEffort"]}), json!({"spec": {"containers": [{"name": "a"}]}}), true)]
#[case(json!({"scopes": ["NotBestEffort"]}), json!({"spec": {"containers": [{"name": "a"}]}}), false)]
#[case(json!({"scopes": ["BestEffort"]}), json!({"spec": {"containers": [container("a", "1")]}}), false)]
#[case(json!({"scopes": ["BestEffort", "Terminating"]}), json!({"spec": {"containers": []}}), false)]
#[case(json!({"scopes": ["CrossNamespacePodAffinity"]}), json!({"spec": {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {"namespaceSelector": {}}}]}}}}), true)]
#[case(json!({"scopes": ["CrossNamespacePodAffinity"]}), json!({"spec": {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}}}}), false)]
fn pods_are_in_scopes(#[case] spec: Value, #[case] pod: Value, #[case] matches: bool) {
    let quota = Quota::of(&json!({"spec": spec, "status": {"hard": {"pods": "1"}}}));
    assert_eq!(quota.matches(&PODS, &pod), matches);
    assert!(!quota.matches(&SECRETS, &pod));
}

#[rstest]
#[case("In", &["high"], [true, false, false])]
#[case("NotIn", &["high"], [false, true, true])]
#[case("Exists", &[], [true, true, false])]
#[case("DoesNotExist", &[], [false, false, true])]
fn classes_are_selected(#[case] operator: &str, #[case] values: &[&str], #[case] matches: [bool; 3]) {
    let selector = |scope: &str, hard: &str| {
        let expression = json!({"scopeName": scope, "operator": operator, "values": values});
        let spec = json!({"scopeSelector": {"matchExpressions": [expression]}});
        Quota::of(&json!({"spec": spec, "status": {"hard": {hard: "1"}}}))
    };
    let pods = [json!("high"), json!("low"), Value::Null];
    let quota = selector("PriorityClass", "pods");
    let found =
        pods.clone().map(|class| quota.matches(&PODS, &json!({"spec": {"priorityClassName": class}})));
    assert_eq!(found, matches);
    let quota = selector("VolumeAttributesClass", "requests.storage");
    let claim = |class| json!({"status": {"currentVolumeAttributesClassName": class}});
    assert_eq!(pods.map(|class| quota.matches(&CLAIMS, &claim(class))), matches);
}

#[test]
fn containers_must_state_what_is_limited() {
    let pod = json!({"spec": {"containers": [{"name": "b"}, {"name": "a"}], "initContainers": [container("i", "1")]}});
    let told = PODS.missing(&pod, &["requests.cpu", "limits.memory", "requests.storage"]);
    assert_eq!(told.unwrap(), "must specify limits.memory for: a,b,i; requests.cpu for: a,b");
    assert_eq!(PODS.missing(&pod, &["requests.ephemeral-storage"]), None);
}

#[test]
fn only_growth_is_charged() {
    let amounts = |value: Value| super::read::amounts(&json!({"a": value}), "a");
    let (now, before) =
        (json!({"x": "2", "y": "1", "z": "1", "n": "0"}), json!({"x": "500m", "y": "3", "z": "1"}));
    assert_eq!(show(&beyond(&amounts(now.clone()), &amounts(before))), "x=1500m");
    assert_eq!(show(&beyond(&amounts(now), &Amounts::new())), "x=2,y=1,z=1");
}
