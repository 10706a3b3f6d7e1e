//! The certificates of a running cluster, for each of its parts in the form it uses.
//!
//! There is one that puts certificates in, the task of [`crate::pki::rotation`]; everybody else holds a channel, in
//! which a value counts as changed only if it did.

use tokio::sync::watch;
use wherry_apiserver::{NodeClientTls, Rotating, TlsConfig};

use crate::pki::{Identity, Pki};

/// The certificates as they are now, and word of new ones.
pub type CertificatesInUse = watch::Receiver<Pki>;

/// See the module's documentation.
pub(crate) struct Certificates {
    current: watch::Sender<Pki>,
    ca: watch::Sender<String>,
    serving: watch::Sender<TlsConfig>,
    node_client: watch::Sender<NodeClientTls>,
    front_proxy: watch::Sender<NodeClientTls>,
}

impl Certificates {
    pub(crate) fn new(pki: Pki) -> Self {
        Self {
            ca: watch::Sender::new(pki.ca.clone()),
            serving: watch::Sender::new(serving(&pki)),
            node_client: watch::Sender::new(client(&pki, &pki.node_client)),
            front_proxy: watch::Sender::new(client(&pki, &pki.front_proxy)),
            current: watch::Sender::new(pki),
        }
    }

    /// Hands new certificates out.
    pub(crate) fn replace(&self, pki: Pki) {
        put(&self.ca, pki.ca.clone());
        put(&self.serving, serving(&pki));
        put(&self.node_client, client(&pki, &pki.node_client));
        put(&self.front_proxy, client(&pki, &pki.front_proxy));
        self.current.send_replace(pki);
    }

    /// All of them.
    pub(crate) fn current(&self) -> CertificatesInUse {
        self.current.subscribe()
    }

    /// The certificates of authorities that are believed, PEM.
    pub(crate) fn ca(&self) -> watch::Receiver<String> {
        self.ca.subscribe()
    }

    /// What the API server serves with.
    pub(crate) fn serving(&self) -> Rotating<TlsConfig> {
        self.serving.subscribe().into()
    }

    /// What it shows nodes.
    pub(crate) fn node_client(&self) -> Rotating<NodeClientTls> {
        self.node_client.subscribe().into()
    }

    /// What it shows servers that it passes requests on to.
    pub(crate) fn front_proxy(&self) -> Rotating<NodeClientTls> {
        self.front_proxy.subscribe().into()
    }
}

fn put<T: PartialEq>(channel: &watch::Sender<T>, value: T) {
    channel.send_if_modified(|current| {
        let differs = *current != value;
        *current = value;
        differs
    });
}

fn serving(pki: &Pki) -> TlsConfig {
    TlsConfig {
        cert: pki.server.cert.clone().into_bytes(),
        key: pki.server.key.clone().into_bytes(),
        client_ca: pki.ca.clone().into_bytes(),
    }
}

fn client(pki: &Pki, identity: &Identity) -> NodeClientTls {
    NodeClientTls {
        ca: pki.ca.clone().into_bytes(),
        cert: identity.cert.clone().into_bytes(),
        key: identity.key.clone().into_bytes(),
    }
}
