//! Addresses: no two holders, last released is last reused, nothing lost by a kill at any byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;

use super::*;

fn range(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn open(directory: &Path) -> Ipam {
    let (namespaced, local) = (range("10.0.0.0/28"), range("10.0.0.16/28"));
    let pools = (Pool::new(namespaced, host_addresses(namespaced)), Pool::new(local, host_addresses(local)));
    Ipam::open(directory, pools.0, pools.1).unwrap()
}

fn ips(ipam: &Ipam) -> BTreeMap<String, IpAddr> {
    ipam.leases().into_iter().map(|(uid, lease)| (uid, lease.ip)).collect()
}

#[test]
fn the_two_kinds_of_pods_have_pools_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let ipam = open(directory.path());
    assert_eq!(ipam.allocate("a", true).unwrap().ip, IpAddr::from([10, 0, 0, 1]));
    assert_eq!(ipam.allocate("b", false).unwrap().ip, IpAddr::from([10, 0, 0, 17]));
    let error = ipam.allocate("b", true).unwrap_err();
    assert!(matches!(error, NetworkError::NamespaceNeeded { uid } if uid == "b"));
}

#[test]
fn a_released_address_is_the_last_to_be_reused_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ipam = open(directory.path());
    let first = ipam.allocate("first", true).unwrap().ip;
    let second = ipam.allocate("second", true).unwrap().ip;
    ipam.release("second").unwrap();
    ipam.release("first").unwrap();
    drop(ipam);
    let ipam = open(directory.path());
    let fresh: Vec<IpAddr> = (0..12).map(|at| ipam.allocate(&at.to_string(), true).unwrap().ip).collect();
    assert!(!fresh.contains(&first) && !fresh.contains(&second), "{fresh:?}");
    assert_eq!(ipam.allocate("x", true).unwrap().ip, second);
    assert_eq!(ipam.allocate("y", true).unwrap().ip, first);
    let error = ipam.allocate("z", true).unwrap_err();
    assert_eq!(error.to_string(), "all 14 addresses of 10.0.0.0/28 are taken");
}

#[test]
fn a_uid_that_is_no_uid_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ipam = open(directory.path());
    for uid in ["", "../x", ".", "a b", "a\nb", &"x".repeat(129)] {
        assert!(matches!(ipam.allocate(uid, true), Err(NetworkError::PodUid { .. })), "{uid:?}");
    }
    assert!(ipam.known().is_empty());
}

#[test]
fn damaged_lines_and_foreign_addresses_are_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let text = "+ 10.0.0.3 a\nrubbish\n+ 10.0.0.3 thief\n+ 192.0.2.1 elsewhere\n\0\0\0\n+ 10.0.0.4 b\n+ 10.0.0.5 torn";
    fs::write(directory.path().join("addresses"), text).unwrap();
    let ipam = open(directory.path());
    let held = ips(&ipam);
    assert_eq!(held.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(held["a"], IpAddr::from([10, 0, 0, 3]));
}

#[test]
fn the_journal_does_not_grow_without_bound() {
    let directory = tempfile::tempdir().unwrap();
    let ipam = open(directory.path());
    ipam.allocate("stays", false).unwrap();
    for _ in 0..2000 {
        ipam.allocate("comes-and-goes", true).unwrap();
        ipam.release("comes-and-goes").unwrap();
    }
    let size = fs::metadata(directory.path().join("addresses")).unwrap().len();
    assert!(size < 64 * 1024, "{size}");
    assert_eq!(ips(&open(directory.path())), ips(&ipam));
}

#[test]
fn a_failed_write_hands_nothing_out_and_the_next_one_repairs() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("network");
    let ipam = open(&inner);
    ipam.allocate("a", true).unwrap();
    // The handle cannot be written to any more, as on a full disk.
    ipam.state.lock().journal.file = Some(File::open(inner.join("addresses")).unwrap());
    let error = ipam.allocate("b", true).unwrap_err();
    assert!(matches!(error, NetworkError::Journal { step: "append to", .. }), "{error}");
    assert_eq!(ipam.known(), ["a"]);
    ipam.allocate("b", true).unwrap();
    assert_eq!(ips(&open(&inner)), ips(&ipam));
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(u8, bool),
    Release(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u8..40, any::<bool>()).prop_map(|(pod, netns)| Step::Allocate(pod, netns)),
        3 => (0u8..40).prop_map(Step::Release),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_two_pods_hold_one_address_and_restarts_change_nothing(steps in prop::collection::vec(step(), 1..120)) {
        let directory = tempfile::tempdir().unwrap();
        let mut ipam = open(directory.path());
        let mut model: BTreeMap<String, IpAddr> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Allocate(pod, netns) => {
                    if let Ok(lease) = ipam.allocate(&pod.to_string(), netns) {
                        let known = *model.entry(pod.to_string()).or_insert(lease.ip);
                        prop_assert_eq!(known, lease.ip);
                    }
                }
                Step::Release(pod) => {
                    ipam.release(&pod.to_string()).unwrap();
                    model.remove(&pod.to_string());
                }
                Step::Restart => ipam = open(directory.path()),
            }
            prop_assert_eq!(&ips(&ipam), &model);
            let distinct: BTreeSet<&IpAddr> = model.values().collect();
            prop_assert_eq!(distinct.len(), model.len());
        }
    }

    /// A kill may cut the journal anywhere; what is read then is a state that was, in whole.
    #[test]
    fn a_journal_cut_at_any_byte_is_an_earlier_state(steps in prop::collection::vec(step(), 1..40), cut in 0.0..1.0f64) {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("addresses");
        let ipam = open(directory.path());
        let mut states = vec![(0, BTreeMap::new())];
        for step in steps {
            match step {
                Step::Allocate(pod, netns) => drop(ipam.allocate(&pod.to_string(), netns)),
                Step::Release(pod) => ipam.release(&pod.to_string()).unwrap(),
                Step::Restart => {}
            }
            states.push((fs::metadata(&journal).unwrap().len(), ips(&ipam)));
        }
        let whole = fs::read(&journal).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a share of a short file")]
        let length = (whole.len() as f64 * cut) as usize;
        fs::write(&journal, &whole[..length]).unwrap();
        let expected = states.iter().rfind(|(end, _)| *end <= length as u64).unwrap();
        prop_assert_eq!(&ips(&open(directory.path())), &expected.1);
    }
}
