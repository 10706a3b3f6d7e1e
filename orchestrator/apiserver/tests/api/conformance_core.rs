//! The conformance descriptions of the API operations of core, apps, batch and policy: what needs no controller.
//!
//! Each test is named after the description that it does.

use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, DEPLOYMENTS, PODS, SERVICES, deployment, names};
use crate::operations::{change, named, operations, status_operations};

const CORE: &str = "/api/v1/namespaces/default";
const APPS: &str = "/apis/apps/v1/namespaces/default";
const BATCH: &str = "/apis/batch/v1/namespaces/default";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

fn job_template() -> Value {
    json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn podtemplate_lifecycle() {
    let api = Api::start().await;
    let path = format!("{CORE}/podtemplates");
    operations(&api, "/api/v1/podtemplates", &path, &json!({"template": template()})).await;
}

#[tokio::test]
async fn podtemplate_delete_a_collection() {
    let api = Api::start().await;
    let path = format!("{CORE}/podtemplates");
    for name in ["a", "b", "c"] {
        let object = named(name, &json!({"podtemplate-set": "true"}), &json!({"template": template()}));
        api.post(&path, &object).await.expect(201);
    }
    let set = format!("{path}?labelSelector=podtemplate-set%3Dtrue");
    assert_eq!(names(&api.get(&set).await.expect(200)), ["a", "b", "c"]);
    api.delete(&set).await.expect(200);
    assert!(names(&api.get(&set).await.expect(200)).is_empty());
}

#[tokio::test]
async fn podtemplate_replace() {
    let api = Api::start().await;
    let path = format!("{CORE}/podtemplates");
    let made = named("t", &json!({}), &json!({"template": template()}));
    let mut made = api.post(&path, &made).await.expect(201);
    made["metadata"]["annotations"]["updated"] = json!("true");
    let replaced = api.put(&format!("{path}/t"), &made).await.expect(200);
    assert_eq!(replaced["metadata"]["annotations"]["updated"], "true");
    assert_eq!(replaced["metadata"]["generation"], 1);
}

#[tokio::test]
async fn controllerrevision_resource_lifecycle() {
    let api = Api::start().await;
    let set = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template()}});
    api.post(&format!("{APPS}/daemonsets"), &named("d", &json!({}), &set)).await.expect(201);
    let path = format!("{APPS}/controllerrevisions");
    let everywhere = "/apis/apps/v1/controllerrevisions?labelSelector=daemonset-name%3Dd";
    let labels = json!({"daemonset-name": "d"});
    // The revisions that the DaemonSet's controller would make.
    let make = async |name: &str, revision: i64, image: &str| {
        let mut data = json!({"spec": {"template": template()}});
        data["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        let revision = json!({"revision": revision, "data": data});
        api.post(&path, &named(name, &labels, &revision)).await.expect(201)
    };
    let listed = async || names(&api.get(everywhere).await.expect(200)).join(" ");
    make("initial", 1, "i").await;
    assert_eq!(listed().await, "initial");

    let label = json!({"metadata": {"labels": {"initial": "patched"}}});
    let patched = api.patch(&format!("{path}/initial"), "strategic-merge-patch", &label).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["initial"], "patched");
    let mut second = make("second", 2, "i").await;
    assert_eq!(listed().await, "initial second");
    api.delete(&format!("{path}/initial")).await.expect(200);
    assert_eq!(listed().await, "second");

    second["metadata"]["labels"]["second"] = json!("updated");
    let updated = api.put(&format!("{path}/second"), &second).await.expect(200);
    assert_eq!(updated["metadata"]["labels"]["second"], "updated");
    make("third", 3, "j").await;
    assert_eq!(listed().await, "second third");
    api.delete(&format!("{path}?labelSelector=second%3Dupdated")).await.expect(200);
    assert_eq!(listed().await, "third");
    assert_eq!(api.get(everywhere).await.expect(200)["items"][0]["revision"], 3);
}

#[tokio::test]
async fn the_data_of_a_controllerrevision_never_changes() {
    let api = Api::start().await;
    let path = format!("{APPS}/controllerrevisions");
    let made = named("r", &json!({}), &json!({"revision": 3, "data": {"spec": {}}}));
    let mut made = api.post(&path, &made).await.expect(201);
    made["data"] = json!({"other": true});
    api.put(&format!("{path}/r"), &made).await.refused(
        422,
        "Invalid",
        r#"ControllerRevision.apps "r" is invalid: data: Invalid value: {"other":true}: field is immutable"#,
    );
}

#[tokio::test]
async fn resourcequota_manage_lifecycle_of_a_resourcequota() {
    let api = Api::start().await;
    let path = format!("{CORE}/resourcequotas");
    let quota = json!({"spec": {"hard": {"cpu": "500m", "memory": "1Gi"}}});
    operations(&api, "/api/v1/resourcequotas", &path, &quota).await;
}

#[tokio::test]
async fn resourcequota_update_and_delete() {
    let api = Api::start().await;
    let path = format!("{CORE}/resourcequotas");
    let quota = named("q", &json!({}), &json!({"spec": {"hard": {"cpu": "1", "memory": "500Mi"}}}));
    let mut made = api.post(&path, &quota).await.expect(201);
    made["spec"]["hard"] = json!({"cpu": "2", "memory": "1Gi"});
    let updated = api.put(&format!("{path}/q"), &made).await.expect(200);
    assert_eq!(updated["spec"]["hard"], json!({"cpu": "2", "memory": "1Gi"}));
    api.delete(&format!("{path}/q")).await.expect(200);
    api.get(&format!("{path}/q")).await.expect(404);
}

#[tokio::test]
async fn resourcequota_apply_changes_to_a_resourcequota_status() {
    let api = Api::start().await;
    let path = format!("{CORE}/resourcequotas");
    let quota = named("q", &json!({}), &json!({"spec": {"hard": {"cpu": "500m", "memory": "500Mi"}}}));
    api.post(&path, &quota).await.expect(201);
    status_operations(&api, &format!("{path}/q"), &json!({"hard": {"cpu": "500m", "memory": "500Mi"}})).await;
    let spec = json!({"spec": {"hard": {"cpu": "1", "memory": "1Gi"}}});
    api.patch(&format!("{path}/q"), "merge-patch", &spec).await.expect(200);
    let again = json!({"spec": {"hard": {"cpu": "9"}}, "status": {"hard": {"cpu": "1", "memory": "1Gi"}}});
    let patched = api.patch(&format!("{path}/q/status"), "merge-patch", &again).await.expect(200);
    assert_eq!(patched["status"]["hard"], patched["spec"]["hard"]);
}

#[tokio::test]
async fn limitrange_list_patch_and_delete_a_limitrange_by_collection() {
    let api = Api::start().await;
    let path = format!("{CORE}/limitranges");
    let range = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}});
    operations(&api, "/api/v1/limitranges", &path, &range).await;
    let made = api.post(&path, &named("r", &json!({}), &range)).await.expect(201);
    let item = &made["spec"]["limits"][0];
    assert_eq!((&item["default"]["cpu"], &item["defaultRequest"]["cpu"]), (&json!("2"), &json!("2")));
}

#[tokio::test]
async fn replication_controller_lifecycle() {
    let api = Api::start().await;
    let path = format!("{CORE}/replicationcontrollers");
    let controller = json!({"spec": {"replicas": 1, "template": template()}});
    operations(&api, "/api/v1/replicationcontrollers", &path, &controller).await;
    let made = api.post(&path, &named("rc", &json!({}), &controller)).await.expect(201);
    assert_eq!(made["spec"]["selector"], json!({"app": "a"}));
    status_operations(&api, &format!("{path}/rc"), &json!({"replicas": 1, "readyReplicas": 1})).await;
}

#[tokio::test]
async fn replication_controller_get_and_update_replicationcontroller_scale() {
    let api = Api::start().await;
    let path = format!("{CORE}/replicationcontrollers");
    let controller = json!({"spec": {"replicas": 1, "template": template()}});
    api.post(&path, &named("rc", &json!({}), &controller)).await.expect(201);
    let mut scale = api.get(&format!("{path}/rc/scale")).await.expect(200);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(1), &json!("app=a")));
    scale["spec"]["replicas"] = json!(2);
    let updated = api.put(&format!("{path}/rc/scale"), &scale).await.expect(200);
    assert_eq!(updated["spec"]["replicas"], 2);
    assert_eq!(api.get(&format!("{path}/rc")).await.expect(200)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn statefulset_resource_replica_scaling() {
    let api = Api::start().await;
    let path = format!("{APPS}/statefulsets");
    let set = json!({"spec": {
        "replicas": 1, "serviceName": "s", "selector": {"matchLabels": {"app": "a"}}, "template": template(),
    }});
    api.post(&path, &named("s", &json!({}), &set)).await.expect(201);
    let mut scale = api.get(&format!("{path}/s/scale")).await.expect(200);
    scale["spec"]["replicas"] = json!(2);
    api.put(&format!("{path}/s/scale"), &scale).await.expect(200);
    let four = json!({"spec": {"replicas": 4}});
    api.patch(&format!("{path}/s/scale"), "merge-patch", &four).await.expect(200);
    assert_eq!(api.get(&format!("{path}/s")).await.expect(200)["spec"]["replicas"], 4);
}

#[tokio::test]
async fn statefulset_list_patch_and_delete_a_collection_of_statefulsets() {
    let api = Api::start().await;
    let path = format!("{APPS}/statefulsets");
    let set = json!({"spec": {
        "serviceName": "s", "selector": {"matchLabels": {"app": "a"}}, "template": template(),
    }});
    operations(&api, "/apis/apps/v1/statefulsets", &path, &set).await;
    let made = api.post(&path, &named("s", &json!({}), &set)).await.expect(201);
    assert_eq!(made["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 0);
    status_operations(&api, &format!("{path}/s"), &json!({"replicas": 1, "readyReplicas": 1})).await;
}

#[tokio::test]
async fn daemonset_list_and_delete_a_collection_of_daemonsets() {
    let api = Api::start().await;
    let path = format!("{APPS}/daemonsets");
    let set = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template()}});
    operations(&api, "/apis/apps/v1/daemonsets", &path, &set).await;
    let made = api.post(&path, &named("d", &json!({}), &set)).await.expect(201);
    let generation = "deprecated.daemonset.template.generation";
    assert_eq!(made["metadata"]["annotations"][generation], "1");
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "j"}]}}}});
    let patched = api.patch(&format!("{path}/d"), "strategic-merge-patch", &image).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"][generation], "2");
    status_operations(&api, &format!("{path}/d"), &json!({"numberReady": 1})).await;
}

#[tokio::test]
async fn replicaset_list_and_delete_a_collection_of_replicasets() {
    let api = Api::start().await;
    let set = json!({"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template()}});
    let path = format!("{APPS}/replicasets");
    operations(&api, "/apis/apps/v1/replicasets", &path, &set).await;
    api.post(&path, &named("r", &json!({}), &set)).await.expect(201);
    status_operations(&api, &format!("{path}/r"), &json!({"replicas": 2, "readyReplicas": 1})).await;
}

#[tokio::test]
async fn deployment_status_sub_resource() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let condition = json!({
        "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test",
        "lastUpdateTime": null, "lastTransitionTime": null,
    });
    status_operations(&api, &format!("{DEPLOYMENTS}/d"), &json!({"conditions": [condition]})).await;
}

#[tokio::test]
async fn cronjob_api_operations() {
    let api = Api::start().await;
    let path = format!("{BATCH}/cronjobs");
    let job = json!({"spec": {
        "schedule": "* */1 * * ?", "concurrencyPolicy": "Allow",
        "jobTemplate": {"spec": {"template": job_template()}},
    }});
    operations(&api, "/apis/batch/v1/cronjobs", &path, &job).await;
    api.post(&path, &named("c", &json!({}), &job)).await.expect(201);
    let time = json!({"lastScheduleTime": "2024-05-06T07:08:09Z"});
    status_operations(&api, &format!("{path}/c"), &time).await;
}

#[tokio::test]
async fn jobs_manage_lifecycle() {
    let api = Api::start().await;
    let path = format!("{BATCH}/jobs");
    let job = json!({"spec": {"suspend": true, "template": job_template()}});
    operations(&api, "/apis/batch/v1/jobs", &path, &job).await;
}

#[tokio::test]
async fn jobs_apply_changes_to_status() {
    let api = Api::start().await;
    let path = format!("{BATCH}/jobs");
    let job = named("j", &json!({}), &json!({"spec": {"template": job_template()}}));
    let made = api.post(&path, &job).await.expect(201);
    let uid = &made["metadata"]["uid"];
    assert_eq!(made["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"], *uid);
    let labels = &made["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["job-name"], &labels["controller-uid"]), (&json!("j"), uid));
    status_operations(&api, &format!("{path}/j"), &json!({"startTime": "2024-05-06T07:08:09Z"})).await;
}

#[tokio::test]
async fn poddisruptionbudget_create_update_patch_and_delete_object() {
    let api = Api::start().await;
    let budget = json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    let made = api.post(BUDGETS, &named("b", &json!({}), &budget)).await.expect(201);
    let mut stale = made.clone();
    stale["metadata"]["resourceVersion"] = Value::Null;
    api.put(&format!("{BUDGETS}/b"), &stale).await.refused(
        422,
        "Invalid",
        "poddisruptionbudgets.policy \"b\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified \
         for an update",
    );
    let mut updated = made.clone();
    updated["spec"]["minAvailable"] = json!("20%");
    api.put(&format!("{BUDGETS}/b"), &updated).await.expect(200);
    let patch = json!({"spec": {"minAvailable": "30%"}});
    let patched = api.patch(&format!("{BUDGETS}/b"), "merge-patch", &patch).await.expect(200);
    assert_eq!(
        (&patched["spec"]["minAvailable"], &patched["metadata"]["generation"]),
        (&json!("30%"), &json!(3))
    );
    api.delete(&format!("{BUDGETS}/b")).await.expect(200);
    api.get(&format!("{BUDGETS}/b")).await.expect(404);
}

#[tokio::test]
async fn poddisruptionbudget_list_and_delete_collection() {
    let api = Api::start().await;
    let budget = json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    operations(&api, "/apis/policy/v1/poddisruptionbudgets", BUDGETS, &budget).await;
}

#[tokio::test]
async fn poddisruptionbudget_update_and_patch_status() {
    let api = Api::start().await;
    let budget = json!({"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}});
    api.post(BUDGETS, &named("b", &json!({}), &budget)).await.expect(201);
    let pods = json!({"disruptedPods": {"p": "2024-05-06T07:08:09Z"}});
    status_operations(&api, &format!("{BUDGETS}/b"), &pods).await;
}

#[tokio::test]
async fn serviceaccount_lifecycle_test() {
    let api = Api::start().await;
    let path = format!("{CORE}/serviceaccounts");
    operations(&api, "/api/v1/serviceaccounts", &path, &json!({})).await;
    api.post(&path, &named("s", &json!({}), &json!({}))).await.expect(201);
    let patch = json!({"automountServiceAccountToken": false});
    let patched = api.patch(&format!("{path}/s"), "strategic-merge-patch", &patch).await.expect(200);
    assert_eq!(patched["automountServiceAccountToken"], false);
}

#[tokio::test]
async fn endpoint_resource_lifecycle() {
    let api = Api::start().await;
    let subset = json!({"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]});
    let path = format!("{CORE}/endpoints");
    operations(&api, "/api/v1/endpoints", &path, &json!({"subsets": [subset]})).await;
    api.post(&path, &named("e", &json!({}), &json!({"subsets": [subset]}))).await.expect(201);
    let patch =
        json!({"subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "n", "port": 8080}]}]});
    let patched = api.patch(&format!("{path}/e"), "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["subsets"][0]["addresses"][0]["ip"], "10.0.0.25");
    assert_eq!(patched["subsets"][0]["ports"][0]["protocol"], "TCP");
}

#[tokio::test]
async fn event_manage_lifecycle_of_an_event() {
    let api = Api::start().await;
    let events = format!("{CORE}/events");
    let one = format!("{events}/e");
    let event = json!({
        "involvedObject": {"namespace": "default", "kind": "Pod", "name": "p"}, "reason": "Test",
        "message": "This is a test event", "type": "Normal", "count": 1,
    });
    api.post(&events, &named("e", &json!({"testevent-constant": "true"}), &event)).await.expect(201);
    let everywhere = "/api/v1/events?labelSelector=testevent-constant%3Dtrue";
    assert_eq!(names(&api.get(everywhere).await.expect(200)), ["e"]);

    let message = json!({"message": "This is a test event - patched"});
    api.patch(&one, "strategic-merge-patch", &message).await.expect(200);
    let mut read = api.get(&one).await.expect(200);
    assert_eq!(read["message"], message["message"]);
    let series = json!({"count": 100, "lastObservedTime": "2024-05-06T08:00:00.000000Z"});
    read["series"] = series.clone();
    api.put(&one, &read).await.expect(200);
    assert_eq!(api.get(&one).await.expect(200)["series"], series);

    api.delete(&one).await.expect(200);
    assert!(names(&api.get(everywhere).await.expect(200)).is_empty());
}

#[tokio::test]
async fn configmap_lifecycle() {
    let api = Api::start().await;
    operations(&api, "/api/v1/configmaps", CONFIG_MAPS, &json!({"data": {"a": "b"}})).await;
}

/// Changes the data of an object until it says that nobody may.
async fn immutability(api: &Api, path: &str) {
    api.post(path, &named("o", &json!({}), &json!({"data": {"data-1": "dmFsdWUtMQ=="}}))).await.expect(201);
    let one = format!("{path}/o");
    let data = |value: &str| json!({"data": {"data-1": value}});
    let changed = api.patch(&one, "merge-patch", &data("dmFsdWUtMg==")).await.expect(200);
    assert_eq!(changed["data"]["data-1"], "dmFsdWUtMg==");
    api.patch(&one, "merge-patch", &json!({"immutable": true})).await.expect(200);

    let refused = api.patch(&one, "merge-patch", &data("dmFsdWUtMw==")).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "data");
    let refused = api.patch(&one, "merge-patch", &json!({"immutable": false})).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "immutable");
    api.patch(&one, "merge-patch", &json!({"metadata": {"labels": {"label": "yes"}}})).await.expect(200);
    let read = api.get(&one).await.expect(200);
    assert_eq!(
        (&read["data"]["data-1"], &read["metadata"]["labels"]["label"]),
        (&json!("dmFsdWUtMg=="), &json!("yes"))
    );
    api.delete(&one).await.expect(200);
    api.get(&one).await.expect(404);
}

#[tokio::test]
async fn configmap_volume_immutability() {
    immutability(&Api::start().await, CONFIG_MAPS).await;
}

#[tokio::test]
async fn secrets_volume_immutability() {
    immutability(&Api::start().await, &format!("{CORE}/secrets")).await;
}

#[tokio::test]
async fn csiinlinevolumes_should_support_pods_with_inline_volumes() {
    let api = Api::start().await;
    let volume =
        json!({"name": "inline", "csi": {"driver": "driver.example.com", "volumeAttributes": {"size": "1"}}});
    let pod = json!({"spec": {
        "volumes": [volume],
        "containers": [{"name": "c", "image": "i", "volumeMounts": [{"name": "inline", "mountPath": "/mnt/test"}]}],
    }});
    let labels = json!({"e2e": "inline"});
    let made = api.post(PODS, &named("p", &labels, &pod)).await.expect(201);
    assert_eq!(made["spec"]["volumes"][0]["csi"]["driver"], "driver.example.com");
    let one = format!("{PODS}/p");
    assert_eq!(api.get(&one).await.expect(200)["spec"], made["spec"]);
    let selected = "/api/v1/pods?labelSelector=e2e%3Dinline";
    assert_eq!(names(&api.get(selected).await.expect(200)), ["p"]);
    change(&api, &one).await;
    assert_eq!(api.get(&one).await.expect(200)["spec"]["volumes"], made["spec"]["volumes"]);
    api.delete(&one).await.expect(200);
    assert!(names(&api.get(selected).await.expect(200)).is_empty());
}

#[tokio::test]
async fn service_deletes_a_collection_of_services() {
    let api = Api::start().await;
    for (name, label) in [("a", "yes"), ("b", "yes"), ("c", "no")] {
        let service = json!({"spec": {"ports": [{"port": 80}]}});
        api.post(SERVICES, &named(name, &json!({"e2e": label}), &service)).await.expect(201);
    }
    api.delete(&format!("{SERVICES}?labelSelector=e2e%3Dyes")).await.expect(200);
    assert_eq!(names(&api.get(SERVICES).await.expect(200)), ["c"]);
}

#[tokio::test]
async fn service_complete_servicestatus_lifecycle() {
    let api = Api::start().await;
    let service = json!({"spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}});
    api.post(SERVICES, &named("s", &json!({}), &service)).await.expect(201);
    let balancer = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"}]}});
    status_operations(&api, &format!("{SERVICES}/s"), &balancer).await;
}

#[tokio::test]
async fn a_volume_tells_since_when_it_is_in_its_phase() {
    let api = Api::start().await;
    let volumes = "/api/v1/persistentvolumes";
    let volume = json!({"spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    }});
    let made = api.post(volumes, &named("v", &json!({}), &volume)).await.expect(201);
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pv-protection"]));
    api.clock.advance(5);
    let bound = json!({"status": {"phase": "Bound"}});
    let bound = api.patch(&format!("{volumes}/v/status"), "merge-patch", &bound).await.expect(200);
    assert_eq!(bound["status"]["lastPhaseTransitionTime"], "2024-05-06T07:08:14Z");
}

#[tokio::test]
async fn node_resource_lifecycle() {
    let api = Api::start().await;
    operations(&api, "/api/v1/nodes", "/api/v1/nodes", &json!({})).await;
}

#[tokio::test]
async fn pods_delete_a_collection() {
    let api = Api::start().await;
    for name in ["a", "b", "c"] {
        let pod = json!({"spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": "i"}]}});
        api.post(PODS, &named(name, &json!({"type": "Testing"}), &pod)).await.expect(201);
    }
    let set = format!("{PODS}?labelSelector=type%3DTesting");
    api.delete(&set).await.expect(200);
    assert!(names(&api.get(&set).await.expect(200)).is_empty());
}

#[tokio::test]
async fn pods_completes_the_lifecycle_of_a_pod_and_the_podstatus() {
    let api = Api::start().await;
    let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, &named("p", &json!({"test-pod-static": "true"}), &pod)).await.expect(201);
    let patch = json!({
        "metadata": {"labels": {"test-pod": "patched"}},
        "spec": {"terminationGracePeriodSeconds": 30, "containers": [{"name": "c", "image": "j"}]},
    });
    let patched = api.patch(&format!("{PODS}/p"), "strategic-merge-patch", &patch).await.expect(200);
    assert_eq!(
        (&patched["spec"]["containers"][0]["image"], &patched["metadata"]["generation"]),
        (&json!("j"), &json!(2))
    );
    let ready =
        json!({"type": "Ready", "status": "False", "lastProbeTime": null, "lastTransitionTime": null});
    status_operations(&api, &format!("{PODS}/p"), &json!({"conditions": [ready]})).await;
    api.delete(&format!("{PODS}/p?gracePeriodSeconds=0")).await.expect(200);
    api.get(&format!("{PODS}/p")).await.expect(404);
}

#[tokio::test]
async fn namespace_apply_finalizer_to_a_namespace() {
    let api = Api::start().await;
    let mut made = api.post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await.expect(201);
    made["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fake"]);
    let updated = api.put("/api/v1/namespaces/n/finalize", &made).await.expect(200);
    assert_eq!(updated["spec"]["finalizers"], json!(["kubernetes", "e2e.example.com/fake"]));
    let mut updated = api.get("/api/v1/namespaces/n").await.expect(200);
    updated["spec"]["finalizers"] = json!(["kubernetes"]);
    let removed = api.put("/api/v1/namespaces/n/finalize", &updated).await.expect(200);
    assert_eq!(removed["spec"]["finalizers"], json!(["kubernetes"]));
}

#[tokio::test]
async fn namespace_patching() {
    let api = Api::start().await;
    api.post("/api/v1/namespaces", &json!({"metadata": {"name": "n"}})).await.expect(201);
    let patch = json!({"metadata": {"labels": {"testLabel": "testValue"}}});
    let patched = api.patch("/api/v1/namespaces/n", "strategic-merge-patch", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["labels"]["testLabel"], "testValue");
    assert_eq!(patched["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
}

#[tokio::test]
async fn limitrange_resources() {
    let api = Api::start().await;
    let range = json!({"spec": {"limits": [{
        "type": "Container",
        "min": {"cpu": "50m"}, "max": {"cpu": "500m"},
        "default": {"cpu": "400m"}, "defaultRequest": {"cpu": "100m"},
    }]}});
    api.post(&format!("{CORE}/limitranges"), &named("r", &json!({}), &range)).await.expect(201);
    let pod = |cpu: Value| json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": cpu}]}});
    let plain = api.post(PODS, &named("plain", &json!({}), &pod(json!({})))).await.expect(201);
    let resources = &plain["spec"]["containers"][0]["resources"];
    assert_eq!(*resources, json!({"limits": {"cpu": "400m"}, "requests": {"cpu": "100m"}}));
    let partial = pod(json!({"limits": {"cpu": "300m"}}));
    let partial = api.post(PODS, &named("partial", &json!({}), &partial)).await.expect(201);
    assert_eq!(partial["spec"]["containers"][0]["resources"]["requests"], json!({"cpu": "300m"}));
    let much = pod(json!({"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}}));
    api.post(PODS, &named("much", &json!({}), &much)).await.refused(
        403,
        "Forbidden",
        "pods \"much\" is forbidden: maximum cpu usage per Container is 500m, but limit is 2",
    );
    let little = pod(json!({"limits": {"cpu": "100m"}, "requests": {"cpu": "10m"}}));
    api.post(PODS, &named("little", &json!({}), &little)).await.refused(
        403,
        "Forbidden",
        "pods \"little\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m",
    );
}

#[tokio::test]
async fn a_namespace_refuses_pods_beyond_its_standard_and_warns_of_templates() {
    let api = Api::start().await;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}});
    api.patch("/api/v1/namespaces/default", "merge-patch", &label).await.expect(200);
    let pod = json!({"spec": {"hostNetwork": true, "containers": [{"name": "c", "image": "i"}]}});
    api.post(PODS, &named("p", &json!({}), &pod)).await.refused(
        403,
        "Forbidden",
        "pods \"p\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)",
    );
    api.pod("fine", None).await;
    let mut deployment = deployment("d");
    deployment["spec"]["template"]["spec"]["hostPID"] = json!(true);
    let answer = api.post(DEPLOYMENTS, &deployment).await;
    let warning = answer.headers["warning"].to_str().unwrap().to_owned();
    assert_eq!(answer.code, 201);
    assert!(
        warning.contains("would violate PodSecurity \\\"baseline:latest\\\": host namespaces"),
        "{warning}"
    );
}
