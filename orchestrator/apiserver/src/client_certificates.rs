//! What certificates make of the clients that show them: users, or proxies that say who the user is.
//!
//! # Guarantees
//! A handshake takes what either authority signed; what it means is decided here, each authority for itself. What only
//! the authority of proxies signed makes nobody a user.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::time_provider::TimeProvider;
use wherry_api::clock::Clock;

use crate::auth::{UserInfo, ends};
use crate::node_client::certificates;
use crate::request_headers::RequestHeaders;
use crate::rotating::TlsTime;

/// Who is believed by a certificate.
pub(crate) struct Believed {
    users: Arc<dyn ClientCertVerifier>,
    proxies: Option<(Arc<dyn ClientCertVerifier>, RequestHeaders)>,
    time: Arc<dyn TimeProvider>,
}

/// What a certificate makes of whoever shows it.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    /// The user it names.
    pub(crate) user: Option<UserInfo>,
    /// When it ends.
    pub(crate) ends: Option<Timestamp>,
    /// In which headers it may say who the user is.
    pub(crate) proxy: Option<Arc<RequestHeaders>>,
}

/// Believes what these authorities signed (PEM).
fn verifier(authorities: &[&[u8]]) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in
        authorities.iter().map(|pem| certificates(pem)).collect::<Result<Vec<_>, _>>()?.concat()
    {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    builder.allow_unauthenticated().build().map_err(|error| error.to_string())
}

impl Believed {
    /// Who is believed as a user, and as a proxy; and what the handshake takes.
    pub(crate) fn new(
        users: &[u8],
        proxies: Option<&RequestHeaders>,
        clock: &Arc<dyn Clock>,
    ) -> Result<(Self, Arc<dyn ClientCertVerifier>), String> {
        let (own, time) = (verifier(&[users])?, TlsTime::of(clock));
        let Some(headers) = proxies else {
            return Ok((Self { users: Arc::clone(&own), proxies: None, time }, own));
        };
        let both = verifier(&[users, &headers.client_ca])?;
        let proxies = Some((verifier(&[&headers.client_ca])?, headers.clone()));
        Ok((Self { users: own, proxies, time }, both))
    }

    /// What a chain of certificates, which the handshake took, makes of whoever showed it.
    pub(crate) fn shown(&self, chain: Option<&[CertificateDer<'_>]>) -> Shown {
        let Some((own, others)) = chain.and_then(<[_]>::split_first) else { return Shown::default() };
        let ends = ends(own);
        let Some((proxies, headers)) = &self.proxies else {
            return Shown { user: UserInfo::from_certificate(own), ends, proxy: None };
        };
        let Some(now) = self.time.current_time() else { return Shown::default() };
        let signed = |by: &Arc<dyn ClientCertVerifier>| by.verify_client_cert(own, others, now).is_ok();
        let user = if signed(&self.users) { UserInfo::from_certificate(own) } else { None };
        let proxy = (headers.admits(own) && signed(proxies)).then(|| Arc::new(headers.clone()));
        Shown { user, ends, proxy }
    }
}
