//! The cluster's certificates: one CA made at first start, and the leaves it signs; and the key of ServiceAccount
//! tokens.
//!
//! # Flow
//! [`Pki::open`] reads `DIR/pki`; what is missing, comes to the end of its life, is not valid yet, or does not name the
//! addresses asked for is made anew. [`rotation`] does so again while the cluster runs, whenever something is due or
//! the directory changed. The key of the CA changes only when it is asked for ([`rotate_authority`]), for every
//! kubeconfig that was handed out trusts it; nor does the key of ServiceAccount tokens: Pods keep tokens that it signed.
//!
//! # Guarantees
//! Private keys are files of mode 0600 in a directory of mode 0700, written whole or not at all.

mod authority;
mod der;
mod file;
mod leaf;
mod listing;
pub(crate) mod rotation;
pub(crate) mod sign;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{ExtendedKeyUsagePurpose, KeyPair};
use wherry_api::certificates::Validity;

use authority::Authority;
pub(crate) use file::write as write_file;
use leaf::{Leaf, Opened};
pub use listing::{Listed, list};

/// A certificate with its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and the CA.
    pub cert: String,
    /// The PKCS#8 private key.
    pub key: String,
}

/// All certificates of a one-machine cluster.
#[derive(Clone)]
pub struct Pki {
    /// The certificates of CAs that are believed, PEM.
    pub ca: String,
    /// The API server's serving certificate.
    pub server: Identity,
    /// The administrator's client certificate (`system:masters`).
    pub admin: Identity,
    /// What the API server shows a node.
    pub node_client: Identity,
    /// How the API server shows itself to servers that it passes requests on to in the name of their callers.
    pub front_proxy: Identity,
    /// The node endpoint's serving certificate.
    pub node_server: Identity,
    /// The P-256 key that signs the tokens of ServiceAccounts, PKCS#8 in PEM.
    pub service_account_key: String,
    authority: Arc<Authority>,
    dir: PathBuf,
    subjects: Subjects,
    /// From when on all of them are valid.
    valid_from: Timestamp,
    /// When the first of them is to be renewed.
    renewal: Timestamp,
}

/// Names and addresses that the serving certificates must cover.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// Addresses at which clients reach the API server.
    pub server_addresses: Vec<IpAddr>,
    /// Host names at which clients reach the API server, besides the in-cluster ones.
    pub server_names: Vec<String>,
    /// The node's name.
    pub node_name: String,
    /// The node's addresses.
    pub node_addresses: Vec<IpAddr>,
}

/// Why certificates could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file holds no usable certificate or key.
    #[error("{} is not a usable certificate or key; restore it from a backup, or remove the whole pki directory to \
             make a new cluster CA (every kubeconfig handed out becomes invalid)", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rcgen::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// Whose.
        name: String,
        /// The cause.
        source: rcgen::Error,
    },
}

/// Whom servers believe who calls them: the name in the certificate of the API server as their front proxy.
pub const FRONT_PROXY: &str = "front-proxy-client";

/// The leaves by the names of their files.
const LEAVES: [&str; 5] = ["server", "admin", "node-client", FRONT_PROXY, "node-server"];

impl Pki {
    /// Reads the certificates in `dir`, making what is missing.
    pub fn open(dir: &Path, subjects: &Subjects, now: Timestamp) -> Result<Self, PkiError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| PkiError::File { action: "create directory", path: dir.to_owned(), source })?;
        let authority = Authority::open(dir, now)?;
        let (mut valid_from, mut renewal) = (authority.validity.not_before, authority.renewal());
        let mut leaf = |leaf: Leaf<'_>| -> Result<Identity, PkiError> {
            let Opened { identity, validity, renewal: due } = leaf::open(dir, &leaf, &authority, now)?;
            valid_from = valid_from.max(validity.not_before);
            renewal = renewal.min(due);
            Ok(identity)
        };
        let masters = Some("system:masters");
        let mut server = leaf(server_leaf(subjects))?;
        let mut node_client = leaf(client("node-client", "kube-apiserver-kubelet-client", masters))?;
        // Those who know the authority before the last rotation only shall believe them as well.
        for identity in [&mut server, &mut node_client] {
            identity.cert.extend(authority.cross.as_deref());
        }
        Ok(Self {
            server,
            admin: leaf(client("admin", "wherry-admin", masters))?,
            node_client,
            front_proxy: leaf(client(FRONT_PROXY, FRONT_PROXY, None))?,
            node_server: leaf(Leaf {
                file: "node-server",
                common_name: &format!("system:node:{}", subjects.node_name),
                organization: Some("system:nodes"),
                names: vec![subjects.node_name.clone()],
                addresses: subjects.node_addresses.clone(),
                usage: ExtendedKeyUsagePurpose::ServerAuth,
            })?,
            service_account_key: open_key(&dir.join("sa.key"))?,
            ca: authority.bundle.clone(),
            authority: Arc::new(authority),
            dir: dir.to_owned(),
            subjects: subjects.clone(),
            valid_from,
            renewal,
        })
    }

    /// The same certificates as they are on disk now, renewed where they are due.
    fn reopen(&self, now: Timestamp) -> Result<Self, PkiError> {
        Self::open(&self.dir, &self.subjects, now)
    }

    /// Whether no certificate differs.
    fn is_same(&self, other: &Self) -> bool {
        self.ca == other.ca && self.identities() == other.identities()
    }

    fn identities(&self) -> [&Identity; 5] {
        [&self.server, &self.admin, &self.node_client, &self.front_proxy, &self.node_server]
    }

    /// Whether one of them is to be renewed.
    fn is_due(&self, now: Timestamp) -> bool {
        now < self.valid_from || now >= self.renewal
    }
}

/// Has every certificate but those of the CA made anew: at once by a cluster that runs, else when it starts.
pub fn rotate_leaves(dir: &Path) -> Result<(), PkiError> {
    for name in LEAVES {
        let path = dir.join(format!("{name}.crt"));
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(PkiError::File { action: "remove", path, source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Gives the CA a new key, and has every certificate made anew. What the old key signed is believed until the next time.
pub fn rotate_authority(dir: &Path, now: Timestamp) -> Result<(), PkiError> {
    authority::rotate(dir, now)
}

fn client<'a>(file: &'static str, common_name: &'a str, organization: Option<&'static str>) -> Leaf<'a> {
    let usage = ExtendedKeyUsagePurpose::ClientAuth;
    Leaf { file, common_name, organization, names: Vec::new(), addresses: Vec::new(), usage }
}

fn server_leaf(subjects: &Subjects) -> Leaf<'static> {
    let in_cluster = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut names: Vec<String> = in_cluster.iter().map(|s| (*s).to_owned()).collect();
    names.extend(subjects.server_names.iter().cloned());
    Leaf {
        file: "server",
        common_name: "kube-apiserver",
        organization: None,
        names,
        addresses: subjects.server_addresses.clone(),
        usage: ExtendedKeyUsagePurpose::ServerAuth,
    }
}

/// Reads a private key, made at first start.
fn open_key(path: &Path) -> Result<String, PkiError> {
    if !path.exists() {
        let key = KeyPair::generate()
            .map_err(|source| PkiError::Make { name: "the service account key".into(), source })?;
        file::write(path, &key.serialize_pem())?;
    }
    let pem = file::read(path)?;
    let key =
        KeyPair::from_pem(&pem).map_err(|source| PkiError::Unusable { path: path.to_owned(), source })?;
    if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        return Ok(pem);
    }
    let source = rcgen::Error::UnsupportedSignatureAlgorithm;
    Err(PkiError::Unusable { path: path.to_owned(), source })
}

/// The validity of the certificate of this DER.
fn validity(der: &[u8]) -> Option<Validity> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let found = certificate.validity();
    Validity::from_seconds(found.not_before.timestamp(), found.not_after.timestamp())
}

/// A PEM text.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
