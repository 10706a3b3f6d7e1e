//! A relying party in a Pod: finds the issuer of its own ServiceAccount token as OpenID Connect Discovery 1.0 says, and
//! verifies the token by the keys that are published there. Prints whose token it is; fails with the reason.
//!
//! The issuer's name is resolved to the Service of the API by its environment variables, as a cluster's own clients do.

use std::error::Error;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::{EncodedPoint, FieldBytes};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

type Outcome<T> = Result<T, Box<dyn Error>>;

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const DISCOVERY: &str = "/.well-known/openid-configuration";

fn main() -> Outcome<()> {
    let token = std::fs::read_to_string(format!("{ACCOUNT}/token"))?;
    let [header, payload, signature] = *token.trim().split('.').collect::<Vec<_>>() else {
        return Err("the token has not three parts".into());
    };
    let claims = json(payload)?;
    let api = Api::new(token.trim())?;
    let configuration = api.get(DISCOVERY)?;
    if configuration["issuer"] != claims["iss"] {
        return Err(format!("the token is of {}, found {configuration}", claims["iss"]).into());
    }
    let keys = configuration["jwks_uri"].as_str().ok_or("the configuration names no keys")?;
    let keys = api.get(path(keys)?)?;
    let wanted = &json(header)?["kid"];
    let key = keys["keys"].as_array().into_iter().flatten().find(|key| key["kid"] == *wanted);
    let key = key.ok_or_else(|| format!("key {wanted} is not among {keys}"))?;
    let key = public_key(key)?;
    let signature = Signature::from_slice(&URL_SAFE_NO_PAD.decode(signature)?)?;
    key.verify(format!("{header}.{payload}").as_bytes(), &signature)?;
    println!(
        "verified: {} by {}",
        claims["sub"].as_str().unwrap_or_default(),
        claims["iss"].as_str().unwrap_or_default()
    );
    Ok(())
}

/// A part of a token.
fn json(part: &str) -> Outcome<Value> {
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

/// The key for ES256 that a JSON Web Key is.
fn public_key(key: &Value) -> Outcome<VerifyingKey> {
    let coordinate = |name: &str| -> Outcome<FieldBytes> {
        let bytes = URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap_or_default())?;
        Ok(<[u8; 32]>::try_from(bytes).map_err(|_| format!("{name} of {key} is no coordinate"))?.into())
    };
    let point = EncodedPoint::from_affine_coordinates(&coordinate("x")?, &coordinate("y")?, false);
    Ok(VerifyingKey::from_encoded_point(&point)?)
}

/// The path of an `https` URL.
fn path(url: &str) -> Outcome<&str> {
    let rest = url.strip_prefix("https://").ok_or("the keys are not at an https address")?;
    Ok(&rest[rest.find('/').ok_or("the keys have no path")?..])
}

/// The API server, by this Pod's credentials.
struct Api {
    tls: Arc<ClientConfig>,
    host: String,
    port: u16,
    token: String,
}

impl Api {
    fn new(token: &str) -> Outcome<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(format!("{ACCOUNT}/ca.crt"))? {
            roots.add(certificate?)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls_rustcrypto::provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (host, port) =
            (std::env::var("KUBERNETES_SERVICE_HOST")?, std::env::var("KUBERNETES_SERVICE_PORT")?);
        Ok(Self { tls: Arc::new(tls), host, port: port.parse()?, token: token.to_owned() })
    }

    fn get(&self, path: &str) -> Outcome<Value> {
        let name = ServerName::try_from("kubernetes.default.svc")?;
        let connection = ClientConnection::new(self.tls.clone(), name)?;
        let mut stream = StreamOwned::new(connection, TcpStream::connect((self.host.as_str(), self.port))?);
        write!(
            stream,
            "GET {path} HTTP/1.0\r\nHost: kubernetes.default.svc\r\nAuthorization: Bearer {}\r\n\r\n",
            self.token
        )?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // Whether all came, the JSON says.
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end of its head")?;
        let status = head.split(' ').nth(1);
        if status != Some("200") {
            return Err(format!("GET {path}: {answer}").into());
        }
        Ok(serde_json::from_str(body)?)
    }
}
