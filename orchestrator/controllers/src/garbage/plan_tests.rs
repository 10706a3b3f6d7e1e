//! Tests of the graph and of what becomes of an object.

use rstest::rstest;

use super::*;
use crate::garbage::graph::Graph;

fn owner(uid: &str, blocks: bool) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: uid.into(),
        uid: uid.into(),
        block_owner_deletion: Some(blocks),
        controller: None,
    }
}

fn meta(uid: &str, owners: &[OwnerReference], finalizer: Option<&str>, is_deleting: bool) -> ObjectMeta {
    let since = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
    ObjectMeta {
        name: Some(uid.into()),
        namespace: Some("ns".into()),
        uid: Some(uid.into()),
        owner_references: Some(owners.to_vec()).filter(|owners| !owners.is_empty()),
        finalizers: finalizer.map(|finalizer| vec![finalizer.to_owned()]),
        deletion_timestamp: is_deleting.then_some(since),
        ..ObjectMeta::default()
    }
}

const P: OwnerState = OwnerState::Present;
const W: OwnerState = OwnerState::WaitsForDependents;
const A: OwnerState = OwnerState::Absent;

#[rstest]
#[case::no_owners(&[], None, Decision::Nothing)]
#[case::owner_present(&[P], None, Decision::Nothing)]
#[case::owner_gone(&[A], None, Decision::Delete(PropagationPolicy::Background))]
#[case::all_gone(&[A, A], None, Decision::Delete(PropagationPolicy::Background))]
#[case::one_of_two_gone(&[P, A], None, Decision::KeepOwners(vec![owner("o0", true)]))]
#[case::one_of_two_waits(&[W, P], None, Decision::KeepOwners(vec![owner("o1", true)]))]
#[case::owner_waits(&[W], None, Decision::Delete(PropagationPolicy::Foreground))]
#[case::gone_but_orphans(&[A], Some(ORPHAN), Decision::Delete(PropagationPolicy::Orphan))]
#[case::gone_and_foreground(&[A], Some(FOREGROUND), Decision::Delete(PropagationPolicy::Foreground))]
fn by_owners(#[case] states: &[OwnerState], #[case] finalizer: Option<&str>, #[case] expected: Decision) {
    let owners: Vec<_> =
        states.iter().enumerate().map(|(index, state)| (owner(&format!("o{index}"), true), *state)).collect();
    let references: Vec<_> = owners.iter().map(|(owner, _)| owner.clone()).collect();
    let dependents = [Dependent { uid: "child".into(), blocks: false, waits: false }];
    assert_eq!(plan("x", &meta("x", &references, finalizer, false), &owners, &dependents), expected);
}

#[test]
fn a_leaf_of_an_owner_that_waits_goes_at_once() {
    let owners = [(owner("o", true), W)];
    let decision = plan("x", &meta("x", &[owner("o", true)], None, false), &owners, &[]);
    assert_eq!(decision, Decision::Delete(PropagationPolicy::Background));
}

#[rstest]
#[case::blocked(FOREGROUND, &[("a", true)], Decision::Nothing)]
#[case::not_blocked(FOREGROUND, &[("a", false)], Decision::DropForeground)]
#[case::no_dependents(FOREGROUND, &[], Decision::DropForeground)]
#[case::blocks_itself(FOREGROUND, &[("x", true)], Decision::DropForeground)]
#[case::orphans(ORPHAN, &[("a", true)], Decision::LetGo { dependents: vec!["a".into()] })]
#[case::of_others("example.com/hold", &[("a", true)], Decision::Nothing)]
fn while_deleting(#[case] finalizer: &str, #[case] dependents: &[(&str, bool)], #[case] expected: Decision) {
    let dependents: Vec<_> = dependents
        .iter()
        .map(|(uid, blocks)| Dependent { uid: (*uid).into(), blocks: *blocks, waits: false })
        .collect();
    assert_eq!(plan("x", &meta("x", &[], Some(finalizer), true), &[], &dependents), expected);
}

fn observe(graph: &mut Graph, meta: &ObjectMeta) -> Vec<String> {
    graph.observe("v1", "ConfigMap", meta)
}

#[test]
fn the_end_of_an_owner_concerns_its_dependents() {
    let mut graph = Graph::default();
    assert_eq!(observe(&mut graph, &meta("o", &[], None, false)), [] as [&str; 0]);
    assert_eq!(observe(&mut graph, &meta("a", &[owner("o", false)], None, false)), ["a"]);
    assert_eq!(observe(&mut graph, &meta("a", &[owner("o", false)], None, false)), [] as [&str; 0]);
    assert_eq!(graph.owner_state("o"), Some(P));
    assert_eq!(graph.remove("o"), ["a"]);
    assert_eq!(graph.owner_state("o"), Some(A), "its end was seen");
    assert_eq!(graph.owner_state("never seen"), None);
}

#[test]
fn a_foreground_deletion_goes_down_and_comes_back_up() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("o", &[], None, false));
    observe(&mut graph, &meta("a", &[owner("o", true)], None, false));
    let mut concerned = observe(&mut graph, &meta("o", &[], Some(FOREGROUND), true));
    concerned.sort();
    assert_eq!(concerned, ["a", "o"]);
    assert_eq!(graph.owner_state("o"), Some(W));
    assert_eq!(graph.dependents("o"), [Dependent { uid: "a".into(), blocks: true, waits: false }]);
    assert_eq!(graph.remove("a"), ["o"]);
    assert_eq!(graph.dependents("o"), []);
}

#[test]
fn a_dependent_let_go_is_a_dependent_no_more() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("o", &[], None, false));
    observe(&mut graph, &meta("a", &[owner("o", true)], None, false));
    observe(&mut graph, &meta("a", &[], None, false));
    assert_eq!(graph.remove("o"), [] as [&str; 0]);
}

#[test]
fn a_dependent_seen_before_its_owner_is_found() {
    let mut graph = Graph::default();
    observe(&mut graph, &meta("a", &[owner("o", true)], None, false));
    observe(&mut graph, &meta("o", &[], None, false));
    assert_eq!(graph.remove("o"), ["a"]);
}

#[test]
fn a_circle_of_owners_that_wait_is_broken() {
    let owners = [(owner("o", true), W)];
    let live = meta("x", &[owner("o", true)], None, false);
    let dependents = [Dependent { uid: "child".into(), blocks: true, waits: true }];
    let decision = plan("x", &live, &owners, &dependents);
    assert_eq!(decision, Decision::KeepOwners(vec![owner("o", false)]));
    let owners = [(owner("o", false), W)];
    let decision = plan("x", &live, &owners, &dependents);
    assert_eq!(decision, Decision::Delete(PropagationPolicy::Foreground));
}
