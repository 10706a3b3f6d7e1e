//! Tables, as `kubectl get` asks for them.

use serde_json::{Value, json};

use crate::harness::{Api, DEPLOYMENTS, PODS, SERVICES, deployment};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,\
                     application/json";

fn columns(table: &Value, wide: bool) -> Vec<&str> {
    let all = table["columnDefinitions"].as_array().unwrap().iter();
    all.filter(|c| wide || c["priority"] == 0).map(|c| c["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pods_are_shown_as_kubectl_shows_them() {
    let api = Api::start().await;
    api.pod("p", Some("n1")).await;
    let status = json!({"status": {"phase": "Running", "podIP": "10.244.0.5", "containerStatuses": [{
        "name": "c", "ready": true, "restartCount": 2, "image": "i", "imageID": "", "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2024-05-06T07:08:00Z"}},
    }]}});
    api.patch(&format!("{PODS}/p/status"), "merge-patch", &status).await.expect(200);
    api.clock.advance(60);
    let table = api.get_as(PODS, TABLE).await.expect(200);
    assert_eq!(table["kind"], "Table");
    assert_eq!(columns(&table, false), ["Name", "Ready", "Status", "Restarts", "Age"]);
    assert_eq!(columns(&table, true)[5..], ["IP", "Node", "Nominated Node", "Readiness Gates"]);
    let row = &table["rows"][0];
    let cells = json!(["p", "1/1", "Running", "2 (69s ago)", "60s", "10.244.0.5", "n1", "<none>", "<none>"]);
    assert_eq!(row["cells"], cells);
    assert_eq!(row["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(row["object"]["metadata"]["name"], "p");
}

#[tokio::test]
async fn deployments_and_services_are_shown_as_kubectl_shows_them() {
    let api = Api::start().await;
    api.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let table = api.get_as(&format!("{DEPLOYMENTS}/d"), TABLE).await.expect(200);
    assert_eq!(table["rows"][0]["cells"], json!(["d", "0/1", 0, 0, "0s", "c", "i", "app=a"]));
    let service = json!({
        "metadata": {"name": "s"},
        "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]},
    });
    api.post(SERVICES, &service).await.expect(201);
    let table = api.get_as(SERVICES, TABLE).await.expect(200);
    let cells = json!(["s", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP", "0s", "<none>"]);
    assert_eq!(table["rows"][0]["cells"], cells);
}

#[tokio::test]
async fn a_row_carries_as_much_of_the_object_as_is_asked_for() {
    let api = Api::start().await;
    api.pod("p", None).await;
    let whole = api.get_as(&format!("{PODS}?includeObject=Object"), TABLE).await.expect(200);
    assert_eq!(whole["rows"][0]["object"]["spec"]["containers"][0]["name"], "c");
    let none = api.get_as(&format!("{PODS}?includeObject=None"), TABLE).await.expect(200);
    assert!(none["rows"][0]["object"].is_null());
}

#[tokio::test]
async fn an_empty_table_has_columns_and_no_rows() {
    let api = Api::start().await;
    let table = api.get_as(PODS, TABLE).await.expect(200);
    assert_eq!(table["rows"], json!([]));
    assert_eq!(table["metadata"]["resourceVersion"], api.store.revision().to_string());
    assert!(!columns(&table, true).is_empty());
}

#[tokio::test]
async fn an_error_stays_a_status_when_a_table_is_asked_for() {
    let api = Api::start().await;
    let answer = api.get_as(&format!("{PODS}/absent"), TABLE).await;
    answer.refused(404, "NotFound", "pods \"absent\" not found");
}
