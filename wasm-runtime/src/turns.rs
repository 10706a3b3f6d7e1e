//! Who computes next when guests want more of the processors than there is: `requests.cpu` as shares.
//!
//! There are as many turns as processors. A guest that was interrupted, because it did not give way by itself, goes on only
//! with a turn, for one slice; so does whatever belongs to a container that already took much in this period. Turns go to the
//! container that had the least of them for its weight (its *virtual time*, as the kernel's fair scheduler has it), and among
//! its guests to the one that waits longest. All other guests, which answer and are gone, take no part: they find a thread
//! that no turn is for.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::processor::Processor;

/// The turns of the node.
#[derive(Debug)]
pub(crate) struct Turns {
    places: usize,
    state: Mutex<State>,
    /// Turns taken, to be read without the lock.
    taken: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    /// Those who wait, by container.
    waiting: Vec<Queue>,
    /// The virtual time up to which turns were given: who comes anew has no claim to what was before.
    reached: u64,
}

#[derive(Debug)]
struct Queue {
    processor: Arc<Processor>,
    guests: VecDeque<oneshot::Sender<Turn>>,
}

/// The right to compute for one slice; dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.pass_on();
    }
}

impl Turns {
    /// As many turns as `places`.
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places: places.max(1), state: Mutex::default(), taken: AtomicUsize::new(0) })
    }

    /// Whether somebody computes for long.
    pub(crate) fn contended(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > 0
    }

    /// A turn of the container, as soon as it is due.
    pub(crate) fn ask(self: &Arc<Self>, processor: &Arc<Processor>) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        processor.come_to(state.reached);
        let free = self.taken.load(Ordering::Relaxed) < self.places;
        if free {
            // Whoever waits, waits because no turn was free.
            state.reached = state.reached.max(processor.virtual_time());
            self.taken.fetch_add(1, Ordering::Relaxed);
            drop(state);
            // The receiver is here.
            let _ = sender.send(Turn { turns: Arc::clone(self) });
            return receiver;
        }
        match state.waiting.iter_mut().find(|queue| Arc::ptr_eq(&queue.processor, processor)) {
            Some(queue) => queue.guests.push_back(sender),
            None => state
                .waiting
                .push(Queue { processor: Arc::clone(processor), guests: VecDeque::from([sender]) }),
        }
        receiver
    }

    /// Gives a turn that ended to whom it is due. If that one is gone by then, its turn ends unused, which comes here again.
    fn pass_on(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some(next) = state.next() else {
            self.taken.fetch_sub(1, Ordering::Relaxed);
            return;
        };
        drop(state);
        drop(next.send(Turn { turns: Arc::clone(self) }));
    }
}

impl State {
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        for queue in &mut self.waiting {
            queue.guests.retain(|guest| !guest.is_closed());
        }
        self.waiting.retain(|queue| !queue.guests.is_empty());
        let queue = self.waiting.iter_mut().min_by_key(|queue| queue.processor.virtual_time())?;
        self.reached = self.reached.max(queue.processor.virtual_time());
        queue.guests.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use wherry_runtime_api::Resources;

    use super::*;

    const SLICE: u64 = 5_000_000;

    fn container(request_millis: u64) -> Arc<Processor> {
        let limits = Resources { cpu_request_millis: Some(request_millis), ..Resources::default() };
        Processor::new(Turns::new(1), &limits, Arc::default())
    }

    /// Lets guests of the containers compute in turns for a while; how many slices each container had.
    fn compete(turns: &Arc<Turns>, containers: &[(&Arc<Processor>, usize)], slices: usize) -> Vec<usize> {
        let mut waiting: Vec<_> = containers
            .iter()
            .enumerate()
            .flat_map(|(index, (container, guests))| (0..*guests).map(move |_| (index, turns.ask(container))))
            .collect();
        let mut had = vec![0; containers.len()];
        for _ in 0..slices {
            let due = waiting.iter_mut().position(|(_, turn)| !turn.is_empty()).expect("a turn is due");
            let (index, mut turn) = waiting.remove(due);
            let turn = turn.try_recv().unwrap();
            had[index] += 1;
            containers[index].0.charge(SLICE);
            waiting.push((index, turns.ask(containers[index].0)));
            drop(turn);
        }
        had
    }

    #[test]
    fn turns_follow_the_weights_and_not_the_number_of_guests() {
        for guests in [1, 8] {
            let (much, little) = (container(1000), container(250));
            let had = compete(&Turns::new(1), &[(&much, 1), (&little, guests)], 500);
            assert!((395..=405).contains(&had[0]), "{had:?}");
        }
    }

    #[test]
    fn who_comes_anew_neither_owes_nor_is_owed() {
        let turns = Turns::new(1);
        let (first, second) = (container(100), container(100));
        compete(&turns, &[(&first, 2)], 100);
        let had = compete(&turns, &[(&first, 2), (&second, 2)], 100);
        assert!((49..=51).contains(&had[1]), "{had:?}");
    }

    #[test]
    fn what_is_free_is_given_at_once_and_what_nobody_takes_goes_on() {
        let turns = Turns::new(2);
        let (one, other) = (container(1), container(2));
        let (mut first, mut second) = (turns.ask(&one), turns.ask(&one));
        let (gone, mut last) = (turns.ask(&other), turns.ask(&other));
        assert!(!first.is_empty() && !second.is_empty() && last.is_empty());
        drop(gone);
        drop(first.try_recv().unwrap());
        drop(last.try_recv().expect("nobody else waits"));
        assert!(turns.contended());
        drop(second.try_recv().unwrap());
        assert!(!turns.contended());
    }

    #[test]
    fn a_turn_that_arrives_when_nobody_is_there_is_not_lost() {
        let turns = Turns::new(1);
        let container = container(1);
        drop(turns.ask(&container));
        assert!(!turns.contended());
    }
}
