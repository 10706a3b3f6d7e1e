//! Certificates asked of the API: approved, signed and used; and those of the cluster through a year.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::{ByteString, ClusterResourceScope};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource, ResourceExt as _};
use parking_lot::Mutex;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wherry_api::clock::Clock;
use wherry_orchestrator::pki::Pki;
use wherry_orchestrator::{Authorization, ControlPlane};

/// Long enough for a slow machine; a test that passes does not wait.
const PATIENCE: Duration = Duration::from_secs(30);
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
const TOKEN: &str = "abcdef.0123456789abcdef";

/// A control plane with its controllers.
struct Cluster {
    plane: ControlPlane,
    admin: Client,
    directory: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = support::config(directory.path()).await;
        config.authorization = Authorization::NodeRbac;
        let plane = Box::pin(ControlPlane::start(config)).await.unwrap();
        let admin = plane.client("test", "test");
        Self { plane, admin, directory }
    }

    /// A client over TLS, of whoever has these credentials.
    async fn client(&self, credentials: Value) -> Client {
        let path = self.directory.path().join("kubeconfig");
        let mut kubeconfig = Kubeconfig::read_from(path).unwrap();
        let credentials: AuthInfo = serde_json::from_value(credentials).unwrap();
        kubeconfig.auth_infos[0].auth_info = Some(credentials);
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        Client::try_from(config).unwrap()
    }

    /// A client of whoever the certificate in the request names.
    async fn client_by(&self, request: &CertificateSigningRequest, key: &KeyPair) -> Client {
        let base64 = |bytes: &[u8]| serde_json::to_value(ByteString(bytes.to_vec())).unwrap();
        let certificate = base64(issued(request).unwrap());
        let key = base64(key.serialize_pem().as_bytes());
        self.client(json!({"client-certificate-data": certificate, "client-key-data": key})).await
    }

    async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object: K = serde_json::from_value(object).unwrap();
        Api::all(self.admin.clone()).create(&PostParams::default(), &object).await.unwrap()
    }

    fn requests(&self) -> Api<CertificateSigningRequest> {
        Api::all(self.admin.clone())
    }

    async fn decide(&self, name: &str, kind: &str) {
        let condition =
            json!({"type": kind, "status": "True", "reason": "E2E", "message": "Set from a test"});
        let patch = Patch::Merge(json!({"status": {"conditions": [condition]}}));
        self.requests().patch_approval(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Waits until a request is as it should be.
    async fn until(
        &self,
        name: &str,
        wanted: fn(&CertificateSigningRequest) -> bool,
    ) -> CertificateSigningRequest {
        let wanted = |found: Option<&CertificateSigningRequest>| found.is_some_and(wanted);
        let waiting = await_condition(self.requests(), name, wanted);
        tokio::time::timeout(PATIENCE, waiting).await.expect("it does not come").unwrap().unwrap()
    }

    async fn signed(&self, name: &str) -> CertificateSigningRequest {
        self.until(name, |request| issued(request).is_some()).await
    }
}

fn issued(request: &CertificateSigningRequest) -> Option<&[u8]> {
    request.status.as_ref()?.certificate.as_ref().map(|bytes| bytes.0.as_slice())
}

fn conditions(request: &CertificateSigningRequest) -> Vec<(String, String, String)> {
    let all = request.status.iter().flat_map(|status| status.conditions.iter().flatten());
    all.map(|condition| {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        (condition.type_.clone(), text(&condition.reason), text(&condition.message))
    })
    .collect()
}

/// A wish for a certificate that this user of these groups may show to use the key.
fn request(
    signer: &str,
    (user, group): (&str, &str),
    names: Vec<SanType>,
    key: &KeyPair,
) -> CertificateSigningRequest {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    if !group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    params.subject_alt_names = names;
    let pem = params.serialize_request(key).unwrap().pem().unwrap();
    let purpose = if signer == KUBELET_SERVING { "server auth" } else { "client auth" };
    let mut request = CertificateSigningRequest {
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: signer.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), purpose.to_owned()]),
            expiration_seconds: Some(3600),
            ..CertificateSigningRequestSpec::default()
        },
        ..CertificateSigningRequest::default()
    };
    request.metadata.generate_name = Some("csr-".to_owned());
    request
}

async fn ask(client: &Client, request: &CertificateSigningRequest) -> CertificateSigningRequest {
    Api::all(client.clone()).create(&PostParams::default(), request).await.unwrap()
}

async fn who_am_i(client: &Client) -> (String, Vec<String>) {
    let review = SelfSubjectReview::default();
    let answer = Api::<SelfSubjectReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let user = answer.unwrap().status.unwrap().user_info.unwrap();
    (user.username.unwrap(), user.groups.unwrap())
}

/// The part of "CertificateSigningRequest API Client Certificate": a client is built with what was signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificatesigningrequest_api_client_certificate() {
    let cluster = Cluster::start().await;
    let rule = json!({"verbs": ["create"], "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"]});
    cluster.create::<ClusterRole>(json!({"metadata": {"name": "asks"}, "rules": [rule]})).await;
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "tester-csr"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "asks"});
    let binding = json!({"metadata": {"name": "asks"}, "roleRef": role, "subjects": [subject]});
    cluster.create::<ClusterRoleBinding>(binding).await;

    let key = KeyPair::generate().unwrap();
    let template = request(CLIENT, ("tester-csr", ""), Vec::new(), &key);
    let asked = ask(&cluster.admin, &template).await;
    cluster.decide(&asked.name_any(), "Approved").await;
    let signed = cluster.signed(&asked.name_any()).await;
    let (_, block) = x509_parser::pem::parse_x509_pem(issued(&signed).unwrap()).unwrap();
    let validity = block.parse_x509().unwrap().validity().clone();
    assert!(validity.not_after.timestamp() - validity.not_before.timestamp() <= 3900);

    let client = cluster.client_by(&signed, &key).await;
    let again = ask(&client, &template).await;
    assert_eq!(again.spec.username.as_deref(), Some("tester-csr"));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_with_a_token_becomes_a_node_and_renews_its_certificate() {
    let cluster = Cluster::start().await;
    let stranger = cluster.client(json!({"token": TOKEN})).await;
    let node = ("system:node:n1", "system:nodes");
    let key = KeyPair::generate().unwrap();
    let template = request(KUBELET_CLIENT, node, Vec::new(), &key);
    let refused = Api::all(stranger.clone()).create(&PostParams::default(), &template).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 401));

    let data = json!({"token-id": "abcdef", "token-secret": "0123456789abcdef",
        "usage-bootstrap-authentication": "true"});
    let token = json!({"metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token", "stringData": data});
    let secrets = Api::<Secret>::namespaced(cluster.admin.clone(), "kube-system");
    secrets.create(&PostParams::default(), &serde_json::from_value(token).unwrap()).await.unwrap();

    let asked = ask(&stranger, &template).await;
    let signed = cluster.signed(&asked.name_any()).await;
    let told = "Auto approving kubelet client certificate after SubjectAccessReview.";
    assert_eq!(conditions(&signed), [("Approved".into(), "AutoApproved".into(), told.into())]);
    let client = cluster.client_by(&signed, &key).await;
    let (user, groups) = who_am_i(&client).await;
    assert_eq!(
        (user.as_str(), groups),
        ("system:node:n1", vec!["system:nodes".into(), "system:authenticated".into()])
    );

    let renewed_key = KeyPair::generate().unwrap();
    let renewal = ask(&client, &request(KUBELET_CLIENT, node, Vec::new(), &renewed_key)).await;
    let renewal = cluster.signed(&renewal.name_any()).await;
    let told = "Auto approving self kubelet client certificate after SubjectAccessReview.";
    assert_eq!(conditions(&renewal), [("Approved".into(), "AutoApproved".into(), told.into())]);
    assert_eq!(who_am_i(&cluster.client_by(&renewal, &renewed_key).await).await.0, "system:node:n1");

    // To be a node is not to be another one.
    let other = request(KUBELET_CLIENT, ("system:node:n2", "system:nodes"), Vec::new(), &key);
    let refused = Api::all(client).create(&PostParams::default(), &other).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    cluster.plane.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_serving_certificate_of_a_node_is_signed_when_somebody_approves_it() {
    let cluster = Cluster::start().await;
    let key = KeyPair::generate().unwrap();
    let names = vec![SanType::DnsName("n1".try_into().unwrap()), SanType::IpAddress([10, 0, 0, 1].into())];
    let node = ("system:node:n1", "system:nodes");
    let asked = ask(&cluster.admin, &request(KUBELET_SERVING, node, names.clone(), &key)).await;
    let denied = ask(&cluster.admin, &request(KUBELET_SERVING, node, names, &key)).await;
    let nameless = ask(&cluster.admin, &request(KUBELET_SERVING, node, Vec::new(), &key)).await;
    for (request, decision) in [(&denied, "Denied"), (&nameless, "Approved"), (&asked, "Approved")] {
        cluster.decide(&request.name_any(), decision).await;
    }
    let signed = cluster.signed(&asked.name_any()).await;
    let (_, block) = x509_parser::pem::parse_x509_pem(issued(&signed).unwrap()).unwrap();
    let certificate = block.parse_x509().unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap().value;
    assert_eq!(names.general_names.len(), 2);
    assert!(certificate.extended_key_usage().unwrap().unwrap().value.server_auth);

    let has_failed =
        |request: &CertificateSigningRequest| conditions(request).iter().any(|(kind, ..)| kind == "Failed");
    let failed = cluster.until(&nameless.name_any(), has_failed).await;
    let why =
        ("Failed".into(), "SignerValidationFailure".into(), "DNS or IP subjectAltName is required".into());
    assert_eq!(conditions(&failed)[1], why);
    assert_eq!(issued(&failed), None);
    assert_eq!(issued(&cluster.requests().get(&denied.name_any()).await.unwrap()), None);
    cluster.plane.shutdown().await;
}

/// A clock that a test sets.
struct SetClock(Mutex<Timestamp>);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

impl std::fmt::Debug for SetClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lock().fmt(f)
    }
}

impl rustls::time_provider::TimeProvider for SetClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.now().as_second().unsigned_abs())))
    }
}

/// A cluster whose clock a test sets, and a client that reads its kubeconfig before each connection, as kubectl does.
struct Aging {
    plane: ControlPlane,
    clock: Arc<SetClock>,
    directory: tempfile::TempDir,
}

impl Aging {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = support::config(directory.path()).await;
        let clock = Arc::new(SetClock(Mutex::new(config.clock.now())));
        config.clock = clock.clone();
        let plane = Box::pin(ControlPlane::start(config)).await.unwrap();
        Self { plane, clock, directory }
    }

    /// Sets the clock.
    fn pretend(&self, now: Timestamp) {
        *self.clock.0.lock() = now;
    }

    /// Sets the clock and gives the cluster two minutes to notice, which pass at once.
    async fn set(&self, now: Timestamp) {
        self.pretend(now);
        let mut certificates = self.plane.certificates();
        let before = certificates.borrow_and_update().server.cert.clone();
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(61)).await;
        tokio::time::resume();
        let replaced = certificates.wait_for(|pki| pki.server.cert != before);
        drop(tokio::time::timeout(Duration::from_secs(5), replaced).await);
    }

    fn pki(&self) -> Pki {
        self.plane.certificates().borrow().clone()
    }

    async fn connect(&self, believed: &str, pki: &Pki) -> std::io::Result<Connection> {
        let certificates = |pem: &str| {
            let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            all.unwrap()
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(believed));
        let key = PrivateKeyDer::from_pem_slice(pki.admin.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_details(provider, self.clock.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(&pki.admin.cert), key)
            .unwrap();
        let address = self.plane.address();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        Ok(Connection(stream))
    }
}

/// A connection to the API server that stays.
struct Connection(tokio_rustls::client::TlsStream<TcpStream>);

impl Connection {
    /// The status of an answer to a request that only an administrator may make.
    async fn ask(&mut self) -> u16 {
        let request = "GET /api/v1/namespaces/default/secrets/none HTTP/1.1\r\nHost: h\r\n\r\n";
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"}\n") && !answer.ends_with(b"}") {
            let mut block = [0; 4096];
            let count = self.0.read(&mut block).await.unwrap();
            assert!(count > 0, "the connection ended: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&block[..count]);
        }
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn server_certificate(&self) -> Vec<u8> {
        self.0.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

const FOUND_NONE: u16 = 404;
const DAY: Duration = Duration::from_hours(24);

#[tokio::test]
async fn a_client_works_through_a_year_and_whatever_the_clock_says() {
    let cluster = Aging::start().await;
    let begin = cluster.clock.now();
    let believed = cluster.pki().ca;
    let first = cluster.pki();
    let mut old = cluster.connect(&believed, &first).await.unwrap();
    assert_eq!(old.ask().await, FOUND_NONE);
    let after = |days: u32| begin + DAY * days;
    for now in [after(100), after(240), after(340), after(400), after(3000), begin - DAY * 730, begin] {
        cluster.set(now).await;
        let pki = cluster.pki();
        let mut connection = cluster.connect(&believed, &pki).await.unwrap();
        assert_eq!(connection.ask().await, FOUND_NONE, "{now}");
        let serving = CertificateDer::from_pem_slice(pki.server.cert.as_bytes()).unwrap();
        assert_eq!(connection.server_certificate(), serving.to_vec(), "{now}");
    }
    assert_ne!(cluster.pki().server.cert, first.server.cert);
    cluster.plane.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_nobodys_when_the_certificate_it_began_with_has_ended() {
    let cluster = Aging::start().await;
    let first = cluster.pki();
    let mut connection = cluster.connect(&first.ca, &first).await.unwrap();
    assert_eq!(connection.ask().await, FOUND_NONE);
    let begin = cluster.clock.now();
    cluster.pretend(begin + DAY * 364);
    assert_eq!(connection.ask().await, FOUND_NONE, "a certificate is good until it ends");
    cluster.pretend(begin + DAY * 366);
    assert_eq!(connection.ask().await, 401);
    cluster.set(begin + DAY * 366).await;
    let mut again = cluster.connect(&first.ca, &cluster.pki()).await.unwrap();
    assert_eq!(again.ask().await, FOUND_NONE);
    cluster.plane.shutdown().await;
}

#[tokio::test]
async fn a_new_authority_is_told_to_pods_and_to_other_servers() {
    let cluster = Aging::start().await;
    let before = cluster.pki();
    wherry_orchestrator::pki::rotate_authority(&cluster.directory.path().join("pki"), cluster.clock.now())
        .unwrap();
    cluster.set(cluster.clock.now()).await;
    let after = cluster.pki();
    assert_ne!(before.ca, after.ca);
    let mut old = cluster.connect(&before.ca, &before).await.unwrap();
    let mut new = cluster.connect(&after.ca, &after).await.unwrap();
    assert_eq!((old.ask().await, new.ask().await), (FOUND_NONE, FOUND_NONE));
    let client = cluster.plane.client("test", "test");
    for (namespace, name, field) in [
        ("default", "kube-root-ca.crt", "ca.crt"),
        ("kube-system", "extension-apiserver-authentication", "client-ca-file"),
    ] {
        let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
        let tells = |map: Option<&ConfigMap>| {
            let data = map.and_then(|map| map.data.as_ref());
            data.and_then(|data| data.get(field)) == Some(&after.ca)
        };
        tokio::time::timeout(PATIENCE, await_condition(api, name, tells)).await.expect(name).unwrap();
    }
    cluster.plane.shutdown().await;
}
