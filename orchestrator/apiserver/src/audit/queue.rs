//! A bounded queue of events on their way to who writes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::config::{Delivery, Mode};
use super::{Counts, Plugin, Stage};

/// How many events are written at once in blocking mode, where they do not wait for each other.
const TOGETHER: usize = 400;

/// Whether an event is where it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is, or nobody insists.
    Yes,
    /// It is not, and the request must not go on.
    No,
}

/// An event, and who waits for it to be written.
pub(super) struct Item {
    pub(super) event: Bytes,
    done: Option<oneshot::Sender<bool>>,
}

/// The end where events come in.
pub(super) struct Queue {
    sender: mpsc::Sender<Item>,
    mode: Mode,
    plugin: Plugin,
    counts: Arc<Counts>,
    /// The other end, until somebody writes.
    outlet: Mutex<Option<Outlet>>,
}

/// The end where events come out.
pub(super) struct Outlet {
    receiver: mpsc::Receiver<Item>,
    most: usize,
    wait: Duration,
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(delivery: &Delivery, plugin: Plugin, counts: &Arc<Counts>) -> Self {
        let (sender, receiver) = mpsc::channel(delivery.buffer.max(1));
        let (most, wait) = match delivery.mode {
            Mode::Batch => (delivery.max_batch.max(1), delivery.max_wait),
            Mode::Blocking | Mode::BlockingStrict => (TOGETHER, Duration::ZERO),
        };
        let outlet = Mutex::new(Some(Outlet { receiver, most, wait }));
        Self { sender, mode: delivery.mode, plugin, counts: Arc::clone(counts), outlet }
    }

    /// The end where events come out, once.
    pub(super) fn outlet(&self) -> Option<Outlet> {
        self.outlet.lock().take()
    }

    /// Puts an event in. In blocking mode this waits until the event is written; that of a request that has just come
    /// is written before the one of its answer, which is waited for.
    pub(super) async fn put(&self, stage: Stage, event: Bytes) -> Stored {
        let strict = self.mode == Mode::BlockingStrict;
        if self.mode == Mode::Batch {
            self.put_soon(event);
            return Stored::Yes;
        }
        let lost = if strict { Stored::No } else { Stored::Yes };
        if !strict && stage == Stage::RequestReceived {
            if self.sender.send(Item { event, done: None }).await.is_err() {
                self.counts.lost(self.plugin, 1);
            }
            return Stored::Yes;
        }
        let (done, written) = oneshot::channel();
        if self.sender.send(Item { event, done: Some(done) }).await.is_err() {
            self.counts.lost(self.plugin, 1);
            return lost;
        }
        if written.await.unwrap_or(false) { Stored::Yes } else { lost }
    }

    /// Puts an event in, if there is room for it.
    pub(super) fn put_soon(&self, event: Bytes) {
        if self.sender.try_send(Item { event, done: None }).is_err() {
            self.counts.lost(Plugin::Buffered, 1);
        }
    }
}

impl Outlet {
    /// The next events to write together; none at the end.
    pub(super) async fn next(&mut self, closing: &CancellationToken) -> Option<Vec<Item>> {
        let first = tokio::select! {
            biased;
            item = self.receiver.recv() => item?,
            () = closing.cancelled() => self.receiver.try_recv().ok()?,
        };
        let mut batch = vec![first];
        let enough = tokio::time::sleep(self.wait);
        tokio::pin!(enough);
        while batch.len() < self.most {
            if let Ok(item) = self.receiver.try_recv() {
                batch.push(item);
                continue;
            }
            if self.wait.is_zero() {
                break;
            }
            tokio::select! {
                biased;
                item = self.receiver.recv() => match item {
                    Some(item) => batch.push(item),
                    None => break,
                },
                () = &mut enough => break,
                () = closing.cancelled() => break,
            }
        }
        Some(batch)
    }
}

/// Tells who waits that their events are written, or are not.
pub(super) fn acknowledge(batch: Vec<Item>, written: bool) {
    for item in batch {
        if let Some(done) = item.done {
            // Who does not wait any more does not need to know.
            let _ = done.send(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn queue(mode: Mode, buffer: usize, max_batch: usize, max_wait: Duration) -> (Queue, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        let delivery = Delivery { mode, buffer, max_batch, max_wait, throttle: None };
        (Queue::new(&delivery, Plugin::Log, &counts), counts)
    }

    fn texts(batch: &[Item]) -> Vec<&[u8]> {
        batch.iter().map(|item| &item.event[..]).collect()
    }

    #[tokio::test]
    async fn what_a_full_queue_has_no_room_for_is_dropped_and_counted() {
        let (queue, counts) = queue(Mode::Batch, 2, 400, Duration::ZERO);
        for event in ["a", "b", "c"] {
            let stored = queue.put(Stage::ResponseComplete, Bytes::from(event)).await;
            assert_eq!(stored, Stored::Yes);
        }
        assert_eq!(counts.errors[Plugin::Buffered as usize].load(Ordering::Relaxed), 1);
        let batch = queue.outlet().unwrap().next(&CancellationToken::new()).await.unwrap();
        assert_eq!(texts(&batch), [b"a", b"b"]);
    }

    #[tokio::test]
    async fn an_answer_waits_until_its_event_is_written() {
        let (queue, _) = queue(Mode::BlockingStrict, 10, 1, Duration::ZERO);
        let mut outlet = queue.outlet().unwrap();
        let write = async {
            let batch = outlet.next(&CancellationToken::new()).await.unwrap();
            acknowledge(batch, false);
        };
        let (stored, ()) = tokio::join!(queue.put(Stage::RequestReceived, Bytes::from("a")), write);
        assert_eq!(stored, Stored::No);
    }

    #[tokio::test]
    async fn a_batch_is_full_or_the_last() {
        let (queue, _) = queue(Mode::Batch, 10, 2, Duration::from_hours(1));
        let (mut outlet, closing) = (queue.outlet().unwrap(), CancellationToken::new());
        for event in ["a", "b", "c"] {
            queue.put_soon(Bytes::from(event));
        }
        assert_eq!(texts(&outlet.next(&closing).await.unwrap()), [b"a", b"b"]);
        closing.cancel();
        assert_eq!(texts(&outlet.next(&closing).await.unwrap()), [b"c"]);
        assert!(outlet.next(&closing).await.is_none());
    }
}
