//! Trust bundles and certificates of Pods in projected volumes, of containers and of WebAssembly alike.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
};
use serde_json::{Value, json};
use wherry_tests::{Cluster, Options, Viewer, in_cluster, wait};

const SIGNER: &str = "example.com/signer";

fn switched_on() -> Options {
    let flags = vec!["--runtime-config=certificates.k8s.io/v1beta1=true".to_owned()];
    Options { flags, ..Options::default() }
}

/// Somebody who signs what Pods ask for.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        Self(CertifiedIssuer::self_signed(params, key).expect("it signs itself"))
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Says that this signer is to be believed.
    fn publish(&self, cluster: &Cluster, name: &str) {
        let bundle = json!({
            "apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
            "metadata": { "name": format!("example.com:signer:{name}") },
            "spec": { "signerName": SIGNER, "trustBundle": self.pem() },
        });
        cluster.apply(&bundle.to_string());
    }

    /// Signs what is asked for this Pod; the certificate.
    fn sign(&self, cluster: &Cluster, pod: &str) -> String {
        let request = pending(cluster, pod);
        let stub = request["spec"]["stubPKCS10Request"].as_str().expect("it has a request");
        let stub = STANDARD.decode(stub).expect("it is base64");
        let mut stub = CertificateSigningRequestParams::from_der(&stub.into()).expect("it is PKCS#10");
        let begin = Timestamp::from_second(Timestamp::now().as_second()).expect("it is now");
        let after = |minutes| begin + SignedDuration::from_mins(minutes);
        let time = |time: Timestamp| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.as_second().unsigned_abs())
        };
        (stub.params.not_before, stub.params.not_after) = (time(begin), time(after(120)));
        let certificate = stub.signed_by(&self.0).expect("it can be signed").pem();
        let status = json!({ "status": {
            "certificateChain": certificate, "notBefore": begin.to_string(), "notAfter": after(120).to_string(),
            "beginRefreshAt": after(60).to_string(), "conditions": [outcome("Issued", "Signed")],
        } });
        answer(cluster, &request, &status);
        certificate
    }
}

fn outcome(kind: &str, reason: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": reason, "message": "as it is", "lastTransitionTime": Timestamp::now().to_string() })
}

fn requests(cluster: &Cluster, pod: &str) -> Vec<Value> {
    let fields = format!("--field-selector=spec.podName={pod}");
    let list = cluster.get(&["podcertificaterequests", &fields]);
    list["items"].as_array().cloned().unwrap_or_default()
}

/// What waits for an answer.
fn pending(cluster: &Cluster, pod: &str) -> Value {
    wait::until(&format!("a request for {pod}"), || {
        let found = requests(cluster, pod).into_iter().find(|one| one["status"]["conditions"].is_null());
        found.ok_or_else(|| cluster.kubectl(&["get", "events,podcertificaterequests"]))
    })
}

fn answer(cluster: &Cluster, request: &Value, status: &Value) {
    let name = request["metadata"]["name"].as_str().expect("it has a name");
    let patch = status.to_string();
    let kind = "podcertificaterequests";
    cluster.kubectl(&["patch", kind, name, "--subresource=status", "--type=merge", "-p", &patch]);
}

/// The trust anchors of the signer, those of the API server, and a certificate.
fn volume() -> Value {
    let signer = |name: &str, path: &str| json!({ "clusterTrustBundle": { "signerName": name, "labelSelector": {}, "path": path } });
    json!({ "projected": { "sources": [
        signer(SIGNER, "signer.pem"),
        signer("kubernetes.io/kube-apiserver-serving", "server.pem"),
        { "clusterTrustBundle": { "name": "missing", "path": "missing.pem", "optional": true } },
        { "podCertificate": {
            "signerName": SIGNER, "keyType": "ECDSAP256", "credentialBundlePath": "bundle.pem",
            "certificateChainPath": "chain.pem", "userAnnotations": { "example.com/for": "a test" },
        } },
    ] } })
}

/// A Pod of WebAssembly that writes what is in the same volume, and ends.
fn wasm() -> Value {
    let mut volume = volume();
    volume["name"] = json!("v");
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "wasm" },
        "spec": { "restartPolicy": "Never", "volumes": [volume], "containers": [{
            "name": "main", "image": "127.0.0.1:5000/cli-p2:v1",
            "args": ["cat", "/v/signer.pem", "cat", "/v/bundle.pem"],
            "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
        }] },
    })
}

/// The text without what may differ between two ways to write the same certificates.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn pods_believe_and_show_who_they_are() {
    in_cluster(switched_on(), |cluster| {
        let (authority, other) = (Authority::new(), Authority::new());
        authority.publish(cluster, "one");
        cluster.apply(&wasm().to_string());
        let mut viewer = Viewer::of(&[volume()]);
        viewer.container()["command"] = json!(["sleep", "600"]);
        viewer.create(cluster);
        let certificate = authority.sign(cluster, Viewer::NAME);
        cluster.wait_for("condition=Ready", &["pod", Viewer::NAME]);
        let read = |file: &str| cluster.kubectl(&["exec", Viewer::NAME, "--", "cat", &format!("/v0/{file}")]);
        assert_eq!(squeezed(&read("signer.pem")), squeezed(&authority.pem()));
        assert_eq!(squeezed(&read("chain.pem")), squeezed(&certificate));
        assert_eq!(read("missing.pem"), "");
        let root = cluster.get(&["configmap", "kube-root-ca.crt"]);
        let root = root["data"]["ca.crt"].as_str().expect("it has a CA");
        assert_eq!(squeezed(&read("server.pem")), squeezed(root));
        let bundle = read("bundle.pem");
        let (key, chain) =
            bundle.split_at(bundle.find("-----BEGIN CERTIFICATE").expect("it has a certificate"));
        assert_eq!(squeezed(chain), squeezed(&certificate));
        KeyPair::from_pem(key).expect("it is a key");
        let asked = &requests(cluster, Viewer::NAME)[0]["spec"];
        assert_eq!(asked["unverifiedUserAnnotations"]["example.com/for"], "a test");

        let certificate = authority.sign(cluster, "wasm");
        cluster.wait_for("jsonpath={.status.phase}=Succeeded", &["pod", "wasm"]);
        let shown = squeezed(&cluster.kubectl(&["logs", "wasm"]));
        assert!(shown.starts_with(&squeezed(&authority.pem())), "{shown}");
        assert!(shown.ends_with(&squeezed(&certificate)) && shown.contains("PRIVATEKEY"), "{shown}");

        // Another anchor of the same signer is believed, too, as soon as it is there.
        other.publish(cluster, "two");
        let count = ["exec", Viewer::NAME, "--", "grep", "-c", "BEGIN", "/v0/signer.pem"];
        cluster.kubectl_until(&count, |count| count == "2\n");
        cluster.kubectl(&["delete", "clustertrustbundle", "example.com:signer:two"]);
        cluster.kubectl_until(&count, |count| count == "1\n");
        goes_on_and_is_renewed(cluster, &authority, &bundle);
    });
}

/// The next agent asks for nothing while a certificate serves, and for another one when it is time.
fn goes_on_and_is_renewed(cluster: &mut Cluster, authority: &Authority, bundle: &str) {
    let pod = cluster.get(&["pod", Viewer::NAME]);
    let uid = pod["metadata"]["uid"].as_str().expect("it has a uid");
    let kept = cluster.data_dir().join("node/pods").join(uid).join("certificates/v0-3.json");
    cluster.kubectl(&["delete", "podcertificaterequests", "--all"]);
    assert!(cluster.terminate());
    cluster.launch();
    Viewer::until_shown(cluster, "main", "/v0/bundle.pem", bundle);
    assert_eq!(requests(cluster, Viewer::NAME), [Value::Null; 0]);

    assert!(cluster.terminate());
    let text = std::fs::read(&kept).expect("the certificate is kept");
    let mut due: Value = serde_json::from_slice(&text).expect("it is JSON");
    due["refreshAt"] = json!("2024-01-01T00:00:00Z");
    std::fs::write(&kept, due.to_string()).expect("it can be changed");
    cluster.launch();
    let certificate = authority.sign(cluster, Viewer::NAME);
    Viewer::until_shown(cluster, "main", "/v0/chain.pem", &certificate);
    let renewed = cluster.kubectl(&["exec", Viewer::NAME, "--", "cat", "/v0/bundle.pem"]);
    assert_ne!(renewed, bundle);
}

/// What is refused, and what nobody answers, keeps a Pod from starting; its events say why.
#[test]
fn a_pod_that_is_refused_is_told_why() {
    in_cluster(switched_on(), |cluster| {
        Authority::new().publish(cluster, "one");
        Viewer::of(&[volume()]).create(cluster);
        let request = pending(cluster, Viewer::NAME);
        answer(cluster, &request, &json!({ "status": { "conditions": [outcome("Denied", "Unwelcome")] } }));
        let events = ["get", "events", "--field-selector=reason=FailedMount", "-o", "jsonpath={..message}"];
        cluster.kubectl_until(&events, |text| {
            text.contains(
                "PodCertificateRequest was permanently denied: reason=\"Unwelcome\" message=\"as it is\"",
            )
        });
        assert_eq!(requests(cluster, Viewer::NAME).len(), 1);
        assert_eq!(cluster.get(&["pod", Viewer::NAME])["status"]["phase"], "Pending");
    });
}

/// Where the API is not switched on, a Pod waits and says for what.
#[test]
fn a_pod_says_that_the_api_is_not_served() {
    in_cluster(Options::default(), |cluster| {
        cluster.kubectl_fails(&["get", "clustertrustbundles"]);
        let certificate = json!({ "projected": { "sources": [{ "podCertificate": {
            "signerName": SIGNER, "keyType": "ED25519", "credentialBundlePath": "bundle.pem",
        } }] } });
        let bundle =
            json!({ "projected": { "sources": [{ "clusterTrustBundle": { "name": "a", "path": "a" } }] } });
        let kinds = [(certificate, "PodCertificateRequests"), (bundle, "ClusterTrustBundles")];
        for (number, (volume, kind)) in kinds.into_iter().enumerate() {
            let mut viewer = Viewer::of(&[volume]);
            let name = format!("viewer-{number}");
            viewer.pod["metadata"]["name"] = json!(name);
            viewer.create(cluster);
            let fields = format!("--field-selector=reason=FailedMount,involvedObject.name={name}");
            let text = format!(
                "the API server does not serve {kind}: it does with --runtime-config=certificates.k8s.io/v1beta1=true"
            );
            cluster.kubectl_until(&["get", "events", &fields, "-o", "jsonpath={..message}"], |shown| {
                shown.contains(&text)
            });
        }
    });
}
