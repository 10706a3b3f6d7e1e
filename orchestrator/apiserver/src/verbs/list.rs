//! List: the objects of a collection at exactly one revision.
//!
//! Pages of one list come from the state of its first page; when the store no longer has it, the client is told to
//! begin again, or to go on with the current state. Objects are copied as bytes.

use std::sync::Arc;

use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{BufMut, Bytes, BytesMut};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use wherry_store::{Entry, Snapshot, WatchError};

use super::Cx;
use super::get::{parse_version, version_problem};
use super::select::Selection;
use crate::codec::Cut;
use crate::error::{Failure, unreadable};
use crate::request::negotiate::{Accept, Shape};
use crate::request::query::{ListOptions, Match};
use crate::respond;
use crate::table;

/// The objects a list answers.
pub(crate) struct Page {
    /// The objects.
    pub(crate) entries: Vec<Arc<Entry>>,
    revision: u64,
    next: Option<String>,
    remaining: Option<usize>,
}

/// Where a page ended, as the continue token says it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Token {
    v: String,
    /// The revision of the list; -1 stands for the current one.
    rv: i64,
    /// The key to begin at, below the collection's prefix.
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Token {
    fn new(rv: i64, start: String) -> Self {
        Self { v: TOKEN_VERSION.to_owned(), rv, start }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a token has only string keys"))
    }

    fn decode(text: &str) -> Result<Self, Failure> {
        let bad = |why: String| {
            Failure::BadRequest(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| bad("illegal base64 data".to_owned()))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
        if token.v != TOKEN_VERSION {
            return Err(bad(format!("server does not recognize this encoded version {:?}", token.v)));
        }
        if token.start.is_empty() || token.start.split('/').any(|part| part == "..") {
            return Err(bad("continue key is not valid".to_owned()));
        }
        Ok(token)
    }
}

/// Answers a list.
pub(crate) async fn list(cx: &Cx<'_>, options: &ListOptions, accept: Accept) -> Result<Response, Failure> {
    respond(cx, &page(cx, options).await?, accept)
}

/// The objects a list answers.
pub(crate) async fn page(cx: &Cx<'_>, options: &ListOptions) -> Result<Page, Failure> {
    let selection = Selection::new(cx, options)?;
    let prefix = cx.prefix();
    if !options.continue_token.is_empty() {
        return continued(cx, options, &selection, &prefix).await;
    }
    let current = cx.state.store.snapshot();
    let snapshot = match options.resource_version.as_str() {
        "" | "0" => current,
        text => {
            let requested = text.parse().map_err(|_| {
                Failure::BadRequest(format!("invalid resource version: {}", version_problem(text)))
            })?;
            if requested > current.revision() {
                return Err(Failure::TooLargeVersion { requested, current: current.revision() });
            }
            if options.version_match == Some(Match::Exact) {
                at(cx, &prefix, requested).await.map_err(|e| unreadable(&e, requested))?
            } else {
                current
            }
        }
    };
    Ok(cut(cx, options, &selection, (&prefix, None), &snapshot))
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

async fn continued(
    cx: &Cx<'_>,
    options: &ListOptions,
    selection: &Selection,
    prefix: &str,
) -> Result<Page, Failure> {
    let token = Token::decode(&options.continue_token)?;
    if !matches!(options.resource_version.as_str(), "" | "0") {
        parse_version(&options.resource_version)?;
        return Err(Failure::BadRequest(
            "specifying resource version is not allowed when using continue".to_owned(),
        ));
    }
    let snapshot = match u64::try_from(token.rv) {
        Err(_) => cx.state.store.snapshot(),
        Ok(revision) => match at(cx, prefix, revision).await {
            Ok(snapshot) => snapshot,
            Err(WatchError::Compacted { .. }) => return Err(expired(token.start)),
            Err(error) => return Err(unreadable(&error, revision)),
        },
    };
    // The token names the key to begin at by the last key seen and the zero byte after it.
    let after = format!("{prefix}{}", token.start.trim_end_matches('\0'));
    Ok(cut(cx, options, selection, (prefix, Some(&after)), &snapshot))
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

/// At most a page of the wanted objects after a key.
fn cut(
    cx: &Cx<'_>,
    options: &ListOptions,
    selection: &Selection,
    (prefix, after): (&str, Option<&str>),
    snapshot: &Snapshot,
) -> Page {
    let everything = selection.is_everything();
    let mut wanted = snapshot.range(prefix, after).filter(|e| everything || selection.matches(cx, e));
    let revision = snapshot.revision();
    if options.limit == 0 {
        return Page { entries: wanted.cloned().collect(), revision, next: None, remaining: None };
    }
    let entries: Vec<Arc<Entry>> = wanted.by_ref().take(options.limit).cloned().collect();
    let more = wanted.next().is_some();
    // Counting what a selector would choose of the rest is not promised, so it is not done.
    let remaining = (more && everything).then(|| 1 + wanted.count());
    let next = entries.last().filter(|_| more).map(|last| {
        let start = format!("{}\0", last.key.strip_prefix(prefix).unwrap_or_default());
        Token::new(i64::try_from(revision).unwrap_or(-1), start).encode()
    });
    Page { entries, revision, next, remaining }
}

impl Page {
    fn metadata(&self) -> String {
        let revision = self.revision;
        let next = self.next.as_ref().map_or(String::new(), |n| format!(",\"continue\":\"{n}\""));
        let remaining = self.remaining.map_or(String::new(), |n| format!(",\"remainingItemCount\":{n}"));
        format!("{{\"resourceVersion\":\"{revision}\"{next}{remaining}}}")
    }
}

/// The answer that shows a page.
pub(crate) fn respond(cx: &Cx<'_>, page: &Page, accept: Accept) -> Result<Response, Failure> {
    let bytes = match accept.shape {
        Shape::Object | Shape::Discovery => objects(cx, page)?,
        Shape::Partial(version) => partials(page, version)?,
        Shape::Table(version, include) => {
            let stored = page.entries.iter().map(|e| &e.value[..]);
            cx.renderer(version, include).table(stored, &page.metadata(), true)?
        }
    };
    Ok(respond::json(StatusCode::OK, bytes, accept.yaml))
}

fn start(kind: &str, api_version: &str, page: &Page, size: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(size + 256);
    let head = format!(
        "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{api_version}\",\"metadata\":{},\"items\":[",
        page.metadata()
    );
    out.put_slice(head.as_bytes());
    out
}

fn objects(cx: &Cx<'_>, page: &Page) -> Result<Bytes, Failure> {
    let size: usize = page.entries.iter().map(|e| e.value.len() + 1).sum();
    let mut out = start(cx.kind.kind, &cx.kind.api_version(), page, size);
    let cut = Cut::of(cx.kind);
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        if cx.converts() {
            cut.write_item(&mut out, &cx.serve(&entry.value)?);
        } else {
            cut.write_item(&mut out, &entry.value);
        }
    }
    out.put_slice(b"]}");
    Ok(out.freeze())
}

fn partials(page: &Page, version: &str) -> Result<Bytes, Failure> {
    let mut out = start("PartialObjectMetadata", &format!("meta.k8s.io/{version}"), page, 0);
    for (index, entry) in page.entries.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        out.put_slice(&table::partial(&entry.value, version)?);
    }
    out.put_slice(b"]}");
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_says_where_to_go_on() {
        let token = Token::new(7, "ns/a\0".to_owned());
        assert_eq!(Token::decode(&token.encode()).unwrap(), token);
    }

    #[test]
    fn a_token_of_upstreams_form_is_read() {
        let token = Token::decode("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0").unwrap();
        assert_eq!(token, Token::new(1, "a\0".to_owned()));
    }

    #[test]
    fn a_token_cannot_climb_out_of_its_collection() {
        let token = Token::new(1, "../secrets/a\0".to_owned());
        assert!(matches!(Token::decode(&token.encode()), Err(Failure::BadRequest(_))));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_is_refused(text in ".*") {
            let _ = Token::decode(&text);
        }
    }
}
