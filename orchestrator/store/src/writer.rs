//! The one writer (S8): who has it owns the right to commit. It is a thread's, or, in a simulation, whoever's turn it is.
//!
//! Flow: take all transactions that wait, apply them in order to a copy of the state, write their rows with one
//! fsync, publish the new state and events, answer. A batch of lazy transactions only is published without a commit; those that are
//! not in a hurry wait for others, for a moment.
//!
//! Guarantees: nothing is visible or answered before it is as durable as it asked for; revisions are committed in
//! order and without holes; a revision that was shown is never used for anything else.
//!
//! Errors: when a commit fails, what it carried is answered with the failure and never becomes visible; from then on
//! the store is read-only, because what is on disk is not known until it is opened again.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::disk::{Commit, Compaction, Reserve};
use crate::entry::{Event, Revision};
use crate::error::{CompactError, StorageFailure, TxnError};
use crate::plan::Plan;
use crate::retention::{Ages, target_by_count};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::txn::{Durability, Txn};

/// How many revisions are reserved for lazy writes at a time. After a crash up to this many are skipped.
const RESERVATION: u64 = 1024;
/// Rows that a commit compacts beside its own, so that compaction keeps up without commits of its own.
const SHARE_OF_COMPACTION: usize = 64;
/// Rows that a commit compacts when nobody waits for it.
const IDLE_SHARE_OF_COMPACTION: usize = 4096;
/// The shortest sleep, so that a clock that stands still does not make the thread spin.
const SHORTEST_SLEEP_MS: u64 = 10;

/// What the writer is asked to do. Answers go through the channels.
#[derive(Debug)]
pub(crate) enum Command {
    Txn { txn: Txn, reply: oneshot::Sender<Result<Revision, TxnError>> },
    Compact { revision: Revision, reply: oneshot::Sender<Result<(), CompactError>> },
    Flush { reply: oneshot::Sender<Result<(), TxnError>> },
    Close { reply: oneshot::Sender<()> },
}

type Waiting = (Txn, oneshot::Sender<Result<Revision, TxnError>>);
type Answer = (oneshot::Sender<Result<Revision, TxnError>>, Result<Revision, TxnError>);

/// The state of the writer. Dropped, it writes what it holds, ends watches and releases the file.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// Published and not on disk, with when the first of them came.
    lazy: Vec<Arc<Event>>,
    lazy_weight: usize,
    lazy_since: u64,
    /// Whether lazy writes happen in this run, so that revisions are reserved for them.
    lazy_seen: bool,
    persisted: Revision,
    reserved: Revision,
    ages: Ages,
    /// Compaction is wanted to here.
    compact_to: Revision,
    /// When the last commit was that does not reopen fast.
    unsettled_since: Option<u64>,
    failure: Option<StorageFailure>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.close();
        }
        self.shared.hub.close();
        self.shared.disk.close();
    }
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let persisted = shared.hub.current().revision();
        let mut ages = Ages::new(shared.options.retain_age);
        ages.note((shared.options.clock)(), persisted);
        Self {
            lazy: Vec::new(),
            lazy_weight: 0,
            lazy_since: 0,
            lazy_seen: false,
            persisted,
            reserved: 0,
            ages,
            compact_to: 0,
            unsettled_since: None,
            failure: None,
            shared,
        }
    }

    /// Works until closed or until nobody can ask any more.
    pub(crate) fn run(mut self, inbox: &Receiver<Command>) {
        let mut next = None;
        loop {
            match next.take().map_or_else(|| self.receive(inbox), Ok) {
                Ok(Command::Txn { txn, reply }) => next = self.batch((txn, reply), inbox),
                Ok(other) => {
                    if let ControlFlow::Break(reply) = self.handle(other) {
                        return self.close_for(reply);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.maintain(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Does what one command asks, and what is due by now; nothing once it was asked to close.
    pub(crate) fn take_turn(turn: &Mutex<Option<Self>>, command: Command) {
        let mut turn = turn.lock();
        let Some(mut writer) = turn.take() else { return };
        match writer.handle(command) {
            ControlFlow::Break(reply) => writer.close_for(reply),
            ControlFlow::Continue(()) => {
                writer.maintain();
                *turn = Some(writer);
            }
        }
    }

    /// Ends, and says so to whoever asked for it.
    fn close_for(self, reply: oneshot::Sender<()>) {
        drop(self);
        // Who asked to close may have gone.
        reply.send(()).ok();
    }

    /// Does what one command asks, or tells who wants to know that the writer ended. Whoever asked may have gone; what it
    /// asked for stands.
    fn handle(&mut self, command: Command) -> ControlFlow<oneshot::Sender<()>> {
        match command {
            Command::Txn { txn, reply } => self.answer(vec![(txn, reply)]),
            Command::Compact { revision, reply } => {
                reply.send(self.compact(revision)).ok();
            }
            Command::Flush { reply } => {
                reply.send(self.flush()).ok();
            }
            Command::Close { reply } => return ControlFlow::Break(reply),
        }
        ControlFlow::Continue(())
    }

    /// The next command, or a timeout when maintenance may be due.
    fn receive(&self, inbox: &Receiver<Command>) -> Result<Command, RecvTimeoutError> {
        let due = self.next_deadline().map(|deadline| deadline.saturating_sub(self.now()));
        match due {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(0) => match inbox.try_recv() {
                Ok(command) => Ok(command),
                Err(std::sync::mpsc::TryRecvError::Empty) => Err(RecvTimeoutError::Timeout),
                Err(std::sync::mpsc::TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
            },
            Some(wait) => inbox.recv_timeout(Duration::from_millis(wait.max(SHORTEST_SLEEP_MS))),
        }
    }

    /// Carries out `first` and the transactions that wait behind it; answers the command that ended the batch.
    fn batch(&mut self, first: Waiting, inbox: &Receiver<Command>) -> Option<Command> {
        let mut waiting = vec![first];
        let mut stopped_by = None;
        // Where others need this processor, they have more to write in a moment: one commit is for all of it. On an idle machine
        // this costs nothing.
        std::thread::yield_now();
        while waiting.len() < self.shared.options.max_batch {
            match inbox.try_recv() {
                Ok(Command::Txn { txn, reply }) => waiting.push((txn, reply)),
                Ok(other) => {
                    stopped_by = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.answer(waiting);
        stopped_by
    }

    fn answer(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        for (reply, answer) in self.carry_out(waiting) {
            // Whoever asked may have gone; the transaction stands.
            reply.send(answer).ok();
        }
    }

    fn carry_out(&mut self, waiting: Vec<Waiting>) -> Vec<Answer> {
        if let Some(failure) = &self.failure {
            return waiting
                .into_iter()
                .map(|(_, reply)| (reply, Err(TxnError::Io(failure.clone()))))
                .collect();
        }
        let shared = Arc::clone(&self.shared);
        let mut plan = Plan::new(&shared.hub.current(), &shared.options.extractor);
        let (mut answers, mut durable) = (Vec::with_capacity(waiting.len()), false);
        for (txn, reply) in waiting {
            let (before, durability) = (plan.revision(), txn.durability);
            answers.push((reply, plan.apply(txn)));
            if plan.revision() > before {
                durable |= durability != Durability::Lazy;
                self.lazy_seen |= durability == Durability::Lazy;
            }
        }
        let (next, events) = plan.finish();
        match self.make_visible(next, &events, durable) {
            Ok(()) => answers,
            Err(failure) => {
                answers.into_iter().map(|(reply, _)| (reply, Err(TxnError::Io(failure.clone())))).collect()
            }
        }
    }

    /// Publishes a state, after a commit if a transaction in it or the bounds of lazy writes ask for one.
    fn make_visible(
        &mut self,
        next: Snapshot,
        events: &[Arc<Event>],
        durable: bool,
    ) -> Result<(), StorageFailure> {
        if events.is_empty() {
            return Ok(());
        }
        let revision = next.revision();
        self.hold(events);
        if durable || revision > self.reserved || self.holds_much() {
            self.commit(revision, false, SHARE_OF_COMPACTION + 2 * events.len())
                .inspect_err(|_| self.lazy.truncate(self.lazy.len() - events.len()))?;
        }
        self.shared.hub.publish(events, next, self.persisted);
        self.note(revision);
        Ok(())
    }

    /// Adds events to those that wait for a commit.
    fn hold(&mut self, events: &[Arc<Event>]) {
        if self.lazy.is_empty() {
            self.lazy_since = self.now();
        }
        self.lazy_weight += events.iter().map(|event| event.weight()).sum::<usize>();
        self.lazy.extend(events.iter().cloned());
    }

    /// Whether the events that are not on disk fill much of the window, which must not drop them.
    fn holds_much(&self) -> bool {
        let options = &self.shared.options;
        self.lazy.len() > options.event_window / 2 || self.lazy_weight > options.event_window_bytes / 2
    }

    /// Writes what is held, through `revision`, and does a share of compaction.
    fn commit(&mut self, revision: Revision, settle: bool, budget: usize) -> Result<(), StorageFailure> {
        let short = self.lazy_seen && self.reserved < revision + RESERVATION / 2;
        let reserve = if short { Reserve::Through(revision + RESERVATION) } else { Reserve::Keep };
        let compacted = self.commit_with(revision, reserve, settle, budget)?;
        if let Reserve::Through(reserved) = reserve {
            self.reserved = reserved;
        }
        if let Some(compacted) = compacted {
            self.shared.history.write().compact(compacted);
            self.shared.hub.compacted(compacted);
        }
        Ok(())
    }

    fn commit_with(
        &mut self,
        revision: Revision,
        reserve: Reserve,
        settle: bool,
        budget: usize,
    ) -> Result<Option<Revision>, StorageFailure> {
        let from = self.shared.history.read().compacted;
        let to = self.compact_to.min(revision);
        let compaction = (to > from).then_some(Compaction { from, to, budget });
        let commit = Commit { events: &self.lazy, reserve, compaction, settle };
        match self.shared.disk.commit(&commit) {
            Ok(compacted) => {
                self.lazy.clear();
                self.lazy_weight = 0;
                self.persisted = revision;
                self.unsettled_since = (!settle).then(|| self.now());
                Ok(compacted)
            }
            Err(failure) => {
                let path = self.shared.disk.path();
                tracing::error!(error = %failure, path = %path.display(), "the store is read-only: a commit failed");
                self.failure = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Notes a published revision for retention.
    fn note(&mut self, revision: Revision) {
        self.ages.note(self.now(), revision);
        let retain = self.shared.options.retain_revisions;
        let history = self.shared.history.read();
        let slack = retain / 8;
        if target_by_count(revision, retain.saturating_add(slack), &history.gaps) > history.compacted {
            self.compact_to = self.compact_to.max(target_by_count(revision, retain, &history.gaps));
        }
    }

    /// What nobody waits for, if it is due: lazy writes, compaction, a state that reopens fast.
    fn maintain(&mut self) {
        let now = self.now();
        if let Some(expired) = self.ages.expired(now) {
            self.compact_to = self.compact_to.max(expired);
        }
        let due = self.commit_deadline().is_some_and(|deadline| deadline <= now);
        if due && self.failure.is_none() {
            let revision = self.shared.hub.current().revision();
            // A failure is logged and answers the next transaction.
            self.commit(revision, true, IDLE_SHARE_OF_COMPACTION).ok();
        }
    }

    fn next_deadline(&self) -> Option<u64> {
        if self.failure.is_some() {
            return None;
        }
        [self.commit_deadline(), self.ages.next_expiry()].into_iter().flatten().min()
    }

    /// When a commit of its own accord is due.
    fn commit_deadline(&self) -> Option<u64> {
        let options = &self.shared.options;
        let lazy = (!self.lazy.is_empty()).then(|| self.lazy_since.saturating_add(ms(options.lazy_interval)));
        let settle = self.unsettled_since.map(|since| since.saturating_add(ms(options.settle_interval)));
        let backlog = self.compact_to > self.shared.history.read().compacted;
        // A backlog waits for the writes to pause, and not at all when they have.
        let compaction = (backlog && settle.is_none()).then_some(0);
        [lazy, settle, compaction].into_iter().flatten().min()
    }

    fn compact(&mut self, revision: Revision) -> Result<(), CompactError> {
        let current = self.shared.hub.current().revision();
        if revision > current {
            return Err(CompactError::Future { current });
        }
        self.compact_to = self.compact_to.max(revision);
        while self.shared.history.read().compacted < revision {
            if let Some(failure) = &self.failure {
                return Err(CompactError::Io(failure.clone()));
            }
            self.commit(current, true, IDLE_SHARE_OF_COMPACTION).map_err(CompactError::Io)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), TxnError> {
        if let Some(failure) = &self.failure {
            return Err(TxnError::Io(failure.clone()));
        }
        if self.lazy.is_empty() {
            return Ok(());
        }
        let revision = self.shared.hub.current().revision();
        self.commit(revision, true, SHARE_OF_COMPACTION).map_err(TxnError::Io)
    }

    /// Writes what is held and gives back the reservation, so that the next start continues without a gap.
    fn close(&mut self) {
        if self.failure.is_none() && (!self.lazy.is_empty() || self.reserved > 0) {
            let revision = self.shared.hub.current().revision();
            // A failure is logged; what was acknowledged as durable is on disk already.
            self.commit_with(revision, Reserve::Release, true, SHARE_OF_COMPACTION).ok();
        }
    }

    fn now(&self) -> u64 {
        (self.shared.options.clock)()
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
