//! What all controllers share: caches fed by watches, queues of keys, retries, expectations, events.

pub(crate) mod backoff;
pub(crate) mod budget;
pub(crate) mod cache;
pub(crate) mod delete;
mod discover;
pub(crate) mod error;
pub(crate) mod everything;
pub(crate) mod expectations;
mod labelled;
pub(crate) mod life;
pub(crate) mod objects;
pub(crate) mod queue;
pub(crate) mod recorder;
pub(crate) mod watch;
pub(crate) mod worker;
