//! The cluster's certificates: one CA made at first start, and the leaves it signs; and the key of ServiceAccount
//! tokens.
//!
//! # Flow
//! [`Pki::open`] reads `DIR/pki`; what is missing, expires within a third of its life, or does not name the
//! addresses asked for is made anew. The CA is never replaced: every kubeconfig that was handed out trusts it. Nor is
//! the key of ServiceAccount tokens: Pods keep tokens that it signed.
//!
//! # Guarantees
//! Private keys are files of mode 0600 in a directory of mode 0700, written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use x509_parser::extensions::GeneralName;

const CA_DAYS: i64 = 3650;
const LEAF_DAYS: i64 = 365;
/// Clocks of edge machines run behind; a certificate is valid from a day before it was made.
const BACKDATE_DAYS: i64 = 1;

/// A certificate with its private key, both PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: String,
    /// The PKCS#8 private key.
    pub key: String,
}

/// All certificates of a one-machine cluster.
#[derive(Clone)]
pub struct Pki {
    /// The CA's certificate, PEM.
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

/// What one leaf certificate says.
struct Leaf<'a> {
    file: &'static str,
    common_name: &'a str,
    organization: Option<&'static str>,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    usage: ExtendedKeyUsagePurpose,
}

impl Pki {
    /// Reads the certificates in `dir`, making what is missing.
    pub fn open(dir: &Path, subjects: &Subjects, now: Timestamp) -> Result<Self, PkiError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| PkiError::File { action: "create directory", path: dir.to_owned(), source })?;
        let (ca, issuer) = open_ca(dir, now)?;
        let leaf = |leaf: Leaf<'_>| open_leaf(dir, &leaf, &issuer, now);
        let client = |file, common_name, organization| Leaf {
            file,
            common_name,
            organization,
            names: Vec::new(),
            addresses: Vec::new(),
            usage: ExtendedKeyUsagePurpose::ClientAuth,
        };
        Ok(Self {
            server: leaf(server_leaf(subjects))?,
            admin: leaf(client("admin", "wherry-admin", Some("system:masters")))?,
            node_client: leaf(client(
                "node-client",
                "kube-apiserver-kubelet-client",
                Some("system:masters"),
            ))?,
            front_proxy: leaf(client("front-proxy-client", FRONT_PROXY, None))?,
            node_server: leaf(Leaf {
                file: "node-server",
                common_name: &format!("system:node:{}", subjects.node_name),
                organization: Some("system:nodes"),
                names: vec![subjects.node_name.clone()],
                addresses: subjects.node_addresses.clone(),
                usage: ExtendedKeyUsagePurpose::ServerAuth,
            })?,
            service_account_key: open_key(&dir.join("sa.key"))?,
            ca,
        })
    }
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

fn open_ca(dir: &Path, now: Timestamp) -> Result<(String, Issuer<'static, KeyPair>), PkiError> {
    let (cert_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    if !cert_path.exists() {
        let identity = make_ca(now).map_err(|source| PkiError::Make { name: "wherry-ca".into(), source })?;
        // The key first: a certificate on disk means that its key is there too.
        write_file(&key_path, &identity.key)?;
        write_file(&cert_path, &identity.cert)?;
    }
    let cert = read_file(&cert_path)?;
    let key = read_file(&key_path)?;
    let key = KeyPair::from_pem(&key).map_err(|source| PkiError::Unusable { path: key_path, source })?;
    let issuer = Issuer::from_ca_cert_pem(&cert, key)
        .map_err(|source| PkiError::Unusable { path: cert_path, source })?;
    Ok((cert, issuer))
}

fn make_ca(now: Timestamp) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "wherry-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    set_validity(&mut params, now, CA_DAYS);
    let cert = params.self_signed(&key)?;
    Ok(Identity { cert: cert.pem(), key: key.serialize_pem() })
}

/// Reads a private key, made at first start.
fn open_key(path: &Path) -> Result<String, PkiError> {
    if !path.exists() {
        let key = KeyPair::generate()
            .map_err(|source| PkiError::Make { name: "the service account key".into(), source })?;
        write_file(path, &key.serialize_pem())?;
    }
    let pem = read_file(path)?;
    let key =
        KeyPair::from_pem(&pem).map_err(|source| PkiError::Unusable { path: path.to_owned(), source })?;
    if key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 {
        return Ok(pem);
    }
    let source = rcgen::Error::UnsupportedSignatureAlgorithm;
    Err(PkiError::Unusable { path: path.to_owned(), source })
}

fn open_leaf(
    dir: &Path,
    leaf: &Leaf<'_>,
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> Result<Identity, PkiError> {
    let (cert_path, key_path) =
        (dir.join(format!("{}.crt", leaf.file)), dir.join(format!("{}.key", leaf.file)));
    if let (Ok(cert), Ok(key)) = (fs::read_to_string(&cert_path), fs::read_to_string(&key_path))
        && still_serves(&cert, leaf, now)
        && KeyPair::from_pem(&key).is_ok()
    {
        return Ok(Identity { cert, key });
    }
    let identity = make_leaf(leaf, issuer, now)
        .map_err(|source| PkiError::Make { name: leaf.common_name.to_owned(), source })?;
    write_file(&key_path, &identity.key)?;
    write_file(&cert_path, &identity.cert)?;
    Ok(identity)
}

fn make_leaf(
    leaf: &Leaf<'_>,
    issuer: &Issuer<'_, KeyPair>,
    now: Timestamp,
) -> Result<Identity, rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(leaf.names.clone())?;
    params.subject_alt_names.extend(leaf.addresses.iter().map(|a| SanType::IpAddress(*a)));
    params.distinguished_name.push(DnType::CommonName, leaf.common_name);
    if let Some(organization) = leaf.organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![leaf.usage.clone()];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, now, LEAF_DAYS);
    let cert = params.signed_by(&key, issuer)?;
    Ok(Identity { cert: cert.pem(), key: key.serialize_pem() })
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |days: i64| {
        let date = (now.to_zoned(jiff::tz::TimeZone::UTC) + days.days()).date();
        rcgen::date_time_ymd(i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = date(-BACKDATE_DAYS);
    params.not_after = date(days);
}

/// Whether a certificate has more than a third of its life left and names everything asked for.
fn still_serves(pem: &str, leaf: &Leaf<'_>, now: Timestamp) -> bool {
    let Ok((_, block)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else { return false };
    let Ok(cert) = block.parse_x509() else { return false };
    let validity = cert.validity();
    let left = validity.not_after.timestamp() - now.as_second();
    let life = validity.not_after.timestamp() - validity.not_before.timestamp();
    if left * 3 < life {
        return false;
    }
    let Ok(san) = cert.subject_alternative_name() else { return false };
    let covered = san.map(|s| s.value.general_names.as_slice()).unwrap_or_default();
    leaf.names.iter().all(|name| covered.iter().any(|c| matches!(c, GeneralName::DNSName(n) if n == name)))
        && leaf.addresses.iter().all(|address| {
            let octets = match address {
                IpAddr::V4(a) => a.octets().to_vec(),
                IpAddr::V6(a) => a.octets().to_vec(),
            };
            covered.iter().any(|c| matches!(c, GeneralName::IPAddress(b) if **b == *octets))
        })
}

fn read_file(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

/// Writes a private file whole or not at all: a temporary neighbour, synced, renamed over it.
pub(crate) fn write_file(path: &Path, content: &str) -> Result<(), PkiError> {
    let temporary = path.with_extension("tmp");
    let write = || -> io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| PkiError::File { action: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn subjects() -> Subjects {
        Subjects {
            server_addresses: vec!["127.0.0.1".parse().unwrap(), "10.96.0.1".parse().unwrap()],
            server_names: Vec::new(),
            node_name: "n1".into(),
            node_addresses: vec!["127.0.0.1".parse().unwrap()],
        }
    }

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + n * 86_400).unwrap()
    }

    #[test]
    fn a_second_start_keeps_every_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        let second = Pki::open(dir.path(), &subjects(), day(1)).unwrap();
        assert_eq!(first.ca, second.ca);
        assert_eq!(first.server.cert, second.server.cert);
        assert_eq!(first.admin.key, second.admin.key);
        assert_eq!(first.service_account_key, second.service_account_key);
    }

    #[test]
    fn leaves_are_renewed_in_the_last_third_of_their_life_and_the_ca_stays() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        let later = Pki::open(dir.path(), &subjects(), day(300)).unwrap();
        assert_eq!(first.ca, later.ca);
        assert_ne!(first.server.cert, later.server.cert);
        assert_ne!(first.admin.cert, later.admin.cert);
    }

    #[test]
    fn a_new_address_gets_a_new_server_certificate_only() {
        let dir = tempfile::tempdir().unwrap();
        let first = Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        let mut moved = subjects();
        moved.server_addresses.push("192.0.2.7".parse().unwrap());
        let second = Pki::open(dir.path(), &moved, day(0)).unwrap();
        assert_ne!(first.server.cert, second.server.cert);
        assert_eq!(first.admin.cert, second.admin.cert);
    }

    #[test]
    fn private_keys_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_broken_ca_is_reported_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        Pki::open(dir.path(), &subjects(), day(0)).unwrap();
        fs::write(dir.path().join("ca.key"), "garbage").unwrap();
        let error = Pki::open(dir.path(), &subjects(), day(0)).err().unwrap();
        assert!(error.to_string().contains("ca.key is not a usable certificate or key"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("ca.key")).unwrap(), "garbage");
    }
}
