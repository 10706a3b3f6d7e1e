//! A thread for what instances leave to be done when they have answered whoever asked from the same thread: they are ended, and the
//! next ones are made.
//!
//! Who asks in process goes on at once, and may ask again before a sleeping thread is awake. So this one does not go to sleep while
//! errands come in quick succession; nobody else's turn is taken by that.
//!
//! # Guarantees
//! What waits or computes for long goes on as a task on the threads of its container, and so does what comes when many errands wait.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::at_once::Left;
use crate::executor;

/// So many errands may wait.
const MOST: usize = 16;
/// How long the thread watches for an errand before it goes to sleep, and what is quick succession.
const WATCH: Duration = Duration::from_micros(50);

/// See the module's documentation. The thread ends with the last clone.
#[derive(Clone)]
pub(crate) struct Errands(SyncSender<Left>);

impl Errands {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(MOST);
        thread::Builder::new().name("wasm-errands".into()).spawn(move || run(&receiver))?;
        Ok(Self(sender))
    }

    /// Has it done beside whoever asks.
    pub(crate) fn take(&self, left: Left) {
        // What is refused is dropped, and so becomes a task.
        drop(self.0.try_send(left));
    }
}

fn run(errands: &Receiver<Left>) {
    // Where there is one processor, nothing can come while this thread has it.
    let watches = executor::processors() > 1;
    let mut is_quick = false;
    loop {
        let idle = Instant::now();
        let left = if is_quick { watch(errands, idle) } else { None };
        let Some(left) = left.or_else(|| errands.recv().ok()) else { return };
        is_quick = watches && idle.elapsed() < WATCH * 2;
        left.go_on_here();
    }
}

/// The next errand, if it comes soon.
fn watch(errands: &Receiver<Left>, since: Instant) -> Option<Left> {
    while since.elapsed() < WATCH {
        match errands.try_recv() {
            Ok(left) => return Some(left),
            Err(TryRecvError::Empty) => thread::yield_now(),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt as _;
    use tokio::runtime::Handle;
    use tokio::sync::oneshot;

    use super::*;
    use crate::at_once;

    /// What says on which thread it ends, once `go` is there.
    fn left(go: oneshot::Receiver<()>) -> (Left, oneshot::Receiver<Option<String>>) {
        let (sender, receiver) = oneshot::channel();
        let rest = async move {
            go.await.unwrap();
            sender.send(thread::current().name().map(str::to_owned)).unwrap();
        };
        (at_once::run(rest.boxed(), &Handle::current()).expect("it waits"), receiver)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_need_not_wait_is_done_by_the_thread() {
        let errands = Errands::start().unwrap();
        // The first finds it asleep; the others follow closely.
        for _ in 0..100 {
            let (sender, go) = oneshot::channel();
            let (left, ended) = left(go);
            sender.send(()).unwrap();
            errands.take(left);
            assert_eq!(ended.await.unwrap().as_deref(), Some("wasm-errands"));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_waits_becomes_a_task() {
        let errands = Errands::start().unwrap();
        let (sender, go) = oneshot::channel();
        let (left, ended) = left(go);
        errands.take(left);
        // Another one that is done shows that nobody waits for the first.
        let (other, go) = oneshot::channel();
        let (second, is_done) = self::left(go);
        other.send(()).unwrap();
        errands.take(second);
        assert_eq!(is_done.await.unwrap().as_deref(), Some("wasm-errands"));
        sender.send(()).unwrap();
        assert_ne!(ended.await.unwrap().as_deref(), Some("wasm-errands"));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn more_than_may_wait_become_tasks_and_none_is_lost() {
        let errands = Errands::start().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let (sender, go) = oneshot::channel::<()>();
        let (is_held, begun) = oneshot::channel();
        let holds = async move {
            go.await.unwrap();
            is_held.send(()).unwrap();
            held.recv().unwrap();
        };
        let holds = at_once::run(holds.boxed(), &Handle::current()).expect("it waits");
        sender.send(()).unwrap();
        errands.take(holds);
        begun.await.unwrap();
        let ends: Vec<_> = (0..MOST + 3)
            .map(|_| {
                let (sender, go) = oneshot::channel();
                let (left, ended) = left(go);
                sender.send(()).unwrap();
                errands.take(left);
                ended
            })
            .collect();
        let mut by_thread = 0;
        for (index, ended) in ends.into_iter().enumerate().rev() {
            if index + 1 == MOST {
                release.send(()).unwrap();
            }
            by_thread += usize::from(ended.await.unwrap().as_deref() == Some("wasm-errands"));
        }
        assert_eq!(by_thread, MOST);
    }
}
