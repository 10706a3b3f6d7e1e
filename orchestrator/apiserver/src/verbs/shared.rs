//! Bodies of whole lists, shared by the requests that ask for the same list at the same time.
//!
//! A body lives as long as an answer with it is being sent and is found by its collection and revision until then, so
//! sharing costs no memory of its own. Who comes first makes it; the others wait for that instead of repeating it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use axum::body::Body;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::error::Failure;
use crate::respond;

/// Which list a body is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// The prefix of the collection's keys.
    pub(crate) prefix: String,
    /// The group the objects are shown in; some are served in two.
    pub(crate) group: &'static str,
    /// The version they are shown in.
    pub(crate) version: &'static str,
    /// The revision of the list.
    pub(crate) revision: u64,
}

/// The bodies on their way to clients.
#[derive(Debug, Default)]
pub(crate) struct SharedBodies(Mutex<HashMap<Key, Weak<Shared>>>);

/// One body in the forms that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    plain: OnceCell<Bytes>,
    gzip: OnceCell<Bytes>,
}

impl SharedBodies {
    /// The body under a key, new if nobody is being sent it.
    pub(crate) fn get(&self, key: Key) -> Arc<Shared> {
        let mut bodies = self.0.lock();
        if let Some(shared) = bodies.get(&key).and_then(Weak::upgrade) {
            return shared;
        }
        bodies.retain(|_, body| body.strong_count() > 0);
        let shared = Arc::new(Shared::default());
        bodies.insert(key, Arc::downgrade(&shared));
        shared
    }
}

impl Shared {
    /// The body, compressed if that is wanted and worth it, and whether it is.
    pub(crate) async fn body(
        self: Arc<Self>,
        gzip: bool,
        make: impl AsyncFnOnce() -> Result<Bytes, Failure>,
    ) -> Result<(Body, bool), Failure> {
        let plain = self.plain.get_or_try_init(|| async { make().await }).await?;
        let gzip = gzip && plain.len() > respond::LARGE;
        if gzip {
            self.gzip.get_or_init(|| respond::compressed(plain.clone())).await;
        }
        Ok((Body::from(Bytes::from_owner(Sent { shared: self, gzip })), gzip))
    }
}

/// A body being sent, which keeps it findable.
struct Sent {
    shared: Arc<Shared>,
    gzip: bool,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        let form = if self.gzip { &self.shared.gzip } else { &self.shared.plain };
        form.get().map(AsRef::as_ref).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn key(revision: u64) -> Key {
        Key { prefix: "/registry/pods/".to_owned(), group: "", version: "v1", revision }
    }

    #[tokio::test]
    async fn a_list_that_is_being_sent_is_not_made_again() {
        let bodies = SharedBodies::default();
        let first = bodies.get(key(1)).body(false, async || Ok(Bytes::from_static(b"x"))).await.unwrap().0;
        let second = bodies.get(key(1)).body(false, async || panic!("made twice")).await.unwrap().0;
        assert_eq!(first.collect().await.unwrap().to_bytes(), "x");
        assert_eq!(second.collect().await.unwrap().to_bytes(), "x");
        let third = bodies.get(key(1)).body(false, async || Ok(Bytes::from_static(b"y"))).await.unwrap().0;
        assert_eq!(third.collect().await.unwrap().to_bytes(), "y");
    }

    #[tokio::test]
    async fn another_revision_is_another_body_and_what_was_sent_is_forgotten() {
        let bodies = SharedBodies::default();
        let one = bodies.get(key(1));
        assert!(!Arc::ptr_eq(&one, &bodies.get(key(2))));
        drop(one);
        drop(bodies.get(key(3)));
        assert_eq!(bodies.0.lock().len(), 1);
    }
}
