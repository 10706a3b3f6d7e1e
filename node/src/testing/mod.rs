//! What tests use in place of an API server, runtimes, a network and the time.

mod api;
mod runtime;

pub(crate) use api::FakeApi;
pub(crate) use runtime::{FakeNetwork, FakeRuntime, TestClock, runtimes};
