//! PriorityClasses through the API.

use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;

use crate::support::{Cluster, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scheduler_verify_priorityclass_endpoints() {
    let cluster = Cluster::start().await;
    let classes = Api::<PriorityClass>::all(cluster.client.clone());
    for (name, value) in [("p1", 1_000), ("p2", 2_000)] {
        let class = json!({"metadata": {"name": name}, "value": value, "description": "This is a test"});
        classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
    }
    let listed = classes.list(&ListParams::default()).await.unwrap();
    assert!(["p1", "p2"].iter().all(|name| listed.items.iter().any(|class| class.name_any() == *name)));
    for name in ["p1", "p2"] {
        let mut class = classes.get(name).await.unwrap();
        class.description = Some("updated".to_owned());
        let updated = classes.replace(name, &PostParams::default(), &class).await.unwrap();
        assert_eq!(updated.description.as_deref(), Some("updated"));
        let patch = Patch::Merge(json!({"description": "patched", "metadata": {"labels": {"a": "b"}}}));
        let patched = classes.patch(name, &PatchParams::default(), &patch).await.unwrap();
        assert_eq!((patched.description.as_deref(), patched.labels()["a"].as_str()), (Some("patched"), "b"));
        for change in [json!({"value": 1}), json!({"preemptionPolicy": "Never"})] {
            refused(classes.patch(name, &PatchParams::default(), &Patch::Merge(change)).await, 422);
        }
        class.value = Some(3_000);
        class.metadata.resource_version = None;
        refused(classes.replace(name, &PostParams::default(), &class).await, 422);
        let found = classes.get(name).await.unwrap();
        assert_eq!(
            (found.value, found.preemption_policy.as_deref()),
            (Some(value_of(name)), Some("PreemptLowerPriority"))
        );
    }
    cluster.plane.shutdown().await;
}

fn value_of(name: &str) -> i32 {
    if name == "p1" { 1_000 } else { 2_000 }
}
