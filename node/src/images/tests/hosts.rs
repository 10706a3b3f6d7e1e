//! What `configs` and endpoints of `registries.yaml` say, held against registries that want it.

use std::path::PathBuf;

use axum::middleware::{self, Next};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority, and what it signs for the registry and its client.
struct Pki {
    dir: tempfile::TempDir,
    authority: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let pki = Self { dir: tempfile::tempdir().unwrap(), authority, issuer: Issuer::new(params, key) };
        std::fs::write(pki.path("ca.pem"), pki.authority.pem()).unwrap();
        let (certificate, key) = pki.sign(ExtendedKeyUsagePurpose::ClientAuth);
        std::fs::write(pki.path("node.pem"), certificate.pem()).unwrap();
        std::fs::write(pki.path("node.key"), key.serialize_pem()).unwrap();
        pki
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn sign(&self, purpose: ExtendedKeyUsagePurpose) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A server's side of TLS that lets nobody in whose certificate is not signed here.
    fn acceptor(&self) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let (certificate, key) = self.sign(ExtendedKeyUsagePurpose::ServerAuth);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A registry with an image, behind what `layer` makes of it.
async fn serve(layer: impl FnOnce(Router) -> Router, tls: Option<TlsAcceptor>) -> Served {
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let content = Arc::new(registry.content);
    let router = layer(Router::new().fallback(answer).with_state(content.clone()));
    let mut server = JoinSet::new();
    server.spawn(async move {
        let Some(tls) = tls else { return axum::serve(listener, router).await.unwrap() };
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = tls.accept(stream).await else { continue };
            let service = TowerToHyperService::new(router.clone());
            // A client that closes its connection is done.
            Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await.ok();
        }
    });
    Served { address, content, _server: server }
}

/// Pulls `m.example/app:v1`, of which the server is a mirror, by what the file says of it.
async fn pulled(endpoint: &str, configs: &str) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.yaml");
    let yaml = format!("mirrors: {{ m.example: {{ endpoint: [\"{endpoint}\"] }} }}\nconfigs: {configs}\n");
    std::fs::write(&file, yaml).unwrap();
    let registries = Arc::new(Registries::read(&file, true).map_err(|error| chain(&error))?);
    let _already = rustls::crypto::ring::default_provider().install_default();
    let images = Images::open(dir.path(), registries, Arc::default()).unwrap();
    let reference = ImageReference::parse("m.example/app:v1").unwrap();
    let image = images.pull(&reference, Selection::Wasm, Account::Nobody).await;
    image.map(drop).map_err(|error| chain(&*error))
}

#[tokio::test]
async fn a_registry_that_wants_a_certificate_is_shown_it() {
    let pki = Pki::new();
    let served = serve(|router| router, Some(pki.acceptor())).await;
    let endpoint = format!("https://{}", served.address);
    let tls = |more: &str| {
        format!(
            "{{ \"{}\": {{ tls: {{ ca_file: {}{more} }} }} }}",
            served.address,
            pki.path("ca.pem").display()
        )
    };
    let own = format!(
        ", cert_file: {}, key_file: {}",
        pki.path("node.pem").display(),
        pki.path("node.key").display()
    );
    pulled(&endpoint, &tls(&own)).await.unwrap();
    let refused = pulled(&endpoint, &tls("")).await.unwrap_err();
    assert!(refused.contains("CertificateRequired") || refused.contains("certificate"), "{refused}");
    std::fs::write(pki.path("node.key"), "no key").unwrap();
    let unread = pulled(&endpoint, &tls(&own)).await.unwrap_err();
    assert!(unread.starts_with("cannot understand ") && unread.contains("node.key"), "{unread}");
}

/// Whom a service that gives tokens out was asked by.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

/// Lets only those in who have the token of this service, which gives it to `ada` and to whoever holds `long-lived`.
fn guarded(router: Router, address: SocketAddr, asked: Arc<Asked>) -> Router {
    let tokens = move |request: Request| async move {
        let account =
            request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        let form = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
        let form = String::from_utf8(form.to_vec()).unwrap();
        let is_known =
            account.as_deref() == Some("Basic YWRhOnA=") || form.contains("refresh_token=long-lived");
        asked.0.lock().push(format!("{query}{form}"));
        if is_known {
            r#"{"access_token":"short-lived","token":"short-lived"}"#.into_response()
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    };
    let guard = move |request: Request, next: Next| async move {
        if request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == "Bearer short-lived") {
            return next.run(request).await;
        }
        let challenge = format!("Bearer realm=\"http://{address}/token\",service=\"m\"");
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)]).into_response()
    };
    router.layer(middleware::from_fn(guard)).route("/token", axum::routing::any(tokens))
}

#[tokio::test]
async fn an_account_or_an_identity_token_is_given_a_token() {
    let (asked, listener) =
        (Arc::new(Asked::default()), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let address = listener.local_addr().unwrap();
    let mut registry = Registry::new();
    registry.image("v1", (WASM_CONFIG, json!({})), &[("application/wasm", b"\0asm")]);
    let router = Router::new().fallback(answer).with_state(Arc::new(registry.content));
    let router = guarded(router, address, asked.clone());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let endpoint = format!("http://{address}");
    let with = |auth: &str| format!("{{ \"{address}\": {{ auth: {{ {auth} }} }} }}");
    pulled(&endpoint, &with("identity_token: long-lived")).await.unwrap();
    let scope = "scope=repository%3Aapp%3Apull&service=m";
    let refresh = format!("{scope}&grant_type=refresh_token&refresh_token=long-lived&client_id=wherry");
    assert_eq!(*asked.0.lock(), [refresh], "one token does for all of an image");
    pulled(&endpoint, &with("username: ada, password: p")).await.unwrap();
    assert_eq!(asked.0.lock()[1..], [scope]);
    for auth in ["identity_token: another", "username: ada, password: other"] {
        let refused = pulled(&endpoint, &with(auth)).await.unwrap_err();
        assert!(refused.contains("/token: 401 Unauthorized"), "{refused}");
    }
}

#[tokio::test]
async fn a_mirror_may_be_below_a_path_and_is_told_what_it_stands_for() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = seen.clone();
    let below = |router: Router| {
        let note = move |request: Request, next: Next| {
            log.lock().push(request.uri().to_string());
            next.run(request)
        };
        let inner = Router::new().nest("/cache/hub", Router::new().fallback(rooted(router)));
        inner.layer(middleware::from_fn(note))
    };
    let served = serve(below, None).await;
    pulled(&format!("http://{}/cache/hub/", served.address), "{}").await.unwrap();
    let seen = seen.lock();
    assert_eq!(seen[0], "/cache/hub/app/manifests/v1?ns=m.example");
    assert!(seen[1..].iter().all(|path| path.starts_with("/cache/hub/app/blobs/sha256:")), "{seen:?}");
}

/// A server of its own, until the tasks end.
async fn listening(router: Router, tasks: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

#[tokio::test]
async fn who_takes_uploads_for_a_registry_is_not_shown_its_account() {
    let (shown, mut tasks) = (Arc::<Mutex<Vec<Option<String>>>>::default(), JoinSet::new());
    let log = shown.clone();
    let account = |request: &Request| {
        request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
    };
    let note = move |request: Request| {
        log.lock().push(account(&request));
        std::future::ready(StatusCode::CREATED)
    };
    let elsewhere = listening(Router::new().fallback(note), &mut tasks).await;
    let registry = move |request: Request| async move {
        if account(&request).as_deref() != Some("Basic YWRhOnA=") {
            return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")]).into_response();
        }
        if request.method() == http::Method::POST {
            let location = format!("http://{elsewhere}/upload?state=1");
            return (StatusCode::ACCEPTED, [(header::LOCATION, location)]).into_response();
        }
        StatusCode::CREATED.into_response()
    };
    let address = listening(Router::new().fallback(registry), &mut tasks).await;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("registries.yaml");
    let yaml = format!("configs: {{ \"{address}\": {{ auth: {{ username: ada, password: p }} }} }}");
    std::fs::write(&file, yaml).unwrap();
    let registries = Registries::read(&file, false).unwrap();
    let reference = ImageReference::parse(&format!("{address}/app:v1")).unwrap();
    let artifact = WasmArtifact { bytes: b"\0asm".to_vec(), component: None, created: String::new() };
    push::push(&registries, &reference, artifact).await.unwrap();
    assert_eq!(*shown.lock(), [None, None], "a layer and a configuration");
}

/// What answers below `/v2`, asked without it.
fn rooted(router: Router) -> impl Fn(Request) -> futures::future::BoxFuture<'static, Response> + Clone {
    move |mut request| {
        *request.uri_mut() = format!("/v2{}", request.uri().path()).parse().unwrap();
        let router = router.clone();
        async move { tower::ServiceExt::oneshot(router, request).await.unwrap() }.boxed()
    }
}
