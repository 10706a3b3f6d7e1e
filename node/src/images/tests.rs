//! Pulls from a registry on loopback.

mod hosts;
mod signed;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::context::chain;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const WASM_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

/// What the registry has, by path, and how often it was asked for blobs.
#[derive(Default)]
struct Content {
    documents: HashMap<String, (String, Vec<u8>)>,
    blob_requests: AtomicUsize,
    /// User and password it wants, base64.
    account: Option<String>,
    /// How many transfers of blobs break off halfway.
    breaks: AtomicUsize,
    /// From which byte on blobs were asked for.
    offsets: Mutex<Vec<usize>>,
}

struct Registry {
    content: Content,
}

struct Served {
    address: SocketAddr,
    content: Arc<Content>,
    _server: JoinSet<()>,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Registry {
    fn new() -> Self {
        Self { content: Content::default() }
    }

    /// Adds a blob; its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let path = format!("/v2/app/blobs/{digest}");
        self.content.documents.insert(path, ("application/octet-stream".to_owned(), bytes.to_vec()));
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// Adds a manifest under its digest and the tag; its descriptor.
    fn manifest(&mut self, tag: &str, media_type: &str, mut manifest: Value) -> Value {
        manifest["schemaVersion"] = json!(2);
        manifest["mediaType"] = json!(media_type);
        let bytes = manifest.to_string().into_bytes();
        let digest = digest(&bytes);
        for name in [tag, &digest] {
            let path = format!("/v2/app/manifests/{name}");
            self.content.documents.insert(path, (media_type.to_owned(), bytes.clone()));
        }
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    fn image(&mut self, tag: &str, config: (&str, Value), layers: &[(&str, &[u8])]) -> Value {
        let config = self.blob(config.0, config.1.to_string().as_bytes());
        let layers: Vec<Value> = layers.iter().map(|(kind, bytes)| self.blob(kind, bytes)).collect();
        self.manifest(tag, OCI_MANIFEST, json!({ "config": config, "layers": layers }))
    }

    async fn serve(self) -> Served {
        self.serve_at(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    fn serve_at(self, listener: TcpListener) -> Served {
        let address = listener.local_addr().unwrap();
        let content = Arc::new(self.content);
        let router = Router::new().fallback(answer).with_state(content.clone());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Served { address, content, _server: server }
    }
}

async fn answer(State(content): State<Arc<Content>>, request: Request) -> Response {
    if let Some(account) = &content.account {
        let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if given != Some(&format!("Basic {account}")) {
            let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"test\"")];
            return (StatusCode::UNAUTHORIZED, challenge, "{}").into_response();
        }
    }
    let path = request.uri().path();
    if path.contains("/blobs/") {
        content.blob_requests.fetch_add(1, Ordering::SeqCst);
        if let Some((_, bytes)) = content.documents.get(path) {
            return blob(&content, bytes, request.headers().get(header::RANGE));
        }
    }
    match content.documents.get(path) {
        Some((kind, bytes)) => ([(header::CONTENT_TYPE, kind.clone())], bytes.clone()).into_response(),
        None if path == "/v2/" => "{}".into_response(),
        None => {
            let error = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
            (StatusCode::NOT_FOUND, axum::Json(error)).into_response()
        }
    }
}

/// A blob from where it is wanted, or half of that if the transfer is to break off.
fn blob(content: &Content, bytes: &[u8], range: Option<&http::HeaderValue>) -> Response {
    let range = range.and_then(|value| value.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-'));
    let offset: usize = range.map_or(0, |text| text.parse().unwrap());
    content.offsets.lock().push(offset);
    let rest = bytes[offset..].to_vec();
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let fewer = |left: usize| left.checked_sub(1);
    if content.breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_err() {
        return (status, rest).into_response();
    }
    let length = [(header::CONTENT_LENGTH, rest.len().to_string())];
    let half = Ok(rest[..rest.len() / 2].to_vec());
    let broken = async {
        // What was sent before arrives before the connection ends.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))
    };
    let parts = futures::stream::iter([half]).chain(futures::stream::once(broken));
    (status, length, axum::body::Body::from_stream(parts)).into_response()
}

impl Served {
    fn reference(&self, tag: &str) -> ImageReference {
        let separator = if tag.starts_with("sha256:") { '@' } else { ':' };
        ImageReference::parse(&format!("{}/app{separator}{tag}", self.address)).unwrap()
    }
}

fn open(dir: &tempfile::TempDir) -> Images {
    // Two tests may be first at the same time.
    let _already = rustls::crypto::ring::default_provider().install_default();
    Images::open(dir.path(), Arc::default(), Arc::default()).unwrap()
}

async fn pull(
    images: &Images,
    served: &Served,
    tag: &str,
    selection: Selection,
) -> Result<ImageContent, String> {
    let pulled = images.pull(&served.reference(tag), selection, Account::Nobody).await;
    pulled.map(|image| images.content(&image).unwrap()).map_err(|error| chain(&*error))
}

fn tar_of(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, name, bytes).unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn a_wasm_artifact_is_pulled_once_and_found_again() {
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm1234")]);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    assert!(images.lookup(&served.reference("v1"), Selection::NativeFirst).is_none());
    let ImageContent::Wasm { path, digest, .. } =
        pull(&images, &served, "v1", Selection::NativeFirst).await.unwrap()
    else {
        panic!("expected WebAssembly")
    };
    assert_eq!(std::fs::read(path).unwrap(), b"\0asm1234");
    assert_eq!(digest, super::tests::digest(b"\0asm1234"));
    let asked = served.content.blob_requests.load(Ordering::SeqCst);

    let images = open(&dir);
    let image = images.lookup(&served.reference("v1"), Selection::NativeFirst).unwrap();
    assert!(
        image.repo_digest.starts_with(&format!("{}/app@sha256:", served.address)),
        "{}",
        image.repo_digest
    );
    pull(&images, &served, "v1", Selection::NativeFirst).await.unwrap();
    assert_eq!(served.content.blob_requests.load(Ordering::SeqCst), asked);
}

#[tokio::test]
async fn pulls_of_one_image_at_a_time_are_one_pull() {
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", &vec![7; 1 << 20])]);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    let pulls = (0..8).map(|_| pull(&images, &served, "v1", Selection::NativeFirst));
    for result in futures::future::join_all(pulls).await {
        assert!(result.is_ok());
    }
    assert_eq!(served.content.blob_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_oci_image_keeps_its_layers_and_a_wasi_image_gives_up_its_binary() {
    let mut registry = Registry::new();
    let config = json!({ "os": "linux", "architecture": "amd64", "config": { "Cmd": ["sh"] } });
    registry.image("oci", (OCI_CONFIG, config), &[(TAR, b"one"), (TAR, b"two")]);
    let config = json!({ "os": "wasi", "architecture": "wasm",
        "config": { "Entrypoint": ["/app.wasm"], "Cmd": ["serve"], "Env": ["A=1"] } });
    registry.image("wasi", (OCI_CONFIG, config), &[(TAR, &tar_of("app.wasm", b"\0asm"))]);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);

    let ImageContent::Oci { layers, config, .. } =
        pull(&images, &served, "oci", Selection::Native).await.unwrap()
    else {
        panic!("expected an OCI image")
    };
    assert_eq!(layers.iter().map(|l| std::fs::read(&l.path).unwrap()).collect::<Vec<_>>(), [b"one", b"two"]);
    assert!(std::fs::read_to_string(config).unwrap().contains("linux"));

    let ImageContent::Wasm { path, entrypoint, env, .. } =
        pull(&images, &served, "wasi", Selection::Wasm).await.unwrap()
    else {
        panic!("expected WebAssembly")
    };
    assert_eq!(std::fs::read(path).unwrap(), b"\0asm");
    assert_eq!((entrypoint, env), (vec!["/app.wasm".to_owned()], vec!["A=1".to_owned()]));
    let image = images.lookup(&served.reference("wasi"), Selection::Wasm).unwrap();
    assert_eq!(image.default_args, ["serve"]);
}

/// What unpacks to more than it is, or says it is more than anybody would run, is refused before it takes room.
#[tokio::test]
async fn images_that_are_bombs_are_refused() {
    let mut registry = Registry::new();
    let mut name = tar::Header::new_gnu();
    name.set_entry_type(tar::EntryType::GNULongName);
    name.set_size(1 << 40);
    name.set_cksum();
    let wasi = || json!({ "os": "wasi", "architecture": "wasm" });
    registry.image("name", (OCI_CONFIG, wasi()), &[(TAR, name.as_bytes())]);
    let mut large = registry.blob("application/wasm", b"\0asm");
    large["size"] = json!(1_u64 << 40);
    let config = registry.blob(WASM_CONFIG, b"{}");
    registry.manifest("large", OCI_MANIFEST, json!({ "config": config, "layers": [large.clone()] }));
    let mut short = large.clone();
    short["size"] = json!(3);
    registry.manifest("short", OCI_MANIFEST, json!({ "config": config, "layers": [short] }));
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    for (tag, selection, expected) in [
        ("name", Selection::Wasm, "a name of 1099511627776 bytes is longer than 4097"),
        ("large", Selection::Wasm, "is larger than the 268435456 bytes that are compiled"),
        ("short", Selection::Wasm, "is longer than the 3 bytes that were announced"),
    ] {
        let told = pull(&images, &served, tag, selection).await.unwrap_err();
        assert!(told.ends_with(expected), "{tag}: {told}");
    }
    let path = format!("/v2/app/blobs/{}", large["digest"].as_str().unwrap());
    assert!(served.content.documents.contains_key(&path));
    assert_eq!(served.content.offsets.lock().len(), 3, "the large one was not asked for");
}

#[tokio::test]
async fn an_index_offers_a_choice() {
    let mut registry = Registry::new();
    let mut wasm = registry.image("w", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    wasm["platform"] = json!({ "os": "wasi", "architecture": "wasm" });
    let mut other = registry.image("o", (OCI_CONFIG, json!({})), &[(TAR, b"x")]);
    other["platform"] = json!({ "os": "plan9", "architecture": "mips" });
    registry.manifest("both", OCI_INDEX, json!({ "manifests": [other.clone(), wasm] }));
    registry.manifest("foreign", OCI_INDEX, json!({ "manifests": [other] }));
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    let content = pull(&images, &served, "both", Selection::NativeFirst).await.unwrap();
    assert!(matches!(content, ImageContent::Wasm { .. }));
    let error = pull(&images, &served, "foreign", Selection::Wasm).await.unwrap_err();
    assert_eq!(error, "no match for platform wasi/wasm in manifest: it has plan9/mips");
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_and_nothing_is_kept() {
    let mut registry = Registry::new();
    registry.image("bad", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    for (path, (_, bytes)) in &mut registry.content.documents {
        if path.ends_with(&digest(b"\0asm")) {
            *bytes = b"evil".to_vec();
        }
    }
    registry.image("text", (WASM_CONFIG, json!({})), &[("text/plain", b"hello")]);
    let path = "/v2/app/manifests/junk".to_owned();
    registry.content.documents.insert(path, (OCI_MANIFEST.to_owned(), b"{\"layers\":7}".to_vec()));
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    let cases = [
        ("gone", "failed to resolve reference"),
        ("gone", "manifest unknown"),
        ("bad", "igest"),
        ("text", "none of its layers is WebAssembly (found [\"text/plain\"])"),
        ("junk", "cannot parse manifest"),
    ];
    for (tag, expected) in cases {
        let error = pull(&images, &served, tag, Selection::NativeFirst).await.unwrap_err();
        assert!(error.contains(expected), "{tag}: {error}");
        assert!(images.lookup(&served.reference(tag), Selection::NativeFirst).is_none());
    }
    assert_eq!(std::fs::read_dir(dir.path().join("ingest")).unwrap().count(), 0);
    assert!(!dir.path().join("blobs/sha256").join(&digest(b"evil")["sha256:".len()..]).exists());
}

#[tokio::test]
async fn a_digest_is_held_to() {
    let mut registry = Registry::new();
    let manifest = registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    let right = manifest["digest"].as_str().unwrap().to_owned();
    let wrong = digest(b"another");
    let document = registry.content.documents["/v2/app/manifests/v1"].clone();
    registry.content.documents.insert(format!("/v2/app/manifests/{wrong}"), document);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    assert!(pull(&images, &served, &right, Selection::NativeFirst).await.is_ok());
    let error = pull(&images, &served, &wrong, Selection::NativeFirst).await.unwrap_err();
    assert!(error.to_lowercase().contains("digest"), "{error}");
}

#[tokio::test]
async fn a_private_image_needs_its_account() {
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    registry.content.account = Some("dTpw".to_owned());
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    assert!(pull(&images, &served, "v1", Selection::NativeFirst).await.is_err());
    let auth = Account::Password("u".to_owned(), "p".to_owned());
    let pulled = images.pull(&served.reference("v1"), Selection::NativeFirst, auth).await;
    assert!(pulled.is_ok(), "{:?}", pulled.err());
}

#[tokio::test]
async fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let mut registry = Registry::new();
    let binary = vec![7; 1 << 20];
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", &binary)]);
    registry.content.breaks = AtomicUsize::new(2);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let content = pull(&open(&dir), &served, "v1", Selection::Wasm).await.unwrap();
    let ImageContent::Wasm { path, .. } = content else { panic!("expected WebAssembly") };
    assert_eq!(std::fs::read(path).unwrap(), binary);
    assert_eq!(*served.content.offsets.lock(), [0, 1 << 19, 3 << 18]);
}

#[tokio::test]
async fn a_transfer_that_brings_nothing_more_is_given_up() {
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    registry.content.breaks = AtomicUsize::new(usize::MAX);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let error = pull(&open(&dir), &served, "v1", Selection::Wasm).await.unwrap_err();
    assert!(error.contains("broke off"), "{error}");
    assert_eq!(*served.content.offsets.lock(), [0, 2, 3, 3, 3]);
    assert_eq!(std::fs::read_dir(dir.path().join("ingest")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_blob_that_is_longer_than_announced_is_not_taken() {
    let mut registry = Registry::new();
    let mut endless = registry.blob("application/wasm", b"\0asm and more");
    endless["size"] = json!(4);
    let config = registry.blob(WASM_CONFIG, b"{}");
    registry.manifest("endless", OCI_MANIFEST, json!({ "config": config, "layers": [endless] }));
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let error = pull(&open(&dir), &served, "endless", Selection::Wasm).await.unwrap_err();
    assert!(error.contains("is longer than the 4 bytes that were announced"), "{error}");
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_the_registry_for_what_it_does_not_have() {
    let mut mirror = Registry::new();
    mirror.image("both", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm mirror")]);
    mirror.content.account = Some("dTpw".to_owned());
    let mut registry = Registry::new();
    registry.image("both", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm registry")]);
    registry.image("own", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm own")]);
    let (mirror, registry) = (mirror.serve().await, registry.serve().await);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.yaml");
    let yaml = format!(
        "mirrors:\n  \"{0}\":\n    endpoint: [\"http://{1}\"]\n    rewrite: {{ \"^named/(.*)$\": \"$1\" }}\n\
         configs:\n  \"{1}\": {{ auth: {{ username: u, password: p }} }}\n",
        registry.address, mirror.address
    );
    std::fs::write(&file, yaml).unwrap();
    let registries = Arc::new(Registries::read(&file, false).unwrap());
    let _already = rustls::crypto::ring::default_provider().install_default();
    let images = Images::open(dir.path(), registries, Arc::default()).unwrap();
    let binary = |content: ImageContent| match content {
        ImageContent::Wasm { path, .. } => std::fs::read(path).unwrap(),
        ImageContent::Oci { .. } => panic!("expected WebAssembly"),
    };
    let pulled = |tag| pull(&images, &registry, tag, Selection::Wasm);
    assert_eq!(binary(pulled("both").await.unwrap()), b"\0asm mirror");
    assert_eq!(binary(pulled("own").await.unwrap()), b"\0asm own");
    let renamed = ImageReference::parse(&format!("{}/named/app:both", registry.address)).unwrap();
    let image = images.pull(&renamed, Selection::Wasm, Account::Nobody).await.unwrap();
    assert_eq!(binary(images.content(&image).unwrap()), b"\0asm mirror");
    assert!(
        image.repo_digest.starts_with(&format!("{}/named/app@", registry.address)),
        "{}",
        image.repo_digest
    );
}

#[tokio::test]
async fn a_removed_image_leaves_what_others_need() {
    let mut registry = Registry::new();
    let config = |name: &str| json!({ "os": "linux", "architecture": "amd64", "author": name });
    registry.image("a", (OCI_CONFIG, config("a")), &[(TAR, b"shared"), (TAR, b"a alone")]);
    registry.image("b", (OCI_CONFIG, config("b")), &[(TAR, b"shared")]);
    let served = registry.serve().await;
    let dir = tempfile::tempdir().unwrap();
    let images = open(&dir);
    for tag in ["a", "b"] {
        pull(&images, &served, tag, Selection::Native).await.unwrap();
    }
    let names: Vec<usize> = images.all().iter().map(|named| named.names.len()).collect();
    assert_eq!(names, [2, 2], "each has its tag and its digest");
    let image = images.lookup(&served.reference("a"), Selection::Native).unwrap();
    let lease = images.store.lease();
    lease.hold(&digest(b"a alone"));
    let freed = images.remove(image.id()).unwrap();
    assert_eq!(freed, config("a").to_string().len() as u64);
    assert!(images.lookup(&served.reference("a"), Selection::Native).is_none());
    assert!(images.lookup(&served.reference("b"), Selection::Native).is_some());
    assert!(images.store.has(&digest(b"a alone")), "somebody is about to use it");
}

#[test]
fn the_policy_decides() {
    let latest = ImageReference::parse("127.0.0.1:5000/app").unwrap();
    let tagged = ImageReference::parse("127.0.0.1:5000/app:v1").unwrap();
    assert_eq!(PullPolicy::of(None, &latest), PullPolicy::Always);
    assert_eq!(PullPolicy::of(None, &tagged), PullPolicy::IfNotPresent);
    assert_eq!(PullPolicy::of(Some("Never"), &latest), PullPolicy::Never);
    let cases = [
        (PullPolicy::Always, true, PullDecision::Pull),
        (PullPolicy::IfNotPresent, true, PullDecision::Use),
        (PullPolicy::IfNotPresent, false, PullDecision::Pull),
        (PullPolicy::Never, true, PullDecision::Use),
        (PullPolicy::Never, false, PullDecision::Refuse),
    ];
    for (policy, present, decision) in cases {
        assert_eq!(should_pull(policy, present), decision, "{policy:?} {present}");
    }
}
