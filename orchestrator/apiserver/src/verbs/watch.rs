//! Watch: the events of a collection, one JSON document per line.
//!
//! Guarantees: a watch from revision R tells every later event of its objects once and in order, or ends with an
//! `ERROR` of reason `Expired`. An object that starts or stops matching the selectors is `ADDED` or `DELETED`.
//! Bookmarks tell an idle client how far it is.
//!
//! An event is encoded once and shared by all watchers that see it as the same change in the same form. A watcher that is
//! slow holds no events: it reads them from the store when it gets there, and ends with `Expired` when they are gone.

mod custom;

use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wherry_api::kinds::Kind;
use wherry_store::{Entry, Event, EventKind, Watch, WatchError};

use super::get::parse_version;
use super::select::Selection;
use super::{Cx, show};
use crate::codec::Cut;
use crate::custom::{Served, Watched};
use crate::error::{Failure, unreadable};
use crate::kinds::{Rules, rules};
use crate::lean::lean;
use crate::request::negotiate::{Accept, Include, Shape};
use crate::request::query::ListOptions;
use crate::state::State;
use crate::status::Status;
use crate::table;

/// How long a watch lasts at least that does not say; at most twice that, so that many do not end at once.
const DEFAULT_SECONDS: u64 = 1800;
/// How many bytes of events go into one chunk.
const CHUNK: usize = 64 * 1024;

/// What happened, as a client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Added = 0,
    Modified = 1,
    Deleted = 2,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// A watch under way.
struct Stream {
    state: Arc<State>,
    kind: &'static Kind,
    stored: &'static Kind,
    /// Those of a built-in kind.
    rules: &'static dyn Rules,
    custom: Option<Served>,
    _counted: Option<Watched>,
    namespace: String,
    selection: Selection,
    shape: Shape,
    /// Objects to tell before any event.
    initial: VecDeque<Arc<Entry>>,
    /// The revision whose bookmark ends the initial objects, if the client waits for it.
    initial_end: Option<u64>,
    watch: Option<Watch>,
    /// The events of this watch are the same for all that show them like this.
    form: u32,
    /// Events up to here are not told, because the client asked for later ones.
    begin: u64,
    bookmarks: Option<Interval>,
    deadline: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether the columns of a table have been told.
    columns_told: bool,
}

/// Starts a watch.
pub(crate) fn watch(
    cx: &Cx<'_>,
    state: &Arc<State>,
    options: &ListOptions,
    accept: Accept,
) -> Result<Response, Failure> {
    let selection = Selection::new(cx, options)?;
    if accept.yaml {
        return Err(Failure::NoSuchStream);
    }
    let requested = match options.resource_version.as_str() {
        "" => 0,
        text => parse_version(text)?,
    };
    let snapshot = state.store.snapshot();
    let from_state = requested == 0 || options.send_initial == Some(true);
    if from_state && requested > snapshot.revision() {
        let current = snapshot.revision();
        return Ok(refused(&Failure::TooLargeVersion { requested, current }));
    }
    // The watch of one object is under its key, so that the rest of its collection does not wake it.
    let prefix = selection.key(cx).unwrap_or_else(|| cx.prefix());
    let mut initial = VecDeque::new();
    // What a custom object is to clients is known later.
    let wanted = |entry: &&Arc<Entry>| cx.custom.is_some() || selection.matches(cx, entry);
    if from_state && options.send_initial != Some(false) {
        initial = snapshot.range(&prefix, None).filter(wanted).cloned().collect();
    }
    let begin = if from_state { snapshot.revision() } else { requested };
    // A revision ahead of the store has no events yet; those up to it are passed over.
    let watch = match state.store.watch(&prefix, begin.min(snapshot.revision())) {
        Ok(watch) => watch,
        Err(error) => return Ok(refused(&unreadable(&error, begin))),
    };
    // A watch of custom objects ends with what their definition says now.
    let stopping = cx.custom.map_or(&state.stopping, |served| &served.definition().retired);
    let stream = Stream {
        state: Arc::clone(state),
        kind: cx.kind,
        stored: cx.stored,
        rules: rules(cx.kind),
        custom: cx.custom.cloned(),
        _counted: cx.custom.map(Served::watched),
        namespace: cx.namespace.to_owned(),
        selection,
        shape: accept.shape,
        initial,
        initial_end: (options.send_initial == Some(true) && options.bookmarks).then_some(snapshot.revision()),
        watch: Some(watch),
        form: form(cx, accept.shape),
        begin,
        bookmarks: options.bookmarks.then(|| bookmark_ticks(state)),
        deadline: Box::pin(tokio::time::sleep(lifetime(state, options.timeout_seconds))),
        stopping: Box::pin(stopping.clone().cancelled_owned()),
        columns_told: false,
    };
    let chunks = stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    Ok(streaming(Body::from_stream(chunks)))
}

/// How long a watch lasts that may say how long.
fn lifetime(state: &State, asked: Option<i64>) -> Duration {
    match asked {
        None | Some(0) => {
            let mut hasher = DefaultHasher::new();
            state.new_uid().hash(&mut hasher);
            Duration::from_secs(DEFAULT_SECONDS + hasher.finish() % DEFAULT_SECONDS)
        }
        Some(asked) => Duration::from_secs(u64::try_from(asked).unwrap_or(0)),
    }
}

/// A number for a way to show objects, apart from the change.
fn form(cx: &Cx<'_>, shape: Shape) -> u32 {
    let versions = |version: &str| u32::from(version == "v1");
    let shape = match shape {
        Shape::Object | Shape::Discovery => 0,
        Shape::Partial(version) => 1 + versions(version),
        Shape::Table(version, Include::None) => 3 + versions(version),
        Shape::Table(version, Include::Metadata) => 5 + versions(version),
        Shape::Table(version, Include::Object) => 7 + versions(version),
        Shape::Lean => 9,
    };
    // Definitions differ in what they show, so that each has forms of its own.
    let serial = cx.custom.map_or(0, Served::serial);
    serial << 8 | shape << 4 | u32::from(cx.converts()) << 3
}

fn bookmark_ticks(state: &State) -> Interval {
    let period = Duration::from_secs(state.bookmark_seconds.max(1));
    let mut ticks = tokio::time::interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn streaming(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A watch that ends with its only event: why it cannot be.
fn refused(failure: &Failure) -> Response {
    streaming(Body::from(line("ERROR", &Status::failure(failure).to_json())))
}

fn line(name: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}

/// The line of a change, or of why it cannot be shown.
fn line_or_error(change: Change, object: Result<Bytes, Failure>) -> Bytes {
    match object {
        Ok(object) => line(change.name(), &object),
        Err(failure) => line("ERROR", &Status::failure(&failure).to_json()),
    }
}

/// What wakes a watch.
enum Wake {
    Event(Result<Arc<Event>, WatchError>),
    Bookmark,
    End,
}

impl Stream {
    fn cx(&self) -> Cx<'_> {
        if let Some(served) = &self.custom {
            return Cx::custom(&self.state, served, &self.namespace);
        }
        let Self { state, kind, stored, rules, namespace, .. } = self;
        Cx {
            state,
            kind,
            stored,
            rules: *rules,
            custom: None,
            namespace,
            user: None,
            notes: None,
            loose: false,
        }
    }

    /// The next bytes to send; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        while let Some(chunk) = self.initial_chunk().await {
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
        loop {
            match self.wake().await {
                Wake::Event(Ok(event)) => {
                    let chunk = match self.custom.clone() {
                        Some(served) => self.custom_chunk(&served, event).await,
                        None => self.chunk(&event),
                    };
                    if !chunk.is_empty() {
                        return Some(chunk);
                    }
                }
                Wake::Event(Err(error)) => {
                    self.watch = None;
                    let failure = unreadable(&error, self.begin);
                    return Some(line("ERROR", &Status::failure(&failure).to_json()));
                }
                Wake::Bookmark => {
                    let revision = self.watch.as_ref()?.progress().max(self.begin);
                    return Some(self.bookmark(revision, false));
                }
                Wake::End => return None,
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let Some(watch) = self.watch.as_mut() else { return Wake::End };
        let bookmark = async {
            match self.bookmarks.as_mut() {
                Some(ticks) => {
                    ticks.tick().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // When a definition goes, its objects went before, which is still told.
            () = &mut self.stopping => match watch.try_next().filter(|_| self.custom.is_some()) {
                Some(event) => Wake::Event(Ok(event)),
                None => Wake::End,
            },
            event = watch.next() => event.map_or(Wake::End, Wake::Event),
            () = &mut self.deadline => Wake::End,
            () = bookmark => Wake::Bookmark,
        }
    }

    /// Objects that are told before events, as many as fit into a chunk, and the bookmark that ends them.
    async fn initial_chunk(&mut self) -> Option<Bytes> {
        if self.initial.is_empty() && self.initial_end.is_none() {
            return None;
        }
        let mut out = BytesMut::new();
        if let Some(served) = self.custom.clone() {
            out = match self.initial_custom(&served).await {
                Ok(out) => out,
                Err(failure) => return Some(self.fail(&failure)),
            };
        }
        while self.custom.is_none() && out.len() < CHUNK {
            let Some(entry) = self.initial.pop_front() else { break };
            let columns = !std::mem::replace(&mut self.columns_told, true);
            out.put_slice(&line_or_error(Change::Added, self.shaped(&entry.value, columns)));
        }
        if self.initial.is_empty()
            && let Some(revision) = self.initial_end.take()
        {
            out.put_slice(&self.bookmark(revision, true));
        }
        Some(out.freeze())
    }

    /// An event and those that follow it at once.
    fn chunk(&mut self, event: &Event) -> Bytes {
        let first = self.tell(event, &event.entry, event.prev.as_ref()).unwrap_or_default();
        let mut out: Option<BytesMut> = None;
        while out.as_ref().map_or(first.len(), BytesMut::len) < CHUNK {
            let Some(event) = self.watch.as_mut().and_then(Watch::try_next) else { break };
            if let Some(bytes) = self.tell(&event, &event.entry, event.prev.as_ref()) {
                out.get_or_insert_with(|| BytesMut::from(&first[..])).put_slice(&bytes);
            }
        }
        out.map_or(first, BytesMut::freeze)
    }

    /// The line of an event, which is about these objects, if this client sees it.
    fn tell(&mut self, event: &Event, entry: &Arc<Entry>, prev: Option<&Arc<Entry>>) -> Option<Bytes> {
        if event.revision <= self.begin {
            return None;
        }
        let change = self.change(event.kind, entry, prev)?;
        let table = matches!(self.shape, Shape::Table(..));
        let columns = table && !std::mem::replace(&mut self.columns_told, true);
        let id = self.form | u32::from(columns) << 2 | change as u32;
        Some(event.encoding(id, || {
            let object = match change {
                // It is told as it last was, with the revision of its end.
                Change::Deleted => {
                    Cut::of(self.stored).with_revision(&prev.unwrap_or(entry).value, event.revision)
                }
                Change::Added | Change::Modified => entry.value.clone(),
            };
            line_or_error(change, self.shaped(&object, columns))
        }))
    }

    /// What the event is to this client.
    fn change(&self, kind: EventKind, entry: &Arc<Entry>, prev: Option<&Arc<Entry>>) -> Option<Change> {
        let cx = self.cx();
        let everything = self.selection.is_everything();
        let wanted = |entry: &Arc<Entry>| everything || self.selection.matches(&cx, entry);
        let before = prev.is_some_and(wanted);
        let after = kind == EventKind::Put && wanted(entry);
        match (before, after) {
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) => Some(Change::Deleted),
            (false, false) => None,
        }
    }

    /// The object in the representation the client accepts.
    fn shaped(&self, stored: &Bytes, columns: bool) -> Result<Bytes, Failure> {
        let cx = self.cx();
        match self.shape {
            Shape::Object | Shape::Discovery => cx.serve(stored),
            Shape::Lean => lean(&cx.serve(stored)?),
            Shape::Partial(version) => table::partial(stored, version),
            Shape::Table(version, include) => show::row(&cx, stored, (version, include), columns),
        }
    }

    /// How far the client is, as an object that has nothing but a resourceVersion.
    fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let (kind, api_version) = match self.shape {
            Shape::Object | Shape::Lean | Shape::Discovery => (self.kind.kind, self.kind.api_version()),
            Shape::Partial(version) => ("PartialObjectMetadata", format!("meta.k8s.io/{version}")),
            Shape::Table(version, _) => ("Table", format!("meta.k8s.io/{version}")),
        };
        let annotations =
            if initial_end { ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" } else { "" };
        let rest = if matches!(self.shape, Shape::Table(..)) {
            ",\"columnDefinitions\":null,\"rows\":[]"
        } else {
            ""
        };
        let object = format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{{\"resourceVersion\":\"{revision}\"{annotations}}}{rest}}}"
        );
        line("BOOKMARK", object.as_bytes())
    }
}
