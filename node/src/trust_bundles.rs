//! ClusterTrustBundles, as volumes show them: all that there are are followed by one watch, while a pod shows some.
//!
//! # Guarantees
//! - Nothing is watched while no pod shows a bundle.
//! - What is shown has each certificate once, without what else was in the bundles, always in the same order.
//! - The pods that show bundles are woken when any of them changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::certificates::v1beta1::ClusterTrustBundle;
use k8s_openapi::api::core::v1::ClusterTrustBundleProjection;
use kube::core::{Selector, SelectorExt as _};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use pem::{EncodeConfig, LineEnding, Pem};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::wakers::Wakers;

/// Why a bundle cannot be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BundleError {
    /// The API server has no such kind.
    #[error(
        "the API server does not serve ClusterTrustBundles: it does with --runtime-config=certificates.k8s.io/v1beta1=true"
    )]
    NotServed,
    /// They cannot be read.
    #[error("cannot read ClusterTrustBundles: {0}")]
    Read(String),
    /// There is none of this name.
    #[error("clustertrustbundle {0:?} not found")]
    Missing(String),
    /// There is none of the signer with such labels.
    #[error("combination of signerName and labelSelector matched zero ClusterTrustBundles")]
    NoneMatched,
    /// The selector cannot be understood.
    #[error("cannot understand the label selector: {0}")]
    Selector(String),
    /// What is in a bundle is no PEM text.
    #[error("clustertrustbundle {0:?} holds no certificates that can be read")]
    Content(String),
}

type Bundles = BTreeMap<String, ClusterTrustBundle>;

/// What the watch knows.
#[derive(Clone)]
enum Known {
    NotYet,
    Read(Arc<Bundles>),
    Failed(BundleError),
}

/// A watch under way.
struct Following {
    known: watch::Receiver<Known>,
    pods: Arc<Mutex<BTreeSet<String>>>,
    /// Ends the watch when the last pod lets go.
    _watch: DropGuard,
}

/// The bundles that pods of this node show.
pub(crate) struct TrustBundles {
    client: Client,
    wakers: Wakers,
    tasks: TaskTracker,
    following: Mutex<Option<Following>>,
}

impl TrustBundles {
    /// Follows nothing yet; the watch runs on `tasks`.
    pub(crate) fn new(client: &Client, wakers: &Wakers, tasks: &TaskTracker) -> Self {
        let (client, wakers, tasks) = (client.clone(), wakers.clone(), tasks.clone());
        Self { client, wakers, tasks, following: Mutex::default() }
    }

    /// The certificates that a source names, which is followed for the pod `uid` from now on.
    pub(crate) async fn anchors(
        &self,
        uid: &str,
        wanted: &ClusterTrustBundleProjection,
    ) -> Result<String, BundleError> {
        let mut known = self.subscribe(uid);
        let known = known.wait_for(|known| !matches!(known, Known::NotYet)).await;
        let known = known.map_or(Known::NotYet, |known| known.clone());
        match known {
            Known::Read(bundles) => anchors(&bundles, wanted),
            Known::Failed(error) => Err(error),
            Known::NotYet => Err(BundleError::Read("the watch ended".to_owned())),
        }
    }

    /// Ends what is followed for the pod alone.
    pub(crate) fn release(&self, uid: &str) {
        let mut following = self.following.lock();
        let unused = following.as_ref().is_some_and(|following| {
            let mut pods = following.pods.lock();
            pods.remove(uid);
            pods.is_empty()
        });
        if unused {
            *following = None;
        }
    }

    fn subscribe(&self, uid: &str) -> watch::Receiver<Known> {
        let mut following = self.following.lock();
        let following = following.get_or_insert_with(|| self.start());
        following.pods.lock().insert(uid.to_owned());
        following.known.clone()
    }

    fn start(&self) -> Following {
        let (sender, known) = watch::channel(Known::NotYet);
        let pods = Arc::new(Mutex::new(BTreeSet::new()));
        let stop = CancellationToken::new();
        let task = follow(Api::all(self.client.clone()), sender, pods.clone(), self.wakers.clone());
        let stopped = stop.clone();
        self.tasks.spawn(async move { stopped.run_until_cancelled(task).await });
        Following { known, pods, _watch: stop.drop_guard() }
    }
}

async fn follow(
    api: Api<ClusterTrustBundle>,
    sender: watch::Sender<Known>,
    pods: Arc<Mutex<BTreeSet<String>>>,
    wakers: Wakers,
) {
    let mut events = watcher(api, Config::default()).default_backoff().boxed();
    let (mut current, mut listing) = (Bundles::new(), Bundles::new());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                listing.clear();
                continue;
            }
            Ok(Event::InitApply(bundle)) => {
                listing.insert(bundle.name_any(), bundle);
                continue;
            }
            Ok(Event::InitDone) => current = std::mem::take(&mut listing),
            Ok(Event::Apply(bundle)) => drop(current.insert(bundle.name_any(), bundle)),
            Ok(Event::Delete(bundle)) => drop(current.remove(&bundle.name_any())),
            // What was read stays valid while the API server is away.
            Err(_) if matches!(*sender.borrow(), Known::Read(_)) => continue,
            Err(error) => {
                sender.send_replace(Known::Failed(failure(&error)));
                continue;
            }
        }
        let first = matches!(*sender.borrow(), Known::NotYet);
        sender.send_replace(Known::Read(Arc::new(current.clone())));
        let waiting: Vec<String> = if first { Vec::new() } else { pods.lock().iter().cloned().collect() };
        for uid in waiting {
            wakers.wake_for_reference(&uid);
        }
    }
}

fn failure(error: &Error) -> BundleError {
    match error {
        Error::InitialListFailed(kube::Error::Api(status)) if status.code == 404 => BundleError::NotServed,
        error => BundleError::Read(error.to_string()),
    }
}

/// The certificates that a source names; of an optional one that names nothing there are none.
fn anchors(bundles: &Bundles, wanted: &ClusterTrustBundleProjection) -> Result<String, BundleError> {
    let found = match &wanted.name {
        Some(name) => bundles.get(name).map(|bundle| vec![bundle]).ok_or(BundleError::Missing(name.clone())),
        None => by_signer(bundles, wanted),
    };
    match found {
        Ok(found) => join(&found),
        Err(BundleError::Missing(_) | BundleError::NoneMatched) if wanted.optional == Some(true) => {
            Ok(String::new())
        }
        Err(error) => Err(error),
    }
}

/// The bundles of a signer with such labels. No selector selects nothing, an empty one everything.
fn by_signer<'b>(
    bundles: &'b Bundles,
    wanted: &ClusterTrustBundleProjection,
) -> Result<Vec<&'b ClusterTrustBundle>, BundleError> {
    let selector = wanted.label_selector.clone().ok_or(BundleError::NoneMatched)?;
    let selector = Selector::try_from(selector).map_err(|error| BundleError::Selector(error.to_string()))?;
    let fits = |bundle: &&ClusterTrustBundle| {
        bundle.spec.signer_name == wanted.signer_name && selector.matches(bundle.labels())
    };
    let found: Vec<_> = bundles.values().filter(fits).collect();
    if found.is_empty() { Err(BundleError::NoneMatched) } else { Ok(found) }
}

/// Each certificate once, in an order that depends on nothing else.
fn join(bundles: &[&ClusterTrustBundle]) -> Result<String, BundleError> {
    let mut anchors = BTreeSet::new();
    for bundle in bundles {
        let blocks = pem::parse_many(&bundle.spec.trust_bundle);
        let blocks = blocks.map_err(|_| BundleError::Content(bundle.name_any()))?;
        anchors.extend(blocks.into_iter().map(Pem::into_contents));
    }
    let blocks: Vec<Pem> = anchors.into_iter().map(|der| Pem::new("CERTIFICATE", der)).collect();
    Ok(encode(&blocks))
}

/// PEM blocks as files hold them.
pub(crate) fn encode(blocks: &[Pem]) -> String {
    let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
    blocks.iter().map(|block| pem::encode_config(block, config)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::FakeApi;

    fn block(content: &str) -> String {
        encode(&[Pem::new("CERTIFICATE", content.as_bytes())])
    }

    fn bundle(name: &str, signer: Option<&str>, content: &str) -> Value {
        json!({
            "apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
            "metadata": { "name": name, "labels": { "of": name.rsplit(':').next() } },
            "spec": { "signerName": signer, "trustBundle": content },
        })
    }

    fn all() -> Bundles {
        let (a, b) = (block("aaa"), block("bbb"));
        let bundles = [
            bundle("own", None, &format!("note\n{b}between{a}")),
            bundle("ex.com:s:1", Some("ex.com/s"), &format!("{b}{a}")),
            bundle("ex.com:s:2", Some("ex.com/s"), &a),
            bundle("ex.com:t:1", Some("ex.com/t"), &block("ttt")),
        ];
        let bundles = bundles.map(|bundle| serde_json::from_value::<ClusterTrustBundle>(bundle).unwrap());
        bundles.into_iter().map(|bundle| (bundle.name_any(), bundle)).collect()
    }

    #[rstest]
    #[case::by_name(json!({ "name": "own" }), Ok(&["aaa", "bbb"][..]))]
    #[case::of_a_signer(json!({ "signerName": "ex.com/s", "labelSelector": {} }), Ok(&["aaa", "bbb"][..]))]
    #[case::chosen(
        json!({ "signerName": "ex.com/s", "labelSelector": { "matchLabels": { "of": "2" } } }), Ok(&["aaa"][..])
    )]
    #[case::without_selector(json!({ "signerName": "ex.com/s" }), Err("matched zero ClusterTrustBundles"))]
    #[case::missing(json!({ "name": "no" }), Err("clustertrustbundle \"no\" not found"))]
    #[case::optional(json!({ "name": "no", "optional": true }), Ok(&[][..]))]
    #[case::none(json!({ "signerName": "ex.com/u", "labelSelector": {} }), Err("matched zero"))]
    #[case::none_but_optional(json!({ "signerName": "ex.com/u", "labelSelector": {}, "optional": true }), Ok(&[][..]))]
    fn what_a_source_names_is_joined(#[case] mut wanted: Value, #[case] expected: Result<&[&str], &str>) {
        wanted["path"] = json!("ca.crt");
        let wanted = serde_json::from_value(wanted).unwrap();
        match (anchors(&all(), &wanted), expected) {
            (Ok(found), Ok(contents)) => {
                assert_eq!(found, contents.iter().map(|content| block(content)).collect::<String>());
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (found, expected) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    #[tokio::test]
    async fn bundles_are_followed_while_a_pod_shows_some() {
        let api = FakeApi::new();
        let path = "/apis/certificates.k8s.io/v1beta1/clustertrustbundles/own";
        api.put(path, bundle("own", None, &block("aaa")));
        let (wakers, tasks) = (Wakers::default(), TaskTracker::new());
        let bundles = TrustBundles::new(&api.client(), &wakers, &tasks);
        let waker = wakers.register("u");
        let wanted = serde_json::from_value(json!({ "name": "own", "path": "ca.crt" })).unwrap();
        assert_eq!(bundles.anchors("u", &wanted).await.unwrap(), block("aaa"));
        api.put(path, bundle("own", None, &block("bbb")));
        waker.woken().await;
        assert!(waker.take_references_changed());
        assert_eq!(bundles.anchors("u", &wanted).await.unwrap(), block("bbb"));
        bundles.release("u");
        tasks.close();
        tasks.wait().await;
    }

    proptest! {
        #[test]
        fn any_text_is_certificates_or_none(text in r"((-----(BEGIN|END) CERTIFICATE-----\n)|[A-Za-z0-9+/=:\n]|\PC){0,80}") {
            let bundle: ClusterTrustBundle = serde_json::from_value(bundle("x", None, &text)).unwrap();
            if let Ok(joined) = join(&[&bundle]) {
                prop_assert!(joined.is_empty() || pem::parse_many(&joined).is_ok());
            }
        }
    }
}
