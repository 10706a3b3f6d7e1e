//! Which signatures images need, by what they are called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::reference::ImageReference;
use super::identity::{SignedIdentity, repository};
use super::key::{KeyError, PublicKey};
use super::payload::Payload;
use super::{Evidence, Signature};

/// Images of registries.
const TRANSPORT: &str = "docker";

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SignaturePolicyError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// It is no policy, or says something that is not known here.
    #[error("cannot understand {}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// Nothing is required.
    #[error(
        "{scope}: there is no requirement; to take any image, say {{\"type\": \"insecureAcceptAnything\"}}"
    )]
    Empty {
        /// Of which images.
        scope: String,
    },
    /// A requirement is none.
    #[error("{scope}: a requirement of type {kind:?} is not supported: {advice}")]
    Unsupported {
        /// Of which images.
        scope: String,
        /// What was asked for.
        kind: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// No key is named, or in several ways.
    #[error(
        "{scope}: sigstoreSigned needs exactly one of keyPath, keyPaths, keyData and keyDatas, which names a key"
    )]
    Keys {
        /// Of which images.
        scope: String,
    },
    /// A key is none.
    #[error("{scope}: {key} cannot be used")]
    Key {
        /// Of which images.
        scope: String,
        /// Which key.
        key: String,
        /// The cause.
        source: KeyError,
    },
}

/// Why an image may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Rejected {
    /// Nobody may sign such images.
    #[error("the policy rejects images of {scope}")]
    Forbidden {
        /// Which images.
        scope: String,
    },
    /// There is no signature.
    #[error("the policy wants images of {scope} signed, and there is no signature of {digest}")]
    Unsigned {
        /// Which images.
        scope: String,
        /// Of what.
        digest: String,
    },
    /// No signature is good.
    #[error("none of the signatures was accepted that the policy wants of images of {scope}: {reasons}")]
    Unaccepted {
        /// Which images.
        scope: String,
        /// Why, each.
        reasons: String,
    },
}

/// Which signatures images need.
#[derive(Clone, Debug)]
pub struct SignaturePolicy {
    default: Vec<Requirement>,
    scopes: BTreeMap<String, Vec<Requirement>>,
}

impl Default for SignaturePolicy {
    /// None.
    fn default() -> Self {
        Self { default: vec![Requirement::Anything], scopes: BTreeMap::new() }
    }
}

#[derive(Clone, Debug)]
enum Requirement {
    Anything,
    Reject,
    Signed { keys: Vec<PublicKey>, identity: SignedIdentity },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default: Vec<Entry>,
    #[serde(default)]
    transports: BTreeMap<String, BTreeMap<String, Vec<Entry>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    key_path: Option<PathBuf>,
    key_paths: Option<Vec<PathBuf>>,
    key_data: Option<String>,
    key_datas: Option<Vec<String>>,
    key_type: Option<String>,
    signed_identity: Option<SignedIdentity>,
    fulcio: Option<serde_json::Value>,
    pki: Option<serde_json::Value>,
    rekor_public_key_path: Option<PathBuf>,
    rekor_public_key_paths: Option<Vec<PathBuf>>,
    rekor_public_key_data: Option<String>,
    rekor_public_key_datas: Option<Vec<String>>,
}

impl SignaturePolicy {
    /// The policy of a file, and the keys it names.
    pub fn read(path: &Path) -> Result<Self, SignaturePolicyError> {
        Self::parse(&read(path)?, path)
    }

    fn parse(text: &[u8], path: &Path) -> Result<Self, SignaturePolicyError> {
        let parsed = serde_json::from_slice(text);
        let mut file: File =
            parsed.map_err(|source| SignaturePolicyError::Parse { path: path.to_owned(), source })?;
        let scopes = file.transports.remove(TRANSPORT).unwrap_or_default();
        let named = |(scope, entries): (String, Vec<Entry>)| -> Result<_, SignaturePolicyError> {
            let requirements = requirements(&shown(&scope), entries)?;
            Ok((scope, requirements))
        };
        Ok(Self {
            default: requirements("default", file.default)?,
            scopes: scopes.into_iter().map(named).collect::<Result<_, _>>()?,
        })
    }

    /// Whether images called so need a signature.
    pub(crate) fn wants_signatures(&self, reference: &ImageReference) -> bool {
        self.of(reference).1.iter().any(|requirement| matches!(requirement, Requirement::Signed { .. }))
    }

    /// Whether the image may run. Its digests are those of its index and of its manifest.
    pub(crate) fn check(
        &self,
        reference: &ImageReference,
        digests: &[&str],
        evidence: &Evidence,
    ) -> Result<(), Rejected> {
        let (scope, requirements) = self.of(reference);
        let scope = || shown(scope);
        for requirement in requirements {
            match requirement {
                Requirement::Anything => {}
                Requirement::Reject => return Err(Rejected::Forbidden { scope: scope() }),
                Requirement::Signed { .. } if evidence.signatures.is_empty() => {
                    let digest = digests.first().copied().unwrap_or_default().to_owned();
                    return Err(Rejected::Unsigned { scope: scope(), digest });
                }
                Requirement::Signed { keys, identity } => {
                    let fits = |payload: &Payload| fits(payload, reference, digests, identity);
                    let judged = evidence.signatures.iter().map(|signature| judge(signature, keys, fits));
                    // One that is good is enough.
                    let (good, bad): (Vec<_>, Vec<_>) = judged.partition(Result::is_ok);
                    if good.is_empty() {
                        let reasons: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
                        return Err(Rejected::Unaccepted { scope: scope(), reasons: reasons.join("; ") });
                    }
                }
            }
        }
        Ok(())
    }

    /// What is required of images called so, and of which images that is said: the narrowest that has them.
    fn of(&self, reference: &ImageReference) -> (&str, &[Requirement]) {
        let found = scopes(reference).into_iter().find_map(|scope| self.scopes.get_key_value(&scope));
        found.map_or(("default", &self.default), |(scope, requirements)| (scope.as_str(), requirements))
    }
}

/// The scopes that an image is in, the narrowest first.
fn scopes(reference: &ImageReference) -> Vec<String> {
    let mut scopes = vec![reference.full_name()];
    let mut name = repository(reference);
    scopes.push(name.clone());
    while let Some(end) = name.rfind('/') {
        name.truncate(end);
        scopes.push(name.clone());
    }
    let host = name.split(':').next().unwrap_or_default().to_owned();
    let above = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
    scopes.extend(above);
    scopes.push(String::new());
    scopes
}

/// A scope in a message.
fn shown(scope: &str) -> String {
    if scope.is_empty() { format!("transport {TRANSPORT}") } else { scope.to_owned() }
}

/// Whether the signature is good, else why not.
fn judge(
    signature: &Signature,
    keys: &[PublicKey],
    fits: impl FnOnce(&Payload) -> Result<(), String>,
) -> Result<(), String> {
    let bytes = STANDARD.decode(&signature.signature).map_err(|_| "a signature is no base64".to_owned())?;
    if !keys.iter().any(|key| key.verifies(signature.payload.as_bytes(), &bytes)) {
        return Err("a signature was made with another key".to_owned());
    }
    let payload = Payload::parse(&signature.payload);
    fits(&payload.ok_or("what was signed cannot be understood")?)
}

fn fits(
    payload: &Payload,
    wanted: &ImageReference,
    digests: &[&str],
    identity: &SignedIdentity,
) -> Result<(), String> {
    if !digests.contains(&payload.digest.as_str()) {
        return Err(format!("a signature is of {}", payload.digest));
    }
    if !identity.accepts(wanted, &payload.reference) {
        return Err(format!("a signature is of an image called {:?}", payload.reference));
    }
    Ok(())
}

fn requirements(scope: &str, entries: Vec<Entry>) -> Result<Vec<Requirement>, SignaturePolicyError> {
    if entries.is_empty() {
        return Err(SignaturePolicyError::Empty { scope: scope.to_owned() });
    }
    entries.into_iter().map(|entry| entry.requirement(scope)).collect()
}

impl Entry {
    fn requirement(self, scope: &str) -> Result<Requirement, SignaturePolicyError> {
        let unsupported = |advice| SignaturePolicyError::Unsupported {
            scope: scope.to_owned(),
            kind: self.kind.clone(),
            advice,
        };
        match self.kind.as_str() {
            "insecureAcceptAnything" => Ok(Requirement::Anything),
            "reject" => Ok(Requirement::Reject),
            "sigstoreSigned" => {
                let others =
                    [self.fulcio.is_some(), self.pki.is_some(), self.has_rekor(), self.key_type.is_some()];
                if others.contains(&true) {
                    return Err(unsupported("with fulcio, pki, a transparency log; name keys"));
                }
                let identity = self.signed_identity.clone().unwrap_or_default();
                Ok(Requirement::Signed { keys: self.keys(scope)?, identity })
            }
            "signedBy" => Err(unsupported("sign with cosign, and say sigstoreSigned")),
            _ => Err(unsupported("say insecureAcceptAnything, reject or sigstoreSigned")),
        }
    }

    fn has_rekor(&self) -> bool {
        self.rekor_public_key_path.is_some()
            || self.rekor_public_key_paths.is_some()
            || self.rekor_public_key_data.is_some()
            || self.rekor_public_key_datas.is_some()
    }

    fn keys(self, scope: &str) -> Result<Vec<PublicKey>, SignaturePolicyError> {
        let none = || SignaturePolicyError::Keys { scope: scope.to_owned() };
        let refused =
            |key: String, source| SignaturePolicyError::Key { scope: scope.to_owned(), key, source };
        let (paths, data) = match (self.key_path, self.key_paths, self.key_data, self.key_datas) {
            (Some(path), None, None, None) => (vec![path], vec![]),
            (None, Some(paths), None, None) => (paths, vec![]),
            (None, None, Some(data), None) => (vec![], vec![data]),
            (None, None, None, Some(datas)) => (vec![], datas),
            _ => return Err(none()),
        };
        let mut keys = Vec::new();
        for path in paths {
            let key = PublicKey::parse(&read(&path)?);
            keys.push(key.map_err(|source| refused(path.display().to_string(), source))?);
        }
        for data in data {
            let pem = STANDARD.decode(data).map_err(|_| KeyError::Form);
            let key = pem.and_then(|pem| PublicKey::parse(&pem));
            keys.push(key.map_err(|source| refused("its keyData".to_owned(), source))?);
        }
        if keys.is_empty() { Err(none()) } else { Ok(keys) }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, SignaturePolicyError> {
    std::fs::read(path).map_err(|source| SignaturePolicyError::Read { path: path.to_owned(), source })
}
