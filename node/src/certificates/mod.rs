//! The certificates of a node whose API server is elsewhere: asked for by CertificateSigningRequests, kept, and renewed.
//!
//! # Flow
//! [`join`] begins with a kubeconfig that is good for one thing, to ask for a client certificate, as a bootstrap token
//! is. Two [`keeper`]s then keep the client certificate and the serving certificate, each in a file; the client
//! ([`client`]) and the node's endpoint use what they keep from the next connection on.
//!
//! # Guarantees
//! A file holds a certificate with its key, whole or not at all, mode 0600. A node that starts again uses what it has,
//! and needs the bootstrap kubeconfig only if that has ended meanwhile.
//!
//! # Caveats
//! A serving certificate is approved by people; until then nobody can read logs from the node.

mod client;
mod identity;
mod keeper;
mod request;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;

use crate::config::EndpointTls;
use identity::Identity;
use keeper::Keeper;
use request::Wanted;

/// What a node needs to join a cluster.
pub struct Joining {
    /// Leads to the API server, with credentials that may ask for a client certificate.
    pub bootstrap: Kubeconfig,
    /// The node's name.
    pub node_name: String,
    /// The address under which it is reached.
    pub node_ip: IpAddr,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What a node has joined with.
pub struct Joined {
    /// Calls the API as the node.
    pub client: Client,
    /// What the node's endpoint serves with, once somebody has approved it.
    pub tls: watch::Receiver<Option<EndpointTls>>,
}

/// Why a node cannot join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The kubeconfig cannot be used.
    #[error("cannot use the bootstrap kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no client of it.
    #[error("cannot make a client of the bootstrap kubeconfig")]
    Client(#[source] kube::Error),
    /// It does not say who the API server is.
    #[error("the bootstrap kubeconfig names no certificate-authority")]
    Authority,
    /// The directory of certificates cannot be made.
    #[error("cannot create directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It was asked to stop before it had a certificate.
    #[error("stopped before the node had a client certificate")]
    Stopped,
}

/// Joins a cluster; returns when the node has a client certificate. What keeps certificates fresh runs among `tasks`.
pub async fn join(
    joining: Joining,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> Result<Joined, JoinError> {
    let dir = joining.data_dir.join("node/pki");
    std::fs::create_dir_all(&dir).map_err(|source| JoinError::Directory { path: dir.clone(), source })?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(joining.bootstrap, &options).await?;
    let authority = config.root_cert.as_deref().map(pem_of).ok_or(JoinError::Authority)?;
    let bootstrap = Client::try_from(config.clone()).map_err(JoinError::Client)?;

    let wanted = Wanted::client(&joining.node_name);
    let keeper = Keeper::open(dir.join("kubelet-client-current.pem"), wanted, joining.clock.clone());
    let mut identity = keeper.watch();
    let client = client::as_node(config, identity.clone());
    tasks.spawn(keeper.run(client.clone(), Some(bootstrap), stop.clone()));
    tokio::select! {
        () = stop.cancelled() => return Err(JoinError::Stopped),
        // The keeper ends only when it is stopped.
        had = identity.wait_for(Option::is_some) => drop(had.map_err(|_| JoinError::Stopped)?),
    }
    let wanted = Wanted::serving(&joining.node_name, joining.node_ip);
    let keeper = Keeper::open(dir.join("kubelet-server-current.pem"), wanted, joining.clock);
    let (sender, tls) = watch::channel(None);
    tasks.spawn(follow(keeper.watch(), authority, sender));
    tasks.spawn(keeper.run(client.clone(), None, stop.clone()));
    Ok(Joined { client, tls })
}

/// Hands serving certificates to the endpoint, until there are no more.
async fn follow(
    mut identity: watch::Receiver<Option<Identity>>,
    client_ca: String,
    tls: watch::Sender<Option<EndpointTls>>,
) {
    loop {
        let current = identity.borrow_and_update().clone();
        tls.send_replace(current.map(|Identity { cert, key }| EndpointTls {
            cert,
            key,
            client_ca: client_ca.clone(),
        }));
        if identity.changed().await.is_err() {
            return;
        }
    }
}

/// Certificates as PEM.
fn pem_of(certificates: &[Vec<u8>]) -> String {
    let block = |der: &Vec<u8>| {
        let text = STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    certificates.iter().map(block).collect()
}
