//! Services: addresses and node ports.

use serde_json::{Value, json};

use crate::harness::{Api, SERVICES};

fn service(name: &str, spec: &Value) -> Value {
    let mut full = json!({"ports": [{"port": 80}]});
    for (key, value) in spec.as_object().unwrap() {
        full[key] = value.clone();
    }
    json!({"metadata": {"name": name}, "spec": full})
}

#[tokio::test]
async fn a_service_gets_an_address_of_its_own() {
    let api = Api::start().await;
    let first = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let second = api.post(SERVICES, &service("b", &json!({}))).await.expect(201);
    assert_eq!(first["spec"]["clusterIPs"], json!([first["spec"]["clusterIP"]]));
    assert_eq!(
        (&first["spec"]["ipFamilies"], &first["spec"]["ipFamilyPolicy"]),
        (&json!(["IPv4"]), &json!("SingleStack"))
    );
    assert_ne!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert!(first["spec"]["clusterIP"].as_str().unwrap().starts_with("10.96."));
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_until_it_is_released() {
    let api = Api::start().await;
    let asked = json!({"clusterIP": "10.96.0.1"});
    api.post(SERVICES, &service("kubernetes", &asked)).await.expect(201);
    api.post(SERVICES, &service("b", &asked)).await.refused(
        422,
        "Invalid",
        "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.1\"]: failed to allocate IP 10.96.0.1: \
         provided IP is already allocated",
    );
    assert_eq!(api.get(&format!("{SERVICES}/b")).await.code, 404);
    api.delete(&format!("{SERVICES}/kubernetes")).await.expect(200);
    api.post(SERVICES, &service("b", &asked)).await.expect(201);
}

#[tokio::test]
async fn an_address_outside_the_range_is_refused() {
    let api = Api::start().await;
    let refused = api.post(SERVICES, &service("a", &json!({"clusterIP": "10.1.2.3"}))).await.expect(422);
    let text = refused["message"].as_str().unwrap();
    assert!(text.contains("the provided network does not match the current range"), "{text}");
}

#[tokio::test]
async fn a_headless_service_has_no_address() {
    let api = Api::start().await;
    let made = api
        .post(SERVICES, &service("h", &json!({"clusterIP": "None", "selector": {"a": "b"}})))
        .await
        .expect(201);
    assert_eq!((&made["spec"]["clusterIP"], &made["spec"]["clusterIPs"]), (&json!("None"), &json!(["None"])));
}

#[tokio::test]
async fn node_ports_are_given_kept_and_not_given_twice() {
    let api = Api::start().await;
    let made = api.post(SERVICES, &service("a", &json!({"type": "NodePort"}))).await.expect(201);
    let port = made["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30_000..=32_767).contains(&port));
    let mut update = service("a", &json!({"type": "NodePort", "selector": {"x": "y"}}));
    let updated = api.put(&format!("{SERVICES}/a"), &update).await.expect(200);
    assert_eq!(updated["spec"]["ports"][0]["nodePort"], port);
    assert_eq!(updated["spec"]["clusterIP"], made["spec"]["clusterIP"]);
    let same = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    api.post(SERVICES, &service("b", &same)).await.refused(
        422,
        "Invalid",
        &format!(
            "Service \"b\" is invalid: spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated"
        ),
    );
    update["spec"]["type"] = json!("ClusterIP");
    let closed = api.put(&format!("{SERVICES}/a"), &update).await.expect(200);
    assert!(closed["spec"]["ports"][0]["nodePort"].is_null());
    api.post(SERVICES, &service("b", &same)).await.expect(201);
}

#[tokio::test]
async fn an_address_once_set_stays() {
    let api = Api::start().await;
    let mut made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let address = made["spec"]["clusterIP"].clone();
    made["spec"]["clusterIP"] = json!("10.96.7.7");
    made["spec"]["clusterIPs"] = json!(["10.96.7.7"]);
    let refused = api.put(&format!("{SERVICES}/a"), &made).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("may not change once set"));
    assert_eq!(api.get(&format!("{SERVICES}/a")).await.expect(200)["spec"]["clusterIP"], address);
}

#[tokio::test]
async fn a_service_that_becomes_a_name_gives_its_address_back() {
    let api = Api::start().await;
    let made = api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let patch = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let named = api.patch(&format!("{SERVICES}/a"), "merge-patch", &patch).await.expect(200);
    assert!(named["spec"]["clusterIP"].is_null(), "{named}");
    let asked = json!({"clusterIP": made["spec"]["clusterIP"]});
    api.post(SERVICES, &service("b", &asked)).await.expect(201);
}

#[tokio::test]
async fn a_full_range_says_so() {
    let api = Api::with(|config| config.service_cidr = "10.96.0.0/30".parse().unwrap()).await;
    api.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let refused = api.post(SERVICES, &service("b", &json!({}))).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("range is full"), "{refused}");
}
