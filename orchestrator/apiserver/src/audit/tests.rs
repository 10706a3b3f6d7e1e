//! Ends of requests that clients do not see.

use http::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::auth::UserInfo;
use crate::notes::Notes;
use crate::request::query::Query;

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
}

/// What records everything and waits for nobody.
fn audit() -> Arc<Audit> {
    let rules = b"{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Request}]}";
    let mut log = LogConfig::new(LogTarget::Stdout);
    (log.delivery.mode, log.delivery.max_batch) = (Mode::Batch, 10);
    let config = AuditConfig { policy: Policy::parse(rules).unwrap(), log: Some(log), webhook: None };
    Arc::new(Audit::new(config, Arc::new(Still)))
}

/// A request that is under way.
fn under_way<'a>(audit: &Arc<Audit>, notes: &'a Notes) -> Unfinished<'a> {
    let (parts, ()) =
        Request::delete("/apis/apps/v1/namespaces/a/deployments/d").body(()).unwrap().into_parts();
    let (query, user) = (Query::parse(""), UserInfo::new("ann", &[]));
    let asked = Asked { parts: &parts, query: &query, user: Some(&user), id: "id".to_owned() };
    Unfinished::new(audit.begin(asked).unwrap(), notes)
}

/// The one event that was recorded.
async fn event(audit: &Audit) -> Value {
    let mut outlet = audit.log.as_ref().unwrap().1.outlet().unwrap();
    let batch = outlet.next(&audit.closing).await.unwrap();
    let [item] = batch.as_slice() else { panic!("there is one event") };
    serde_json::from_slice(&item.event).unwrap()
}

#[tokio::test]
async fn a_panic_is_recorded_and_goes_on() {
    let (audit, notes) = (audit(), Notes::default());
    let panic = under_way(&audit, &notes).panicked(Box::new("boom")).await;
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"boom"));
    let event = event(&audit).await;
    assert_eq!(event["stage"], "Panic");
    assert_eq!(event["responseStatus"]["message"], "APIServer panic'd: boom");
    assert_eq!(event["responseStatus"]["code"], 500);
}

#[tokio::test]
async fn a_request_whose_client_is_gone_is_recorded_with_whom_it_was_for() {
    let (audit, notes) = (audit(), Notes::default());
    notes.listen("id");
    notes.heard().unwrap().impersonated.set(UserInfo::new("bob", &[])).unwrap();
    drop(under_way(&audit, &notes));
    let event = event(&audit).await;
    assert_eq!(
        (event["stage"].as_str(), event["impersonatedUser"]["username"].as_str()),
        (Some("ResponseComplete"), Some("bob"))
    );
    assert_eq!(event["responseStatus"]["message"], "Connection closed early");
    let object = serde_json::json!({
        "resource": "deployments", "namespace": "a", "name": "d", "apiGroup": "apps", "apiVersion": "v1",
    });
    assert_eq!(event["objectRef"], object);
}
