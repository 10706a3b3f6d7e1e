//! The body of an object that is being written: what a guest writes goes to a file, one piece after the other, off the threads that run guests.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::volume::{Blobs, Id, Staged};

/// The most that is taken at a time.
const PIECE: usize = 64 * 1024;

/// The body, which its stream and its value have in common.
#[derive(Clone)]
pub(super) struct Body(Arc<Mutex<State>>);

enum State {
    /// Nothing is being written.
    Ready(Staged),
    /// A piece is.
    Writing(JoinHandle<Result<Staged, String>>),
    /// It cannot be written, or was finished.
    Ended(String),
}

impl Body {
    /// An empty one.
    pub(super) async fn new(blobs: Arc<Blobs>) -> Result<Self, String> {
        let staged = blocking(move || blobs.stage().map_err(|error| error.to_string())).await?;
        Ok(Self(Arc::new(Mutex::new(State::Ready(staged)))))
    }

    /// Puts it in its place, when all of it is written.
    pub(super) async fn finish(self, id: Id) -> Result<(), String> {
        poll_fn(|context| self.poll_written(context)).await;
        let ended = State::Ended("the object was finished".to_owned());
        let staged = match std::mem::replace(&mut *self.0.lock(), ended) {
            State::Ready(staged) => staged,
            State::Ended(reason) => return Err(reason),
            State::Writing(_) => return Err("the object is still being written".to_owned()),
        };
        blocking(move || staged.finish(&id)).await
    }

    /// Whoever waits may cease to: what is being written goes on.
    fn poll_written(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if let State::Writing(piece) = &mut *state {
            let written = ready!(Pin::new(piece).poll(context));
            *state = match written {
                Ok(Ok(staged)) => State::Ready(staged),
                Ok(Err(error)) => State::Ended(error),
                Err(error) => State::Ended(error.to_string()),
            };
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for Body {
    async fn ready(&mut self) {
        poll_fn(|context| self.poll_written(context)).await;
    }
}

impl OutputStream for Body {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Ended("the object was written to out of turn".to_owned()))
        {
            State::Ready(mut staged) => {
                *state = State::Writing(spawn_blocking(move || {
                    staged.write(&bytes).map_err(|error| format!("cannot write an object: {error}"))?;
                    Ok(staged)
                }));
                Ok(())
            }
            other => {
                *state = other;
                Err(StreamError::trap("an object is written to before it is ready"))
            }
        }
    }

    /// All of it is written before the object is finished.
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        if self.poll_written(&mut context).is_pending() {
            return Ok(0);
        }
        match &*self.0.lock() {
            State::Ended(reason) => {
                Err(StreamError::LastOperationFailed(wasmtime::Error::msg(reason.clone())))
            }
            State::Ready(_) | State::Writing(_) => Ok(PIECE),
        }
    }
}

/// Does something with files off the threads that run guests.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
