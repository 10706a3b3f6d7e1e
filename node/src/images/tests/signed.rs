//! Images that are signed: in a registry, in an archive, and on the disk under a policy that came later.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use super::*;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// Who signs.
struct Signer(rcgen::KeyPair);

impl Signer {
    fn new() -> Self {
        Self(rcgen::KeyPair::generate().unwrap())
    }

    /// What is signed of the manifest, and the signature.
    fn sign(&self, repository: &str, digest: &str) -> (String, String) {
        let payload = json!({ "critical": {
            "identity": { "docker-reference": repository },
            "image": { "docker-manifest-digest": digest },
            "type": "cosign container image signature",
        }, "optional": null })
        .to_string();
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &self.0.serialize_der(), &random).unwrap();
        let signature = key.sign(&random, payload.as_bytes()).unwrap();
        (payload, STANDARD.encode(signature))
    }

    /// A policy that wants every image signed so.
    fn policy(&self, dir: &tempfile::TempDir) -> Arc<SignaturePolicy> {
        let requirement = json!({
            "type": "sigstoreSigned",
            "keyData": STANDARD.encode(self.0.public_key_pem()),
            "signedIdentity": { "type": "matchRepository" },
        });
        let path = dir.path().join("policy.json");
        std::fs::write(&path, json!({ "default": [requirement] }).to_string()).unwrap();
        Arc::new(SignaturePolicy::read(&path).unwrap())
    }
}

impl Registry {
    /// Signs what has this descriptor, as cosign does.
    fn signature(&mut self, signer: &Signer, repository: &str, of: &Value) {
        let digest = of["digest"].as_str().unwrap();
        let (payload, signature) = signer.sign(repository, digest);
        let mut layer = self.blob(SIMPLE_SIGNING, payload.as_bytes());
        layer["annotations"] = json!({ "dev.cosignproject.cosign/signature": signature });
        let config = self.blob(OCI_CONFIG, b"{}");
        let tag = format!("{}.sig", digest.replace(':', "-"));
        self.manifest(&tag, OCI_MANIFEST, json!({ "config": config, "layers": [layer] }));
    }
}

fn obeying(dir: &tempfile::TempDir, policy: Arc<SignaturePolicy>) -> Images {
    let _already = rustls::crypto::ring::default_provider().install_default();
    Images::open(&dir.path().join("content"), Arc::default(), policy).unwrap()
}

fn wasm_image(registry: &mut Registry, tag: &str) -> Value {
    registry.image(tag, (WASM_CONFIG, json!({})), &[("application/wasm", format!("\0asm{tag}").as_bytes())])
}

#[tokio::test]
async fn what_nobody_signed_who_may_is_not_fetched() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let mut registry = Registry::new();
    wasm_image(&mut registry, "unsigned");
    let foreign = wasm_image(&mut registry, "foreign");
    registry.signature(&stranger, "r.example/app", &foreign);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = obeying(&dir, signer.policy(&dir));
    let refused = pull(&images, &served, "unsigned", Selection::Wasm).await.unwrap_err();
    assert!(refused.contains("and there is no signature of sha256:"), "{refused}");
    let refused = pull(&images, &served, "foreign", Selection::Wasm).await.unwrap_err();
    assert!(refused.contains("a signature was made with another key"), "{refused}");
    assert_eq!(images.all().len(), 0);
    // All that was fetched is what the stranger signed.
    assert_eq!(served.content.blob_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_signature_of_the_index_or_of_the_manifest_is_enough_and_is_kept() {
    let signer = Signer::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let repository = format!("{}/app", listener.local_addr().unwrap());
    let mut registry = Registry::new();
    for (tag, signs_index) in [("a", true), ("b", false)] {
        let mut manifest = wasm_image(&mut registry, &format!("{tag}-wasm"));
        manifest["platform"] = json!({ "os": "wasi", "architecture": "wasm" });
        let index = registry.manifest(tag, OCI_INDEX, json!({ "manifests": [manifest] }));
        registry.signature(&signer, &repository, if signs_index { &index } else { &manifest });
    }
    let served = registry.serve_at(listener);
    let dir = tempfile::tempdir().unwrap();
    let policy = signer.policy(&dir);
    for tag in ["a", "b"] {
        pull(&obeying(&dir, policy.clone()), &served, tag, Selection::Wasm).await.unwrap();
        let images = obeying(&dir, policy.clone());
        let image = images.lookup(&served.reference(tag), Selection::Wasm).unwrap();
        assert_eq!(images.check(&served.reference(tag), &image), Ok(()));
        let others = obeying(&dir, Signer::new().policy(&dir));
        assert!(others.check(&served.reference(tag), &image).is_err(), "a policy counts for what is here");
    }
}

/// An archive as `cosign save` writes it: an image, and its signature beside it.
fn archive(signer: &Signer, repository: &str) -> Vec<u8> {
    let mut registry = Registry::new();
    let image = wasm_image(&mut registry, "v1");
    registry.signature(signer, repository, &image);
    let tag = format!("{}.sig", image["digest"].as_str().unwrap().replace(':', "-"));
    let (_, signatures) = &registry.content.documents[&format!("/v2/app/manifests/{tag}")];
    let (image, signatures) = (image["digest"].clone(), digest(signatures));
    let name = json!({ "org.opencontainers.image.ref.name": format!("{repository}:v1"), "kind": "dev.cosignproject.cosign/image" });
    let kind = json!({ "kind": "dev.cosignproject.cosign/sigs", "org.opencontainers.image.ref.name": format!("{repository}:{tag}") });
    let index = json!({ "schemaVersion": 2, "manifests": [
        { "mediaType": OCI_MANIFEST, "digest": image, "annotations": name },
        { "mediaType": OCI_MANIFEST, "digest": signatures, "annotations": kind },
    ] });
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    for (_, bytes) in registry.content.documents.values() {
        add(&format!("blobs/sha256/{}", digest(bytes).trim_start_matches("sha256:")), bytes);
    }
    add("index.json", index.to_string().as_bytes());
    tar.into_inner().unwrap()
}

#[test]
fn an_archive_brings_its_signatures_along() {
    let (signer, dir) = (Signer::new(), tempfile::tempdir().unwrap());
    let images = obeying(&dir, signer.policy(&dir));
    let names = import::import(&images.store, &*archive(&signer, "r.example/app")).unwrap();
    assert_eq!(names, ["r.example/app:v1"]);
    import::import(&images.store, &*archive(&Signer::new(), "r.example/foreign")).unwrap();
    for (name, runs) in [("r.example/app:v1", true), ("r.example/foreign:v1", false)] {
        let reference = ImageReference::parse(name).unwrap();
        let image = images.lookup(&reference, Selection::Wasm).unwrap();
        assert_eq!(images.check(&reference, &image).is_ok(), runs, "{name}");
    }
}
