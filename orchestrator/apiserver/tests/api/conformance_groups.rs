//! The conformance descriptions of the API operations of the named groups: what needs no controller.
//!
//! Each test is named after the description that it does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Api, names};
use crate::operations::{
    change, discovered, named, operations, operations_named, part_operations, status_operations,
};

const ADMISSION: &str = "admissionregistration.k8s.io";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const DEVICES: &str = "resource.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
const NETWORKING: &str = "networking.k8s.io";

/// Finds a cluster-wide resource in discovery and works with its objects.
async fn cluster_wide(api: &Api, group: &str, plural: &str, parts: &[&str], object: &Value) -> String {
    discovered(api, group, plural, parts).await;
    let path = format!("/apis/{group}/v1/{plural}");
    operations(api, &path, &path, object).await;
    path
}

/// Finds a resource of namespaces in discovery and works with its objects.
async fn in_namespace(api: &Api, group: &str, plural: &str, parts: &[&str], object: &Value) -> String {
    discovered(api, group, plural, parts).await;
    let path = format!("/apis/{group}/v1/namespaces/default/{plural}");
    operations(api, &format!("/apis/{group}/v1/{plural}"), &path, object).await;
    path
}

/// Makes an object and works with its status.
async fn status_of(api: &Api, path: &str, object: &Value, status: &Value) {
    api.post(path, &named("s", &json!({}), object)).await.expect(201);
    status_operations(api, &format!("{path}/s"), status).await;
}

/// The same for a kind whose metadata cannot be written with its status.
async fn bare_status_of(api: &Api, path: &str, object: &Value, status: &Value) {
    api.post(path, &named("s", &json!({}), object)).await.expect(201);
    part_operations(api, &format!("{path}/s/status"), status, false).await;
}

fn condition(kind: &str) -> Value {
    json!({"conditions": [{
        "type": kind, "status": "True", "reason": "E2E", "message": "Set by an e2e test",
        "lastTransitionTime": "2024-05-06T07:08:09Z",
    }]})
}

#[tokio::test]
async fn priority_and_fairness_flowschema_api() {
    let api = Api::start().await;
    let schema = json!({"spec": {
        "matchingPrecedence": 9999, "priorityLevelConfiguration": {"name": "global-default"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        }],
    }});
    let path = cluster_wide(&api, FLOW, "flowschemas", &["status"], &schema).await;
    bare_status_of(&api, &path, &schema, &condition("PatchStatusFailed")).await;
}

#[tokio::test]
async fn priority_and_fairness_prioritylevelconfiguration_api() {
    let api = Api::start().await;
    let level = json!({"spec": {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}},
    }});
    let path = cluster_wide(&api, FLOW, "prioritylevelconfigurations", &["status"], &level).await;
    bare_status_of(&api, &path, &level, &condition("PatchStatusFailed")).await;
}

fn matching() -> Value {
    json!({"resourceRules": [{
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"],
    }]})
}

#[tokio::test]
async fn validatingadmissionpolicy_api() {
    let api = Api::start().await;
    let policy = json!({"spec": {
        "matchConstraints": matching(), "validations": [{"expression": "object.spec.replicas <= 100"}],
    }});
    let path = cluster_wide(&api, ADMISSION, "validatingadmissionpolicies", &["status"], &policy).await;
    bare_status_of(&api, &path, &policy, &condition("PatchStatusFailed")).await;
}

#[tokio::test]
async fn validatingadmissionpolicybinding_api() {
    let api = Api::start().await;
    let binding = json!({"spec": {"policyName": "replicas.example.com", "validationActions": ["Deny"]}});
    cluster_wide(&api, ADMISSION, "validatingadmissionpolicybindings", &[], &binding).await;
}

#[tokio::test]
async fn mutatingadmissionpolicy_api() {
    let api = Api::start().await;
    let expression =
        "Object{metadata: Object.metadata{annotations: {\"my-foo-annotation\": \"myAnnotationValue\"}}}";
    let policy = json!({"spec": {
        "matchConstraints": matching(), "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
    }});
    cluster_wide(&api, ADMISSION, "mutatingadmissionpolicies", &[], &policy).await;
}

#[tokio::test]
async fn mutatingadmissionpolicybinding_api() {
    let api = Api::start().await;
    let binding = json!({"spec": {"policyName": "annotations.example.com"}});
    cluster_wide(&api, ADMISSION, "mutatingadmissionpolicybindings", &[], &binding).await;
}

#[tokio::test]
async fn certificatesigningrequest_api() {
    let api = Api::start().await;
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let request = json!({"spec": {
        "request": STANDARD.encode(pem), "signerName": "example.com/e2e", "usages": ["digital signature"],
        "expirationSeconds": 3600,
    }});
    let parts = ["approval", "status"];
    let path =
        cluster_wide(&api, "certificates.k8s.io", "certificatesigningrequests", &parts, &request).await;
    api.post(&path, &named("r", &json!({}), &request)).await.expect(201);
    let one = format!("{path}/r");
    let mut approved = condition("Approved");
    approved["conditions"][0]["lastUpdateTime"] = json!("2024-05-06T07:08:09Z");
    part_operations(&api, &format!("{one}/approval"), &approved, true).await;
    let issued = json!({"certificate": STANDARD.encode(certificate())});
    part_operations(&api, &format!("{one}/status"), &issued, true).await;
    let read = api.get(&one).await.expect(200);
    assert_eq!(read["status"]["conditions"][0]["type"], "Approved");
}

fn certificate() -> String {
    rcgen::generate_simple_self_signed(vec!["e2e".to_owned()]).unwrap().cert.pem()
}

#[tokio::test]
async fn ingress_api() {
    let api = Api::start().await;
    let ingress = json!({"spec": {"defaultBackend": {"service": {
        "name": "default-backend", "port": {"number": 80},
    }}}});
    let path = in_namespace(&api, NETWORKING, "ingresses", &["status"], &ingress).await;
    let balancer = json!({"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}});
    status_of(&api, &path, &ingress, &balancer).await;
}

#[tokio::test]
async fn ingressclass_api() {
    let api = Api::start().await;
    let class = json!({"spec": {"controller": "example.com/controller"}});
    cluster_wide(&api, NETWORKING, "ingressclasses", &[], &class).await;
}

#[tokio::test]
async fn ipaddress_api() {
    let api = Api::start().await;
    discovered(&api, NETWORKING, "ipaddresses", &[]).await;
    let path = "/apis/networking.k8s.io/v1/ipaddresses";
    let parent = json!({"resource": "services", "name": "test", "namespace": "default"});
    let address = json!({"spec": {"parentRef": parent}});
    operations_named(&api, (path, path), ["192.168.0.1", "192.168.0.2"], &address).await;
}

#[tokio::test]
async fn servicecidr_api() {
    let api = Api::start().await;
    let range = json!({"spec": {"cidrs": ["10.196.196.0/24"]}});
    let path = cluster_wide(&api, NETWORKING, "servicecidrs", &["status"], &range).await;
    bare_status_of(&api, &path, &range, &condition("PatchStatusFailed")).await;
}

#[tokio::test]
async fn lease_api_should_be_available() {
    let api = Api::start().await;
    let spec = |holder: &str, transitions: i64| {
        json!({
            "holderIdentity": holder, "leaseDurationSeconds": 30, "leaseTransitions": transitions,
            "acquireTime": "2024-05-06T07:08:09.000000Z", "renewTime": "2024-05-06T07:08:14.000000Z",
        })
    };
    let first = format!("{LEASES}/lease");
    let lease = named("lease", &json!({}), &json!({"spec": spec("holder", 0)}));
    api.post(LEASES, &lease).await.expect(201);
    let mut read = api.get(&first).await.expect(200);
    assert_eq!(read["spec"], spec("holder", 0));

    read["spec"] = spec("holder2", 1);
    api.put(&first, &read).await.expect(200);
    assert_eq!(api.get(&first).await.expect(200)["spec"], spec("holder2", 1));

    let patch = json!({"spec": spec("holder3", 2)});
    api.patch(&first, "strategic-merge-patch", &patch).await.expect(200);
    assert_eq!(api.get(&first).await.expect(200)["spec"], spec("holder3", 2));

    let second = named("lease-2", &json!({"deletecollection": "true"}), &json!({"spec": spec("x", 0)}));
    api.post(LEASES, &second).await.expect(201);
    assert_eq!(names(&api.get(LEASES).await.expect(200)), ["lease", "lease-2"]);
    api.delete(&format!("{LEASES}?labelSelector=deletecollection%3Dtrue")).await.expect(200);
    assert_eq!(names(&api.get(LEASES).await.expect(200)), ["lease"]);
    api.delete(&first).await.expect(200);
    api.get(&first).await.refused(404, "NotFound", "leases.coordination.k8s.io \"lease\" not found");
}

#[tokio::test]
async fn event_delete_a_collection() {
    let api = Api::start().await;
    let events = "/api/v1/namespaces/default/events";
    let event = json!({"involvedObject": {"namespace": "default"}, "reason": "Test", "type": "Normal"});
    for name in ["test-event-1", "test-event-2", "test-event-3"] {
        api.post(events, &named(name, &json!({"testevent-set": "true"}), &event)).await.expect(201);
    }
    api.post(events, &named("other", &json!({}), &event)).await.expect(201);
    let set = format!("{events}?labelSelector=testevent-set%3Dtrue");
    assert_eq!(names(&api.get(&set).await.expect(200)).len(), 3);
    api.delete(&set).await.expect(200);
    assert!(names(&api.get(&set).await.expect(200)).is_empty());
    assert_eq!(names(&api.get(events).await.expect(200)), ["other"]);
}

#[tokio::test]
async fn runtimeclass_api() {
    let api = Api::start().await;
    cluster_wide(&api, "node.k8s.io", "runtimeclasses", &[], &json!({"handler": "wasm"})).await;
}

#[tokio::test]
async fn csidriver_lifecycle() {
    let api = Api::start().await;
    let driver = json!({"spec": {
        "attachRequired": false, "podInfoOnMount": true, "volumeLifecycleModes": ["Ephemeral"],
    }});
    cluster_wide(&api, "storage.k8s.io", "csidrivers", &[], &driver).await;
}

#[tokio::test]
async fn csinode_lifecycle() {
    let api = Api::start().await;
    let node = json!({"spec": {"drivers": [{
        "name": "driver.example.com", "nodeID": "n", "topologyKeys": ["topology.example.com/zone"],
    }]}});
    let path = cluster_wide(&api, "storage.k8s.io", "csinodes", &[], &node).await;
    // One that was deleted can be made again.
    api.post(&path, &named("one", &json!({}), &node)).await.expect(201);
}

#[tokio::test]
async fn csistoragecapacity_api() {
    let api = Api::start().await;
    let capacity = json!({
        "storageClassName": "example-class", "capacity": "1Gi",
        "nodeTopology": {"matchLabels": {"topology.example.com/zone": "a"}},
    });
    in_namespace(&api, "storage.k8s.io", "csistoragecapacities", &[], &capacity).await;
}

#[tokio::test]
async fn storageclass_lifecycle() {
    let api = Api::start().await;
    let class = json!({"provisioner": "e2e.example.com/fake", "parameters": {"type": "fast"}});
    let path = cluster_wide(&api, "storage.k8s.io", "storageclasses", &[], &class).await;
    let again = api.post(&path, &named("one", &json!({}), &class)).await.expect(201);
    assert_eq!(
        (&again["reclaimPolicy"], &again["volumeBindingMode"]),
        (&json!("Delete"), &json!("Immediate"))
    );
}

/// Takes the finalizer off a class, as the controller does for one that no volume uses.
async fn release(api: &Api, path: &str) {
    let free = json!({"metadata": {"finalizers": null}});
    api.patch(path, "merge-patch", &free).await.expect(200);
    api.get(path).await.expect(404);
}

#[tokio::test]
async fn volumeattributesclass_lifecycle() {
    let api = Api::start().await;
    let path = "/apis/storage.k8s.io/v1/volumeattributesclasses";
    discovered(&api, "storage.k8s.io", "volumeattributesclasses", &[]).await;
    let class = json!({"driverName": "e2e.example.com", "parameters": {"iops": "100"}});
    let class = named("class", &json!({"e2e": "class"}), &class);
    let one = format!("{path}/class");
    for _ in ["initial", "replacement"] {
        api.post(path, &class).await.expect(201);
        assert_eq!(api.get(&one).await.expect(200)["parameters"], class["parameters"]);
        change(&api, &one).await;
        api.delete(&format!("{path}?labelSelector=e2e%3Dclass")).await.expect(200);
        release(&api, &one).await;
    }
    api.post(path, &class).await.expect(201);
    api.delete(&one).await.expect(200);
    release(&api, &one).await;
}

fn attachment() -> Value {
    json!({"spec": {
        "attacher": "e2e.example.com", "nodeName": "node", "source": {"persistentVolumeName": "volume"},
    }})
}

#[tokio::test]
async fn volumeattachment_lifecycle() {
    let api = Api::start().await;
    let path = cluster_wide(&api, "storage.k8s.io", "volumeattachments", &[], &attachment()).await;
    for name in ["second", "third"] {
        api.post(&path, &named(name, &json!({"e2e": "both"}), &attachment())).await.expect(201);
    }
    api.delete(&format!("{path}?labelSelector=e2e%3Dboth")).await.expect(200);
    assert!(names(&api.get(&path).await.expect(200)).is_empty());
}

#[tokio::test]
async fn volumeattachment_apply_changes_to_a_volumeattachment_status() {
    let api = Api::start().await;
    let path = "/apis/storage.k8s.io/v1/volumeattachments";
    let made = api.post(path, &named("a", &json!({}), &attachment())).await.expect(201);
    assert_eq!(made["status"]["attached"], false);
    let one = format!("{path}/a");
    part_operations(&api, &format!("{one}/status"), &json!({"attached": true}), false).await;
    let mut read = api.get(&one).await.expect(200);
    read["status"]["attached"] = json!(false);
    api.put(&format!("{one}/status"), &read).await.expect(200);
    assert_eq!(api.get(&one).await.expect(200)["status"]["attached"], false);
    api.delete(&one).await.expect(200);
    api.get(&one).await.expect(404);
}

#[tokio::test]
async fn persistentvolumes_claims_apply_changes_to_a_pv_pvc_status() {
    let api = Api::start().await;
    let volume = json!({"spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    }});
    let changed = json!({"reason": "E2E patchStatus", "message": "StatusPatched"});
    status_of(&api, "/api/v1/persistentvolumes", &volume, &changed).await;
    let claim = json!({"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
    }});
    let mut patched = condition("StatusPatched");
    patched["conditions"][0]["lastProbeTime"] = json!(null);
    status_of(&api, "/api/v1/namespaces/default/persistentvolumeclaims", &claim, &patched).await;
}

#[tokio::test]
async fn namespace_apply_changes_to_a_namespace_status() {
    let api = Api::start().await;
    let one = "/api/v1/namespaces/default";
    assert_eq!(api.get(&format!("{one}/status")).await.expect(200)["status"]["phase"], "Active");
    status_operations(&api, one, &condition("StatusPatch")).await;
}

fn workload() -> Value {
    let labels = json!({"app": "a"});
    json!({"spec": {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        },
    }})
}

#[tokio::test]
async fn daemonset_status_sub_resource() {
    let api = Api::start().await;
    status_of(&api, &format!("{APPS}/daemonsets"), &workload(), &condition("StatusPatched")).await;
}

#[tokio::test]
async fn replicaset_status_sub_resource() {
    let api = Api::start().await;
    status_of(&api, &format!("{APPS}/replicasets"), &workload(), &condition("StatusPatched")).await;
}

#[tokio::test]
async fn statefulset_status_sub_resource() {
    let api = Api::start().await;
    status_of(&api, &format!("{APPS}/statefulsets"), &workload(), &condition("StatusPatched")).await;
}

fn device_request() -> Value {
    json!({"devices": {"requests": [{"name": "req-0", "exactly": {"deviceClassName": "my-device-class"}}]}})
}

#[tokio::test]
async fn crud_operations_for_deviceclasses() {
    let api = Api::start().await;
    let selector = json!({"cel": {"expression": "device.driver == \"driver.example.com\""}});
    let class = json!({"spec": {"selectors": [selector]}});
    cluster_wide(&api, DEVICES, "deviceclasses", &[], &class).await;
}

#[tokio::test]
async fn crud_operations_for_resourceclaims() {
    let api = Api::start().await;
    let claim = json!({"spec": device_request()});
    let path = in_namespace(&api, DEVICES, "resourceclaims", &["status"], &claim).await;
    let status = json!({"allocation": {"devices": {"results": [{
        "request": "req-0", "driver": "driver.example.com", "pool": "node", "device": "gpu-0",
    }]}}});
    bare_status_of(&api, &path, &claim, &status).await;
}

#[tokio::test]
async fn crud_operations_for_resourceclaimtemplates() {
    let api = Api::start().await;
    let template = json!({"spec": {"spec": device_request()}});
    in_namespace(&api, DEVICES, "resourceclaimtemplates", &[], &template).await;
}

#[tokio::test]
async fn crud_operations_for_resoureslices() {
    let api = Api::start().await;
    let slice = json!({"spec": {
        "driver": "driver.example.com", "nodeName": "node",
        "pool": {"name": "node", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "x1"}}}],
    }});
    cluster_wide(&api, DEVICES, "resourceslices", &[], &slice).await;
}
