//! Where events go: files that are rotated, programs that collect them, and what happens if that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_apiserver::audit::{AuditConfig, LogTarget, Mode, Receiver, WebhookConfig};
use wherry_apiserver::{Rotating, TlsConfig};

use crate::audit::{Recorded, policy};
use crate::harness::{Api, CONFIG_MAPS};
use crate::hooks::{Hooks, allow};
use crate::logs::{Authority, open};

const CONFIG_MAPS_ONLY: &str = "omitStages: [RequestReceived]\nrules: [{level: RequestResponse, resources: [{resources: [configmaps]}]}]";

/// A collector to send events to, with a bearer token.
fn receiver(hooks: &Hooks, path: &str) -> Receiver {
    let server = format!("https://127.0.0.1:{}{path}", hooks.port);
    let config = json!({
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": hooks.bundle}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    Receiver::parse(config.to_string().as_bytes(), std::path::Path::new("/")).unwrap()
}

async fn sending_to(hooks: &Hooks, change: impl FnOnce(&mut WebhookConfig)) -> Api {
    let mut webhook = WebhookConfig::new(receiver(hooks, "/collect"));
    webhook.initial_backoff = Duration::from_millis(1);
    change(&mut webhook);
    let audit = AuditConfig { policy: policy(CONFIG_MAPS_ONLY), log: None, webhook: Some(webhook) };
    Api::with(|config| config.audit = Some(audit)).await
}

/// The names of the objects in the lists of events that a collector got.
fn lists(hooks: &Hooks) -> Vec<Vec<String>> {
    let seen = hooks.seen.lock();
    let list = |(path, list): &(String, Value)| {
        let about = (path.as_str(), &list["kind"], &list["apiVersion"]);
        assert_eq!(about, ("/collect", &json!("EventList"), &json!("audit.k8s.io/v1")));
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| item["objectRef"]["name"].as_str().unwrap().to_owned()).collect()
    };
    seen.iter().map(list).collect()
}

#[tokio::test]
async fn a_collector_gets_lists_of_events_and_the_rest_when_the_server_ends() {
    let hooks = Hooks::start(|_, _| allow()).await;
    let mut api = sending_to(&hooks, |webhook| webhook.delivery.max_batch = 2).await;
    for name in ["a", "b", "c"] {
        api.config_map(name, &json!({})).await;
    }
    api.server.stop();
    api.ended().await;
    let mut all = lists(&hooks);
    all.sort();
    assert_eq!(all, [vec!["a", "b"], vec!["c"]]);
}

#[tokio::test]
async fn what_a_collector_does_not_take_is_sent_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let hooks = Hooks::start(move |_, _| {
        assert!(counted.fetch_add(1, Ordering::Relaxed) > 1, "the first two lists are not taken");
        allow()
    })
    .await;
    let api = sending_to(&hooks, |webhook| webhook.delivery.mode = Mode::Blocking).await;
    api.config_map("a", &json!({})).await;
    assert_eq!((lists(&hooks), calls.load(Ordering::Relaxed)), (vec![vec!["a".to_owned()]], 3));
}

#[tokio::test]
async fn events_that_nobody_takes_are_lost_and_counted() {
    let hooks = Hooks::start(|_, _| panic!("no list is ever taken")).await;
    let api = sending_to(&hooks, |webhook| webhook.delivery.mode = Mode::Blocking).await;
    api.config_map("a", &json!({})).await;
    let page = api.get("/metrics").await.text;
    assert!(page.contains("apiserver_audit_error_total{plugin=\"webhook\"} 1\n"));
}

#[tokio::test]
async fn a_full_log_is_set_aside_and_old_ones_go() {
    let log = Recorded::with(CONFIG_MAPS_ONLY, |log| (log.max_size, log.max_backups) = (1, 2), |_| ()).await;
    for name in ["a", "b", "c", "d"] {
        let data = json!({"metadata": {"name": name}, "data": {"k": "x".repeat(300_000)}});
        log.api.post(CONFIG_MAPS, &data).await.expect(201);
        log.api.clock.advance(1);
    }
    let files = std::fs::read_dir(log.directory.path()).unwrap();
    let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        ["audit-2024-05-06T07-08-11.000.log", "audit-2024-05-06T07-08-12.000.log", "audit.log"]
    );
    assert_eq!(log.events("configmaps")[0]["objectRef"]["name"], "d");
}

#[tokio::test]
async fn a_request_that_cannot_be_recorded_is_refused_only_where_that_is_wanted() {
    for (mode, code) in [(Mode::BlockingStrict, 500), (Mode::Blocking, 201), (Mode::Batch, 201)] {
        let rules = "rules: [{level: Metadata, resources: [{resources: [configmaps]}]}]";
        let log = Recorded::with(
            rules,
            |log| {
                log.delivery.mode = mode;
                log.target = LogTarget::File("/dev/null/nowhere".into());
            },
            |_| (),
        )
        .await;
        let answer = log.api.post(CONFIG_MAPS, &json!({"metadata": {"name": "a"}})).await;
        assert_eq!(answer.code.as_u16(), code, "{}", answer.text);
        let page = log.api.get("/metrics").await.text;
        if mode == Mode::BlockingStrict {
            let text = format!("Internal Server Error: {CONFIG_MAPS:?}: failed to store audit event");
            assert_eq!(answer.text.trim_end(), text);
            assert!(page.contains("apiserver_audit_requests_rejected_total 1\n"));
            log.api.get(&format!("{CONFIG_MAPS}/a")).await.expect(500);
        }
        if mode == Mode::Blocking {
            assert!(page.contains("apiserver_audit_error_total{plugin=\"log\"} 2\n"), "{page}");
        }
    }
}

#[tokio::test]
async fn a_client_is_recorded_with_its_address_and_certificate_before_the_server_ends() {
    let ca = Authority::new();
    let mut log = Recorded::with(
        "rules: [{level: Metadata, nonResourceURLs: [/version]}]",
        |log| log.delivery.mode = Mode::Batch,
        |_| (),
    )
    .await;
    let server = ca.sign("server", None);
    let tls =
        TlsConfig { cert: server.cert.into(), key: server.key.into(), client_ca: ca.pem.clone().into() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (handle, token) = (log.api.server.clone(), shutdown.clone());
    tasks.spawn(async move { handle.serve(listener, Rotating::fixed(tls), token).await.unwrap() });
    let ann = ca.sign("ann", Some("system:masters"));
    let (response, _connection) = open(address, &ca, Some(&ann), "/version").await;
    assert_eq!(response.status(), 200);
    drop(response);
    shutdown.cancel();
    tasks.join_next().await.unwrap().unwrap();
    log.api.ended().await;
    let events = log.events("");
    let stages: Vec<&str> = events.iter().map(|event| event["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseComplete"]);
    assert_eq!(
        (&events[1]["sourceIPs"], &events[1]["user"]["username"]),
        (&json!(["127.0.0.1"]), &json!("ann"))
    );
    let credential = &events[1]["user"]["extra"]["authentication.kubernetes.io/credential-id"][0];
    assert!(credential.as_str().unwrap().starts_with("X509SHA256="));
}
