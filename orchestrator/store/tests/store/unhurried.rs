//! Transactions that wait for others to have a commit with.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use wherry_store::Store;

use crate::common::{lazy, open, options, place, put, unhurried, write};

fn open_patiently(path: &Path) -> Store {
    let mut options = options();
    options.patience = Duration::from_hours(1);
    Store::open(path, options).expect("the store opens")
}

#[tokio::test]
async fn one_without_company_is_durable_in_a_moment() {
    let place = place();
    let store = open(&place.path);
    assert_eq!(store.txn(unhurried(vec![put("/a", "1")])).await.unwrap(), 1);
    // Nothing is written when it is closed but what was acknowledged.
    store.close().await;
    assert_eq!(open(&place.path).get("/a").unwrap().mod_revision, 1);
}

#[tokio::test]
async fn one_waits_for_who_is_in_a_hurry() {
    let place = place();
    let store = open_patiently(&place.path);
    let mut waits = Box::pin(store.submit(unhurried(vec![put("/a", "1")])));
    assert!(timeout(Duration::from_millis(50), &mut waits).await.is_err());
    assert_eq!(store.txn(lazy(vec![put("/b", "1")])).await.unwrap(), 1, "lazy ones do not wait");
    assert!(store.get("/a").is_none());
    assert_eq!(write(&store, "/c", "1").await, 3, "they have one commit");
    assert_eq!(waits.await.unwrap(), 2);
}

#[tokio::test]
async fn enough_of_them_are_company() {
    let place = place();
    let store = open_patiently(&place.path);
    let submit = |number| store.submit(unhurried(vec![put(&format!("/{number}"), "1")]));
    let all: Vec<_> = (0..8).map(submit).collect();
    for (answer, expected) in all.into_iter().zip(1..) {
        assert_eq!(answer.await.unwrap(), expected);
    }
}

#[tokio::test]
async fn those_who_wait_are_carried_out_when_the_store_closes() {
    let place = place();
    let store = open_patiently(&place.path);
    let waits = store.submit(unhurried(vec![put("/a", "1")]));
    store.close().await;
    assert_eq!(waits.await.unwrap(), 1);
    assert_eq!(open(&place.path).get("/a").unwrap().mod_revision, 1);
}
