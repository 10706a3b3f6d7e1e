//! Tests of the ring and its channels.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::attributes::Attributes;
use crate::entry::Entry;
use crate::snapshot::Entries;

const WINDOW: Window = Window { events: 4, bytes: usize::MAX };

fn event(revision: Revision, key: &str) -> Arc<Event> {
    let entry = Entry {
        key: key.into(),
        value: Bytes::from_static(b"value"),
        create_revision: revision,
        mod_revision: revision,
        attributes: Attributes::default().shared(None),
    };
    Arc::new(Event::put(Arc::new(entry), None))
}

fn state(revision: Revision) -> Snapshot {
    Snapshot::new(revision, Entries::new())
}

fn hub() -> Hub {
    Hub::new(WINDOW, state(0), Vec::new(), 0)
}

fn publish(hub: &Hub, revision: Revision, keys: &[&str]) {
    let events: Vec<_> = keys.iter().map(|key| event(revision, key)).collect();
    hub.publish(&events, state(revision), revision);
}

fn revisions(events: Option<Vec<Arc<Event>>>) -> Option<Vec<Revision>> {
    events.map(|events| events.iter().map(|event| event.revision).collect())
}

#[test]
fn a_channel_has_the_events_of_its_prefix_only() {
    let hub = hub();
    publish(&hub, 1, &["/a/x"]);
    let (a, mut wake) = hub.join("/a/").unwrap();
    let (exact, _) = hub.join("/a/x").unwrap();
    let (all, _) = hub.join("").unwrap();
    publish(&hub, 2, &["/b/x"]);
    assert!(!wake.has_changed().unwrap());
    publish(&hub, 3, &["/a/y", "/b/y"]);
    assert!(wake.has_changed().unwrap());
    wake.borrow_and_update();
    assert_eq!(revisions(hub.after(&a, 0, 10)), Some(vec![1, 3]));
    assert_eq!(revisions(hub.after(&exact, 0, 10)), Some(vec![1]));
    assert_eq!(revisions(hub.after(&all, 0, 10)), Some(vec![1, 2, 3, 3]));
    assert_eq!(revisions(hub.after(&all, 2, 1)), Some(vec![3, 3]), "whole transactions");
}

#[test]
fn a_prefix_that_cuts_a_character_matches_nothing_there() {
    let hub = hub();
    let (channel, _) = hub.join("ab").unwrap();
    publish(&hub, 1, &["aé"]);
    assert_eq!(revisions(hub.after(&channel, 0, 10)), Some(vec![]));
}

/// Readers look all the time while transactions of two events are published.
#[test]
fn half_a_transaction_is_never_taken() {
    const LAST: Revision = 20_000;
    let hub = Hub::new(Window { events: usize::MAX, bytes: usize::MAX }, state(0), Vec::new(), 0);
    let (channel, _wake) = hub.join("/").unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for revision in 1..=LAST {
                publish(&hub, revision, &["/a", "/b"]);
            }
        });
        let mut seen = 0;
        while seen < LAST {
            let events = revisions(hub.after(&channel, seen, 1)).unwrap();
            if let Some(last) = events.last() {
                assert_eq!(events, [seen + 1, seen + 1]);
                seen = *last;
            }
        }
    });
}

#[test]
fn a_quiet_channel_loses_nothing_when_others_are_busy() {
    let hub = hub();
    let (quiet, _wake) = hub.join("/quiet").unwrap();
    for revision in 1..=20 {
        publish(&hub, revision, &["/busy"]);
    }
    assert_eq!(hub.progress(&quiet, 0), 20);
    publish(&hub, 21, &["/quiet"]);
    assert_eq!(revisions(hub.after(&quiet, 0, 10)), Some(vec![21]));
    assert_eq!(hub.progress(&quiet, 0), 0);
}

#[test]
fn a_watch_that_fell_out_of_the_window_is_told() {
    let hub = hub();
    let (channel, _wake) = hub.join("/a").unwrap();
    for revision in 1..=6 {
        publish(&hub, revision, &["/a"]);
    }
    assert_eq!(revisions(hub.after(&channel, 1, 10)), None);
    assert_eq!(revisions(hub.after(&channel, 2, 10)), Some(vec![3, 4, 5, 6]));
}

#[test]
fn events_that_are_not_on_disk_are_kept_however_many() {
    let hub = hub();
    let (channel, _wake) = hub.join("/a").unwrap();
    for revision in 1..=9 {
        hub.publish(&[event(revision, "/a")], state(revision), 2);
    }
    assert_eq!(revisions(hub.after(&channel, 2, 10)), Some((3..=9).collect()));
    hub.publish(&[event(10, "/a")], state(10), 10);
    assert_eq!(revisions(hub.after(&channel, 6, 10)), Some((7..=10).collect()));
    assert_eq!(revisions(hub.after(&channel, 5, 10)), None);
}

#[test]
fn the_window_is_bounded_by_bytes_too() {
    let bytes = 2 * event(1, "/a").weight();
    let hub = Hub::new(Window { events: 100, bytes }, state(0), Vec::new(), 0);
    for revision in 1..=5 {
        publish(&hub, revision, &["/a"]);
    }
    assert_eq!(hub.recent(0).0.len(), 2);
    assert_eq!(hub.recent(0).1, 3);
}

#[test]
fn compaction_frees_events() {
    let hub = hub();
    let (channel, _wake) = hub.join("/a").unwrap();
    for revision in 1..=4 {
        publish(&hub, revision, &["/a"]);
    }
    hub.compacted(3);
    assert_eq!(revisions(hub.after(&channel, 2, 10)), None);
    assert_eq!(revisions(hub.after(&channel, 3, 10)), Some(vec![4]));
}

#[test]
fn the_last_watch_of_a_prefix_closes_its_channel() {
    let hub = hub();
    let (first, first_wake) = hub.join("/a").unwrap();
    let (second, second_wake) = hub.join("/a").unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    hub.leave(&first);
    drop(first_wake);
    assert_eq!(hub.inner.lock().channels.len(), 1);
    hub.leave(&second);
    drop(second_wake);
    assert!(hub.inner.lock().channels.is_empty());
    assert!(hub.inner.lock().lengths.is_empty());
}

#[test]
fn a_closed_hub_ends_watches_and_takes_no_more() {
    let hub = hub();
    let (_channel, wake) = hub.join("/a").unwrap();
    hub.close();
    assert!(wake.has_changed().is_err());
    assert!(hub.join("/a").is_none());
}
