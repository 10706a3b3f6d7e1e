//! HorizontalPodAutoscalers, with a server of metrics behind the API that says what the test wants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use wherry_orchestrator::{Autoscaling, ControllerOptions};

use crate::aggregator::server::{Answer, Server, json_answer};
use crate::support::kubelet::Kubelet;
use crate::support::workload::template;
use crate::support::{Cluster, NAMESPACE, wait};

/// What the server says: how much each Pod uses of processors, and other metrics by name.
#[derive(Default)]
struct Said {
    cpu: &'static str,
    others: BTreeMap<&'static str, &'static str>,
}

/// A cluster whose autoscalers look often, with a server of metrics.
struct Scene {
    cluster: Cluster,
    said: Arc<Mutex<Said>>,
    _kubelet: Kubelet,
    _server: Server,
}

async fn cluster() -> Cluster {
    let autoscaling = Autoscaling { sync_period: Duration::from_millis(100), ..Autoscaling::default() };
    Cluster::with_controllers(ControllerOptions { autoscaling, ..ControllerOptions::default() }).await
}

impl Scene {
    async fn start() -> Self {
        let cluster = cluster().await;
        let kubelet = cluster.add_nodes(1).await;
        let said = Arc::new(Mutex::new(Said::default()));
        let (told, client) = (Arc::clone(&said), cluster.client.clone());
        let answer = move |request| answer(Arc::clone(&told), client.clone(), request);
        let server = Server::start(&cluster, answer).await;
        for group in [
            ("metrics.k8s.io", "v1beta1"),
            ("custom.metrics.k8s.io", "v1beta2"),
            ("external.metrics.k8s.io", "v1beta1"),
        ] {
            server.register(&cluster, group.0, group.1).await;
        }
        Self { cluster, said, _kubelet: kubelet, _server: server }
    }

    fn say(&self, metric: &'static str, value: &'static str) {
        self.said.lock().others.insert(metric, value);
    }
}

async fn answer(said: Arc<Mutex<Said>>, client: Client, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let steps: Vec<&str> = path.split('/').skip(2).collect();
    let now = Timestamp::now().to_string();
    let value = |metric: &str| said.lock().others.get(metric).copied();
    let answered = match steps.as_slice() {
        [group, version] => {
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"), "resources": []})
        }
        ["metrics.k8s.io", _, "namespaces", namespace, "pods"] => {
            let found = Api::<Pod>::namespaced(client, namespace)
                .list(&ListParams::default().labels("app=web"))
                .await;
            let cpu = said.lock().cpu;
            let pods = found.unwrap().items.into_iter().map(|pod| {
                let containers = json!([{"name": "c", "usage": {"cpu": cpu}}]);
                json!({"metadata": {"name": pod.name_any()}, "timestamp": now, "window": "0s", "containers": containers})
            });
            json!({"items": pods.collect::<Vec<_>>()})
        }
        ["custom.metrics.k8s.io", _, "namespaces", _, "widgets.example.com", name, metric] => {
            let items = value(metric)
                .map(|value| json!({"describedObject": {"name": name}, "timestamp": now, "value": value}));
            json!({"items": items.into_iter().collect::<Vec<_>>()})
        }
        ["external.metrics.k8s.io", _, "namespaces", _, metric] => {
            json!({"items": value(metric).map(|value| json!({"value": value})).into_iter().collect::<Vec<_>>()})
        }
        _ => return json_answer(StatusCode::NOT_FOUND, &json!({})),
    };
    json_answer(StatusCode::OK, &answered)
}

fn deployment(replicas: i32) -> Value {
    let mut template = template("web", "web");
    template["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
    let spec =
        json!({"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template});
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn autoscaler(target: &Value, more: &Value) -> Value {
    let mut spec = json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 8});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"metadata": {"name": "web"}, "spec": spec})
}

fn web() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"})
}

/// A condition as `status reason`, with its message.
fn condition<'a>(autoscaler: &'a HorizontalPodAutoscaler, type_: &str) -> (String, &'a str) {
    let conditions = autoscaler.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let found = conditions.into_iter().find(|condition| condition.type_ == type_);
    found.map_or((String::new(), ""), |found| {
        let reason = found.reason.as_deref().unwrap_or_default();
        (format!("{} {reason}", found.status), found.message.as_deref().unwrap_or_default())
    })
}

/// Waits for an event about the autoscaler; returns what it says.
async fn told(cluster: &Cluster, reason: &str) -> String {
    let events = cluster
        .until_all::<Event>("", |events| events.iter().any(|event| event.reason.as_deref() == Some(reason)));
    let events = events.await;
    let event = events.iter().find(|event| event.reason.as_deref() == Some(reason)).unwrap();
    event.message.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_follow_the_use_of_processors() {
    let scene = Scene::start().await;
    let cluster = &scene.cluster;
    scene.said.lock().cpu = "100m";
    cluster.create::<Deployment>(deployment(2)).await.unwrap();
    let ready = |deployment: &Deployment| deployment.status.as_ref().and_then(|status| status.ready_replicas);
    cluster.until::<Deployment>("web", |web| ready(web) == Some(2)).await;
    let metric = json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}});
    let behavior = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    let spec = autoscaler(&web(), &json!({"metrics": [metric], "behavior": behavior}));
    cluster.create::<HorizontalPodAutoscaler>(spec).await.unwrap();
    cluster.until::<Deployment>("web", |web| ready(web) == Some(8)).await;
    let message = told(cluster, "SuccessfulRescale").await;
    let why = "reason: cpu resource utilization (percentage of request) above target";
    assert!(message.starts_with("New size: ") && message.ends_with(why), "{message}");
    let full = |found: &HorizontalPodAutoscaler| {
        let is_all = found.status.as_ref().is_some_and(|status| status.current_replicas == Some(8));
        is_all && condition(found, "ScalingLimited").0 == "True TooManyReplicas"
    };
    let full = cluster.until::<HorizontalPodAutoscaler>("web", full).await;
    let status = serde_json::to_value(full.status.unwrap()).unwrap();
    assert_eq!(
        status["currentMetrics"][0]["resource"]["current"],
        json!({"averageUtilization": 100, "averageValue": "100m"})
    );
    assert_eq!((&status["currentReplicas"], &status["desiredReplicas"]), (&json!(8), &json!(8)));

    scene.said.lock().cpu = "10m";
    cluster.until::<Deployment>("web", |web| ready(web) == Some(2)).await;
    let calm =
        |found: &HorizontalPodAutoscaler| condition(found, "ScalingLimited").0 == "False DesiredWithinRange";
    cluster.until::<HorizontalPodAutoscaler>("web", calm).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_of_metrics_it_is_told_that_there_is_none() {
    let cluster = cluster().await;
    cluster.create::<Deployment>(deployment(2)).await.unwrap();
    cluster.create::<HorizontalPodAutoscaler>(autoscaler(&web(), &json!({}))).await.unwrap();
    let fails = |found: &HorizontalPodAutoscaler| {
        condition(found, "ScalingActive").0 == "False FailedGetResourceMetric"
    };
    let found = cluster.until::<HorizontalPodAutoscaler>("web", fails).await;
    let why = "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource \
               metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)";
    assert_eq!(
        condition(&found, "ScalingActive").1,
        format!("the HPA was unable to compute the replica count: {why}")
    );
    assert_eq!(condition(&found, "AbleToScale").0, "True SucceededGetScale");
    assert_eq!(told(&cluster, "FailedGetResourceMetric").await, why);
    let all = "invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value";
    assert_eq!(told(&cluster, "FailedComputeMetricsReplicas").await, format!("{all}: {why}"));
    assert_eq!(cluster.get::<Deployment>("web").await.spec.unwrap().replicas, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_hold_without_metrics_and_nothing_comes_of_nothing() {
    let cluster = cluster().await;
    cluster.create::<Deployment>(deployment(20)).await.unwrap();
    cluster.create::<HorizontalPodAutoscaler>(autoscaler(&web(), &json!({}))).await.unwrap();
    let replicas = |web: &Deployment| web.spec.as_ref().and_then(|spec| spec.replicas);
    cluster.until::<Deployment>("web", |web| replicas(web) == Some(8)).await;
    assert_eq!(
        told(&cluster, "SuccessfulRescale").await,
        "New size: 8; reason: Current number of replicas above Spec.MaxReplicas"
    );
    cluster.patch::<Deployment>("web", json!({"spec": {"replicas": 0}})).await;
    let off =
        |found: &HorizontalPodAutoscaler| condition(found, "ScalingActive").0 == "False ScalingDisabled";
    cluster.until::<HorizontalPodAutoscaler>("web", off).await;
    assert_eq!(replicas(&cluster.get::<Deployment>("web").await), Some(0));
    cluster.delete::<Deployment>("web").await;
    let lost = |found: &HorizontalPodAutoscaler| condition(found, "AbleToScale").0 == "False FailedGetScale";
    let found = cluster.until::<HorizontalPodAutoscaler>("web", lost).await;
    assert!(condition(&found, "AbleToScale").1.ends_with("\"web\" not found"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_has_a_scale_is_scaled_by_metrics_of_all_sources() {
    let scene = Scene::start().await;
    let cluster = &scene.cluster;
    let widgets = widgets(cluster).await;
    let described = json!({"apiVersion": "example.com/v1", "kind": "Widget", "name": "web"});
    let target = json!({"type": "AverageValue", "averageValue": "10"});
    let object = json!({"type": "Object", "object": {"describedObject": described, "metric": {"name": "hits"}, "target": target}});
    let queue = json!({"name": "queue", "selector": {"matchLabels": {"of": "web"}}});
    let external = json!({"type": "External", "external": {"metric": queue, "target": target}});
    scene.say("hits", "25");
    let spec = autoscaler(&described, &json!({"metrics": [object, external]}));
    cluster.create::<HorizontalPodAutoscaler>(spec).await.unwrap();
    let replicas = |wanted: i64| {
        move |found: Option<&DynamicObject>| {
            found.is_some_and(|found| found.data["spec"]["replicas"] == wanted)
        }
    };
    wait(await_condition(widgets.clone(), "web", replicas(3))).await;
    let message = told(cluster, "FailedGetExternalMetric").await;
    assert!(message.ends_with("no metrics returned from external metrics API"), "{message}");
    scene.say("queue", "60");
    wait(await_condition(widgets, "web", replicas(6))).await;
}

/// A kind with a scale, and a widget of two replicas, which are there.
async fn widgets(cluster: &Cluster) -> Api<DynamicObject> {
    let scale = json!({
        "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector",
    });
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
        "subresources": {"scale": scale},
    });
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"}, "versions": [version],
        },
    });
    let definitions = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    definitions.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    wait(await_condition(definitions, "widgets.example.com", conditions::is_crd_established())).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets = Api::<DynamicObject>::namespaced_with(cluster.client.clone(), NAMESPACE, &kind);
    let widget = json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "web"},
        "spec": {"replicas": 2}, "status": {"replicas": 2, "selector": "app=widget"},
    });
    widgets.create(&PostParams::default(), &serde_json::from_value(widget).unwrap()).await.unwrap();
    widgets
}
