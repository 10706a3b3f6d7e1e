//! Watches of custom objects, which may have to become objects of another version before anybody knows whether they are
//! wanted. What comes at once is converted at once; what was converted for one watcher is there for all of its version.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use wherry_store::{Entry, Event, EventKind, Watch};

use super::{CHUNK, Change, Stream, line, line_or_error};
use crate::custom::{Served, batch_len};
use crate::error::Failure;
use crate::extract::extract;
use crate::state::State;
use crate::status::Status;

/// What the forms of events are called that hold an object of a version, and the one it replaced.
const SHOWN: u32 = 0xf0;
const SHOWN_BEFORE: u32 = 0xf1;

/// The objects of an event as clients see them.
struct Seen {
    entry: Arc<Entry>,
    prev: Option<Arc<Entry>>,
}

impl Stream {
    /// Objects that are told before events: as many as are converted at once.
    pub(super) async fn initial_custom(&mut self, served: &Served) -> Result<BytesMut, Failure> {
        let count = batch_len(self.initial.iter().map(|entry| entry.value.len()));
        let mut batch: Vec<Arc<Entry>> = self.initial.drain(..count).collect();
        served.show_all(&self.state, &mut batch).await?;
        let mut out = BytesMut::new();
        for entry in batch {
            if !self.selection.matches(&self.cx(), &entry) {
                continue;
            }
            let columns = !std::mem::replace(&mut self.columns_told, true);
            out.put_slice(&line_or_error(Change::Added, self.shaped(&entry.value, columns)));
        }
        Ok(out)
    }

    /// An event and those that follow it at once.
    pub(super) async fn custom_chunk(&mut self, served: &Served, event: Arc<Event>) -> Bytes {
        let mut size = event.entry.value.len();
        let mut events = vec![event];
        while size < CHUNK {
            let Some(event) = self.watch.as_mut().and_then(Watch::try_next) else { break };
            size += event.entry.value.len();
            events.push(event);
        }
        let everything = self.selection.is_everything();
        let seen = match see(&self.state, served, &events, everything).await {
            Ok(seen) => seen,
            Err(failure) => return self.fail(&failure),
        };
        let mut first = Bytes::new();
        let mut out: Option<BytesMut> = None;
        for (event, seen) in events.iter().zip(&seen) {
            match self.tell(event, &seen.entry, seen.prev.as_ref()) {
                Some(bytes) if first.is_empty() => first = bytes,
                Some(bytes) => out.get_or_insert_with(|| BytesMut::from(&first[..])).put_slice(&bytes),
                None => {}
            }
        }
        out.map_or(first, BytesMut::freeze)
    }

    /// Ends the watch, telling why.
    pub(super) fn fail(&mut self, failure: &Failure) -> Bytes {
        self.watch = None;
        self.initial.clear();
        self.initial_end = None;
        line("ERROR", &Status::failure(failure).to_json())
    }
}

/// The objects of events as clients of a version see them. What an object was before matters only if that decides
/// whether it was wanted, or if it is the last that is told.
async fn see(
    state: &State,
    served: &Served,
    events: &[Arc<Event>],
    everything: bool,
) -> Result<Vec<Seen>, Failure> {
    let mut seen: Vec<Seen> =
        events.iter().map(|e| Seen { entry: Arc::clone(&e.entry), prev: e.prev.clone() }).collect();
    let mut missing: Vec<(&Event, u32, &mut Arc<Entry>)> = Vec::new();
    for (event, seen) in events.iter().zip(&mut seen) {
        let gone = event.kind == EventKind::Delete;
        let entry = (!gone).then_some((SHOWN, &mut seen.entry));
        let prev = seen.prev.as_mut().filter(|_| gone || !everything).map(|prev| (SHOWN_BEFORE, prev));
        for (form, entry) in entry.into_iter().chain(prev) {
            let id = served.serial() << 8 | form;
            if served.is_fit(&entry.value) {
                continue;
            }
            match event.encoded(id) {
                Some(value) => *entry = shown(entry, value),
                None => missing.push((event, id, entry)),
            }
        }
    }
    let mut entries: Vec<Arc<Entry>> = missing.iter().map(|(_, _, entry)| Arc::clone(entry)).collect();
    served.show_all(state, &mut entries).await?;
    for ((event, id, entry), made) in missing.into_iter().zip(entries) {
        event.encoding(id, || made.value.clone());
        *entry = made;
    }
    Ok(seen)
}

/// An entry with another value.
fn shown(entry: &Entry, value: Bytes) -> Arc<Entry> {
    let attributes = Arc::new(extract(&entry.key, &value));
    Arc::new(Entry { value, attributes, ..entry.clone() })
}
