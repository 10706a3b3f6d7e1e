//! A client that shows the certificate the node has at the time.
//!
//! A new certificate takes a new inner client, so that connections that began with the old one are not used for long;
//! whoever holds the outer one notices nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tower::service_fn;

use super::identity::Identity;

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
        let client = Client::try_from(config)?;
        self.current = Some(client.clone());
        Ok(client)
    }
}

/// How a kubeconfig would name the certificate.
fn credentials(identity: Option<&Identity>) -> Result<kube::config::AuthInfo, serde_json::Error> {
    let text = |pem: &str| STANDARD.encode(pem);
    serde_json::from_value(json!({
        "client-certificate-data": identity.map(|identity| text(&identity.cert)),
        "client-key-data": identity.map(|identity| text(&identity.key)),
    }))
}
