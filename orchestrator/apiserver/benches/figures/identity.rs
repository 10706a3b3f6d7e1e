//! Certificates of one run: an authority, the server's and a master's.

use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use serde::{Deserialize, Serialize};

/// What server and client of a run know each other by, as PEM.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identities {
    pub(crate) ca: String,
    pub(crate) server: Identity,
    pub(crate) client: Identity,
}

/// A certificate with its key.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Identities {
    /// New ones.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { ca, server: sign(&issuer, "server"), client: sign(&issuer, "bench") }
    }
}

fn sign(issuer: &Issuer<'static, KeyPair>, name: &str) -> Identity {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, issuer).expect("a certificate").pem();
    Identity { cert, key: key.serialize_pem() }
}
