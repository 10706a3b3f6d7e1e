//! Which certificate a client is shown, by the name it asks for.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, ServerConfig, WantsVerifier};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;

use crate::rule::Host;
use crate::site::Site;

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The chain cannot be read, or there is none.
    #[error("the certificate is no PEM")]
    Chain(#[source] rustls_pki_types::pem::Error),
    /// The key cannot be read, or there is none.
    #[error("the private key is no PEM")]
    Key(#[source] rustls_pki_types::pem::Error),
    /// They do not belong together, or are of a kind that is not known.
    #[error("the certificate and the private key cannot be used together")]
    Pair(#[from] rustls::Error),
}

/// A certificate chain with its key.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// Reads a chain and its key.
    pub fn from_pem(chain: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(CertificateError::Chain)?;
        if chain.is_empty() {
            return Err(CertificateError::Chain(rustls_pki_types::pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(CertificateError::Key)?;
        let pair = CertifiedKey::from_der(chain, key, provider)?;
        pair.keys_match()?;
        Ok(Self(Arc::new(pair)))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// The certificates of a door.
#[derive(Debug, Default)]
pub struct Certificates {
    names: HashMap<String, Certificate>,
    domains: HashMap<String, Certificate>,
    other: Option<Certificate>,
}

impl Certificates {
    /// `other` is shown to whoever asks for no name, or for one that nothing else is for.
    pub fn new(other: Option<Certificate>) -> Self {
        Self { other, ..Self::default() }
    }

    /// Shows this one to whoever asks for such a host, unless another was added before.
    pub fn add(&mut self, host: &Host, certificate: &Certificate) {
        match host {
            Host::Exactly(name) => {
                self.names.entry(name.clone()).or_insert_with(|| certificate.clone());
            }
            Host::LabelBefore(domain) | Host::Below(domain) => {
                self.domains.entry(domain.clone()).or_insert_with(|| certificate.clone());
            }
            Host::Any => {
                self.other.get_or_insert_with(|| certificate.clone());
            }
        }
    }

    /// The certificate for this name, which is in lower case. One for `*.DOMAIN` is for names with one label before it, as
    /// clients see it.
    pub fn find(&self, name: Option<&str>) -> Option<&Certificate> {
        let exact = name.and_then(|name| self.names.get(name));
        let domain = || self.domains.get(name?.split_once('.')?.1);
        exact.or_else(domain).or(self.other.as_ref())
    }
}

/// How TLS is spoken to clients: each is shown one of the certificates that the site has at the time of its handshake.
pub fn server_config(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    site: watch::Receiver<Arc<Site>>,
) -> ServerConfig {
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Chooser(site)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Chooses among the certificates that a door has at the time of a handshake.
struct Chooser(watch::Receiver<Arc<Site>>);

impl fmt::Debug for Chooser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chooser").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = self.0.borrow().certificates.find(name.as_deref()).cloned();
        found.map(|Certificate(pair)| pair)
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::default_provider;

    use super::*;

    fn pem(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn read(chain: &str, key: &str) -> Result<Certificate, CertificateError> {
        Certificate::from_pem(chain.as_bytes(), key.as_bytes(), &default_provider())
    }

    #[test]
    fn a_name_is_shown_its_own_certificate() {
        let [a, b, other] = ["a.example", "*.b.example", "other"].map(|name| {
            let (chain, key) = pem(name);
            read(&chain, &key).unwrap()
        });
        let mut all = Certificates::new(Some(other.clone()));
        all.add(&Host::Exactly("a.example".to_owned()), &a);
        all.add(&Host::Exactly("a.example".to_owned()), &other);
        all.add(&Host::LabelBefore("b.example".to_owned()), &b);
        let is = |name: Option<&str>, wanted: &Certificate| {
            Arc::ptr_eq(&all.find(name).expect("there is one").0, &wanted.0)
        };
        assert!(is(Some("a.example"), &a) && is(Some("x.b.example"), &b));
        assert!(is(Some("b.example"), &other) && is(Some("x.y.b.example"), &other) && is(None, &other));
        assert!(Certificates::default().find(Some("a.example")).is_none());
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let ((chain, key), (_, another)) = (pem("a.example"), pem("a.example"));
        assert!(matches!(read("", &key), Err(CertificateError::Chain(_))));
        assert!(matches!(read(&chain, "no key"), Err(CertificateError::Key(_))));
        assert!(matches!(read(&chain, &another), Err(CertificateError::Pair(_))));
    }
}
