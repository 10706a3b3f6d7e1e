//! Ends tokens in Secrets that ServiceAccounts had made for them and that nobody uses any more.
//!
//! Flow: once a day. A token that was not used for as long as configured, since the server notes when tokens are used,
//! is first marked as invalid, which anybody can undo; marked for as long again, its Secret is deleted. What a Pod
//! mounts stays, and so does what users made by hand.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use wherry_api::clock::Clock;

use super::{owns, refers};
use crate::context::{Caches, Context};
use crate::objects::meta::labels;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Since when the server notes when tokens are used.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const DAY: Duration = Duration::from_hours(24);

/// There is one key: everything.
pub(crate) struct CleanerController {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
    period: SignedDuration,
}

/// What is to be done with a Secret.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// It is invalid from today on.
    Mark(Date),
    Delete,
}

/// What is known of the use of tokens.
struct World<'a> {
    now: Timestamp,
    since: Date,
    period: SignedDuration,
    account: Option<&'a ServiceAccount>,
    mounted: bool,
}

fn date(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

fn plan(secret: &Secret, world: &World<'_>) -> Option<Action> {
    let start = world.now.checked_sub(world.period).ok()?;
    let read = |label: &str| labels(&secret.metadata).get(label).map(|text| text.parse::<Date>());
    // The day after the server began to take notes is the first of which all is known.
    let known = world.since.tomorrow().ok()? <= date(start);
    let created = secret.metadata.creation_timestamp.as_ref().is_some_and(|at| at.0 >= start);
    let used = match read(LAST_USED) {
        None => false,
        Some(Ok(used)) => used >= date(start),
        // Nobody can tell when that was.
        Some(Err(_)) => true,
    };
    let automatic = world.account.is_some_and(|one| owns(one, secret) && refers(one, &secret.name_any()));
    let going = secret.metadata.deletion_timestamp.is_some();
    if !known || created || used || !automatic || going || world.mounted {
        return None;
    }
    match read(INVALID_SINCE) {
        Some(Ok(since)) => (since < date(start)).then_some(Action::Delete),
        _ => Some(Action::Mark(date(world.now))),
    }
}

/// The names of the Secrets that a part of a Pod's spec mentions.
fn mentioned(part: &Value, field: &str, names: &mut HashSet<String>) {
    match part {
        Value::Array(items) => items.iter().for_each(|item| mentioned(item, field, names)),
        Value::Object(fields) => {
            let refers = field.ends_with("secretRef") || field.ends_with("SecretRef");
            if refers || matches!(field, "secret" | "secretKeyRef" | "imagePullSecrets") {
                names.extend(fields.get("name").and_then(Value::as_str).map(str::to_owned));
            }
            fields.iter().for_each(|(name, value)| mentioned(value, name, names));
        }
        Value::String(name) if field == "secretName" => drop(names.insert(name.clone())),
        _ => {}
    }
}

fn mentions(pod: &Pod) -> HashSet<String> {
    let mut names = HashSet::new();
    mentioned(&serde_json::to_value(&pod.spec).unwrap_or_default(), "", &mut names);
    names
}

impl Controller for CleanerController {
    const NAME: &'static str = "legacy-serviceaccount-token-cleaner-controller";
    type Key = ();

    fn new(context: &Context, queue: &Arc<Queue<()>>) -> Self {
        queue.add(());
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
            period: context.config.unused_token_period,
        }
    }

    async fn reconcile(&self, (): &()) -> Result<Next, ReconcileError> {
        let secrets = self.caches.token_secrets.all();
        if secrets.is_empty() {
            return Ok(Next::After(DAY));
        }
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), "kube-system");
        let tracking = api.get_opt(TRACKING).await.step("reading since when the use of tokens is known")?;
        let since = tracking.as_ref().and_then(|map| map.data.as_ref()?.get("since")?.parse::<Date>().ok());
        let Some(since) = since else { return Ok(Next::After(DAY)) };
        let mut mentions = HashMap::new();
        for secret in secrets {
            let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
            if !mentions.contains_key(&namespace) {
                mentions.insert(namespace.clone(), self.mentioned_in(&namespace).await?);
            }
            let account = self.caches.service_accounts.select(&namespace, |one| owns(one, &secret)).pop();
            let mounted = mentions[&namespace].contains(&name);
            let (now, account) = (self.clock.now(), account.as_deref());
            let world = World { now, since, period: self.period, account, mounted };
            if let Some(action) = plan(&secret, &world) {
                self.apply(&secret, &action).await?;
            }
        }
        Ok(Next::After(DAY))
    }
}

impl CleanerController {
    /// The names of the Secrets that Pods of a namespace mention. The cache does not hold what they do with them.
    async fn mentioned_in(&self, namespace: &str) -> Result<HashSet<String>, ReconcileError> {
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let (mut names, mut page) = (HashSet::new(), ListParams::default().limit(500));
        loop {
            let pods = api.list(&page).await.step("reading which Secrets Pods use")?;
            names.extend(pods.items.iter().flat_map(mentions));
            page.continue_token = pods.metadata.continue_.filter(|token| !token.is_empty());
            if page.continue_token.is_none() {
                return Ok(names);
            }
        }
    }

    async fn apply(&self, secret: &Secret, action: &Action) -> Result<(), ReconcileError> {
        let api = Api::<Secret>::namespaced(self.client.clone(), &secret.namespace().unwrap_or_default());
        let name = secret.name_any();
        let done = match action {
            Action::Mark(day) => {
                let labels = json!({ INVALID_SINCE: day.to_string() });
                let patch = json!({"metadata": {"uid": secret.metadata.uid, "labels": labels}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
            }
            Action::Delete => {
                delete(&api, &secret.metadata, Only::Unchanged, DeleteParams::default()).await.map(drop)
            }
        };
        match done {
            Err(error) if is_not_found(&error) => Ok(()),
            done => done.step("ending a token that nobody uses"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn secret(last_used: Option<&str>, invalid_since: Option<&str>) -> Secret {
        let mut secret = json!({"metadata": {
            "name": "robot-token-x", "namespace": "ns", "creationTimestamp": "2020-01-01T00:00:00Z", "labels": {},
            "annotations": {super::super::ACCOUNT_NAME: "robot"},
        }});
        for (label, value) in [(LAST_USED, last_used), (INVALID_SINCE, invalid_since)] {
            if let Some(value) = value {
                secret["metadata"]["labels"][label] = json!(value);
            }
        }
        serde_json::from_value(secret).unwrap()
    }

    fn robot(secrets: &[&str]) -> ServiceAccount {
        let secrets: Vec<_> = secrets.iter().map(|name| json!({ "name": name })).collect();
        serde_json::from_value(json!({"metadata": {"name": "robot", "uid": "u"}, "secrets": secrets}))
            .unwrap()
    }

    fn decide(secret: &Secret, account: &ServiceAccount, since: &str, mounted: bool) -> Option<Action> {
        let world = World {
            now: "2024-06-15T12:00:00Z".parse().unwrap(),
            since: since.parse().unwrap(),
            period: SignedDuration::from_hours(365 * 24),
            account: Some(account),
            mounted,
        };
        plan(secret, &world)
    }

    #[rstest]
    #[case(None, None, Some(Action::Mark("2024-06-15".parse().unwrap())))]
    #[case(Some("2023-06-01"), None, Some(Action::Mark("2024-06-15".parse().unwrap())))]
    #[case(Some("2023-06-16"), None, None)]
    #[case(Some("yesterday"), None, None)]
    #[case(None, Some("2023-07-01"), None)]
    #[case(None, Some("2023-06-01"), Some(Action::Delete))]
    #[case(None, Some("soon"), Some(Action::Mark("2024-06-15".parse().unwrap())))]
    fn what_nobody_used_for_a_year_is_marked_and_a_year_later_deleted(
        #[case] last_used: Option<&str>,
        #[case] invalid_since: Option<&str>,
        #[case] wanted: Option<Action>,
    ) {
        let robot = robot(&["robot-token-x"]);
        assert_eq!(decide(&secret(last_used, invalid_since), &robot, "2022-01-01", false), wanted);
    }

    #[test]
    fn what_is_mounted_made_by_hand_or_not_known_for_long_enough_stays() {
        let (own, none) = (robot(&["robot-token-x"]), robot(&[]));
        let unused = secret(None, None);
        assert!(decide(&unused, &own, "2022-01-01", false).is_some());
        assert_eq!(decide(&unused, &own, "2022-01-01", true), None);
        assert_eq!(decide(&unused, &none, "2022-01-01", false), None);
        assert_eq!(decide(&unused, &own, "2023-06-16", false), None);
    }

    #[test]
    fn a_pod_mentions_secrets_in_many_places() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "imagePullSecrets": [{"name": "a"}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "b"}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "c"}}]}},
                {"name": "x", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "d"}}},
            ],
            "containers": [{
                "name": "e", "envFrom": [{"secretRef": {"name": "f"}}],
                "env": [{"name": "g", "valueFrom": {"secretKeyRef": {"name": "h", "key": "i"}}}],
            }],
        }}))
        .unwrap();
        let mut found: Vec<_> = mentions(&pod).into_iter().collect();
        found.sort_unstable();
        assert_eq!(found, ["a", "b", "c", "d", "f", "h"]);
    }
}
