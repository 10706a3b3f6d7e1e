//! Front proxies: whose word the server takes for who the user is.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wherry_apiserver::{RequestHeaders, Rotating, TlsConfig};

use crate::harness::Api;
use crate::logs::{Authority, Identity, chain, provider};

const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// A server that listens, believes users of one authority and proxies of another.
struct Server {
    users: Authority,
    proxies: Authority,
    address: SocketAddr,
    _api: Api,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start() -> Self {
        let (users, proxies) = (Authority::new(), Authority::new());
        let mut headers = RequestHeaders::new(proxies.pem.clone().into());
        headers.allowed_names = vec!["front".to_owned()];
        let api = Api::with(|config| config.front_proxies = Some(headers)).await;
        api.default_policy().await;
        let own = users.sign("server", None);
        let tls =
            TlsConfig { cert: own.cert.into(), key: own.key.into(), client_ca: users.pem.clone().into() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        let server = api.server.clone();
        tasks.spawn(async move {
            server.serve(listener, Rotating::fixed(tls), CancellationToken::new()).await.unwrap();
        });
        Self { users, proxies, address, _api: api, _tasks: tasks }
    }

    /// Who the server takes somebody for who shows a certificate and sends headers.
    async fn who(&self, identity: Option<&Identity>, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        let config =
            rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(self.users.roots());
        let config = match identity.map(chain) {
            Some((cert, key)) => config.with_client_auth_cert(cert, key).unwrap(),
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let mut request = Request::post(WHO).header("host", "api").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::from(review.to_string()))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let code = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (code, body["status"]["userInfo"].clone())
    }
}

const ANN: &[(&str, &str)] =
    &[("x-remote-user", "ann"), ("x-remote-group", "dev"), ("x-remote-extra-x.io%2Fteam", "t")];

#[tokio::test]
async fn the_server_takes_the_word_of_a_proxy_that_it_knows() {
    let server = Server::start().await;
    let front = server.proxies.sign("front", None);
    let (code, user) = server.who(Some(&front), ANN).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(user["username"], "ann");
    assert_eq!(user["groups"], json!(["dev", "system:authenticated"]));
    assert_eq!(user["extra"], json!({"x.io/team": ["t"]}));
}

#[tokio::test]
async fn headers_of_everybody_else_say_nothing() {
    let server = Server::start().await;
    let masters = &[("x-remote-user", "root"), ("x-remote-group", "system:masters")];
    let user = server.users.sign("bob", None);
    let (code, found) = server.who(Some(&user), masters).await;
    assert_eq!((code, &found["username"]), (StatusCode::CREATED, &json!("bob")));
    assert_eq!(found["groups"], json!(["system:authenticated"]));
    assert_eq!(server.who(None, masters).await.0, StatusCode::FORBIDDEN);
    // One of the proxies' authority, of another name.
    let other = server.proxies.sign("back", None);
    assert_eq!(server.who(Some(&other), masters).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_proxy_is_nobody_itself() {
    let server = Server::start().await;
    let front = server.proxies.sign("front", Some("system:masters"));
    assert_eq!(server.who(Some(&front), &[]).await.0, StatusCode::FORBIDDEN);
    let groups = &[("x-remote-group", "system:masters")];
    assert_eq!(server.who(Some(&front), groups).await.0, StatusCode::FORBIDDEN);
}
