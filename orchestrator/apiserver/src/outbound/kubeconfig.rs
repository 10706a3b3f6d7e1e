//! A kubeconfig that names a program and who this server is to it: of `--audit-webhook-config-file`, and of webhooks that
//! authorize.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use wherry_schema::{DecodeError, Format, Value};

use crate::config::NodeClientTls;
use crate::object::Fields;
use crate::outbound::{Endpoint, tls};

/// Where a program is, and who this server is to it.
#[derive(Clone)]
pub struct Receiver {
    url: String,
    /// The certificates that vouch for it, as PEM in base64; empty for those of the system.
    bundle: String,
    insecure: bool,
    identity: Option<NodeClientTls>,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no YAML.
    #[error("the kubeconfig cannot be read")]
    Syntax(#[source] DecodeError),
    /// Something is missing or wrong.
    #[error("{0}")]
    Invalid(String),
}

fn invalid<T>(why: impl Into<String>) -> Result<T, ReceiverError> {
    Err(ReceiverError::Invalid(why.into()))
}

impl Receiver {
    /// Reads a kubeconfig and the files it names.
    pub fn load(path: &Path) -> Result<Self, ReceiverError> {
        let bytes = read(path)?;
        Self::parse(&bytes, path.parent().unwrap_or(Path::new(".")))
    }

    /// Reads a kubeconfig; the files it names are below `directory`.
    pub fn parse(bytes: &[u8], directory: &Path) -> Result<Self, ReceiverError> {
        let config = wherry_schema::decode::parse(bytes, Format::Yaml).map_err(ReceiverError::Syntax)?;
        let current = config.text("current-context");
        let nothing = Value::object();
        let (cluster, user) = if current.is_empty() {
            (config.items("clusters").first(), config.items("users").first())
        } else {
            let context = named(&config, "contexts", current)?;
            let user = context.text("context.user");
            let user = if user.is_empty() { None } else { Some(named(&config, "users", user)?) };
            (Some(named(&config, "clusters", context.text("context.cluster"))?), user)
        };
        let Some(cluster) = cluster.and_then(|one| one.field("cluster")) else {
            return invalid("the kubeconfig names no cluster; give one with its server");
        };
        let user = user.and_then(|one| one.field("user")).unwrap_or(&nothing);
        Self::of(cluster, user, directory)
    }

    /// The program, with connections to it.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let tls = tls::connector_for(self.identity.as_ref(), &self.bundle, self.insecure);
        let mut place = Value::object();
        place.set(&["url"], self.url.as_str());
        Endpoint::with(&place, tls, self.authorization.clone())
    }

    fn of(cluster: &Value, user: &Value, directory: &Path) -> Result<Self, ReceiverError> {
        let url = cluster.text("server").to_owned();
        if !url.starts_with("https://") {
            return invalid(format!(
                "the server {url:?} is no https:// URL; requests are sent over HTTPS only"
            ));
        }
        for unknown in ["exec", "auth-provider"] {
            if user.has(unknown) {
                return invalid(format!(
                    "the user has {unknown:?}; use a token, a password or a certificate"
                ));
            }
        }
        let cert = data(user, "client-certificate", directory)?;
        let key = data(user, "client-key", directory)?;
        let identity = match (cert, key) {
            (Some(cert), Some(key)) => Some(NodeClientTls { ca: Vec::new(), cert, key }),
            (None, None) => None,
            _ => return invalid("the user has a client certificate without its key, or a key without one"),
        };
        let bundle = data(cluster, "certificate-authority", directory)?;
        Ok(Self {
            url,
            bundle: bundle.map(|pem| STANDARD.encode(pem)).unwrap_or_default(),
            insecure: cluster.flag("insecure-skip-tls-verify"),
            identity,
            authorization: authorization(user, directory)?,
        })
    }
}

/// The entry of a list that has a name.
fn named<'v>(config: &'v Value, list: &str, name: &str) -> Result<&'v Value, ReceiverError> {
    let found = config.items(list).iter().find(|one| one.text("name") == name);
    found.map_or_else(|| invalid(format!("the kubeconfig has no {name:?} among its {list}")), Ok)
}

fn read(path: &Path) -> Result<Vec<u8>, ReceiverError> {
    std::fs::read(path).map_err(|source| ReceiverError::File { path: path.to_owned(), source })
}

/// What a field names: bytes in base64 in `FIELD-data`, or the content of a file.
fn data(value: &Value, field: &str, directory: &Path) -> Result<Option<Vec<u8>>, ReceiverError> {
    let inline = value.get(&format!("{field}-data")).and_then(Value::as_str).unwrap_or_default();
    if !inline.is_empty() {
        let bytes = STANDARD.decode(inline);
        return bytes.map(Some).or_else(|_| invalid(format!("{field}-data is not base64")));
    }
    let path = value.get(field).and_then(Value::as_str).unwrap_or_default();
    if path.is_empty() { Ok(None) } else { read(&directory.join(path)).map(Some) }
}

/// What the `Authorization` header says.
fn authorization(user: &Value, directory: &Path) -> Result<Option<HeaderValue>, ReceiverError> {
    let mut token = user.text("token").to_owned();
    if !user.text("tokenFile").is_empty() {
        let bytes = read(&directory.join(user.text("tokenFile")))?;
        String::from_utf8_lossy(&bytes).trim().clone_into(&mut token);
    }
    let text = if !token.is_empty() {
        format!("Bearer {token}")
    } else if user.has("username") {
        let pair = format!("{}:{}", user.text("username"), user.text("password"));
        format!("Basic {}", STANDARD.encode(pair))
    } else {
        return Ok(None);
    };
    let Ok(mut header) = HeaderValue::try_from(text) else {
        return invalid("the user's token has characters that no header may have");
    };
    header.set_sensitive(true);
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn parse(text: &str) -> Result<Receiver, String> {
        Receiver::parse(text.as_bytes(), Path::new("/nowhere")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_current_context_names_the_server_and_who_asks() {
        let receiver = parse(
            "current-context: b\nclusters: [{name: x, cluster: {server: 'https://x'}}, {name: y, cluster: {server: \
             'https://y:1/audit', certificate-authority-data: YWJj}}]\nusers: [{name: u, user: {token: s3cret}}]\n\
             contexts: [{name: a, context: {cluster: x}}, {name: b, context: {cluster: y, user: u}}]",
        )
        .unwrap();
        assert_eq!((receiver.url.as_str(), receiver.bundle.as_str()), ("https://y:1/audit", "YWJj"));
        assert_eq!(receiver.authorization.as_ref().unwrap(), "Bearer s3cret");
        assert!(!format!("{receiver:?}").contains("s3cret"));
    }

    #[rstest]
    #[case("{}", "the kubeconfig names no cluster; give one with its server")]
    #[case("current-context: a", "the kubeconfig has no \"a\" among its contexts")]
    #[case(
        "clusters: [{cluster: {server: 'http://x'}}]",
        "the server \"http://x\" is no https:// URL; requests are sent over HTTPS only"
    )]
    #[case(
        "{clusters: [{cluster: {server: 'https://x', certificate-authority-data: '~'}}]}",
        "certificate-authority-data is not base64"
    )]
    #[case(
        "clusters: [{cluster: {server: 'https://x', certificate-authority: ca}}]",
        "cannot read /nowhere/ca"
    )]
    fn what_is_wrong_is_told(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(parse(text).unwrap_err(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_kubeconfig_or_are_refused(bytes: Vec<u8>) {
            prop_assert!(Receiver::parse(&bytes, Path::new("/nowhere")).is_err());
        }
    }
}
