//! Definitions in the shape of operators that many clusters run, with their rules: established by kubectl, held to by
//! the server, and looked after by a controller that is written with kube-rs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Client, ResourceExt};
use serde_json::json;
use wherry_tests::ApiServer;

const SETS: [(&str, &[&str]); 3] = [
    ("gateway", &["gatewayclasses", "gateways", "httproutes"]),
    ("certificates", &["certificates", "issuers"]),
    ("monitoring", &["servicemonitors", "prometheusrules", "prometheuses"]),
];

fn fixture(name: &str) -> PathBuf {
    wherry_tests::workspace().join(format!("tests/fixtures/definitions/{name}.yaml"))
}

/// Creates what is in the fixture, and waits until all of it is served.
fn install(server: &ApiServer, name: &str) {
    let file = fixture(name);
    let file = file.to_str().unwrap();
    server.kubectl(&["apply", "-f", file]);
    server.kubectl(&["wait", "--for=condition=Established", "--timeout=10s", "-f", file]);
}

/// Has kubectl apply a manifest; the error if it is refused.
fn apply(server: &ApiServer, manifest: &str) -> Result<String, String> {
    let file = server.dir().join("manifest.yaml");
    std::fs::write(&file, manifest).unwrap();
    let output = server.try_kubectl(&["apply", "-f", file.to_str().unwrap()]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn definitions_of_widely_used_operators_are_established_and_explained() {
    let server = ApiServer::start();
    for (set, resources) in SETS {
        install(&server, set);
        for resource in resources {
            assert_eq!(server.kubectl(&["get", resource, "-A", "-o", "name"]), "", "{resource}");
        }
    }
    let fields = server.kubectl(&["explain", "gateway.spec.listeners.tls"]);
    assert!(
        fields.contains("certificateRefs") && fields.contains("enum: Terminate, Passthrough"),
        "{fields}"
    );
    let names = server.kubectl(&["api-resources", "--categories", "gateway-api", "-o", "name"]);
    assert_eq!(names.lines().count(), 3, "{names}");
    // Applied again, nothing changes.
    let again = server.kubectl(&["apply", "-f", fixture("gateway").to_str().unwrap()]);
    assert!(again.lines().all(|line| line.ends_with("unchanged")), "{again}");
}

#[test]
fn routes_keep_the_rules_of_their_definition() {
    let server = ApiServer::start();
    install(&server, "gateway");
    let class = |controller: &str| {
        let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\n";
        apply(&server, &format!("{head}spec: {{controllerName: {controller}}}\n"))
    };
    class("example.com/one").unwrap();
    let refused = class("example.com/two").unwrap_err();
    assert!(refused.contains("Value is immutable"), "{refused}");
    let gateway = |listeners: &str| {
        let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g}\n";
        apply(&server, &format!("{head}spec: {{gatewayClassName: c, listeners: [{listeners}]}}\n"))
    };
    gateway("{name: http, port: 80, protocol: HTTP}").unwrap();
    let from = "jsonpath={.spec.listeners[0].allowedRoutes}";
    assert_eq!(server.kubectl(&["get", "gateway", "g", "-o", from]), r#"{"namespaces":{"from":"Same"}}"#);
    let refused =
        gateway("{name: http, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: a}]}}").unwrap_err();
    assert!(refused.contains("tls must not be specified for protocols"), "{refused}");
    let refused =
        gateway("{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}").unwrap_err();
    assert!(refused.contains("Combination of port, protocol and hostname must be unique"), "{refused}");
    let refused = gateway("{name: a, port: 70000, protocol: HTTP}").unwrap_err();
    assert!(refused.contains("spec.listeners[0].port") && refused.contains("65535"), "{refused}");
    let route = |rule: &str| {
        let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n";
        apply(&server, &format!("{head}spec: {{parentRefs: [{{name: g}}], rules: [{rule}]}}\n"))
    };
    route("{backendRefs: [{name: web, port: 80}]}").unwrap();
    let path = "jsonpath={.spec.rules[0].matches[0].path.value} {.spec.rules[0].backendRefs[0].kind}";
    assert_eq!(server.kubectl(&["get", "httproute", "r", "-o", path]), "/ Service");
    let refused = route("{backendRefs: [{name: web}]}").unwrap_err();
    assert!(refused.contains("Must have port for Service reference"), "{refused}");
    let refused = route("{timeouts: {request: 1s, backendRequest: 2s}}").unwrap_err();
    assert!(refused.contains("backendRequest timeout cannot be longer than request timeout"), "{refused}");
    let older = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: Gateway\nmetadata: {name: g}\n";
    let labelled =
        format!("{older}spec: {{gatewayClassName: c, listeners: [{{name: t, port: 81, protocol: TCP}}]}}\n");
    apply(&server, &labelled).unwrap();
    let version = server.kubectl(&[
        "get",
        "gateways.v1.gateway.networking.k8s.io",
        "g",
        "-o",
        "jsonpath={.apiVersion}",
    ]);
    assert_eq!(version, "gateway.networking.k8s.io/v1");
}

#[test]
fn certificates_are_found_by_their_issuer() {
    let server = ApiServer::start();
    install(&server, "certificates");
    let certificate = |name: &str, spec: &str| {
        let head = format!("apiVersion: cert-manager.io/v1\nkind: Certificate\nmetadata: {{name: {name}}}\n");
        apply(&server, &format!("{head}spec: {{secretName: {name}-tls, {spec}}}\n"))
    };
    certificate("a", "dnsNames: [a.example.com], issuerRef: {name: one}").unwrap();
    certificate("b", "commonName: b, issuerRef: {name: two}").unwrap();
    let found =
        server.kubectl(&["get", "certs", "--field-selector", "spec.issuerRef.name=two", "-o", "name"]);
    assert_eq!(found, "certificate.cert-manager.io/b\n");
    let refused = certificate("c", "issuerRef: {name: one}").unwrap_err();
    assert!(refused.contains("at least one of commonName, dnsNames or literalSubject"), "{refused}");
    let refused =
        certificate("c", "commonName: c, issuerRef: {name: x}, duration: 1h, renewBefore: 2h").unwrap_err();
    assert!(refused.contains("renewBefore 2h is not shorter than the duration 1h"), "{refused}");
    let issuer = |spec: &str| {
        let head = "apiVersion: cert-manager.io/v1\nkind: Issuer\nmetadata: {name: i}\n";
        apply(&server, &format!("{head}spec: {spec}\n"))
    };
    let refused = issuer("{selfSigned: {}, ca: {secretName: s}}").unwrap_err();
    assert!(refused.contains("exactly one of ca, selfSigned and acme"), "{refused}");
    let refused =
        issuer("{acme: {server: 'http://a.example.com', privateKeySecretRef: {name: k}}}").unwrap_err();
    assert!(refused.contains("must be an https URL"), "{refused}");
    issuer("{selfSigned: {}}").unwrap();
}

#[test]
fn monitors_mix_numbers_and_names_and_are_scaled() {
    let server = ApiServer::start();
    install(&server, "monitoring");
    let rules = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: r}\n\
                 spec: {groups: [{name: g, rules: [{alert: A, expr: 1, for: 5m}, {record: b, expr: 'sum(x)'}]}]}\n";
    apply(&server, rules).unwrap();
    let exprs = server.kubectl(&["get", "promrule", "r", "-o", "jsonpath={.spec.groups[0].rules[*].expr}"]);
    assert_eq!(exprs, "1 sum(x)");
    let refused = apply(&server, &rules.replace("record: b", "record: b, alert: B")).unwrap_err();
    assert!(refused.contains("a rule either alerts or records"), "{refused}");
    let prometheus = "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: p}\n\
                      spec: {version: v3, replicas: 2, shards: 1, unknown: 1, resources: {limits: {cpu: 1, memory: 1Gi}}}\n";
    let refused = apply(&server, prometheus).unwrap_err();
    assert!(refused.contains(r#"unknown field "spec.unknown""#), "{refused}");
    apply(&server, &prometheus.replace("unknown: 1, ", "")).unwrap();
    server.kubectl(&["scale", "prometheus", "p", "--replicas=3"]);
    let scaled =
        server.kubectl(&["get", "prom", "p", "-o", "jsonpath={.spec.shards} {.spec.resources.limits}"]);
    assert_eq!(scaled, r#"3 {"cpu":1,"memory":"1Gi"}"#);
    let table = server.kubectl(&["get", "prom"]);
    assert!(table.starts_with("NAME   VERSION   DESIRED   READY"), "{table}");
}

async fn client(server: &ApiServer) -> Client {
    let file = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// Marks a certificate as issued; cleans up before it goes.
async fn reconcile(
    certificate: Arc<DynamicObject>,
    api: Arc<Api<DynamicObject>>,
) -> Result<Action, kube::Error> {
    let issue = async |event: Event<DynamicObject>| {
        let (name, condition) = match event {
            Event::Apply(object) => (object.name_any(), "Ready"),
            Event::Cleanup(object) => (object.name_any(), "Revoked"),
        };
        let status =
            json!({"status": {"revision": 1, "conditions": [{"type": condition, "status": "True"}]}});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await?;
        Ok::<_, kube::Error>(Action::await_change())
    };
    let gone = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    match finalizer(&api, "cert-manager.io/revoke", certificate, issue).await {
        Ok(action) => Ok(action),
        // What the controller saw last may be older than the end of the object.
        Err(finalizer::Error::CleanupFailed(error) | finalizer::Error::RemoveFinalizer(error))
            if gone(&error) =>
        {
            Ok(Action::await_change())
        }
        Err(error) => panic!("{error}"),
    }
}

fn on_error(_: Arc<DynamicObject>, error: &kube::Error, _: Arc<Api<DynamicObject>>) -> Action {
    panic!("{error}")
}

#[tokio::test]
async fn a_controller_of_kube_rs_finalizes_custom_objects_and_tells_their_status() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let server = ApiServer::start();
    install(&server, "certificates");
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    let kind = ApiResource::from_gvk_with_plural(&kind, "certificates");
    let api: Api<DynamicObject> = Api::namespaced_with(client(&server).await, "default", &kind);
    let controller = Controller::new_with(api.clone(), watcher::Config::default(), kind.clone());
    // That an object has gone before its turn came is no failure; others panic in the two functions above.
    let running =
        controller.run(reconcile, on_error, Arc::new(api.clone())).for_each(async |result| drop(result));
    tokio::select! {
        () = running => panic!("the controller ended"),
        () = lives_and_goes(api, kind) => {}
    }
}

async fn lives_and_goes(api: Api<DynamicObject>, kind: ApiResource) {
    let spec = json!({"spec": {"secretName": "s", "commonName": "c", "issuerRef": {"name": "i"}}});
    let certificate = DynamicObject::new("c", &kind).data(spec);
    let made = api.create(&PostParams::default(), &certificate).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    let ready = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| object.data["status"]["conditions"][0]["type"] == "Ready")
    };
    let waiting = Duration::from_secs(20);
    tokio::time::timeout(waiting, await_condition(api.clone(), "c", ready)).await.unwrap().unwrap();
    let issued = api.get("c").await.unwrap();
    assert_eq!(issued.finalizers(), ["cert-manager.io/revoke"]);
    assert_eq!(issued.metadata.generation, Some(1), "a status is no new generation");
    assert_eq!(issued.data["spec"]["privateKey"], json!(null), "a default fills in only what is there");
    assert_eq!(issued.data["spec"]["issuerRef"]["kind"], "Issuer");
    let uid = issued.uid().unwrap();
    api.delete("c", &DeleteParams::default()).await.unwrap();
    let gone = await_condition(api.clone(), "c", conditions::is_deleted(&uid));
    tokio::time::timeout(waiting, gone).await.unwrap().unwrap();
    assert!(api.get_opt("c").await.unwrap().is_none());
}
