//! The kubeconfig with which a user enters the cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::certificates::CertificatesInUse;
use crate::pki::{Pki, PkiError, write_file};

/// Writes the administrator's kubeconfig, mode 0600, whole or not at all.
pub fn write(path: &Path, server: SocketAddr, pki: &Pki) -> Result<(), PkiError> {
    write_file(path, &render(server, pki))
}

/// Writes the administrator's kubeconfig again whenever what is in it changes, until there are no more certificates.
pub async fn keep(path: PathBuf, server: SocketAddr, mut pki: CertificatesInUse) {
    while pki.changed().await.is_ok() {
        let current = pki.borrow_and_update().clone();
        if let Err(error) = write(&path, server, &current) {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot renew the kubeconfig");
        }
    }
}

/// The kubeconfig as text. It is JSON, which is YAML, so nothing needs escaping.
fn render(server: SocketAddr, pki: &Pki) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "wherry",
        "clusters": [{"name": "wherry", "cluster": {
            "server": format!("https://{server}"),
            "certificate-authority-data": base64(pki.ca.as_bytes()),
        }}],
        "users": [{"name": "wherry-admin", "user": {
            "client-certificate-data": base64(pki.admin.cert.as_bytes()),
            "client-key-data": base64(pki.admin.key.as_bytes()),
        }}],
        "contexts": [{"name": "wherry", "context": {"cluster": "wherry", "user": "wherry-admin"}}],
    });
    format!("{config:#}\n")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
