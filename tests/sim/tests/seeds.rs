//! Many seeds, one seed, and a seed that must fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use wherry_sim::{Plan, run};

/// A fifth of the time went into the C library's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How many seeds are run, if `SIM_SEEDS` does not say.
const SEEDS: u64 = 100;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn every_seed_holds() {
    let (next, end) =
        (AtomicU64::new(number("SIM_FIRST", 0)), number("SIM_FIRST", 0) + number("SIM_SEEDS", SEEDS));
    let threads = thread::available_parallelism().unwrap().get();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    if let Err(violation) = run(Plan::of(seed)) {
                        panic!("{violation}");
                    }
                }
            });
        }
    });
}

#[test]
fn one_seed() {
    let plan = Plan::of(number("SIM_SEED", 1));
    let shown = usize::try_from(number("SIM_SHOWN", 40)).unwrap();
    if let Err(violation) = run(Plan { shown, ..plan }) {
        panic!("{violation}");
    }
}

#[test]
fn a_seed_runs_the_same_again() {
    let first = number("SIM_SEED", 0);
    for seed in first..first + number("SIM_TWICE", 5) {
        let plan = Plan::of(seed);
        let (one, other) = (run(plan).unwrap().log, run(plan).unwrap().log);
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(at) = differs {
            panic!("seed {seed}: after {:#?}\n{}\n{}", &one[at.saturating_sub(10)..at], one[at], other[at]);
        }
        assert_eq!(one.len(), other.len(), "seed {seed}");
    }
}

/// What no network does, the invariants must notice: a ReplicaSet's controller that is not told of Pods makes more of them.
#[test]
fn a_network_that_forgets_is_caught() {
    let caught = (0..30).find_map(|seed| run(Plan { forgotten: 300, ..Plan::of(seed) }).err());
    let violation = caught.unwrap().to_string();
    assert!(violation.contains("SIM_SEED="), "{violation}");
}
