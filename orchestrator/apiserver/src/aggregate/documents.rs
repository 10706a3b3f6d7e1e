//! What OpenAPI tells of versions that other servers serve.
//!
//! # Guarantees
//! What a server told stays until it tells something else or its APIService goes, also while it does not work. Documents
//! of version 3 stay with their server, which is asked for them in the name of who asks here; of version 2 there is one,
//! merged when somebody asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use wherry_schema::openapi::custom::pack;
use wherry_schema::openapi::{merge, unpack};
use wherry_schema::{Object, Value};

use super::ask::{Question, ask};
use super::{Remote, Remotes};
use crate::auth::UserInfo;
use crate::object::Fields;
use crate::state::State;

/// Who asks for documents.
const USER: &str = "system:aggregator";

/// The documents of other servers.
#[derive(Default)]
pub(crate) struct Documents {
    /// By the name of the APIService.
    known: Mutex<BTreeMap<String, Arc<Found>>>,
    /// The last that was merged, and the tag of it.
    merged: Mutex<Option<(String, Bytes)>>,
}

/// What one server told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Found {
    /// Where documents of version 3 are, by name: `apis/example.com/v1`.
    urls: BTreeMap<String, String>,
    swagger: Option<Swagger>,
}

/// The document of version 2, gzipped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Swagger {
    tag: String,
    gzip: Bytes,
}

impl Documents {
    /// Whether a server has not told of any documents yet.
    pub(super) fn lacks(&self, remote: &Remote) -> bool {
        !self.known.lock().contains_key(&remote.name)
    }

    /// Forgets what was told by servers that are gone.
    pub(super) fn keep(&self, remotes: &Remotes) {
        let names: BTreeSet<&str> = remotes.all().map(|remote| remote.name.as_str()).collect();
        self.known.lock().retain(|name, _| names.contains(name.as_str()));
    }

    /// Asks a server for its documents. What it does not tell this time stays as it was.
    pub(super) async fn renew(&self, state: &State, remote: &Remote) {
        let before = self.known.lock().get(&remote.name).cloned().unwrap_or_default();
        let mut found = Found::clone(&before);
        match index(state, remote).await {
            Ok(urls) => found.urls = urls,
            Err(why) => tracing::warn!(service = remote.name, why, "no index of OpenAPI documents"),
        }
        match swagger(state, remote, before.swagger.as_ref()).await {
            Ok(swagger) => found.swagger = swagger,
            Err(why) => tracing::warn!(service = remote.name, why, "no OpenAPI document"),
        }
        self.known.lock().insert(remote.name.clone(), Arc::new(found));
    }

    /// The names of documents of version 3 that these servers have, and where they are.
    pub(crate) fn urls(&self, remotes: &Remotes) -> Vec<(String, String)> {
        let known = self.known.lock();
        let found = remotes.all().filter_map(|remote| known.get(&remote.name));
        found.flat_map(|found| found.urls.clone()).collect()
    }

    /// The name of the APIService whose server has a document.
    pub(super) fn has(&self, name: &str) -> Option<String> {
        let known = self.known.lock();
        let found = known.iter().find(|(_, found)| found.urls.contains_key(name));
        found.map(|(service, _)| service.clone())
    }

    /// The document of version 2 with those of others merged into it, and its tag; none if others have none.
    pub(crate) fn swagger(&self, remotes: &Remotes, (tag, gzip): (&str, &Bytes)) -> Option<(String, Bytes)> {
        let known = self.known.lock().clone();
        let others: Vec<(&Arc<Remote>, &Swagger)> = remotes
            .by_priority()
            .into_iter()
            .filter_map(|remote| Some((remote, known.get(&remote.name)?.swagger.as_ref()?)))
            .collect();
        if others.is_empty() {
            return None;
        }
        let mut digest = Sha256::new_with_prefix(tag);
        for (remote, swagger) in &others {
            digest.update(format!("\n{} {}", remote.name, swagger.tag));
        }
        let tag = URL_SAFE_NO_PAD.encode(digest.finalize());
        let mut merged = self.merged.lock();
        if let Some(same) = merged.as_ref().filter(|(known, _)| *known == tag) {
            return Some(same.clone());
        }
        Some(merged.insert((tag, merge_all(gzip, &others))).clone())
    }
}

fn merge_all(own: &[u8], others: &[(&Arc<Remote>, &Swagger)]) -> Bytes {
    let unpacked = others.iter().map(|(remote, swagger)| {
        (format!("/apis/{}/{}/", remote.group, remote.version), unpack(&swagger.gzip))
    });
    let unpacked: Vec<(String, Vec<u8>)> = unpacked.collect();
    let others: Vec<merge::Other<'_>> =
        unpacked.iter().map(|(prefix, json)| merge::Other { prefix, json }).collect();
    pack(&merge::merge(&unpack(own), &others)).into()
}

/// Where a server says that its documents of version 3 are; nowhere if it has none.
async fn index(state: &State, remote: &Remote) -> Result<BTreeMap<String, String>, String> {
    let answer = ask(state, remote, &question("/openapi/v3", None)).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(BTreeMap::new()),
        other => return Err(format!("failed to retrieve openAPI spec, http error: {other}")),
    }
    let index = Value::from_json(&answer.body).map_err(|error| error.to_string())?;
    let paths = index.map("paths").into_iter().flat_map(Object::iter);
    let url = |entry: &Value| Some(entry.text("serverRelativeURL").to_owned()).filter(|url| !url.is_empty());
    Ok(paths.filter_map(|(name, entry)| Some((name.to_string(), url(entry)?))).collect())
}

/// The document of version 2 as it is now; none if the server has none.
async fn swagger(
    state: &State,
    remote: &Remote,
    before: Option<&Swagger>,
) -> Result<Option<Swagger>, String> {
    let known = before.map(|before| before.tag.as_str());
    let answer = ask(state, remote, &question("/openapi/v2", known)).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED => return Ok(before.cloned()),
        StatusCode::NOT_FOUND => return Ok(None),
        other => return Err(format!("failed to retrieve openAPI spec, http error: {other}")),
    }
    let tag = answer.tag.unwrap_or_else(|| URL_SAFE_NO_PAD.encode(Sha256::digest(&answer.body)));
    Ok(Some(Swagger { tag, gzip: pack(&answer.body).into() }))
}

fn question<'q>(path: &'q str, known: Option<&'q str>) -> Question<'q> {
    Question { user: UserInfo::new(USER, &[]), path, known }
}
