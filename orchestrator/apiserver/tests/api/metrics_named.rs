//! What is counted of webhooks, policies and conversions.

use serde_json::json;

use crate::conversion::{convert, define, tests};
use crate::harness::{Api, CONFIG_MAPS};
use crate::hooks::{Hooks, MUTATING, VALIDATING, allow, configure, deny, make};
use crate::metrics::sample;
use crate::policies::{matching, validating};

#[tokio::test]
async fn calls_of_webhooks_are_counted() {
    let api = Api::start().await;
    let page = api.get("/metrics").await.text;
    assert_eq!(sample(&page, &["apiserver_admission_webhook"]), None);
    let hooks = Hooks::start(|path, _| match path {
        "/no" => deny("no"),
        "/broken" => json!("nonsense"),
        _ => allow(),
    })
    .await;
    configure(&api, MUTATING, "m", &[hooks.hook("m.example.com", "/m", &json!({}))]).await;
    let open = json!({"failurePolicy": "Ignore"});
    configure(&api, VALIDATING, "o", &[hooks.hook("open.example.com", "/broken", &open)]).await;
    make(&api, "a", &json!({})).await.expect(201);
    configure(&api, VALIDATING, "v", &[hooks.hook("v.example.com", "/no", &json!({}))]).await;
    make(&api, "b", &json!({})).await.expect(400);
    let page = api.get("/metrics").await.text;
    let count =
        |family: &str, labels: &str| sample(&page, &[&format!("apiserver_admission_{family}{{{labels}}}")]);
    let duration = "webhook_admission_duration_seconds_count";
    let labels = "name=\"m.example.com\",operation=\"CREATE\",rejected=\"false\",type=\"admit\"";
    assert_eq!(count(duration, labels), Some(2.0));
    let labels = "name=\"v.example.com\",operation=\"CREATE\",rejected=\"true\",type=\"validating\"";
    assert_eq!(count(duration, labels), Some(1.0));
    assert_eq!(count("webhook_request_total", &format!("code=\"400\",{labels}")), Some(1.0));
    let labels = "error_type=\"no_error\",name=\"v.example.com\",operation=\"CREATE\",rejection_code=\"400\",type=\"validating\"";
    assert_eq!(count("webhook_rejection_count", labels), Some(1.0));
    let labels = "name=\"open.example.com\",type=\"validating\"";
    assert_eq!(count("webhook_fail_open_count", labels), Some(2.0));
    let labels = "operation=\"CREATE\",rejected=\"true\",type=\"validate\"";
    assert_eq!(count("step_admission_duration_seconds_count", labels), Some(1.0));
}

#[tokio::test]
async fn denials_of_policies_are_counted() {
    let api = Api::start().await;
    let spec = json!({"matchConstraints": matching("", "v1", "configmaps"),
                      "validations": [{"expression": "false"}, {"expression": "object.nope == 1"}]});
    validating(&api, "p", &spec, &json!({"validationActions": ["Warn", "Audit"]})).await;
    api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await.expect(201);
    let page = api.get("/metrics").await.text;
    for (action, error) in [("warn", "no_error"), ("audit", "no_error"), ("warn", "invalid_error")] {
        let labels = format!(
            "enforcement_action=\"{action}\",error_type=\"{error}\",policy=\"p\",policy_binding=\"p\""
        );
        let name = "apiserver_validating_admission_policy_check";
        assert_eq!(sample(&page, &[&format!("{name}_total{{{labels}}}")]), Some(1.0), "{labels}");
        assert_eq!(sample(&page, &[&format!("{name}_duration_seconds_count{{{labels}}}")]), Some(1.0));
    }
}

#[tokio::test]
async fn conversions_by_webhooks_are_counted() {
    let api = Api::start().await;
    let hooks = Hooks::start(convert).await;
    define(&api, &hooks, "/convert").await;
    let object = json!({"metadata": {"name": "a"}, "hostPort": "localhost:80"});
    api.post(&tests("v1"), &object).await.expect(201);
    api.get(&format!("{}/a", tests("v2"))).await.expect(200);
    let page = api.get("/metrics").await.text;
    let labels = "{failure_type=\"\",result=\"success\"}";
    let total = format!("apiserver_conversion_webhook_request_total{labels}");
    assert_eq!(sample(&page, &[&total]), Some(1.0));
    let labels =
        "{crd_name=\"tests.stable.example.com\",from_version=\"v1\",succeeded=\"true\",to_version=\"v2\"}";
    let took = format!("apiserver_crd_conversion_webhook_duration_seconds_count{labels}");
    assert_eq!(sample(&page, &[&took]), Some(1.0));
}
