//! Where images are fetched from: the registry that a name says, and mirrors of it, as k3s' `registries.yaml` tells them.
//!
//! ```yaml
//! mirrors:
//!   docker.io:                                  # a registry, or "*" for all that have no entry of their own
//!     endpoint: ["https://mirror.example:5000"] # tried in this order, the registry itself last; of one with a path,
//!                                               # other than /v2, repositories are below that path
//!     rewrite: { "^library/(.*)": "hub/$1" }    # of names of repositories, at these endpoints
//! configs:
//!   "mirror.example:5000":                      # a host that is asked, or "*"
//!     auth: { username: u, password: p }        # or auth, or identity_token
//!     tls: { ca_file: /etc/ssl/mirror.pem, cert_file: /etc/ssl/node.pem, key_file: /etc/ssl/node.key }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_client::Reference;
use regex::Regex;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use super::credentials::canonical;
use super::reference::{ImageReference, is_loopback};
use super::registry::Account;

const ANY: &str = "*";
/// Where Docker Hub is, whatever images are called by.
const DOCKER_HUB: &str = "registry-1.docker.io";
/// Where the specification has repositories.
const API_PATH: &str = "/v2";

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
        "mirror {registry:?}: endpoint {endpoint:?} must look like https://HOST:PORT or https://HOST/PATH"
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
    #[error(
        "config {host:?}: auth needs a username and a password, an identity_token, or auth with user and password in base64"
    )]
    Auth {
        /// For which host.
        host: String,
    },
    /// A certificate of the client without its key, or the other way round.
    #[error("config {host:?}: tls needs both cert_file and key_file, or neither")]
    Identity {
        /// For which host.
        host: String,
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
    account: Account,
    tls: Tls,
}

/// How the certificate of a host is judged, and what it is shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Certificates of authorities that are believed beyond the usual ones, as DER.
    pub(crate) authorities: Vec<Vec<u8>>,
    /// The client's own certificate with its key, as PEM.
    pub(crate) identity: Option<Vec<u8>>,
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
    /// Below which path repositories are, if not below that of the specification.
    pub(crate) path: Option<String>,
}

impl Server {
    /// The URL below which repositories are.
    pub(crate) fn base(&self) -> String {
        let scheme = if self.encrypted { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host, self.path.as_deref().unwrap_or(API_PATH))
    }
}

/// A place that an image may be fetched from.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Whom to ask.
    pub(crate) server: Server,
    /// What to ask for.
    pub(crate) reference: Reference,
    /// The registry that it is a mirror of, if it is one.
    pub(crate) stands_for: Option<String>,
    /// As whom.
    pub(crate) account: Account,
    /// How its certificate is judged, and what it is shown.
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

    /// Where the image may be fetched from: what to try first, in this order, and what to try last. `account` is what the Pod
    /// has for the image's registry.
    pub(crate) fn endpoints(&self, image: &ImageReference, account: &Account) -> (Vec<Endpoint>, Endpoint) {
        let registry = image.registry();
        let mirror = self.mirrors.get(registry).or_else(|| self.mirrors.get(ANY));
        let servers = mirror.map_or(&[][..], |mirror| &mirror.servers);
        let mut mirrors: Vec<Endpoint> = servers
            .iter()
            .map(|server| {
                let repository = mirror.map_or_else(String::new, |mirror| mirror.rewrite(image.repository()));
                let reference = image.elsewhere(&server.host, repository);
                let stands_for =
                    (canonical(&server.host) != canonical(registry)).then(|| registry.to_owned());
                Endpoint { stands_for, ..self.endpoint(server.clone(), reference, account) }
            })
            .collect();
        if self.mirrors_only
            && let Some(last) = mirrors.pop()
        {
            return (mirrors, last);
        }
        let reference = image.registry_form().clone();
        let host = reference.resolve_registry().to_owned();
        let server = Server { encrypted: !is_loopback(&host), host, path: None };
        let mut own = self.endpoint(server, reference, account);
        if *account != Account::Nobody {
            (own.account, own.is_private) = (account.clone(), true);
        }
        (mirrors, own)
    }

    /// A host that has credentials of its own is not shown those of a Pod.
    fn endpoint(&self, server: Server, reference: Reference, account: &Account) -> Endpoint {
        let host = [server.host.as_str(), canonical(&server.host), ANY]
            .into_iter()
            .find_map(|name| self.hosts.get(name))
            .cloned()
            .unwrap_or_default();
        let own = host.account != Account::Nobody;
        let is_private = !own && *account != Account::Nobody;
        let account = if own { host.account } else { account.clone() };
        Endpoint { server, reference, stands_for: None, account, tls: host.tls, is_private }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tls").field("insecure", &self.insecure).finish_non_exhaustive()
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
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        // An address alone would be read as a path.
        let uri: http::Uri = format!("http://{rest}").parse().map_err(|_| ())?;
        let host = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(())?;
        let encrypted = match scheme {
            Some("https") => true,
            Some("http") => false,
            // As containerd has it: what listens at an unusual port of this machine has no certificate.
            None => !is_loopback(host.as_str()) || matches!(host.port_u16(), None | Some(443)),
            Some(_) => return Err(()),
        };
        if uri.query().is_some() {
            return Err(());
        }
        let path = Some(uri.path().trim_end_matches('/')).filter(|path| !["", API_PATH].contains(path));
        let host = if host.as_str() == "docker.io" { DOCKER_HUB } else { host.as_str() };
        Ok(Self { encrypted, host: host.to_owned(), path: path.map(str::to_owned) })
    }
}

impl Host {
    fn parse(host: &str, entry: ConfigEntry) -> Result<Self, RegistriesError> {
        let tls = entry.tls.unwrap_or_default();
        let authorities = tls.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let identity = match (&tls.cert_file, &tls.key_file) {
            (Some(certificate), Some(key)) => Some(identity(certificate, key)?),
            (None, None) => None,
            _ => return Err(RegistriesError::Identity { host: host.to_owned() }),
        };
        let bad = || RegistriesError::Auth { host: host.to_owned() };
        Ok(Self {
            account: entry.auth.unwrap_or_default().account().ok_or_else(bad)?,
            tls: Tls { authorities, identity, insecure: tls.insecure_skip_verify },
        })
    }
}

impl AuthEntry {
    /// As containerd reads it: a user comes first, then a token, then both in one text.
    fn account(self) -> Option<Account> {
        if !self.username.is_empty() {
            return (!self.password.is_empty()).then_some(Account::Password(self.username, self.password));
        }
        if !self.identity_token.is_empty() {
            return Some(Account::IdentityToken(self.identity_token));
        }
        if !self.auth.is_empty() {
            return decode(&self.auth).map(|(user, password)| Account::Password(user, password));
        }
        self.password.is_empty().then_some(Account::Nobody)
    }
}

/// User and password out of `base64(user:password)`.
pub(super) fn decode(auth: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(auth).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, RegistriesError> {
    Ok(certificates_in(path, &read(path)?)?.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn certificates_in<'t>(path: &Path, text: &'t [u8]) -> Result<Vec<CertificateDer<'t>>, RegistriesError> {
    let found: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(|error| not_understood(path, error))?;
    if found.is_empty() {
        return Err(not_understood(path, "there is no certificate in it"));
    }
    Ok(found)
}

/// A certificate and its key, in one text.
fn identity(certificate: &Path, key: &Path) -> Result<Vec<u8>, RegistriesError> {
    let (mut chain, secret) = (read(certificate)?, read(key)?);
    certificates_in(certificate, &chain)?;
    PrivateKeyDer::from_pem_slice(&secret).map_err(|error| not_understood(key, error))?;
    chain.push(b'\n');
    chain.extend(secret);
    Ok(chain)
}

fn not_understood(path: &Path, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> RegistriesError {
    RegistriesError::Parse { path: path.to_owned(), source: why.into() }
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
    fn asked(registries: &Registries, image: &str, auth: &Account) -> Vec<String> {
        let (first, last) = registries.endpoints(&ImageReference::parse(image).unwrap(), auth);
        let shown = |endpoint: Endpoint| {
            let account = match endpoint.account {
                Account::Nobody => String::new(),
                Account::Password(user, _) => format!(" as {user}"),
                Account::IdentityToken(token) => format!(" with {token}"),
            };
            let base = endpoint.server.base();
            format!("{} {}{account}", base.strip_suffix("/v2").unwrap_or(&base), endpoint.reference.whole())
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
            asked(&registries, "rancher/coredns:1.6", &Account::Nobody),
            [
                "https://mirror.example:5000 mirror.example:5000/project/rancher-images/coredns:1.6 as u",
                "http://10.0.0.1 10.0.0.1/project/rancher-images/coredns:1.6 as u2",
                "https://index.docker.io docker.io/rancher/coredns:1.6",
            ]
        );
        let digest = format!("ghcr.io/a/b@sha256:{}", "0".repeat(64));
        assert_eq!(
            asked(&registries, &digest, &Account::Nobody),
            [
                format!("https://any.example any.example/a/b@sha256:{}", "0".repeat(64)),
                format!("https://ghcr.io {digest}"),
            ]
        );
    }

    #[test]
    fn endpoints_have_paths_and_schemes_as_k3s_reads_them() {
        let yaml = r#"
mirrors:
  docker.io: { endpoint: ["https://m.example/v2/proxy/", "m.example", "127.0.0.1:5000", "localhost", "docker.io/v2"] }
configs:
  m.example: { auth: { identity_token: t, auth: bm8= } }
  docker.io: { auth: { username: u, password: p } }
"#;
        let registries = parse(yaml, true).unwrap();
        assert_eq!(
            asked(&registries, "nginx:1", &Account::Nobody),
            [
                "https://m.example/v2/proxy m.example/library/nginx:1 with t",
                "https://m.example m.example/library/nginx:1 with t",
                "http://127.0.0.1:5000 127.0.0.1:5000/library/nginx:1",
                "https://localhost localhost/library/nginx:1",
                "https://registry-1.docker.io registry-1.docker.io/library/nginx:1 as u",
            ]
        );
        let (first, last) = registries.endpoints(&ImageReference::parse("nginx").unwrap(), &Account::Nobody);
        assert_eq!((first[0].stands_for.as_deref(), last.stands_for), (Some("docker.io"), None));
    }

    #[test]
    fn registries_with_mirrors_can_be_left_alone() {
        let registries =
            parse("mirrors: { docker.io: { endpoint: [\"https://m.example\"] } }", true).unwrap();
        let hosts = |image: &str| asked(&registries, image, &Account::Nobody).len();
        assert_eq!(
            asked(&registries, "nginx:1", &Account::Nobody),
            ["https://m.example m.example/library/nginx:1"]
        );
        assert_eq!(hosts("ghcr.io/a/b:1"), 1);
    }

    #[test]
    fn a_pods_account_is_for_its_registry_and_for_mirrors_without_one() {
        let registries = parse(MIRRORED, false).unwrap();
        let pods = Account::Password("pod".to_owned(), "p".to_owned());
        let accounts: Vec<String> = asked(&registries, "nginx:1", &pods);
        assert!(accounts[0].ends_with(" as u") && accounts[2].ends_with(" as pod"), "{accounts:?}");
        assert!(asked(&registries, "ghcr.io/a:1", &pods)[0].ends_with(" as pod"));
    }

    #[test]
    fn without_a_file_the_registry_alone_is_asked() {
        let none = Registries::default();
        let anonymous = Account::Nobody;
        assert_eq!(
            asked(&none, "127.0.0.1:5000/a:1", &anonymous),
            ["http://127.0.0.1:5000 127.0.0.1:5000/a:1"]
        );
        assert_eq!(asked(&parse("", false).unwrap(), "ghcr.io/a:1", &anonymous).len(), 1);
    }

    #[rstest]
    #[case(
        "mirrors: { a: { endpoint: [\"ftp://m.example\"] } }",
        "endpoint \"ftp://m.example\" must look like"
    )]
    #[case("mirrors: { a: { endpoint: [\"https://u@m.example\"] } }", "must look like https://HOST:PORT")]
    #[case("mirrors: { a: { endpoint: [\"https://m.example/?x\"] } }", "must look like https://HOST:PORT")]
    #[case("mirrors: { a: { rewrite: { \"(\": x } } }", "cannot understand the rewrite \"(\"")]
    #[case("configs: { a: { auth: { username: u } } }", "needs a username and a password")]
    #[case("configs: { a: { auth: { auth: nothing } } }", "config \"a\": auth needs")]
    #[case("configs: { a: { auth: { password: p } } }", "needs a username and a password")]
    #[case("configs: { a: { tls: { cert_file: /c } } }", "needs both cert_file and key_file")]
    #[case("configs: { a: { tls: { cert_file: /nowhere/c, key_file: /k } } }", "cannot read /nowhere/c")]
    #[case("configs: { a: { tls: { ca_file: /nowhere/ca } } }", "cannot read /nowhere/ca")]
    #[case("mirror: {}", "cannot understand")]
    fn what_cannot_be_done_is_told(#[case] yaml: &str, #[case] expected: &str) {
        let error = parse(yaml, false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
