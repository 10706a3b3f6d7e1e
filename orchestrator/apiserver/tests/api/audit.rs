//! What the audit log tells of requests.

use axum::body::Body;
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};
use wherry_apiserver::audit::{AuditConfig, LogConfig, LogTarget, Policy};
use wherry_apiserver::{Authorization, Config, UserInfo};

use crate::harness::{Answer, Api, CONFIG_MAPS, PODS, send};
use crate::hooks::{Hooks, VALIDATING, configure};

/// A policy of rules, as YAML.
pub(crate) fn policy(rules: &str) -> Policy {
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}\n");
    Policy::parse(text.as_bytes()).unwrap()
}

/// A server with a log.
pub(crate) struct Recorded {
    pub(crate) api: Api,
    pub(crate) directory: tempfile::TempDir,
}

impl Recorded {
    async fn start(rules: &str) -> Self {
        Self::with(rules, |_| (), |_| ()).await
    }

    /// A server with a log of a changed configuration.
    pub(crate) async fn with(
        rules: &str,
        change: impl FnOnce(&mut LogConfig),
        server: impl FnOnce(&mut Config),
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut log = LogConfig::new(LogTarget::parse(&directory.path().join("audit.log")).unwrap());
        change(&mut log);
        let audit = AuditConfig { policy: policy(rules), log: Some(log), webhook: None };
        let api = Api::with(|config| {
            config.audit = Some(audit);
            server(config);
        })
        .await;
        Self { api, directory }
    }

    /// The log as it is.
    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("audit.log")).unwrap()
    }

    /// All events about a resource, or about no resource if that is empty.
    pub(crate) fn events(&self, resource: &str) -> Vec<Value> {
        let events = self.text();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter(|e| e["objectRef"]["resource"].as_str().unwrap_or_default() == resource).collect()
    }

    /// The last event about a resource.
    fn last(&self, resource: &str) -> Value {
        self.events(resource).pop().unwrap()
    }

    async fn send_as(&self, user: UserInfo, request: Builder, body: &Value) -> Answer {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = request.header("content-type", "application/json").body(body).unwrap();
        send(&self.api.server.router_as(user), request).await
    }
}

fn stages(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["stage"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_tells_who_did_what_to_which_object_and_how_it_was_answered() {
    let log = Recorded::start("rules: [{level: Metadata, resources: [{resources: [configmaps]}]}]").await;
    let request = Request::post(format!("{CONFIG_MAPS}?fieldManager=me"))
        .header("audit-id", "id-7")
        .header("user-agent", "agent/1.0")
        .header("x-forwarded-for", "10.0.0.9");
    let body = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    let answer = log.send_as(UserInfo::master("ann"), request, &body).await;
    assert_eq!(answer.headers["audit-id"], "id-7");
    answer.expect(201);
    let events = log.events("configmaps");
    assert_eq!(stages(&events), ["RequestReceived", "ResponseComplete"]);
    assert!(events[0]["objectRef"].get("name").is_none() && events[0].get("responseStatus").is_none());
    let expected = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "id-7",
        "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/default/configmaps?fieldManager=me",
        "verb": "create", "user": {"username": "ann", "groups": ["system:masters", "system:authenticated"]},
        "sourceIPs": ["10.0.0.9"], "userAgent": "agent/1.0",
        "objectRef": {"resource": "configmaps", "namespace": "default", "name": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "code": 201},
        "requestReceivedTimestamp": "2024-05-06T07:08:09.000000Z",
        "stageTimestamp": "2024-05-06T07:08:09.000000Z",
        "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
    });
    assert_eq!(events[1], expected);
    let line = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Metadata","auditID":"#;
    assert!(log.text().starts_with(line), "{}", log.text());
}

#[tokio::test]
async fn an_answer_that_names_its_request_anew_is_found_in_the_log() {
    let log = Recorded::start("rules: [{level: Metadata, nonResourceURLs: [/version]}]").await;
    let answer = log.api.get("/version").await;
    let event = log.last("");
    assert_eq!(answer.headers["audit-id"], event["auditID"].as_str().unwrap());
    assert_eq!((&event["verb"], event.get("objectRef")), (&json!("get"), None));
}

#[tokio::test]
async fn bodies_are_recorded_at_the_levels_that_say_so_and_those_of_secrets_only_then() {
    let rules = "omitStages: [RequestReceived]\nrules: [{level: Metadata, resources: [{resources: [secrets]}]}, \
                 {level: Request, verbs: [patch]}, {level: RequestResponse, omitManagedFields: true, resources: \
                 [{resources: [configmaps]}]}]";
    let log = Recorded::start(rules).await;
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}});
    log.api.post("/api/v1/namespaces/default/secrets", &secret).await.expect(201);
    log.api.get("/api/v1/namespaces/default/secrets").await.expect(200);
    let events = log.events("secrets");
    assert_eq!((events.len(), &events[0]["objectRef"]["name"]), (2, &json!("s")));
    assert!(!log.text().contains("hunter2") && !log.text().contains("aHVudGVyMg"));

    let sent = json!({"metadata": {"name": "a"}, "data": {"k": "v"}});
    log.api.post(CONFIG_MAPS, &sent).await.expect(201);
    let event = log.last("configmaps");
    assert_eq!(event["requestObject"], sent);
    let answered = &event["responseObject"];
    assert_eq!((&answered["data"]["k"], &answered["metadata"]["name"]), (&json!("v"), &json!("a")));
    assert!(answered["metadata"].get("managedFields").is_none(), "{answered}");

    log.api.get(CONFIG_MAPS).await.expect(200);
    let item = &log.last("configmaps")["responseObject"]["items"][0]["metadata"];
    assert!(item["uid"].is_string() && item.get("managedFields").is_none(), "{item}");

    let patch = json!({"data": {"k": "w"}});
    log.api.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch", &patch).await.expect(200);
    let event = log.last("configmaps");
    assert_eq!((&event["requestObject"], event.get("responseObject")), (&patch, None));
}

#[tokio::test]
async fn what_is_refused_is_recorded_with_its_reason() {
    let log = Recorded::start("rules: [{level: Metadata}]").await;
    log.send_as(UserInfo::new("bob", &[]), Request::get(CONFIG_MAPS), &Value::Null).await.expect(403);
    let event = log.last("configmaps");
    let status = &event["responseStatus"];
    assert_eq!((&status["reason"], &status["code"]), (&json!("Forbidden"), &json!(403)));
    let message = "configmaps is forbidden: User \"bob\" cannot list resource \"configmaps\" in API group \"\" in the \
                   namespace \"default\"";
    assert_eq!(status["message"], message);
    let decision = json!({"authorization.k8s.io/decision": "forbid", "authorization.k8s.io/reason": ""});
    assert_eq!(event["annotations"], decision);
    log.api.delete(&format!("{CONFIG_MAPS}/none")).await.expect(404);
    let status = &log.last("configmaps")["responseStatus"];
    assert_eq!((&status["status"], &status["details"]["name"]), (&json!("Failure"), &json!("none")));
}

#[tokio::test]
async fn the_reason_for_which_roles_allow_a_request_is_recorded() {
    let log = Recorded::start("rules: [{level: Metadata, users: [ann]}]").await;
    log.api.default_policy().await;
    let ann = json!({"kind": "User", "name": "ann", "apiGroup": "rbac.authorization.k8s.io"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let binding = json!({"metadata": {"name": "anns"}, "roleRef": role, "subjects": [ann]});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    log.api.post(path, &binding).await.expect(201);
    assert!(log.events("clusterrolebindings").is_empty(), "the policy is about ann alone");
    log.send_as(UserInfo::new("ann", &[]), Request::get(CONFIG_MAPS), &Value::Null).await.expect(200);
    let reason = "RBAC: allowed by ClusterRoleBinding \"anns\" of ClusterRole \"view\" to User \"ann\"";
    assert_eq!(log.last("configmaps")["annotations"]["authorization.k8s.io/reason"], reason);
}

#[tokio::test]
async fn who_acts_in_the_name_of_somebody_else_is_recorded_as_both() {
    let log = Recorded::start("rules: [{level: Metadata, users: [root]}]").await;
    let headers = [("impersonate-user", "bob"), ("impersonate-group", "dev")];
    let request = headers.iter().fold(Request::get(CONFIG_MAPS), |r, (name, value)| r.header(*name, *value));
    log.send_as(UserInfo::master("root"), request, &Value::Null).await.expect(403);
    let event = log.last("configmaps");
    assert_eq!(event["user"]["username"], "root");
    assert_eq!(
        event["impersonatedUser"],
        json!({"username": "bob", "groups": ["dev", "system:authenticated"]})
    );
}

#[tokio::test]
async fn who_is_not_known_is_recorded_and_the_credential_is_not() {
    let log = Recorded::with(
        "rules: [{level: RequestResponse}]",
        |_| (),
        |config| {
            config.authorization = Authorization::AlwaysAllow;
        },
    )
    .await;
    let router = log.api.server.router();
    let request = |header: Option<&str>| {
        let builder = Request::get("/api/v1/nodes");
        let builder =
            header.into_iter().fold(builder, |builder, value| builder.header("authorization", value));
        builder.body(Body::empty()).unwrap()
    };
    send(&router, request(Some("Bearer s3cr3t"))).await.expect(401);
    send(&router, request(None)).await.expect(401);
    let events = log.events("nodes");
    assert_eq!(stages(&events), ["ResponseStarted", "ResponseStarted"]);
    assert_eq!((&events[0]["user"], &events[0]["responseStatus"]["code"]), (&json!({}), &json!(401)));
    assert_eq!(events[0]["responseStatus"]["message"], "Authentication failed, attempted: bearer");
    assert_eq!(events[1]["responseStatus"]["message"], "Authentication failed, no credentials provided");
    assert!(!log.text().contains("s3cr3t"));
}

#[tokio::test]
async fn a_watch_is_recorded_when_it_starts_and_when_it_ends() {
    let log =
        Recorded::start("rules: [{level: RequestResponse, resources: [{resources: [configmaps]}]}]").await;
    let mut watch = log.api.watch(&format!("{CONFIG_MAPS}?watch=1")).await;
    log.api.config_map("a", &json!({})).await;
    assert_eq!(watch.take(1).await, ["ADDED a"]);
    let of_watch = |log: &Recorded| -> Vec<Value> {
        log.events("configmaps").into_iter().filter(|event| event["verb"] == "watch").collect()
    };
    assert_eq!(stages(&of_watch(&log)), ["RequestReceived", "ResponseStarted"]);
    drop(watch);
    // What is answered later is written later.
    log.api.get(CONFIG_MAPS).await.expect(200);
    let events = of_watch(&log);
    assert_eq!(stages(&events), ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    assert_eq!((&events[2]["responseStatus"]["code"], events[2].get("responseObject")), (&json!(200), None));
}

#[tokio::test]
async fn policies_webhooks_and_pod_security_annotate_what_they_looked_at() {
    let log = Recorded::start("omitStages: [RequestReceived]\nrules: [{level: Metadata}]").await;
    let hooks = Hooks::start(|_, _| json!({"allowed": true, "auditAnnotations": {"seen": "yes"}})).await;
    configure(&log.api, VALIDATING, "h", &[hooks.hook("h.example.com", "/", &json!({}))]).await;
    let group = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic";
    let constraints = json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
                             "operations": ["CREATE"], "resources": ["configmaps"]}]});
    let spec = json!({
        "matchConstraints": constraints, "validations": [{"expression": "true"}],
        "auditAnnotations": [{"key": "name", "valueExpression": "'made ' + object.metadata.name"}],
    });
    log.api.post(&format!("{group}ies"), &json!({"metadata": {"name": "p"}, "spec": spec})).await.expect(201);
    let binding = json!({"policyName": "p", "validationActions": ["Audit"]});
    let binding = json!({"metadata": {"name": "p"}, "spec": binding});
    log.api.post(&format!("{group}ybindings"), &binding).await.expect(201);
    log.api.config_map("a", &json!({})).await;
    let annotations = log.last("configmaps")["annotations"].clone();
    assert_eq!(
        (&annotations["p/name"], &annotations["h.example.com/seen"]),
        (&json!("made a"), &json!("yes"))
    );

    log.api.pod("free", None).await;
    let enforced = "pod-security.kubernetes.io/enforce-policy";
    assert_eq!(log.last("pods")["annotations"][enforced], "privileged:latest");
    let prefix = "pod-security.kubernetes.io";
    let labels = json!({format!("{prefix}/enforce"): "baseline", format!("{prefix}/audit"): "restricted"});
    let labels = json!({"metadata": {"labels": labels}});
    log.api.patch("/api/v1/namespaces/default", "merge-patch", &labels).await.expect(200);
    log.api.pod("held", None).await;
    let annotations = log.last("pods")["annotations"].clone();
    assert_eq!(annotations[enforced], "baseline:latest");
    let violations = annotations[format!("{prefix}/audit-violations")].as_str().unwrap();
    assert!(violations.starts_with("would violate PodSecurity \"restricted:latest\": allow"), "{violations}");
    let host = json!({"metadata": {"name": "h"}, "spec": {"hostNetwork": true, "containers": [{"name": "c",
                      "image": "i"}]}});
    log.api.post(PODS, &host).await.expect(403);
    assert_eq!(log.last("pods")["annotations"][enforced], "baseline:latest");
}

#[tokio::test]
async fn events_and_levels_are_counted() {
    let log = Recorded::start("rules: [{level: Metadata, resources: [{resources: [configmaps]}]}]").await;
    log.api.config_map("a", &json!({})).await;
    let page = log.api.get("/metrics").await.text;
    for sample in [
        "apiserver_audit_event_total 2\n",
        "apiserver_audit_level_total{level=\"Metadata\"} 1\n",
        "apiserver_audit_error_total{plugin=\"log\"} 0\n",
        "apiserver_audit_requests_rejected_total 0\n",
    ] {
        assert!(page.contains(sample), "{sample}");
    }
}
