//! List: the objects of a collection at exactly one revision.
//!
//! Pages of one list come from the state of its first page; when the store no longer has it, the client is told to
//! begin again, or to go on with the current state. Objects are copied as bytes.

use std::sync::Arc;

use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use wherry_store::{Entry, Snapshot, WatchError};

use super::Cx;
use super::continuation::Token;
use super::get::version_problem;
use super::select::Selection;
use super::shared::Key;
use crate::codec::Cut;
use crate::custom::{BATCH, Served};
use crate::error::{Failure, unreadable};
use crate::lean::lean;
use crate::request::negotiate::{Accept, Shape};
use crate::request::query::{ListOptions, Match};
use crate::respond;
use crate::table;

/// How many custom objects are looked at together at least, however few are wanted.
const FEW: usize = 32;

/// The objects a list answers.
pub(crate) struct Page {
    /// The objects.
    pub(crate) entries: Vec<Arc<Entry>>,
    revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
    /// Whether the objects are as clients see them already.
    shown: bool,
}

/// What a list asks for, and the state it asks it of.
struct Wanted {
    selection: Selection,
    prefix: String,
    after: Option<String>,
    limit: usize,
    snapshot: Snapshot,
}

/// Answers a list.
pub(crate) async fn list(cx: &Cx<'_>, options: &ListOptions, accept: Accept) -> Result<Response, Failure> {
    let wanted = wanted(cx, options).await?;
    if wanted.is_whole() && accept.shape == Shape::Object && !accept.yaml {
        return whole(cx, &wanted, accept).await;
    }
    respond(cx, wanted.page(cx).await?, accept).await
}

/// The objects a list answers.
pub(crate) async fn page(cx: &Cx<'_>, options: &ListOptions) -> Result<Page, Failure> {
    wanted(cx, options).await?.page(cx).await
}

/// Answers a whole collection with a body that concurrent requests share.
async fn whole(cx: &Cx<'_>, wanted: &Wanted, accept: Accept) -> Result<Response, Failure> {
    let revision = wanted.snapshot.revision();
    let (group, version) = (cx.kind.group, cx.kind.version);
    let key = Key { prefix: wanted.prefix.clone(), group, version, revision };
    let shared = cx.state.lists.get(key);
    let make = async || objects(cx, &wanted.page(cx).await?.shown(cx).await?, false);
    let (body, gzip) = shared.body(accept.gzip, make).await?;
    Ok(respond::whole(body, gzip))
}

async fn wanted(cx: &Cx<'_>, options: &ListOptions) -> Result<Wanted, Failure> {
    let selection = Selection::new(cx, options)?;
    let prefix = cx.prefix();
    if !options.continue_token.is_empty() {
        return continued(cx, options, (selection, prefix)).await;
    }
    let current = cx.state.store.snapshot();
    let limit = options.limit;
    let (snapshot, limit) = match options.resource_version.as_str() {
        "" => (current, limit),
        // Whatever state there is, and all of it: limits are for reads of a certain state.
        "0" => (current, 0),
        text => {
            let requested = text.parse().map_err(|_| {
                Failure::BadRequest(format!("invalid resource version: {}", version_problem(text)))
            })?;
            if requested > current.revision() {
                return Err(Failure::TooLargeVersion { requested, current: current.revision() });
            }
            let exact = match options.version_match {
                Some(asked) => asked == Match::Exact,
                None => limit > 0,
            };
            let snapshot = if exact { at(cx, &prefix, requested).await.map_err(too_old)? } else { current };
            (snapshot, limit)
        }
    };
    Ok(Wanted { selection, prefix, after: None, limit, snapshot })
}

/// The state at a revision; reading the file for it is left to a thread that may block.
async fn at(cx: &Cx<'_>, prefix: &str, revision: u64) -> Result<Snapshot, WatchError> {
    let store = &cx.state.store;
    let current = store.snapshot();
    if current.revision() == revision {
        return Ok(current);
    }
    let (store, prefix) = (store.clone(), prefix.to_owned());
    tokio::task::spawn_blocking(move || store.list_at(&prefix, revision))
        .await
        .map_err(|_| WatchError::Closed)?
}

fn too_old(error: WatchError) -> Failure {
    match error {
        WatchError::Compacted { .. } => Failure::Expired {
            message: "The resourceVersion for the provided list is too old.".to_owned(),
            continue_token: None,
        },
        other => unreadable(&other, 0),
    }
}

async fn continued(
    cx: &Cx<'_>,
    options: &ListOptions,
    (selection, prefix): (Selection, String),
) -> Result<Wanted, Failure> {
    let token = Token::decode(&options.continue_token)?;
    if !matches!(options.resource_version.as_str(), "" | "0") {
        return Err(Failure::BadRequest(
            "specifying resource version is not allowed when using continue".to_owned(),
        ));
    }
    let snapshot = match u64::try_from(token.rv) {
        Err(_) => cx.state.store.snapshot(),
        Ok(revision) => match at(cx, &prefix, revision).await {
            Ok(snapshot) => snapshot,
            Err(WatchError::Compacted { .. }) => return Err(expired(token.start)),
            Err(error) => return Err(unreadable(&error, revision)),
        },
    };
    // The token names the key to begin at by the last key seen and the zero byte after it.
    let after = Some(format!("{prefix}{}", token.start.trim_end_matches('\0')));
    Ok(Wanted { selection, prefix, after, limit: options.limit, snapshot })
}

fn expired(start: String) -> Failure {
    Failure::Expired {
        message: "The provided continue parameter is too old to display a consistent list result. You can start a new \
                  list without the continue parameter, or use the continue token in this response to retrieve the \
                  remainder of the results. Continuing with the provided token results in an inconsistent list - \
                  objects that were created, modified, or deleted between the time the first chunk was returned and \
                  now may show up in the list."
            .to_owned(),
        continue_token: Some(Token::new(-1, start).encode()),
    }
}

impl Wanted {
    /// Whether the answer is the same for everybody who asks for the collection.
    fn is_whole(&self) -> bool {
        self.selection.is_everything() && self.limit == 0 && self.after.is_none()
    }

    /// At most a page of the wanted objects.
    async fn page(&self, cx: &Cx<'_>) -> Result<Page, Failure> {
        match cx.custom.filter(|_| !self.selection.is_everything()) {
            Some(served) => self.shown_page(cx, served).await,
            None => Ok(self.stored_page(cx)),
        }
    }

    /// The same, of objects that are wanted or not by what they are in the version asked for. They are shown already.
    async fn shown_page(&self, cx: &Cx<'_>, served: &Served) -> Result<Page, Failure> {
        let (snapshot, selection) = (&self.snapshot, &self.selection);
        let mut page = Page { shown: true, ..Page::empty(snapshot.revision()) };
        if let (Some(key), None) = (selection.key(cx), &self.after) {
            page.entries.extend(snapshot.get(&key).cloned());
            served.show_all(cx.state, &mut page.entries).await?;
            page.entries.retain(|entry| selection.matches(cx, entry));
            return Ok(page);
        }
        let mut rest = snapshot.range(&self.prefix, self.after.as_deref());
        let size = if self.limit == 0 { BATCH } else { self.limit.clamp(FEW, BATCH) };
        loop {
            let mut batch: Vec<Arc<Entry>> = rest.by_ref().take(size).cloned().collect();
            if batch.is_empty() {
                return Ok(page);
            }
            served.show_all(cx.state, &mut batch).await?;
            let mut batch = batch.into_iter();
            for entry in batch.by_ref().filter(|entry| selection.matches(cx, entry)) {
                page.entries.push(entry);
                if page.entries.len() == self.limit {
                    break;
                }
            }
            if self.limit > 0 && page.entries.len() == self.limit {
                page.next =
                    (batch.next().is_some() || rest.next().is_some()).then(|| page.after(&self.prefix));
                return Ok(page);
            }
        }
    }

    /// The same, of objects that are wanted or not as they are stored.
    fn stored_page(&self, cx: &Cx<'_>) -> Page {
        let (snapshot, selection) = (&self.snapshot, &self.selection);
        let everything = selection.is_everything();
        let wanted = |entry: &&Arc<Entry>| everything || selection.matches(cx, entry);
        let mut page = Page::empty(snapshot.revision());
        if let (Some(key), None) = (selection.key(cx), &self.after) {
            page.entries.extend(snapshot.get(&key).filter(wanted).cloned());
            return page;
        }
        let mut rest = snapshot.range(&self.prefix, self.after.as_deref());
        if self.limit == 0 {
            page.entries.extend(rest.filter(wanted).cloned());
            return page;
        }
        page.entries.extend(rest.by_ref().filter(wanted).take(self.limit).cloned());
        // There is more if anything follows, wanted or not: looking for what is wanted is left to the next page.
        if page.entries.len() == self.limit && rest.next().is_some() {
            page.next = Some(page.after(&self.prefix));
            // Counting what a selector would choose of the rest is not promised, so it is not done.
            page.remaining = everything.then(|| 1 + rest.count());
        }
        page
    }
}

impl Page {
    fn empty(revision: u64) -> Self {
        Self { entries: Vec::new(), revision, next: None, remaining: None, shown: false }
    }

    /// Where the next page begins.
    fn after(&self, prefix: &str) -> String {
        let last = self.entries.last().and_then(|last| last.key.strip_prefix(prefix));
        Token::after(self.revision, last.unwrap_or_default()).encode()
    }

    /// A page of what is not stored, and so has no version.
    pub(crate) fn unversioned(entries: Vec<Arc<Entry>>) -> Self {
        Self { entries, ..Self::empty(0) }
    }

    /// The page with the objects of a custom kind as clients see them.
    async fn shown(mut self, cx: &Cx<'_>) -> Result<Self, Failure> {
        let Some(served) = cx.custom else { return Ok(self) };
        if !self.shown {
            served.show_all(cx.state, &mut self.entries).await?;
        }
        Ok(self)
    }

    fn metadata(&self) -> String {
        let revision = self.revision;
        if revision == 0 {
            return "{}".to_owned();
        }
        let next = self.next.as_ref().map_or(String::new(), |n| format!(",\"continue\":\"{n}\""));
        let remaining = self.remaining.map_or(String::new(), |n| format!(",\"remainingItemCount\":{n}"));
        format!("{{\"resourceVersion\":\"{revision}\"{next}{remaining}}}")
    }
}

/// The answer that shows a page.
pub(crate) async fn respond(cx: &Cx<'_>, page: Page, accept: Accept) -> Result<Response, Failure> {
    let page = &page.shown(cx).await?;
    let bytes = match accept.shape {
        Shape::Object | Shape::Lean | Shape::Discovery => objects(cx, page, accept.shape == Shape::Lean)?,
        Shape::Partial(version) => partials(page, version)?,
        Shape::Table(version, include) => {
            let stored = page.entries.iter().map(|e| &e.value[..]);
            cx.renderer(version, include).table(stored, &page.metadata(), true)?
        }
    };
    Ok(respond::json(StatusCode::OK, bytes, accept.yaml))
}

fn start(list_kind: &str, api_version: &str, metadata: &str, size: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":\"{list_kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[",
    );
    out.put_slice(head.as_bytes());
    out
}

fn objects(cx: &Cx<'_>, page: &Page, is_lean: bool) -> Result<Bytes, Failure> {
    let size: usize = page.entries.iter().map(|e| e.value.len() + 1).sum();
    let api_version = cx.kind.api_version();
    let mut out = match cx.custom {
        // Lists of custom objects say that there is no more.
        Some(served) => {
            let metadata =
                page.metadata().replacen('{', "{\"continue\":\"\",", usize::from(page.next.is_none()));
            start(&served.definition().list_kind, &api_version, &metadata, size)
        }
        None => start(&format!("{}List", cx.kind.kind), &api_version, &page.metadata(), size),
    };
    let cut = Cut::of(cx.kind);
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        let mut object = cx.serve(&entry.value)?;
        if is_lean {
            object = lean(&object)?;
        }
        if cx.custom.is_some() {
            // Items of custom kinds say what they are.
            out.put_slice(&object);
        } else {
            cut.write_item(&mut out, &object);
        }
    }
    out.put_slice(b"]}");
    Ok(out.freeze())
}

fn partials(page: &Page, version: &str) -> Result<Bytes, Failure> {
    let mut out = start("PartialObjectMetadataList", &format!("meta.k8s.io/{version}"), &page.metadata(), 0);
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&table::partial(&entry.value, version)?);
    }
    out.put_slice(b"]}");
    Ok(out.freeze())
}
