//! TLS with endpoints: whose certificates are believed, and what is said of those that are not.

use std::io;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::WantsClientCert;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, ConfigBuilder, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::NodeClientTls;
use crate::node_client::certificates;
use crate::proxy::connect::anybody;

/// Where systems keep the certificates that everybody believes.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Connects to those whose certificates the bundle vouches for; it is PEM in base64. The system's certificates vouch
/// where there is none.
pub(crate) fn connector(bundle: &str) -> Result<TlsConnector, String> {
    Ok(TlsConnector::from(Arc::new(builder(bundle)?.with_no_client_auth())))
}

/// As [`connector`], with a certificate to show; with `insecure`, any certificate of the other side is believed.
pub(crate) fn connector_as(
    identity: &NodeClientTls,
    bundle: &str,
    insecure: bool,
) -> Result<TlsConnector, String> {
    let builder = if insecure { anybody() } else { builder(bundle)? };
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| error.to_string())?;
    let config = builder.with_client_auth_cert(certificates(&identity.cert)?, key);
    Ok(TlsConnector::from(Arc::new(config.map_err(|error| error.to_string())?)))
}

/// As [`connector_as`], with or without a certificate to show.
pub(crate) fn connector_for(
    identity: Option<&NodeClientTls>,
    bundle: &str,
    insecure: bool,
) -> Result<TlsConnector, String> {
    match identity {
        Some(identity) => connector_as(identity, bundle, insecure),
        None if insecure => Ok(TlsConnector::from(Arc::new(anybody().with_no_client_auth()))),
        None => connector(bundle),
    }
}

fn builder(bundle: &str) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let mut roots = RootCertStore::empty();
    if bundle.is_empty() {
        roots = system().clone();
    } else {
        let unusable = || "unable to load root certificates: unable to parse bytes as PEM block".to_owned();
        let pem = STANDARD.decode(bundle).map_err(|_| unusable())?;
        for certificate in certificates(&pem).map_err(|_| unusable())? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    Ok(config)
}

/// The certificates that the system believes; none where it keeps none.
fn system() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let pem = SYSTEM.iter().find_map(|path| std::fs::read(path).ok()).unwrap_or_default();
        roots.add_parsable_certificates(certificates(&pem).unwrap_or_default());
        roots
    })
}

/// What went wrong with a handshake, as Go tells it.
pub(super) fn told(error: &io::Error, host: &str) -> String {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let Some(rustls::Error::InvalidCertificate(why)) = cause else {
        return cause.map_or_else(|| error.to_string(), |cause| format!("tls: {cause}"));
    };
    let why = match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "certificate has expired or is not yet valid".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("certificate is not valid for any names, but wanted to match {host}")
        }
        other => other.to_string(),
    };
    format!("tls: failed to verify certificate: x509: {why}")
}
