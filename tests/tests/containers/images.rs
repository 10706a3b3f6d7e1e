//! Images that are brought to a node by hand, and how images go.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{
    Cluster, FullDisk, Options, Registry, build_dir, in_cluster, isolated, one_shot, wait, wherry_binary,
};

/// A name that no registry has.
const NAME: &str = "nowhere.example/imported:1";
/// An image that shares nothing with it.
const OTHER: &str = "127.0.0.1:5000/side-by-side-backend:v1";
const WASM: &str = "127.0.0.1:5000/hello-wasm:v1";

fn try_image(cluster: &Cluster, args: &[&str], input: Stdio) -> (bool, String) {
    let output = Command::new(wherry_binary())
        .arg("image")
        .args(args)
        .arg("--data-dir")
        .arg(cluster.data_dir())
        .stdin(input)
        .output()
        .expect("wherry runs");
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn image(cluster: &Cluster, args: &[&str], input: Stdio) -> String {
    let (done, text) = try_image(cluster, args, input);
    assert!(done, "wherry image {}: {text}", args.join(" "));
    text
}

/// What is said of an image that is not removed.
fn refusal(cluster: &Cluster, args: &[&str]) -> String {
    let (done, text) = try_image(cluster, args, Stdio::null());
    assert!(!done, "wherry image {}: {text}", args.join(" "));
    text
}

/// Writes what is kept under its digest; its descriptor.
fn blob(dir: &Path, media_type: &str, bytes: &[u8]) -> Value {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let hex = digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).expect("the test's directory is writable");
    std::fs::write(blobs.join(&hex), bytes).expect("the test's directory is writable");
    json!({ "mediaType": media_type, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

/// The signature of an image, as cosign makes it; its descriptor.
fn sign(dir: &Path, signer: &rcgen::KeyPair, image: &Value) -> Value {
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
    let payload = json!({ "critical": {
        "identity": { "docker-reference": NAME.trim_end_matches(":1") },
        "image": { "docker-manifest-digest": image["digest"] },
        "type": "cosign container image signature",
    }, "optional": null })
    .to_string();
    let random = ring::rand::SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &signer.serialize_der(), &random);
    let signature = key.expect("the key is of this kind").sign(&random, payload.as_bytes());
    let signature = STANDARD.encode(signature.expect("it can be signed"));
    let mut layer = blob(dir, "application/vnd.dev.cosign.simplesigning.v1+json", payload.as_bytes());
    layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
    let manifest = "application/vnd.oci.image.manifest.v1+json";
    let config = blob(dir, "application/vnd.oci.image.config.v1+json", b"{}");
    let signatures =
        json!({ "schemaVersion": 2, "mediaType": manifest, "config": config, "layers": [layer] });
    let mut signatures = blob(dir, manifest, signatures.to_string().as_bytes());
    signatures["annotations"] = json!({ "kind": "dev.cosignproject.cosign/sigs" });
    signatures
}

/// An OCI layout in an archive, with a name for its image, and its signature.
fn archive(dir: &Path, signer: &rcgen::KeyPair) -> std::fs::File {
    let layout = build_dir().join("images/hello-oci");
    let index = std::fs::read(layout.join("index.json")).expect("scripts/oci-images made the layout");
    let mut index: Value = serde_json::from_slice(&index).expect("an index is JSON");
    index["manifests"][0]["annotations"] = json!({ "io.containerd.image.name": NAME });
    let signature = sign(dir, signer, &index["manifests"][0]);
    index["manifests"].as_array_mut().expect("an index lists").push(signature);
    std::fs::write(dir.join("index.json"), index.to_string()).expect("the test's directory is writable");
    let archive = dir.join("image.tar.gz");
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&layout)
        .args(["oci-layout", "blobs", "-C"])
        .arg(dir)
        .args(["index.json", "blobs"])
        .status();
    assert!(status.expect("tar is installed").success());
    std::fs::File::open(archive).expect("the archive was written")
}

#[test]
fn an_image_that_is_imported_beside_a_running_node_needs_no_registry_and_brings_its_signature() {
    isolated(|| {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let signer = rcgen::KeyPair::generate().expect("a key can be made");
        let policy = dir.path().join("policy.json");
        std::fs::write(&policy, only_signed_by(&signer)).expect("the test's directory is writable");
        let _registry = Registry::start(dir.path());
        let flags = vec![format!("--image-signature-policy={}", policy.display())];
        let cluster = &mut Cluster::start(dir.path(), Options { flags, ..Options::default() });
        one_that_nobody_signed_does_not_run(cluster);
        let pod = with(shell("main", IDLE), json!({ "image": NAME, "imagePullPolicy": "Never" }));
        cluster.run_pod("early", &json!({ "terminationGracePeriodSeconds": 0, "containers": [pod] }));
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        cluster
            .kubectl_until(&["get", "pod", "early", "-o", waiting], |reason| reason == "ErrImageNeverPull");
        let imported = image(cluster, &["import", "-"], archive(dir.path(), &signer).into());
        assert_eq!(imported, format!("imported {NAME}\n"));
        cluster.wait_for("condition=Ready", &["pod/early"]);
        let kept = |cluster: &Cluster| {
            let list = image(cluster, &["list"], Stdio::null());
            let line = list.lines().find(|line| line.starts_with(NAME)).expect("the image is listed");
            line.split_whitespace().nth(3).map(str::to_owned)
        };
        assert_eq!(kept(cluster).as_deref(), Some("imported"));
        image(cluster, &["unpin", NAME], Stdio::null());
        assert_eq!(kept(cluster), None);
        image(cluster, &["pin", NAME], Stdio::null());
        assert_eq!(kept(cluster).as_deref(), Some("pinned"));
    });
}

/// Images of the test's own name, and those of one repository, need a signature.
fn only_signed_by(signer: &rcgen::KeyPair) -> String {
    let signed = json!([{
        "type": "sigstoreSigned",
        "keyData": STANDARD.encode(signer.public_key_pem()),
        "signedIdentity": { "type": "matchRepository" },
    }]);
    let scopes = json!({ "nowhere.example": signed, "127.0.0.1:5000/hello-wasm": signed });
    json!({ "default": [{ "type": "insecureAcceptAnything" }], "transports": { "docker": scopes } })
        .to_string()
}

fn one_that_nobody_signed_does_not_run(cluster: &Cluster) {
    cluster.apply(&one_shot("unsigned", "hello-wasm:v1", ""));
    let waiting = "jsonpath={.status.containerStatuses[0].state.waiting}";
    cluster.kubectl_until(&["get", "pod", "unsigned", "-o", waiting], |waiting| {
        waiting.contains("because the signature validation failed: the policy wants images of")
    });
    cluster.until_told("involvedObject.name=unsigned", |told| {
        told.contains("Error: SignatureValidationFailed") && told.contains("there is no signature of sha256:")
    });
    cluster.kubectl(&["delete", "pod", "unsigned", "--grace-period=0", "--force"]);
}

/// The names of all images.
fn names(cluster: &Cluster) -> Vec<String> {
    let list = image(cluster, &["list"], Stdio::null());
    list.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

fn has(cluster: &Cluster, name: &str) -> bool {
    names(cluster).iter().any(|known| known == name)
}

#[test]
fn images_go_when_they_are_told_to_and_when_the_disk_gets_full() {
    let flags =
        ["--image-gc-high-threshold=1", "--image-gc-low-threshold=0", "--minimum-image-ttl-duration=0s"];
    let options = Options { flags: flags.map(str::to_owned).to_vec(), ..Options::default() };
    in_cluster(options, |cluster| {
        let disk = cluster.move_to_small_disk();
        exported_and_removed(cluster);
        pruned(cluster);
        while_the_disk_is_full(cluster, &disk);
        // The agent looks at the disk when it starts, and this one is fuller than it should be.
        assert!(has(cluster, OTHER) && cluster.terminate());
        let without = refusal(cluster, &["prune"]);
        assert!(without.contains("no agent of this node answers"), "{without}");
        cluster.launch();
        wait::until("unused images are gone", || {
            let names = names(cluster);
            if names.iter().all(|name| name.contains("nowhere.example")) {
                Ok(())
            } else {
                Err(names.join(" "))
            }
        });
        assert!(has(cluster, NAME), "what was imported stays");
    });
}

/// An archive brings back what was removed; what is in use or pinned stays.
fn exported_and_removed(cluster: &Cluster) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let signer = rcgen::KeyPair::generate().expect("a key can be made");
    image(cluster, &["import", "-"], archive(dir.path(), &signer).into());
    let exported = dir.path().join("exported.tar");
    let exported = exported.to_str().expect("the path is text");
    image(cluster, &["export", NAME, "--output", exported], Stdio::null());
    let removed = image(cluster, &["rm", NAME], Stdio::null());
    assert!(
        removed.contains(&format!("removed {NAME}\n")) && !removed.contains("\n0 bytes freed"),
        "{removed}"
    );
    assert!(!has(cluster, NAME));
    assert!(refusal(cluster, &["rm", NAME]).contains("there is no image"));
    image(cluster, &["import", exported], Stdio::null());
    let pod = with(shell("main", IDLE), json!({ "image": NAME, "imagePullPolicy": "Never" }));
    cluster.run_pod("user", &json!({ "terminationGracePeriodSeconds": 1, "containers": [pod] }));
    cluster.wait_for("condition=Ready", &["pod/user"]);
    let used = refusal(cluster, &["rm", "--force", NAME]);
    assert!(used.contains("is in use by Pods of this node"), "{used}");
    cluster.kubectl(&["delete", "pod", "user"]);
    image(cluster, &["pin", NAME], Stdio::null());
    let pinned = refusal(cluster, &["rm", NAME]);
    assert!(pinned.contains("is pinned"), "{pinned}");
    image(cluster, &["rm", "--force", NAME], Stdio::null());
    image(cluster, &["import", exported], Stdio::null());
}

/// What nothing uses goes, but for what was imported.
fn pruned(cluster: &Cluster) {
    image(cluster, &["pull", WASM], Stdio::null());
    let told = image(cluster, &["prune"], Stdio::null());
    assert!(told.contains(&format!("removed {WASM}\n")) && !told.contains("\n0 bytes freed"), "{told}");
    assert!(!has(cluster, WASM) && has(cluster, NAME));
}

/// An image that does not fit is waited for, and told of in words.
fn while_the_disk_is_full(cluster: &Cluster, disk: &Path) {
    let full = FullDisk::fill(disk);
    let main = with(shell("main", IDLE), json!({ "image": OTHER }));
    cluster.run_pod("late", &json!({ "terminationGracePeriodSeconds": 1, "containers": [main] }));
    cluster.until_told("involvedObject.name=late", |told| told.contains("no space is left on the disk of"));
    drop(full);
    cluster.wait_for("condition=Ready", &["pod/late"]);
    cluster.kubectl(&["delete", "pod", "late"]);
}

/// A directory of one program that knows the account of the private registry, and the file that names it.
fn provider(dir: &Path) -> [String; 2] {
    let (user, password) = Registry::ACCOUNT;
    let answer = json!({
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "kind": "CredentialProviderResponse",
        "cacheKeyType": "Registry", "auth": { Registry::PRIVATE: { "username": user, "password": password } },
    });
    let programs = dir.join("programs");
    std::fs::create_dir(&programs).expect("the test's directory is writable");
    let program = programs.join("accounts");
    std::fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n"))
        .expect("it is writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("the file is ours");
    let config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig",
        "providers": [{
            "name": "accounts", "matchImages": [Registry::PRIVATE], "defaultCacheDuration": "1m",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        }],
    });
    let file = dir.join("providers.json");
    std::fs::write(&file, config.to_string()).expect("the test's directory is writable");
    [
        format!("--image-credential-provider-config={}", file.display()),
        format!("--image-credential-provider-bin-dir={}", programs.display()),
    ]
}

#[test]
fn an_image_of_a_private_registry_is_fetched_with_the_account_that_a_program_knows() {
    isolated(|| {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let _registry = Registry::start(dir.path());
        let _private = Registry::start_private(dir.path());
        let options = Options { flags: provider(dir.path()).into(), ..Options::default() };
        let cluster = Cluster::start(dir.path(), options);
        let name = format!("{}/hello-oci:v1", Registry::PRIVATE);
        assert!(refusal(&cluster, &["pull", &name]).contains("cannot pull"), "nobody else knows the account");
        let main = with(shell("main", IDLE), json!({ "image": name }));
        cluster.run_pod("private", &json!({ "terminationGracePeriodSeconds": 0, "containers": [main] }));
        cluster.wait_for("condition=Ready", &["pod/private"]);
    });
}
