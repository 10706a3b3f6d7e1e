//! Issuers of tokens for tests: real HTTPS servers on loopback that say where their keys are, and the tokens they sign.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::hooks::acceptor;
use crate::logs::Authority;

const RSA: &str = include_str!("fixtures/rsa.pem");

/// A key that signs tokens.
pub(crate) enum Key {
    Curve(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    /// A new P-256 key.
    pub(crate) fn curve() -> Self {
        let der = rcgen::KeyPair::generate().unwrap().serialize_der();
        Self::Curve(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new()).unwrap(),
        )
    }

    /// The RSA key.
    pub(crate) fn rsa() -> Self {
        let der = PrivatePkcs8KeyDer::from_pem_slice(RSA.as_bytes()).unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).unwrap())
    }

    /// The public half under a name.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        match self {
            Self::Curve(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256", "x": x, "y": y})
            }
            Self::Rsa(pair) => {
                let public: ring::rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
                let (n, e) = (URL_SAFE_NO_PAD.encode(public.n), URL_SAFE_NO_PAD.encode(public.e));
                json!({"kty": "RSA", "kid": id, "n": n, "e": e})
            }
        }
    }

    /// A token that says this, signed as `algorithm` says.
    pub(crate) fn sign(&self, id: &str, algorithm: &str, claims: &Value) -> String {
        let header = json!({"alg": algorithm, "kid": id}).to_string();
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Curve(pair) => pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let padding: &'static dyn ring::signature::RsaEncoding =
                    if algorithm == "PS512" { &RSA_PSS_SHA512 } else { &RSA_PKCS1_SHA256 };
                pair.sign(padding, &random, signed.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A server that answers GETs with documents, by path.
pub(crate) struct Documents {
    pub(crate) url: String,
    /// Who vouches for its certificate.
    pub(crate) ca: String,
    pub(crate) found: Arc<Mutex<HashMap<String, Value>>>,
    /// The paths it was asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Documents {
    pub(crate) async fn start() -> Self {
        let authority = Authority::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let documents: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (found, noted, acceptor) = (Arc::clone(&documents), Arc::clone(&asked), acceptor(&authority));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, found, noted) = (acceptor.clone(), Arc::clone(&found), Arc::clone(&noted));
                served.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request: http::Request<hyper::body::Incoming>| {
                        let path = request.uri().path().to_owned();
                        let document = found.lock().get(&path).map(Value::to_string);
                        noted.lock().push(path);
                        let code = if document.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
                        let body = Full::new(bytes::Bytes::from(document.unwrap_or_default()));
                        let answer = Response::builder().status(code).body(body).unwrap();
                        async move { Ok::<_, Infallible>(answer) }
                    });
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, ca: authority.pem, found: documents, asked, _tasks: tasks }
    }

    /// Makes it an issuer with these keys.
    pub(crate) fn issue(&self, keys: &[Value]) {
        let mut documents = self.found.lock();
        let configuration = json!({"issuer": self.url, "jwks_uri": format!("{}/keys", self.url)});
        documents.insert("/.well-known/openid-configuration".to_owned(), configuration);
        documents.insert("/keys".to_owned(), json!({ "keys": keys }));
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.asked.lock().iter().filter(|asked| *asked == path).count()
    }

    /// The `issuer` of an authenticator that takes its tokens for `me`.
    pub(crate) fn issuer(&self) -> Value {
        json!({"url": self.url, "audiences": ["me"], "certificateAuthority": self.ca})
    }

    /// What a token of this issuer says about a user, with more or other claims.
    pub(crate) fn claims(&self, more: &Value) -> Value {
        let mut claims = json!({"iss": self.url, "aud": "me", "sub": "ann", "exp": 4_000_000_000_i64});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}
