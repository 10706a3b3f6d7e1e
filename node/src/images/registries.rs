//! Where images are fetched from: the registry that a name says, and mirrors of it, as k3s' `registries.yaml` tells them.
//!
//! ```yaml
//! mirrors:
//!   docker.io:                                  # a registry, or "*" for all that have no entry of their own
//!     endpoint: ["https://mirror.example:5000"] # tried in this order, the registry itself last
//!     rewrite: { "^library/(.*)": "hub/$1" }    # of names of repositories, at these endpoints
//! configs:
//!   "mirror.example:5000":                      # a host that is asked, or "*"
//!     auth: { username: u, password: p }
//!     tls: { ca_file: /etc/ssl/mirror.pem }
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::Reference;
use oci_client::secrets::RegistryAuth;
use regex::Regex;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use super::reference::{ImageReference, is_loopback};

const ANY: &str = "*";

/// Why a file of registries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Not such a file.
    #[error("cannot understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An endpoint is none.
    #[error(
        "mirror {registry:?}: endpoint {endpoint:?} must look like https://HOST:PORT, with /v2 or without a path"
    )]
    Endpoint {
        /// Of which registry.
        registry: String,
        /// What was given.
        endpoint: String,
    },
    /// A rewrite is none.
    #[error("mirror {registry:?}: cannot understand the rewrite {pattern:?}")]
    Rewrite {
        /// Of which registry.
        registry: String,
        /// What was given.
        pattern: String,
        /// The cause.
        source: Box<regex::Error>,
    },
    /// The credentials are none.
    #[error("config {host:?}: auth needs a username and a password, or auth with both in base64")]
    Auth {
        /// For which host.
        host: String,
    },
    /// Nothing here can do that.
    #[error("config {host:?}: {what} is not supported")]
    Unsupported {
        /// For which host.
        host: String,
        /// What was asked for.
        what: &'static str,
    },
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    mirrors: BTreeMap<String, Option<MirrorEntry>>,
    #[serde(default)]
    configs: BTreeMap<String, Option<ConfigEntry>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MirrorEntry {
    #[serde(default)]
    endpoint: Vec<String>,
    #[serde(default)]
    rewrite: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigEntry {
    auth: Option<AuthEntry>,
    tls: Option<TlsEntry>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuthEntry {
    username: String,
    password: String,
    auth: String,
    identity_token: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsEntry {
    ca_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    insecure_skip_verify: bool,
}

/// Mirrors of registries, and what is known of hosts.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    mirrors: BTreeMap<String, Mirror>,
    hosts: BTreeMap<String, Host>,
    mirrors_only: bool,
}

#[derive(Clone, Debug)]
struct Mirror {
    servers: Vec<Server>,
    rewrites: Vec<(Regex, String)>,
}

/// What is known of a host.
#[derive(Clone, Debug, Default)]
struct Host {
    auth: Option<(String, String)>,
    tls: Tls,
}

/// How the certificate of a host is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Certificates of authorities that are believed beyond the usual ones, as DER.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// Any certificate will do.
    pub(crate) insecure: bool,
}

/// A host and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    /// Whether by HTTPS.
    pub(crate) encrypted: bool,
    /// Its name, with a port if it is not the usual one.
    pub(crate) host: String,
}

/// A place that an image may be fetched from.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Whom to ask.
    pub(crate) server: Server,
    /// What to ask for.
    pub(crate) reference: Reference,
    /// As whom.
    pub(crate) auth: RegistryAuth,
    /// How its certificate is judged.
    pub(crate) tls: Tls,
    /// Whether the account is a Pod's, so that what is opened with it serves nobody else.
    pub(crate) is_private: bool,
}

impl Registries {
    /// Reads the file, and those that it names. With `mirrors_only`, registries that have mirrors are not asked themselves.
    pub fn read(path: &Path, mirrors_only: bool) -> Result<Self, RegistriesError> {
        let text = read(path)?;
        let parsed: File = serde_saphyr::from_slice(&text)
            .map_err(|source| RegistriesError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        let mirrors = parsed.mirrors.into_iter().map(|(registry, entry)| {
            let mirror = Mirror::parse(&registry, entry.unwrap_or_default())?;
            Ok((registry, mirror))
        });
        let hosts = parsed.configs.into_iter().map(|(host, entry)| {
            let known = Host::parse(&host, entry.unwrap_or_default())?;
            Ok((host, known))
        });
        Ok(Self {
            mirrors: mirrors.collect::<Result<_, _>>()?,
            hosts: hosts.collect::<Result<_, _>>()?,
            mirrors_only,
        })
    }

    /// Where the image may be fetched from: what to try first, in this order, and what to try last. `auth` is what the Pod
    /// has for the image's registry.
    pub(crate) fn endpoints(&self, image: &ImageReference, auth: &RegistryAuth) -> (Vec<Endpoint>, Endpoint) {
        let registry = image.registry();
        let mirror = self.mirrors.get(registry).or_else(|| self.mirrors.get(ANY));
        let servers = mirror.map_or(&[][..], |mirror| &mirror.servers);
        let mut mirrors: Vec<Endpoint> = servers
            .iter()
            .map(|server| {
                let repository = mirror.map_or_else(String::new, |mirror| mirror.rewrite(image.repository()));
                self.endpoint(server.clone(), image.elsewhere(&server.host, repository), auth)
            })
            .collect();
        if self.mirrors_only
            && let Some(last) = mirrors.pop()
        {
            return (mirrors, last);
        }
        let reference = image.registry_form().clone();
        let host = reference.resolve_registry().to_owned();
        let server = Server { encrypted: !is_loopback(&host), host };
        let mut own = self.endpoint(server, reference, auth);
        if *auth != RegistryAuth::Anonymous {
            (own.auth, own.is_private) = (auth.clone(), true);
        }
        (mirrors, own)
    }

    /// A host that has credentials of its own is not shown those of a Pod.
    fn endpoint(&self, server: Server, reference: Reference, auth: &RegistryAuth) -> Endpoint {
        let host = self.hosts.get(&server.host).or_else(|| self.hosts.get(ANY));
        let own = host.and_then(|host| host.auth.clone());
        let is_private = own.is_none() && *auth != RegistryAuth::Anonymous;
        let auth = own.map_or_else(|| auth.clone(), |(user, password)| RegistryAuth::Basic(user, password));
        let tls = host.map(|host| host.tls.clone()).unwrap_or_default();
        Endpoint { server, reference, auth, tls, is_private }
    }
}

impl Mirror {
    fn parse(registry: &str, entry: MirrorEntry) -> Result<Self, RegistriesError> {
        let servers = entry.endpoint.iter().map(|endpoint| {
            endpoint.parse().map_err(|()| RegistriesError::Endpoint {
                registry: registry.to_owned(),
                endpoint: endpoint.clone(),
            })
        });
        let rewrites = entry.rewrite.into_iter().map(|(pattern, replacement)| match Regex::new(&pattern) {
            Ok(expression) => Ok((expression, replacement)),
            Err(error) => Err(RegistriesError::Rewrite {
                registry: registry.to_owned(),
                pattern,
                source: Box::new(error),
            }),
        });
        Ok(Self {
            servers: servers.collect::<Result<_, _>>()?,
            rewrites: rewrites.collect::<Result<_, _>>()?,
        })
    }

    /// The name that the repository has here: by the first rewrite that fits.
    fn rewrite(&self, repository: &str) -> String {
        let fitting = self.rewrites.iter().find(|(pattern, _)| pattern.is_match(repository));
        fitting.map_or_else(
            || repository.to_owned(),
            |(pattern, replacement)| pattern.replace_all(repository, replacement.as_str()).into_owned(),
        )
    }
}

impl FromStr for Server {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let uri: http::Uri = text.parse().map_err(|_| ())?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(()),
        };
        let host = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(())?;
        let is_plain = matches!(uri.path().trim_end_matches('/'), "" | "/v2") && uri.query().is_none();
        is_plain.then(|| Self { encrypted, host: host.as_str().to_owned() }).ok_or(())
    }
}

impl Host {
    fn parse(host: &str, entry: ConfigEntry) -> Result<Self, RegistriesError> {
        let unsupported = |what| Err(RegistriesError::Unsupported { host: host.to_owned(), what });
        let tls = entry.tls.unwrap_or_default();
        if tls.cert_file.is_some() || tls.key_file.is_some() {
            return unsupported("a certificate of the client (cert_file, key_file)");
        }
        let auth = entry.auth.unwrap_or_default();
        if !auth.identity_token.is_empty() {
            return unsupported("identity_token");
        }
        let authorities = tls.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let bad = || RegistriesError::Auth { host: host.to_owned() };
        Ok(Self {
            auth: auth.account().map_err(|()| bad())?,
            tls: Tls { authorities, insecure: tls.insecure_skip_verify },
        })
    }
}

impl AuthEntry {
    fn account(self) -> Result<Option<(String, String)>, ()> {
        if !self.auth.is_empty() {
            return decode(&self.auth).ok_or(()).map(Some);
        }
        match (self.username.is_empty(), self.password.is_empty()) {
            (true, true) => Ok(None),
            (false, false) => Ok(Some((self.username, self.password))),
            _ => Err(()),
        }
    }
}

/// User and password out of `base64(user:password)`.
pub(super) fn decode(auth: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, RegistriesError> {
    let text = read(path)?;
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| RegistriesError::Parse {
        path: path.to_owned(),
        source,
    };
    let found: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(Box::new(error)))?;
    if found.is_empty() {
        return Err(failed("there is no certificate in it".into()));
    }
    Ok(found.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn read(path: &Path) -> Result<Vec<u8>, RegistriesError> {
    std::fs::read(path).map_err(|source| RegistriesError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(yaml: &str, mirrors_only: bool) -> Result<Registries, RegistriesError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), yaml).unwrap();
        Registries::read(file.path(), mirrors_only)
    }

    /// Where an image is asked for: address and account.
    fn asked(registries: &Registries, image: &str, auth: &RegistryAuth) -> Vec<String> {
        let (first, last) = registries.endpoints(&ImageReference::parse(image).unwrap(), auth);
        let shown = |endpoint: Endpoint| {
            let scheme = if endpoint.server.encrypted { "https" } else { "http" };
            let account = match endpoint.auth {
                RegistryAuth::Basic(user, _) => format!(" as {user}"),
                _ => String::new(),
            };
            format!("{scheme}://{} {}{account}", endpoint.server.host, endpoint.reference.whole())
        };
        first.into_iter().chain([last]).map(shown).collect()
    }

    const MIRRORED: &str = r#"
mirrors:
  docker.io:
    endpoint: ["https://mirror.example:5000", "http://10.0.0.1/v2"]
    rewrite: { "^rancher/(.*)": "project/rancher-images/$1" }
  "*":
    endpoint: ["https://any.example"]
configs:
  "mirror.example:5000":
    auth: { username: u, password: p }
  "10.0.0.1":
    auth: { auth: dTI6cA== }
"#;

    #[test]
    fn mirrors_are_asked_in_their_order_and_the_registry_last() {
        let registries = parse(MIRRORED, false).unwrap();
        assert_eq!(
            asked(&registries, "rancher/coredns:1.6", &RegistryAuth::Anonymous),
            [
                "https://mirror.example:5000 mirror.example:5000/project/rancher-images/coredns:1.6 as u",
                "http://10.0.0.1 10.0.0.1/project/rancher-images/coredns:1.6 as u2",
                "https://index.docker.io docker.io/rancher/coredns:1.6",
            ]
        );
        let digest = format!("ghcr.io/a/b@sha256:{}", "0".repeat(64));
        assert_eq!(
            asked(&registries, &digest, &RegistryAuth::Anonymous),
            [
                format!("https://any.example any.example/a/b@sha256:{}", "0".repeat(64)),
                format!("https://ghcr.io {digest}"),
            ]
        );
    }

    #[test]
    fn registries_with_mirrors_can_be_left_alone() {
        let registries =
            parse("mirrors: { docker.io: { endpoint: [\"https://m.example\"] } }", true).unwrap();
        let hosts = |image: &str| asked(&registries, image, &RegistryAuth::Anonymous).len();
        assert_eq!(
            asked(&registries, "nginx:1", &RegistryAuth::Anonymous),
            ["https://m.example m.example/library/nginx:1"]
        );
        assert_eq!(hosts("ghcr.io/a/b:1"), 1);
    }

    #[test]
    fn a_pods_account_is_for_its_registry_and_for_mirrors_without_one() {
        let registries = parse(MIRRORED, false).unwrap();
        let pods = RegistryAuth::Basic("pod".to_owned(), "p".to_owned());
        let accounts: Vec<String> = asked(&registries, "nginx:1", &pods);
        assert!(accounts[0].ends_with(" as u") && accounts[2].ends_with(" as pod"), "{accounts:?}");
        assert!(asked(&registries, "ghcr.io/a:1", &pods)[0].ends_with(" as pod"));
    }

    #[test]
    fn without_a_file_the_registry_alone_is_asked() {
        let none = Registries::default();
        let anonymous = RegistryAuth::Anonymous;
        assert_eq!(
            asked(&none, "127.0.0.1:5000/a:1", &anonymous),
            ["http://127.0.0.1:5000 127.0.0.1:5000/a:1"]
        );
        assert_eq!(asked(&parse("", false).unwrap(), "ghcr.io/a:1", &anonymous).len(), 1);
    }

    #[rstest]
    #[case(
        "mirrors: { a: { endpoint: [\"mirror.example\"] } }",
        "endpoint \"mirror.example\" must look like"
    )]
    #[case("mirrors: { a: { endpoint: [\"https://m.example/proxy/v2\"] } }", "with /v2 or without a path")]
    #[case("mirrors: { a: { rewrite: { \"(\": x } } }", "cannot understand the rewrite \"(\"")]
    #[case("configs: { a: { auth: { username: u } } }", "needs a username and a password")]
    #[case("configs: { a: { auth: { auth: nothing } } }", "config \"a\": auth needs")]
    #[case("configs: { a: { tls: { cert_file: /c } } }", "cert_file, key_file) is not supported")]
    #[case("configs: { a: { tls: { ca_file: /nowhere/ca } } }", "cannot read /nowhere/ca")]
    #[case("mirror: {}", "cannot understand")]
    fn what_cannot_be_done_is_told(#[case] yaml: &str, #[case] expected: &str) {
        let error = parse(yaml, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
