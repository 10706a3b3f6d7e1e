//! Classes that objects get which name none, and the system's priority classes.

use serde_json::json;

use crate::harness::Api;

const CLASSES: &str = "/apis/networking.k8s.io/v1/ingressclasses";
const INGRESSES: &str = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const PRIORITIES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";

#[tokio::test]
async fn an_ingress_without_a_class_gets_the_default() {
    let api = Api::start().await;
    let class = |name: &str, default: &str| {
        json!({
            "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": default}},
            "spec": {"controller": "example.com/c"},
        })
    };
    let spec = json!({"defaultBackend": {"service": {"name": "s", "port": {"number": 1}}}});
    let ingress = |name: &str| json!({"metadata": {"name": name}, "spec": spec});
    api.post(CLASSES, &class("a", "false")).await.expect(201);
    let made = api.post(INGRESSES, &ingress("none")).await.expect(201);
    assert!(made["spec"].get("ingressClassName").is_none());
    api.post(CLASSES, &class("c", "true")).await.expect(201);
    api.post(CLASSES, &class("b", "true")).await.expect(201);
    let made = api.post(INGRESSES, &ingress("first-by-name")).await.expect(201);
    assert_eq!(made["spec"]["ingressClassName"], "b");
    let mut older = ingress("annotated");
    older["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "mine"});
    let made = api.post(INGRESSES, &older).await.expect(201);
    assert!(made["spec"].get("ingressClassName").is_none());
}

#[tokio::test]
async fn one_priority_class_is_the_default() {
    let api = Api::start().await;
    let class =
        |name: &str, default: bool| json!({"metadata": {"name": name}, "value": 7, "globalDefault": default});
    let made = api.post(PRIORITIES, &class("first", true)).await.expect(201);
    api.put(&format!("{PRIORITIES}/first"), &made).await.expect(200);
    let why = |name: &str| {
        format!(
            "priorityclasses.scheduling.k8s.io {name:?} is forbidden: PriorityClass first is already marked as default. \
             Only one default can exist"
        )
    };
    api.post(PRIORITIES, &class("second", true)).await.refused(403, "Forbidden", &why("second"));
    let mut third = api.post(PRIORITIES, &class("third", false)).await.expect(201);
    third["globalDefault"] = json!(true);
    api.put(&format!("{PRIORITIES}/third"), &third).await.refused(403, "Forbidden", &why("third"));
}

#[tokio::test]
async fn the_systems_priority_classes_stay() {
    let api = Api::start().await;
    let class = json!({"metadata": {"name": "system-node-critical"}, "value": 2_000_001_000});
    api.post(PRIORITIES, &class).await.expect(201);
    api.delete(&format!("{PRIORITIES}/system-node-critical")).await.refused(
        403,
        "Forbidden",
        "priorityclasses.scheduling.k8s.io \"system-node-critical\" is forbidden: this is a system priority class and \
         cannot be deleted",
    );
}

#[tokio::test]
async fn a_binding_to_nothing_is_refused() {
    let api = Api::start().await;
    api.pod("p", None).await;
    let path = "/api/v1/namespaces/default/pods/p/binding";
    let binding = json!({"metadata": {"name": "p"}, "target": {"kind": "Pod", "name": ""}});
    let told = api.post(path, &binding).await.expect(500);
    assert_eq!(
        told["message"],
        "[target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\", target.name: Required value]"
    );
    let other = json!({"metadata": {"name": "q"}, "target": {"name": "n"}});
    let why = "name in URL does not match name in Binding object";
    api.post(path, &other).await.refused(400, "BadRequest", why);
}
