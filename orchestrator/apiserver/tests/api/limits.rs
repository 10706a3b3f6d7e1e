//! LimitRanges: what Pods get that ask for nothing, and what nobody may ask for.

use serde_json::{Value, json};

use crate::harness::Api;

const RANGES: &str = "/api/v1/namespaces/default/limitranges";
const PODS: &str = "/api/v1/namespaces/default/pods";

fn amounts(cpu: &str, memory: &str, storage: &str) -> Value {
    json!({"cpu": cpu, "memory": memory, "ephemeral-storage": storage})
}

fn pod(name: &str, requests: &Value, limits: &Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": {"requests": requests, "limits": limits}});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

#[tokio::test]
async fn limitrange_resources() {
    let api = Api::start().await;
    let (min, max) = (amounts("50m", "100Mi", "100Gi"), amounts("500m", "500Mi", "500Gi"));
    let (limit, request) = (amounts("500m", "500Mi", "500Gi"), amounts("100m", "200Mi", "200Gi"));
    let item =
        json!({"type": "Container", "min": min, "max": max, "default": limit, "defaultRequest": request});
    let range = json!({"metadata": {"name": "r"}, "spec": {"limits": [item]}});
    let made = api.post(RANGES, &range).await.expect(201);
    assert_eq!(api.get(&format!("{RANGES}/r")).await.expect(200)["spec"], made["spec"]);
    assert_eq!(made["spec"]["limits"][0], item);

    // Who says nothing gets the defaults; who says a part gets the rest.
    let plain = api.post(PODS, &pod("plain", &json!({}), &json!({}))).await.expect(201);
    assert_eq!(plain["spec"]["containers"][0]["resources"], json!({"requests": request, "limits": limit}));
    let asks = json!({"cpu": "200m", "memory": "120Mi"});
    let part = api.post(PODS, &pod("part", &asks, &json!({"cpu": "300m"}))).await.expect(201);
    let expected =
        json!({"requests": amounts("200m", "120Mi", "200Gi"), "limits": amounts("300m", "500Mi", "500Gi")});
    assert_eq!(part["spec"]["containers"][0]["resources"], expected);

    // Too little and too much is refused.
    api.post(PODS, &pod("less", &amounts("10m", "50Mi", "50Gi"), &json!({}))).await.expect(403);
    api.post(PODS, &pod("more", &json!({}), &amounts("600m", "600Mi", "600Gi"))).await.expect(403);

    // An update counts from then on.
    let mut changed = made;
    changed["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi");
    let changed = api.put(&format!("{RANGES}/r"), &changed).await.expect(200);
    assert_eq!(changed["spec"]["limits"][0]["min"], amounts("9m", "49Mi", "49Gi"));
    api.post(PODS, &pod("less", &amounts("10m", "50Mi", "50Gi"), &json!({}))).await.expect(201);
    api.post(PODS, &pod("more", &json!({}), &amounts("600m", "600Mi", "600Gi"))).await.expect(403);

    // So does its end.
    api.delete(&format!("{RANGES}/r")).await.expect(200);
    api.post(PODS, &pod("more", &json!({}), &amounts("600m", "600Mi", "600Gi"))).await.expect(201);
}
