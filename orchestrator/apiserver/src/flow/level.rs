//! A priority level: seats, and queues for those who wait for one.
//!
//! Who waits is woken by whoever leaves. A request that leaves first frees its seat and then looks for waiting ones;
//! a request that comes first says that it waits and then looks for a seat. So one of the two always sees the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::objects::Queuing;

/// How long a request waits for a seat at most.
const PATIENCE: Duration = Duration::from_secs(15);

/// How much a level takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limits {
    /// Everything at once.
    Exempt,
    /// So many requests at once.
    Limited {
        /// How many.
        seats: u32,
        /// How others wait; none means that they are refused.
        queuing: Option<Queuing>,
    },
}

impl Limits {
    /// So many at once, and others are refused.
    pub(super) fn reject(seats: u32) -> Self {
        Self::Limited { seats, queuing: None }
    }

    fn seats(self) -> u32 {
        match self {
            Self::Exempt => u32::MAX,
            Self::Limited { seats, .. } => seats,
        }
    }
}

/// Why a request was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The queue of its flow is full.
    QueueFull,
    /// All seats are taken and the level has no queues.
    ConcurrencyLimit,
    /// It waited too long.
    TimedOut,
}

impl Refused {
    /// As metrics name the reason.
    pub(crate) const NAMES: [&str; 3] = ["queue-full", "concurrency-limit", "time-out"];
}

/// What became of the requests of a schema.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    dispatched: AtomicU64,
    refused: [AtomicU64; 3],
}

impl Counts {
    pub(super) fn dispatched(&self) {
        self.dispatched.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, why: Refused) {
        self.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were let in, and how many were refused for each reason.
    pub(crate) fn read(&self) -> (u64, [u64; 3]) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.dispatched), self.refused.each_ref().map(read))
    }
}

/// A priority level.
pub(super) struct Level {
    pub(super) name: String,
    pub(super) uid: Option<HeaderValue>,
    patience: Duration,
    seats: AtomicU32,
    executing: AtomicU32,
    waiting: AtomicU32,
    queues: Mutex<Queues>,
}

struct Queues {
    queuing: Option<Queuing>,
    lines: Vec<VecDeque<Waiter>>,
    /// The queue that is served next.
    turn: usize,
    /// Names the next waiter.
    next: u64,
}

struct Waiter {
    id: u64,
    seat: oneshot::Sender<Seat>,
}

/// A request being answered; leaves its level when dropped.
pub(crate) struct Seat {
    /// None when the seat was given back already.
    level: Option<Arc<Level>>,
}

impl Seat {
    /// Gives the seat back without looking for waiting requests.
    fn give_back(mut self) {
        if let Some(level) = self.level.take() {
            level.executing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(level) = self.level.take() else { return };
        level.executing.fetch_sub(1, Ordering::SeqCst);
        if level.waiting.load(Ordering::SeqCst) > 0 {
            level.serve(&mut level.queues.lock());
        }
    }
}

impl Level {
    pub(super) fn new(name: String, uid: Option<HeaderValue>, limits: Limits) -> Self {
        let level = Self {
            name,
            uid,
            patience: PATIENCE,
            seats: AtomicU32::new(0),
            executing: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            queues: Mutex::new(Queues { queuing: None, lines: Vec::new(), turn: 0, next: 0 }),
        };
        level.set(limits);
        level
    }

    fn set(&self, limits: Limits) {
        self.seats.store(limits.seats(), Ordering::SeqCst);
        let mut queues = self.queues.lock();
        queues.queuing = match limits {
            Limits::Limited { queuing: Some(queuing), .. } if queuing.queues > 0 => Some(queuing),
            _ => None,
        };
        let count = queues.queuing.map_or(0, |queuing| queuing.queues as usize);
        // Queues that are no longer wanted go when they are empty, because nobody is put into them any more.
        let longest = queues.lines.iter().rposition(|queue| !queue.is_empty()).map_or(0, |at| at + 1);
        queues.lines.resize_with(count.max(longest), VecDeque::new);
    }

    /// Changes what the level takes, for those who wait as well.
    pub(super) fn change(self: &Arc<Self>, limits: Limits) {
        self.set(limits);
        self.serve(&mut self.queues.lock());
    }

    /// Requests being answered, waiting ones, and seats.
    pub(super) fn load(&self) -> [u32; 3] {
        [&self.executing, &self.waiting, &self.seats].map(|count| count.load(Ordering::Relaxed))
    }

    /// A seat, at once or after waiting. `flow` is asked for only if the request has to wait.
    pub(super) async fn seat(self: &Arc<Self>, flow: impl FnOnce() -> u64) -> Result<Seat, Refused> {
        if self.waiting.load(Ordering::SeqCst) == 0
            && let Some(seat) = self.take()
        {
            return Ok(seat);
        }
        let (id, waiter) = self.enqueue(flow())?;
        let _place = Place { level: self, id };
        match tokio::time::timeout(self.patience, waiter).await {
            Ok(Ok(seat)) => Ok(seat),
            Ok(Err(_)) | Err(_) => Err(Refused::TimedOut),
        }
    }

    fn take(self: &Arc<Self>) -> Option<Seat> {
        let seats = self.seats.load(Ordering::SeqCst);
        let more = |executing: u32| (executing < seats).then(|| executing + 1);
        self.executing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Seat { level: Some(Arc::clone(self)) })
    }

    fn enqueue(self: &Arc<Self>, flow: u64) -> Result<(u64, oneshot::Receiver<Seat>), Refused> {
        let mut queues = self.queues.lock();
        let (seat, waiter) = oneshot::channel();
        let id = queues.next;
        queues.next += 1;
        match queues.queuing {
            Some(queuing) => {
                let at = queues.shortest(queuing, flow);
                if queues.lines[at].len() >= queuing.queue_length_limit as usize {
                    return Err(Refused::QueueFull);
                }
                queues.lines[at].push_back(Waiter { id, seat });
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.serve(&mut queues);
            }
            None => match self.take() {
                // The receiver is at hand, so that the seat is not lost.
                Some(free) => drop(seat.send(free)),
                None => return Err(Refused::ConcurrencyLimit),
            },
        }
        Ok((id, waiter))
    }

    /// Gives free seats to those who wait, a queue at a time.
    fn serve(self: &Arc<Self>, queues: &mut Queues) {
        while self.waiting.load(Ordering::SeqCst) > 0 {
            let Some(seat) = self.take() else { return };
            // Dropping a seat looks for waiting requests, which needs the lock that is held here.
            let Some(waiter) = queues.pop() else { return seat.give_back() };
            self.waiting.fetch_sub(1, Ordering::SeqCst);
            if let Err(seat) = waiter.seat.send(seat) {
                seat.give_back();
            }
        }
    }
}

/// A request's place in a queue, given up when dropped.
struct Place<'a> {
    level: &'a Arc<Level>,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queues = self.level.queues.lock();
        if queues.remove(self.id) {
            self.level.waiting.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

impl Queues {
    /// The shortest of the queues that a flow is dealt.
    fn shortest(&self, queuing: Queuing, flow: u64) -> usize {
        let hand = deal(flow, queuing.queues, queuing.hand_size);
        hand.into_iter().min_by_key(|at| self.lines[*at].len()).unwrap_or_default()
    }

    /// The next to be served: the queues take turns.
    fn pop(&mut self) -> Option<Waiter> {
        let count = self.lines.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            if let Some(waiter) = self.lines[at].pop_front() {
                self.turn = at + 1;
                return Some(waiter);
            }
        }
        None
    }

    fn remove(&mut self, id: u64) -> bool {
        self.lines.iter_mut().any(|queue| {
            let at = queue.iter().position(|waiter| waiter.id == id);
            at.and_then(|at| queue.remove(at)).is_some()
        })
    }
}

/// Shuffle sharding: deals a flow a hand of different queues. Two flows seldom have the same hand, so a flow that
/// fills all its queues leaves others theirs.
fn deal(mut flow: u64, queues: u32, hand: u32) -> Vec<usize> {
    let mut dealt: Vec<u32> = Vec::new();
    for round in 0..hand.min(queues) {
        let left = u64::from(queues - round);
        let mut card = u32::try_from(flow % left).unwrap_or_default();
        flow /= left;
        // The card is counted among those that are left: each dealt one at or below it moves it up.
        let mut sorted = dealt.clone();
        sorted.sort_unstable();
        for taken in sorted {
            if taken <= card {
                card += 1;
            }
        }
        dealt.push(card);
    }
    dealt.into_iter().map(|card| card as usize).collect()
}

#[cfg(test)]
#[path = "level_tests.rs"]
mod tests;
