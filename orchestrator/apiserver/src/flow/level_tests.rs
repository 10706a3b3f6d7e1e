//! Tests of the level of flow control.

use std::collections::BTreeSet;

use futures::future::{FutureExt, join_all};
use proptest::prelude::*;

use super::*;

fn level(seats: u32, queuing: Option<Queuing>) -> Arc<Level> {
    Arc::new(Level::new("l".to_owned(), None, Limits::Limited { seats, queuing }))
}

fn queues(queues: u32, hand_size: u32, queue_length_limit: u32) -> Queuing {
    Queuing { queues, hand_size, queue_length_limit }
}

#[tokio::test]
async fn a_level_without_queues_refuses_what_it_has_no_seat_for() {
    let level = level(2, None);
    let seats = [level.seat(|| 0).await.ok().unwrap(), level.seat(|| 0).await.ok().unwrap()];
    assert_eq!(level.seat(|| 0).await.err(), Some(Refused::ConcurrencyLimit));
    drop(seats);
    assert!(level.seat(|| 0).await.is_ok());
    assert_eq!(level.load(), [0, 0, 2]);
}

#[tokio::test]
async fn who_waits_is_served_when_somebody_leaves_and_a_full_queue_refuses() {
    let level = level(1, Some(queues(1, 1, 1)));
    let seat = level.seat(|| 0).await.ok().unwrap();
    let mut waiting = Box::pin(level.seat(|| 0));
    assert!((&mut waiting).now_or_never().is_none());
    assert_eq!(level.seat(|| 0).await.err(), Some(Refused::QueueFull));
    drop(seat);
    let seat = waiting.await.ok().unwrap();
    assert_eq!(level.load(), [1, 0, 1]);
    drop(seat);
    assert_eq!(level.load(), [0, 0, 1]);
}

#[tokio::test]
async fn who_waits_too_long_is_refused_and_leaves_the_queue() {
    let mut level = level(1, Some(queues(1, 1, 5)));
    Arc::get_mut(&mut level).unwrap().patience = Duration::ZERO;
    let _seat = level.seat(|| 0).await.ok().unwrap();
    assert_eq!(level.seat(|| 0).await.err(), Some(Refused::TimedOut));
    assert_eq!(level.load(), [1, 0, 1]);
}

#[tokio::test]
async fn a_request_that_goes_away_gives_up_its_place_or_its_seat() {
    let level = level(1, Some(queues(1, 1, 5)));
    let seat = level.seat(|| 0).await.ok().unwrap();
    let mut gone = Box::pin(level.seat(|| 0));
    assert!((&mut gone).now_or_never().is_none());
    let mut served = Box::pin(level.seat(|| 0));
    assert!((&mut served).now_or_never().is_none());
    drop(gone);
    assert_eq!(level.load(), [1, 1, 1]);
    drop(seat);
    // The seat is on its way to a request that does not come back for it.
    drop(served);
    assert_eq!(level.load(), [0, 0, 1]);
}

#[tokio::test]
async fn a_flow_that_floods_its_queues_leaves_others_their_turn() {
    let level = level(1, Some(queues(64, 4, 50)));
    let seat = level.seat(|| 0).await.ok().unwrap();
    let mut flood: Vec<_> = (0..40).map(|_| Box::pin(level.seat(|| 7))).collect();
    for one in &mut flood {
        assert!(one.now_or_never().is_none());
    }
    let mut other = Box::pin(level.seat(|| 0xdead_beef_1234_5678));
    assert!((&mut other).now_or_never().is_none());
    drop(seat);
    let mut before = 0;
    while other.as_mut().now_or_never().is_none() {
        let at = flood.iter_mut().position(|one| one.as_mut().now_or_never().is_some()).unwrap();
        drop(flood.swap_remove(at));
        before += 1;
    }
    assert!(before <= 4, "{before} requests of the other flow came first");
}

#[tokio::test]
async fn more_seats_serve_those_who_wait_already() {
    let level = level(1, Some(queues(2, 1, 5)));
    let _seat = level.seat(|| 0).await.ok().unwrap();
    let waiting: Vec<_> = (0..3).map(|flow| level.seat(move || flow)).collect();
    let mut all = Box::pin(join_all(waiting));
    assert!((&mut all).now_or_never().is_none());
    level.change(Limits::Limited { seats: 4, queuing: Some(queues(2, 1, 5)) });
    assert!(all.await.iter().all(Result::is_ok));
}

#[test]
fn the_exempt_level_takes_everything() {
    let level = Arc::new(Level::new("e".to_owned(), None, Limits::Exempt));
    let seats: Vec<_> = (0..1000).map(|_| level.seat(|| 0).now_or_never()).collect();
    assert!(seats.iter().all(|seat| seat.as_ref().is_some_and(Result::is_ok)));
}

proptest! {
    #[test]
    fn a_hand_is_of_different_queues(flow: u64, queues in 1u32..100, hand in 0u32..20) {
        let dealt = deal(flow, queues, hand);
        prop_assert_eq!(dealt.len(), hand.min(queues) as usize);
        prop_assert!(dealt.iter().all(|at| *at < queues as usize));
        prop_assert_eq!(dealt.iter().collect::<BTreeSet<_>>().len(), dealt.len());
    }
}
