//! A client that shows the certificate the node has at the time.
//!
//! A new certificate takes a new inner client, so that connections that began with the old one are not used for long;
//! whoever holds the outer one notices nothing.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::Client;
use kube::client::{Body, ClientBuilder, ConfigExt as _};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tower::service_fn;

use super::identity::Identity;

/// Connections that hear nothing from the API server for so long are given up, watches with them. Behind a partition nothing fails
/// and nothing ends, and when it is over the kernel would wait long before it tried an old connection again.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a connection is silent before the API server is asked whether it is there, and how often it is asked then.
const IDLE: Duration = Duration::from_secs(15);
const PROBE: Duration = Duration::from_secs(5);

/// A client of the API server that `config` leads to, by whatever certificate there is.
pub(super) fn as_node(config: kube::Config, identity: watch::Receiver<Option<Identity>>) -> Client {
    let namespace = config.default_namespace.clone();
    let inner = Arc::new(Mutex::new(Inner { config, identity, current: None }));
    let service = service_fn(move |request: Request<Body>| {
        let client = inner.lock().client();
        async move { client?.send(request).await }
    });
    Client::new(service, namespace)
}

struct Inner {
    config: kube::Config,
    identity: watch::Receiver<Option<Identity>>,
    current: Option<Client>,
}

impl Inner {
    fn client(&mut self) -> Result<Client, kube::Error> {
        if let Some(current) = self.current.as_ref().filter(|_| !self.identity.has_changed().unwrap_or(false))
        {
            return Ok(current.clone());
        }
        let identity = self.identity.borrow_and_update().clone();
        let mut config = self.config.clone();
        config.auth_info = credentials(identity.as_ref()).map_err(kube::Error::SerdeError)?;
        let client = connect(&config)?;
        self.current = Some(client.clone());
        Ok(client)
    }
}

/// As kube does for whoever shows a certificate, over connections that notice when nobody is there.
fn connect(config: &kube::Config) -> Result<Client, kube::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(PROBE));
    connector.set_keepalive(Some(IDLE));
    connector.set_keepalive_interval(Some(PROBE));
    connector.set_tcp_user_timeout(Some(SILENCE));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let service = legacy::Client::builder(TokioExecutor::new()).build(connector);
    let builder = ClientBuilder::new(service, config.default_namespace.clone());
    Ok(builder.with_layer(&config.base_uri_layer()).with_layer(&config.extra_headers_layer()?).build())
}

/// How a kubeconfig would name the certificate.
fn credentials(identity: Option<&Identity>) -> Result<kube::config::AuthInfo, serde_json::Error> {
    let text = |pem: &str| STANDARD.encode(pem);
    serde_json::from_value(json!({
        "client-certificate-data": identity.map(|identity| text(&identity.cert)),
        "client-key-data": identity.map(|identity| text(&identity.key)),
    }))
}
