//! Volumes of whole pods.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, ConfigMap, PersistentVolume, PodCertificateProjection,
};
use wherry_api::local_path;
use wherry_runtime_api::Propagation;

use super::*;
use crate::env::Environment;
use crate::pod_certificates::{Credentials, PodCertificateError};
use crate::tokens::Token;
use crate::trust_bundles::BundleError;

/// Sources with these volumes, by claim and whether it is ephemeral.
#[derive(Default)]
struct Fixed(Vec<((&'static str, bool), Value)>);

#[async_trait]
impl Sources for Fixed {
    async fn config_map(&self, name: &str) -> Result<Option<Arc<ConfigMap>>, ObjectError> {
        let object = json!({ "data": { "app.conf": "a=1", "other": "x" }, "binaryData": { "logo": "AP8=" } });
        Ok((name == "settings").then(|| Arc::new(serde_json::from_value(object).unwrap())))
    }

    async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, ObjectError> {
        Ok((name == "login").then(|| BTreeMap::from([("token".to_owned(), vec![0, 255])])))
    }

    async fn token(&self, audience: &str, seconds: Option<i64>) -> Result<Token, TokenError> {
        let renew_at = Timestamp::from_second(seconds.unwrap_or_default()).unwrap();
        Ok(Token { text: format!("for {audience:?}"), renew_at, expires_at: Timestamp::MAX })
    }

    async fn trust_anchors(&self, wanted: &ClusterTrustBundleProjection) -> Result<String, BundleError> {
        let name = wanted.name.clone().unwrap_or_default();
        if name == "gone" { Err(BundleError::Missing(name)) } else { Ok(format!("anchors of {name}")) }
    }

    async fn certificate(
        &self,
        (volume, source): (&str, usize),
        wanted: &PodCertificateProjection,
    ) -> Result<Credentials, PodCertificateError> {
        let signer = wanted.signer_name.clone();
        if signer == "s" {
            return Err(PodCertificateError::NotYet(signer));
        }
        Ok(Credentials { key: format!("key of {volume} {source};"), chain: format!("chain of {signer};") })
    }

    async fn volume(&self, claim: &ClaimOfPod<'_>) -> Result<PersistentVolume, ClaimError> {
        let found = self.0.iter().find(|(name, _)| *name == (claim.name, claim.is_ephemeral));
        found.map(|(_, volume)| serde_json::from_value(volume.clone()).unwrap()).ok_or(ClaimError::Unbound)
    }

    /// A driver that gives what is to be read later, and nothing again.
    async fn csi(
        &self,
        source: csi::Source<'_>,
        _: Option<u32>,
        again: bool,
    ) -> Result<csi::Given, CsiError> {
        let csi::Source::Inline(name, _) = source else { return Err(CsiError::NoSource) };
        let given = csi::Given {
            path: Path::new("/of-driver").join(name),
            is_block: false,
            read_only: true,
            again_at: Timestamp::from_second(60).ok(),
        };
        if again { Err(CsiError::NoDriver("d".to_owned())) } else { Ok(given) }
    }
}

fn pod(volume: Value) -> Pod {
    let mut volume = volume;
    volume["name"] = json!("v");
    serde_json::from_value(json!({
        "metadata": { "name": "web", "namespace": "shop", "uid": "u-1", "labels": { "app": "web" } },
        "spec": { "containers": [], "volumes": [volume] },
    }))
    .unwrap()
}

fn root_in(dir: &Path) -> VolumeRoot {
    VolumeRoot::new(dir.join("pods"), LocalVolumes::new("here", &dir.join("volumes")))
}

async fn set_up(root: &VolumeRoot, volume: Value) -> Result<PathBuf, String> {
    let volumes = root.set_up(&pod(volume), &Fixed::default(), &NodeFields::default(), None).await;
    volumes.map(|v| v.paths["v"].clone()).map_err(|error| format!("{error}: {}", error.source))
}

#[tokio::test]
async fn a_projected_volume_joins_its_sources() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let volume = json!({ "projected": { "sources": [
        { "configMap": { "name": "settings", "items": [{ "key": "app.conf", "path": "conf/app", "mode": 0o600 }] } },
        { "secret": { "name": "login" } },
        { "downwardAPI": { "items": [{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }] } },
        { "configMap": { "name": "gone", "optional": true } },
    ] } });
    let path = set_up(&root, volume).await.unwrap();
    assert_eq!(std::fs::read_to_string(path.join("conf/app")).unwrap(), "a=1");
    assert_eq!(std::fs::read(path.join("token")).unwrap(), [0, 255]);
    assert_eq!(std::fs::read_to_string(path.join("name")).unwrap(), "web");
    root.tear_down("u-1").unwrap();
    assert!(root.pods().is_empty());
    root.tear_down("u-1").unwrap();
}

#[tokio::test]
async fn text_and_bytes_of_a_config_map_are_files_that_nobody_writes() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(json!({ "configMap": { "name": "settings" } }));
    let volumes =
        root_in(dir.path()).set_up(&pod, &Fixed::default(), &NodeFields::default(), None).await.unwrap();
    assert_eq!(std::fs::read(volumes.paths["v"].join("logo")).unwrap(), [0, 255]);
    assert_eq!(std::fs::read(volumes.paths["v"].join("other")).unwrap(), b"x");
    assert!(volumes.read_only.contains("v"));
}

#[tokio::test]
async fn tokens_are_files_and_the_first_to_expire_says_when_the_volume_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let volume = json!({ "projected": { "sources": [
        { "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } },
        { "serviceAccountToken": { "path": "vault/token", "audience": "vault", "expirationSeconds": 600 } },
        { "downwardAPI": { "items": [{ "path": "namespace", "fieldRef": { "fieldPath": "metadata.namespace" } }] } },
    ] } });
    let volumes = root.set_up(&pod(volume), &Fixed::default(), &NodeFields::default(), None).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(volumes.paths["v"].join(name)).unwrap();
    assert_eq!(read("token"), "for \"\"");
    assert_eq!(read("vault/token"), "for \"vault\"");
    assert_eq!(read("namespace"), "shop");
    assert_eq!(volumes.refresh_at, Some(Timestamp::from_second(600).unwrap()));
}

#[tokio::test]
async fn certificates_are_files_together_or_apart() {
    let dir = tempfile::tempdir().unwrap();
    let source = |fields: Value| {
        let mut fields = fields;
        (fields["signerName"], fields["keyType"]) = (json!("ex.com/s"), json!("ED25519"));
        json!({ "podCertificate": fields })
    };
    let volume = json!({ "projected": { "sources": [
        { "clusterTrustBundle": { "name": "own", "path": "trust/ca.crt" } },
        source(json!({ "credentialBundlePath": "bundle.pem" })),
        source(json!({ "keyPath": "apart/key.pem", "certificateChainPath": "apart/chain.pem" })),
    ] } });
    let path = set_up(&root_in(dir.path()), volume).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap();
    assert_eq!(read("trust/ca.crt"), "anchors of own");
    assert_eq!(read("bundle.pem"), "key of v 1;chain of ex.com/s;");
    assert_eq!(
        (read("apart/key.pem"), read("apart/chain.pem")),
        ("key of v 2;".into(), "chain of ex.com/s;".into())
    );
}

#[tokio::test]
async fn failures_name_the_volume_and_the_cause() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let cases = [
        (json!({ "configMap": { "name": "gone" } }), "configmap \"gone\" not found"),
        (
            json!({ "secret": { "secretName": "login", "items": [{ "key": "no", "path": "p" }] } }),
            "secret references non-existent config key: no",
        ),
        (
            json!({ "projected": { "sources": [{ "podCertificate": { "keyType": "ED25519", "signerName": "s" } }] } }),
            "credential bundle is not issued yet: signer \"s\" has not answered",
        ),
        (
            json!({ "projected": { "sources": [{ "clusterTrustBundle": { "name": "gone", "path": "ca" } }] } }),
            "clustertrustbundle \"gone\" not found",
        ),
        (json!({ "hostPath": { "path": "/dev/null", "type": "Directory" } }), "/dev/null is not a directory"),
        (
            json!({ "configMap": { "name": "settings", "items": [{ "key": "other", "path": "../up" }] } }),
            "invalid path \"../up\"",
        ),
    ];
    for (volume, expected) in cases {
        let error = set_up(&root, volume).await.unwrap_err();
        assert!(error.starts_with("MountVolume.SetUp failed for volume \"v\""), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn an_empty_dir_keeps_its_content_when_set_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let path = set_up(&root, json!({ "emptyDir": {} })).await.unwrap();
    std::fs::write(path.join("file"), "x").unwrap();
    assert_eq!(set_up(&root, json!({ "emptyDir": {} })).await.unwrap(), path);
    assert!(path.join("file").exists());
}

#[tokio::test]
async fn mounts_expand_expressions_and_refuse_unknown_volumes() {
    let dir = tempfile::tempdir().unwrap();
    let paths = BTreeMap::from([("v".to_owned(), dir.path().canonicalize().unwrap())]);
    let volumes = Volumes { paths, ..Volumes::default() };
    let container = |mount: Value| -> k8s_openapi::api::core::v1::Container {
        serde_json::from_value(json!({ "name": "c", "volumeMounts": [mount] })).unwrap()
    };
    let env = Environment { own: vec![("NAME".to_owned(), "one".to_owned())], ..Environment::default() };
    let root = root_in(dir.path());
    let mounts = |mount: Value| {
        let (container, sub_paths) = (container(mount), root.sub_paths("u-1"));
        let mounter = Mounter {
            container: &container,
            volumes: &volumes,
            sub_paths: &sub_paths,
            env: &env,
            links_files: false,
        };
        mounter.mounts().map_err(|error| error.to_string())
    };
    let expression =
        json!({ "name": "v", "mountPath": "/data", "subPathExpr": "logs/$(NAME)", "readOnly": true });
    let made = mounts(expression).unwrap().remove(0);
    std::fs::write(made.host_path.join("file"), "x").unwrap();
    assert!(volumes.paths["v"].join("logs/one/file").exists() && made.read_only);
    root.tear_down("u-1").unwrap();
    assert!(volumes.paths["v"].join("logs/one/file").exists(), "what was mounted is not removed");
    let cases = [
        (json!({ "name": "w", "mountPath": "/data" }), "which the pod does not have"),
        (
            json!({ "name": "v", "mountPath": "/d", "subPathExpr": "$(OTHER)" }),
            "there is no variable \"OTHER\"",
        ),
    ];
    for (mount, expected) in cases {
        let error = mounts(mount).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    for (word, expected) in [
        ("None", Propagation::Private),
        ("HostToContainer", Propagation::FromNode),
        ("Bidirectional", Propagation::Both),
    ] {
        let mount = json!({ "name": "v", "mountPath": "/d", "mountPropagation": word });
        assert_eq!(mounts(mount).unwrap()[0].options.propagation, expected);
    }
    root.tear_down("u-1").unwrap();
}

fn persistent(name: &str, spec: Value) -> Value {
    json!({"metadata": {"name": name, "labels": {local_path::NODE: "here"}}, "spec": spec})
}

#[tokio::test]
async fn a_claim_is_where_its_volume_is_and_keeps_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let path = dir.path().join("volumes/pvc-1");
    let sources = Fixed(vec![
        (("data", false), persistent("pvc-1", json!({"local": {"path": path}}))),
        (("web-v", true), persistent("host", json!({"hostPath": {"path": dir.path()}}))),
    ]);
    let claimed = pod(json!({"persistentVolumeClaim": {"claimName": "data", "readOnly": true}}));
    let fields = NodeFields::default();
    let volumes = root.set_up(&claimed, &sources, &fields, None).await.unwrap();
    assert_eq!(volumes.paths["v"], path);
    assert!(volumes.read_only.contains("v"));
    std::fs::write(path.join("file"), "x").unwrap();
    root.tear_down("u-1").unwrap();
    assert!(path.join("file").exists());
    // What is mounted stays, whatever becomes of the claim.
    let again = root.set_up(&claimed, &Fixed::default(), &fields, Some(&volumes)).await.unwrap();
    assert_eq!(again, volumes);
    let ephemeral = pod(json!({"ephemeral": {}}));
    let volumes = root.set_up(&ephemeral, &sources, &fields, None).await.unwrap();
    assert_eq!(volumes.paths["v"], dir.path());
    assert!(volumes.read_only.is_empty());
}

#[tokio::test]
async fn claims_that_cannot_be_mounted_say_why() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = json!({"local": {"path": dir.path().join("elsewhere")}});
    let cases = [
        (None, "error processing PVC shop/data"),
        (Some(elsewhere), "elsewhere\" does not exist"),
        (Some(json!({"csi": {"driver": "d", "volumeHandle": "h"}})), "is not of a CSI driver"),
        (Some(json!({"volumeMode": "Block", "local": {"path": "/"}})), "/ is no block device"),
    ];
    for (spec, expected) in cases {
        let sources =
            Fixed(spec.map(|spec| (("data", false), persistent("pvc-1", spec))).into_iter().collect());
        let claimed = pod(json!({"persistentVolumeClaim": {"claimName": "data"}}));
        let failed = root_in(dir.path()).set_up(&claimed, &sources, &NodeFields::default(), None).await;
        let failed = failed.unwrap_err();
        assert!(failed.source.to_string().contains(expected), "{}", failed.source);
    }
}

#[tokio::test]
async fn what_a_driver_gave_stays_when_it_cannot_be_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let root = root_in(dir.path());
    let (pod, fields) = (pod(json!({ "csi": { "driver": "d" } })), NodeFields::default());
    let volumes = root.set_up(&pod, &Fixed::default(), &fields, None).await.unwrap();
    assert_eq!(volumes.paths["v"], Path::new("/of-driver/v"));
    assert!(volumes.read_only.contains("v") && volumes.refresh_at == Timestamp::from_second(60).ok());
    let again = root.set_up(&pod, &Fixed::default(), &fields, Some(&volumes)).await.unwrap();
    assert_eq!(again, volumes);
}
