//! The steps of a volume, against a driver that writes down what it is asked.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::SystemClock;
use wherry_plugin_api::csi::{
    self as wire, Capabilities, Capability, ExpandResponse, NodeInfo, PublishRequest, StageRequest, Unit,
    UnpublishRequest, UnstageRequest, VolumeStats, VolumeStatsRequest, VolumeUsage,
};
use wherry_plugin_api::grpc::{self, Question, Reply, Status};
use wherry_plugin_api::registration::Empty;

use super::stats::Amount;
use super::*;
use crate::testing::FakeApi;

/// A driver whose volumes are empty directories.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<String>>,
    published: Mutex<Vec<PublishRequest>>,
    fails: AtomicBool,
}

impl grpc::Service for Fake {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        let call = method.rsplit('/').next().unwrap_or_default().to_owned();
        let note = |about: &str| self.asked.lock().push(format!("{call} {about}"));
        if self.fails.load(Ordering::Relaxed) {
            return Err(Status::new(13, "no"));
        }
        match method {
            wire::GET_INFO => {
                return Ok(Reply::one(&NodeInfo { node_id: "id".into(), ..NodeInfo::default() }));
            }
            wire::GET_CAPABILITIES => {
                let can =
                    [Capability::StageUnstageVolume, Capability::ExpandVolume, Capability::GetVolumeStats];
                return Ok(Reply::one(&Capabilities::of(&can)));
            }
            wire::STAGE => note(&question.read::<StageRequest>()?.volume_id),
            wire::UNSTAGE => note(&question.read::<UnstageRequest>()?.volume_id),
            wire::PUBLISH => {
                let request = question.read::<PublishRequest>()?;
                std::fs::create_dir_all(&request.target_path)
                    .map_err(|error| Status::new(13, error.to_string()))?;
                note(&request.volume_id);
                self.published.lock().push(request);
            }
            wire::UNPUBLISH => {
                let request = question.read::<UnpublishRequest>()?;
                // It may have gone with an earlier try.
                let _gone = std::fs::remove_dir(&request.target_path);
                note(&request.volume_id);
            }
            wire::VOLUME_STATS => {
                let request = question.read::<VolumeStatsRequest>()?;
                if !std::path::Path::new(&request.volume_path).is_dir() {
                    return Err(Status::new(5, "no such volume"));
                }
                let usage =
                    |unit: Unit, used| VolumeUsage { available: 6, total: 10, used, unit: unit as i32 };
                return Ok(Reply::one(&VolumeStats {
                    usage: vec![usage(Unit::Bytes, 4), usage(Unit::Inodes, -1)],
                }));
            }
            _ => {
                note(&question.read::<ExpandRequest>()?.volume_id);
                return Ok(Reply::one(&ExpandResponse { capacity_bytes: 0 }));
            }
        }
        Ok(Reply::one(&Empty {}))
    }
}

struct Node {
    dir: tempfile::TempDir,
    api: Arc<FakeApi>,
    driver: Arc<Fake>,
    csi: Csi,
    tokens: Tokens,
    ending: CancellationToken,
    _server: JoinSet<()>,
}

impl Node {
    async fn start(driver: Value) -> Self {
        let (dir, api, fake) = (tempfile::tempdir().unwrap(), FakeApi::new(), Arc::new(Fake::default()));
        let listener = UnixListener::bind(dir.path().join("csi.sock")).unwrap();
        let mut server = JoinSet::new();
        server.spawn(grpc::serve(listener, fake.clone(), CancellationToken::new()));
        api.put("/api/v1/nodes/n", json!({"metadata": {"name": "n", "uid": "u"}}));
        api.put("/apis/storage.k8s.io/v1/csidrivers/d", json!({"metadata": {"name": "d"}, "spec": driver}));
        let claim = json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "c-1"},
            "status": {"capacity": {"storage": "1Gi"}},
        });
        api.put("/api/v1/namespaces/ns/persistentvolumeclaims/c", claim);
        let csi = Self::csi(&dir, &api).await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tokens = Tokens::new(&api.client(), &clock);
        let ending = CancellationToken::new();
        Self { dir, api, driver: fake, csi, tokens, ending, _server: server }
    }

    async fn csi(dir: &tempfile::TempDir, api: &Arc<FakeApi>) -> Csi {
        let csi = Csi::new(api.client(), Arc::new(SystemClock), "n", dir.path());
        csi.register("d", &dir.path().join("csi.sock")).await.unwrap();
        csi
    }

    /// What a new agent knows.
    async fn restart(&mut self) {
        self.csi = Self::csi(&self.dir, &self.api).await;
    }

    async fn set_up(&self, uid: &str, size: &str) -> Result<Given, CsiError> {
        let volume = serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": {
            "csi": {"driver": "d", "volumeHandle": "h", "volumeAttributes": {"a": "1"}},
            "accessModes": ["ReadWriteOnce"], "capacity": {"storage": size},
            "claimRef": {"namespace": "ns", "name": "c"},
        }}));
        let (pod, volume) = (pod(uid), volume.unwrap());
        let source = Source::Persistent(&volume, false);
        let asked = Asked { pod: &pod, source, group: None, again: false, ending: &self.ending };
        self.csi.set_up(&self.tokens, &asked).await
    }

    async fn set_up_inline(&self, inline: Value) -> Result<Given, CsiError> {
        let (pod, inline) = (pod("u-1"), serde_json::from_value(inline).unwrap());
        let source = Source::Inline("v", &inline);
        let asked = Asked { pod: &pod, source, group: None, again: false, ending: &self.ending };
        self.csi.set_up(&self.tokens, &asked).await
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.driver.asked.lock())
    }
}

fn pod(uid: &str) -> Pod {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": uid}, "spec": {"containers": [], "serviceAccountName": "sa"},
    });
    serde_json::from_value(pod).unwrap()
}

#[tokio::test]
async fn a_volume_is_staged_for_the_first_pod_and_unstaged_after_the_last() {
    let node = Node::start(json!({"attachRequired": false})).await;
    let given = node.set_up("u-1", "1Gi").await.unwrap();
    assert_eq!(given.path, node.dir.path().join("pods/u-1/volumes/kubernetes.io~csi/pv/mount"));
    node.set_up("u-2", "1Gi").await.unwrap();
    assert_eq!(node.asked(), ["NodeStageVolume h", "NodePublishVolume h", "NodePublishVolume h"]);
    let published = node.driver.published.lock()[0].clone();
    assert_eq!(published.volume_context, BTreeMap::from([("a".to_owned(), "1".to_owned())]));
    assert!(published.staging_target_path.ends_with("/globalmount"));
    node.csi.tear_down("u-1").await.unwrap();
    assert_eq!(node.asked(), ["NodeUnpublishVolume h"]);
    node.csi.tear_down("u-2").await.unwrap();
    assert_eq!(node.asked(), ["NodeUnpublishVolume h", "NodeUnstageVolume h"]);
    node.csi.tear_down("u-2").await.unwrap();
    assert!(node.asked().is_empty());
    assert!(!Path::new(&published.staging_target_path).exists());
}

#[tokio::test]
async fn what_an_earlier_agent_began_is_undone_by_the_next() {
    let mut node = Node::start(json!({"attachRequired": false})).await;
    node.set_up("u-1", "1Gi").await.unwrap();
    node.asked();
    node.driver.fails.store(true, Ordering::Relaxed);
    let failed = node.csi.tear_down("u-1").await.unwrap_err();
    assert_eq!(failed.to_string(), "NodeUnpublishVolume of driver d failed");
    node.driver.fails.store(false, Ordering::Relaxed);
    node.restart().await;
    node.csi.tear_down("u-1").await.unwrap();
    assert_eq!(node.asked(), ["NodeUnpublishVolume h", "NodeUnstageVolume h"]);
}

#[tokio::test]
async fn a_volume_that_has_to_be_attached_waits_until_it_is_and_is_in_use_until_it_is_gone() {
    let mut node = Node::start(json!({})).await;
    let attachment = csi::attachment_name("d", "h", "n");
    let status = json!({"attached": true, "attachmentMetadata": {"device": "sdb"}});
    let object = json!({"metadata": {"name": attachment}, "status": status});
    node.api.put(&format!("/apis/storage.k8s.io/v1/volumeattachments/{attachment}"), object);
    let volume = "kubernetes.io/csi/d^h".to_owned();
    let mut wanted = node.csi.in_use().follow();
    let telling = async {
        let named = wanted.wait_for(|volumes| volumes.contains(&volume)).await.unwrap().clone();
        assert!(node.asked().is_empty(), "the driver is asked after the Node names the volume");
        node.csi.in_use().tell(named);
    };
    let (given, ()) = tokio::join!(node.set_up("u-1", "1Gi"), telling);
    given.unwrap();
    let context = node.driver.published.lock()[0].publish_context.clone();
    assert_eq!(context, BTreeMap::from([("device".to_owned(), "sdb".to_owned())]));
    node.restart().await;
    assert!(node.csi.in_use().follow().borrow().contains(&volume));
    node.csi.tear_down("u-1").await.unwrap();
    assert!(node.csi.in_use().follow().borrow().is_empty());
}

#[tokio::test]
async fn a_pod_that_ends_no_longer_waits_for_its_volume_to_be_attached() {
    let node = Node::start(json!({})).await;
    let volume = "kubernetes.io/csi/d^h".to_owned();
    let mut wanted = node.csi.in_use().follow();
    let ending = async {
        wanted.wait_for(|volumes| volumes.contains(&volume)).await.unwrap();
        node.ending.cancel();
    };
    let (given, ()) = tokio::join!(node.set_up("u-1", "1Gi"), ending);
    assert_eq!(given.unwrap_err().to_string(), "the pod ends before volume pv is attached");
    assert!(node.asked().is_empty());
    node.csi.tear_down("u-1").await.unwrap();
    assert!(node.csi.in_use().follow().borrow().is_empty());
    // It cannot be known whether an earlier agent had got further.
    assert_eq!(node.asked(), ["NodeUnpublishVolume h", "NodeUnstageVolume h"]);
}

#[tokio::test]
async fn a_volume_that_grew_is_expanded_and_its_claim_told() {
    let node = Node::start(json!({"attachRequired": false})).await;
    let given = node.set_up("u-1", "2Gi").await.unwrap();
    assert!(given.again_at.is_some());
    assert_eq!(node.asked().last().unwrap(), "NodeExpandVolume h");
    let claim = node.api.get("/api/v1/namespaces/ns/persistentvolumeclaims/c").unwrap();
    assert_eq!(claim["status"]["capacity"]["storage"], "2Gi");
    node.set_up("u-1", "2Gi").await.unwrap();
    assert_eq!(node.asked(), ["NodePublishVolume h"]);
}

#[tokio::test]
async fn an_inline_volume_is_told_its_pod_and_its_tokens_if_the_driver_wants_them() {
    let driver = json!({
        "volumeLifecycleModes": ["Ephemeral"], "podInfoOnMount": true, "requiresRepublish": true,
        "tokenRequests": [{"audience": "vault"}],
    });
    let node = Node::start(driver).await;
    let secret = json!({"metadata": {"name": "s"}, "data": {"key": "eA=="}});
    node.api.put("/api/v1/namespaces/ns/secrets/s", secret);
    let given =
        node.set_up_inline(json!({"driver": "d", "nodePublishSecretRef": {"name": "s"}})).await.unwrap();
    assert!(given.again_at.is_some());
    assert_eq!(node.asked(), [format!("NodePublishVolume {}", csi::ephemeral_handle("u-1", "v"))]);
    let published = node.driver.published.lock()[0].clone();
    let told = |name: &str| published.volume_context[&format!("csi.storage.k8s.io/{name}")].clone();
    assert_eq!(
        (told("pod.name"), told("ephemeral"), told("serviceAccount.name")),
        ("web".into(), "true".into(), "sa".into())
    );
    let tokens: Value = serde_json::from_str(&told("serviceAccount.tokens")).unwrap();
    assert_eq!(tokens["vault"]["token"], "token-1");
    assert_eq!(published.secrets, BTreeMap::from([("key".to_owned(), "x".to_owned())]));
    let persistent = node.set_up("u-1", "1Gi").await.unwrap_err().to_string();
    assert!(persistent.starts_with("volume mode \"Persistent\" not supported by driver d"), "{persistent}");
}

#[tokio::test]
async fn a_driver_tells_how_full_its_volumes_are() {
    let node = Node::start(json!({"attachRequired": false})).await;
    node.set_up("u-1", "1Gi").await.unwrap();
    let mut pod = pod("u-1");
    let volume = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "c"}}]);
    pod.spec.as_mut().unwrap().volumes = serde_json::from_value(volume).unwrap();
    let expected = Fullness {
        volume: "data".to_owned(),
        claim: Some("c".to_owned()),
        bytes: Some(Amount { available: 6, total: 10, used: 4 }),
        inodes: Some(Amount { available: 6, total: 10, used: 0 }),
    };
    assert_eq!(node.csi.fullness(&pod).await, [expected]);
    node.driver.fails.store(true, Ordering::Relaxed);
    assert_eq!(node.csi.fullness(&pod).await, []);
}

#[tokio::test]
async fn a_driver_that_is_not_there_is_named() {
    let node = Node::start(json!({"attachRequired": false})).await;
    node.csi.unregister("d").await.unwrap();
    let failed = node.set_up("u-1", "1Gi").await.unwrap_err();
    assert_eq!(failed.to_string(), "driver name d not found in the list of registered CSI drivers");
}
