//! Quotas with the controller that counts them: what conformance says of the life of what they count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ReplicationController, ResourceQuota, Secret, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Cluster, Object, refused, wait};

impl Cluster {
    /// Makes a quota and waits until its status says what it allows.
    async fn quota(&self, name: &str, hard: &Value, more: Value) -> BTreeMap<String, String> {
        let mut spec = json!({"hard": hard});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.create::<ResourceQuota>(json!({"metadata": {"name": name}, "spec": spec})).await.unwrap();
        let limited = |quota: Option<&ResourceQuota>| {
            quota.is_some_and(|quota| {
                let allowed = quota.status.as_ref().and_then(|status| status.hard.as_ref());
                allowed.is_some() && allowed == quota.spec.as_ref().and_then(|spec| spec.hard.as_ref())
            })
        };
        let quota = wait(await_condition(self.api(), name, limited)).await.unwrap();
        used(&quota)
    }

    /// Waits until a quota says that this is used.
    async fn uses(&self, name: &str, expected: &Value) {
        let expected: BTreeMap<String, String> = serde_json::from_value(expected.clone()).unwrap();
        let told = |quota: Option<&ResourceQuota>| quota.is_some_and(|quota| used(quota) == expected);
        wait(await_condition(self.api(), name, told)).await;
    }

    /// That something is created and deleted, and counts as `made` and as `gone`.
    async fn follows<K: Object>(&self, hard: Value, object: Value, (made, gone): (Value, Value)) {
        let before = self.quota("q", &hard, json!({})).await;
        assert_eq!(json!(before), gone);
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.create::<K>(object).await.unwrap();
        self.uses("q", &made).await;
        self.delete::<K>(&name).await;
        self.uses("q", &gone).await;
    }
}

fn used(quota: &ResourceQuota) -> BTreeMap<String, String> {
    let used = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
    used.into_iter().map(|(name, amount)| (name, amount.0)).collect()
}

fn pod(name: &str, resources: &Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": resources});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_configmap() {
    let cluster = Cluster::start().await;
    let map = json!({"metadata": {"name": "a"}});
    let counts = (json!({"configmaps": "2"}), json!({"configmaps": "1"}));
    cluster.follows::<ConfigMap>(json!({"configmaps": "9"}), map, counts).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_secret() {
    let cluster = Cluster::start().await;
    let secret = json!({"metadata": {"name": "a"}});
    let hard = json!({"secrets": "9", "resourcequotas": "1"});
    let counts =
        (json!({"secrets": "1", "resourcequotas": "1"}), json!({"secrets": "0", "resourcequotas": "1"}));
    cluster.follows::<Secret>(hard, secret, counts).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_service() {
    let cluster = Cluster::start().await;
    let service = json!({"metadata": {"name": "a"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
    let hard = json!({"services": "9", "services.nodeports": "1", "services.loadbalancers": "1"});
    let made = json!({"services": "1", "services.nodeports": "1", "services.loadbalancers": "0"});
    let gone = json!({"services": "0", "services.nodeports": "0", "services.loadbalancers": "0"});
    cluster.follows::<Service>(hard, service, (made, gone)).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_replicaset() {
    let cluster = Cluster::start().await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("", &json!({}))["spec"]});
    let spec = json!({"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template});
    let counts = (json!({"count/replicasets.apps": "1"}), json!({"count/replicasets.apps": "0"}));
    let hard = json!({"count/replicasets.apps": "5"});
    let set = json!({"metadata": {"name": "a"}, "spec": spec});
    cluster.follows::<ReplicaSet>(hard, set, counts).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_replicationcontroller() {
    let cluster = Cluster::start().await;
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": pod("", &json!({}))["spec"]});
    let spec = json!({"replicas": 0, "selector": {"a": "b"}, "template": template});
    let counts = (json!({"replicationcontrollers": "1"}), json!({"replicationcontrollers": "0"}));
    let hard = json!({"replicationcontrollers": "5"});
    let set = json!({"metadata": {"name": "a"}, "spec": spec});
    cluster.follows::<ReplicationController>(hard, set, counts).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_resourcequotas() {
    let cluster = Cluster::start().await;
    let hard = json!({"resourcequotas": "1", "pods": "5", "services": "5"});
    let told = cluster.quota("q", &hard, json!({})).await;
    assert_eq!(json!(told), json!({"resourcequotas": "1", "pods": "0", "services": "0"}));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_object_count_quota_pod() {
    let cluster = Cluster::start().await;
    let hard = json!({
        "pods": "5", "cpu": "1", "memory": "500Mi", "ephemeral-storage": "50Gi", "requests.example.com/dongle": "3",
    });
    let none = json!({
        "pods": "0", "cpu": "0", "memory": "0", "ephemeral-storage": "0", "requests.example.com/dongle": "0",
    });
    assert_eq!(json!(cluster.quota("q", &hard, json!({})).await), none);
    let asks = |cpu: &str, dongles: &str| {
        let amounts = json!({"cpu": cpu, "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": dongles});
        json!({"requests": amounts, "limits": {"example.com/dongle": dongles}})
    };
    cluster.create::<Pod>(pod("a", &asks("500m", "2"))).await.unwrap();
    let one = json!({
        "pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "requests.example.com/dongle": "2",
    });
    cluster.uses("q", &one).await;
    refused(cluster.create::<Pod>(pod("b", &asks("600m", "1"))).await, 403);
    refused(cluster.create::<Pod>(pod("b", &asks("100m", "2"))).await, 403);
    let more = json!({"spec": {"containers": [{"name": "c", "resources": asks("600m", "2")}]}});
    refused(cluster.api::<Pod>().patch("a", &PatchParams::default(), &Patch::Strategic(more)).await, 422);
    cluster.uses("q", &one).await;
    cluster.delete::<Pod>("a").await;
    cluster.uses("q", &none).await;
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_quota_scope_besteffort_and_notbesteffort_scope() {
    let cluster = Cluster::start().await;
    let (none, one) = (json!({"pods": "0"}), json!({"pods": "1"}));
    for (name, scope) in [("best", "BestEffort"), ("other", "NotBestEffort")] {
        let told = cluster.quota(name, &json!({"pods": "5"}), json!({"scopes": [scope]})).await;
        assert_eq!(json!(told), none);
    }
    let stated = json!({"requests": {"cpu": "5m"}, "limits": {"cpu": "10m"}});
    for (name, resources, inside, outside) in
        [("a", json!({}), "best", "other"), ("b", stated, "other", "best")]
    {
        cluster.create::<Pod>(pod(name, &resources)).await.unwrap();
        cluster.uses(inside, &one).await;
        cluster.uses(outside, &none).await;
        cluster.delete::<Pod>(name).await;
        cluster.uses(inside, &none).await;
    }
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resourcequota_quota_scope_terminating_and_notterminating_scope() {
    let cluster = Cluster::start().await;
    let hard = json!({"pods": "5", "requests.cpu": "1", "limits.memory": "500Mi"});
    let none = json!({"pods": "0", "requests.cpu": "0", "limits.memory": "0"});
    let one = json!({"pods": "1", "requests.cpu": "500m", "limits.memory": "400Mi"});
    for (name, scope) in [("ending", "Terminating"), ("staying", "NotTerminating")] {
        let told = cluster.quota(name, &hard, json!({"scopes": [scope]})).await;
        assert_eq!(json!(told), none);
    }
    let stated =
        json!({"requests": {"cpu": "500m", "memory": "200Mi"}, "limits": {"cpu": "1", "memory": "400Mi"}});
    let mut ending = pod("b", &stated);
    ending["spec"]["activeDeadlineSeconds"] = json!(3600);
    for (name, pod, inside, outside) in
        [("a", pod("a", &stated), "staying", "ending"), ("b", ending, "ending", "staying")]
    {
        cluster.create::<Pod>(pod).await.unwrap();
        cluster.uses(inside, &one).await;
        cluster.uses(outside, &none).await;
        cluster.delete::<Pod>(name).await;
        cluster.uses(inside, &none).await;
    }
    cluster.plane.shutdown().await;
}

/// Makes Secrets and deletes them again until the attempts are used up.
async fn come_and_go(secrets: Api<Secret>, next: Arc<AtomicU64>, attempts: u64) {
    loop {
        let attempt = next.fetch_add(1, Ordering::SeqCst);
        if attempt >= attempts {
            return;
        }
        let secret = serde_json::from_value(json!({"metadata": {"name": format!("s{attempt}")}})).unwrap();
        match secrets.create(&PostParams::default(), &secret).await {
            Ok(_) => drop(secrets.delete(&format!("s{attempt}"), &DeleteParams::default()).await.unwrap()),
            Err(kube::Error::Api(status)) if status.code == 403 => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

/// What is deleted is counted by the controller while others create: its count must never let one more in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_given_back_is_never_given_twice() {
    const LIMIT: usize = 20;
    let cluster = Cluster::start().await;
    cluster.quota("q", &json!({"secrets": LIMIT.to_string()}), json!({})).await;
    let mut events = cluster.api::<Secret>().watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let next = Arc::new(AtomicU64::new(0));
    let mut creators = JoinSet::new();
    for _ in 0..64 {
        creators.spawn(come_and_go(cluster.api(), next.clone(), 2000));
    }
    while let Some(ended) = creators.join_next().await {
        ended.unwrap();
    }
    cluster.uses("q", &json!({"secrets": "0"})).await;
    cluster.create::<Secret>(json!({"metadata": {"name": "last"}})).await.unwrap();
    let (mut live, mut most, mut made) = (0, 0, 0);
    while let Some(event) = events.next().await {
        match event.unwrap() {
            WatchEvent::Added(secret) if secret.metadata.name.as_deref() == Some("last") => break,
            WatchEvent::Added(_) => (live, made) = (live + 1, made + 1),
            WatchEvent::Deleted(_) => live -= 1,
            WatchEvent::Bookmark(_) => {}
            other => panic!("{other:?}"),
        }
        most = most.max(live);
    }
    assert!(most <= LIMIT, "{most} Secrets at once");
    assert!(made > LIMIT, "nothing was given back: {made}");
    cluster.plane.shutdown().await;
}
