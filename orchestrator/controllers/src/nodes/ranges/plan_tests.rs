//! Who gets which part.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

fn node(name: &str, parts: &[&str]) -> Arc<Node> {
    let node = json!({"metadata": {"name": name, "uid": name}, "spec": {"podCIDR": parts.first(), "podCIDRs": parts}});
    Arc::new(serde_json::from_value(node).unwrap())
}

fn ranges(all: &[(&str, u8)], reserved: &[&str]) -> NodeRanges {
    let range = |(cluster, prefix): &(&str, u8)| NodeRange::new(cluster.parse().unwrap(), *prefix).unwrap();
    NodeRanges {
        ranges: all.iter().map(range).collect(),
        reserved: reserved.iter().map(|range| range.parse().unwrap()).collect(),
    }
}

/// Who gets what, as `node: parts`, and who gets nothing.
fn given(ranges: &NodeRanges, nodes: &[Arc<Node>], memory: &mut Memory) -> Vec<String> {
    let Plan { give, lacking } = plan(ranges, nodes, memory);
    let given = give.iter().map(|(node, parts)| {
        let parts: Vec<_> = parts.iter().map(ToString::to_string).collect();
        format!("{}: {}", node.name_any(), parts.join(" "))
    });
    given.chain(lacking.iter().map(|node| format!("{}: -", node.name_any()))).collect()
}

#[rstest]
#[case::the_first(&[("10.0.0.0/16", 24)], &[], &[], &["a: 10.0.0.0/24", "b: 10.0.1.0/24"])]
#[case::what_is_left(&[("10.0.0.0/16", 24)], &[], &["10.0.0.0/24", "10.0.2.0/24"], &["a: 10.0.1.0/24", "b: 10.0.3.0/24"])]
#[case::not_what_is_reserved(&[("10.0.0.0/16", 24)], &["10.0.0.0/23"], &[], &["a: 10.0.2.0/24", "b: 10.0.3.0/24"])]
#[case::parts_of_other_sizes(&[("10.0.0.0/16", 24)], &[], &["10.0.1.128/25", "10.0.2.0/23"], &["a: 10.0.0.0/24", "b: 10.0.4.0/24"])]
#[case::of_both_families(
    &[("10.0.0.0/16", 24), ("fd00::/56", 64)], &[], &["10.0.0.0/24", "fd00::/64"],
    &["a: 10.0.1.0/24 fd00:0:0:1::/64", "b: 10.0.2.0/24 fd00:0:0:2::/64"]
)]
#[case::nothing_is_left_for_one(&[("10.0.0.0/23", 24)], &[], &["10.0.0.0/24"], &["a: 10.0.1.0/24", "b: -"])]
#[case::all_or_nothing(&[("10.0.0.0/16", 24), ("fd00::/64", 64)], &[], &["fd00::/64"], &["a: -", "b: -"])]
#[case::all_there_is(&[("0.0.0.0/0", 0)], &[], &[], &["a: 0.0.0.0/0", "b: -"])]
#[case::all_there_is_of_the_other_family(&[("::/0", 0)], &[], &[], &["a: ::/0", "b: -"])]
fn nodes_without_parts_get(
    #[case] all: &[(&str, u8)],
    #[case] reserved: &[&str],
    #[case] taken: &[&str],
    #[case] expected: &[&str],
) {
    let mut nodes = vec![node("a", &[]), node("b", &[])];
    nodes.extend(taken.iter().map(|part| node(part, &[part])));
    assert_eq!(given(&ranges(all, reserved), &nodes, &mut Memory::default()), expected);
}

#[test]
fn a_promise_holds_until_the_node_has_it_or_is_gone() {
    let (ranges, mut memory) = (ranges(&[("10.0.0.0/22", 24)], &[]), Memory::default());
    assert_eq!(given(&ranges, &[node("a", &[])], &mut memory), ["a: 10.0.0.0/24"]);
    let both = given(&ranges, &[node("a", &[]), node("b", &[])], &mut memory);
    assert_eq!(both, ["a: 10.0.0.0/24", "b: 10.0.1.0/24"], "the answer for a was lost");
    assert_eq!(given(&ranges, &[node("c", &[])], &mut memory), ["c: 10.0.2.0/24"]);
}

#[test]
fn a_part_that_becomes_free_is_given_out_last() {
    let (ranges, mut memory) = (ranges(&[("10.0.0.0/22", 24)], &[]), Memory::default());
    let mut last = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"] {
        last = given(&ranges, &[node("x", &["10.0.3.0/24"]), node(name, &[])], &mut memory);
    }
    assert_eq!(last, ["f: 10.0.2.0/24"], "round twice, without the part of x");
}

#[test]
fn a_range_must_have_such_parts() {
    let new = |cluster: &str, prefix| NodeRange::new(cluster.parse().unwrap(), prefix).map(|_| ());
    assert_eq!(new("10.0.0.0/24", 24), Ok(()));
    assert_eq!(new("10.0.0.0/24", 23).unwrap_err().to_string(), "10.0.0.0/24 has no parts of /23");
    assert!(new("10.0.0.0/24", 33).is_err() && new("fd00::/48", 64).is_ok());
}

proptest! {
    /// Nodes come and go; whatever happens, nobody's parts overlap, and nobody lacks one while there are some.
    #[test]
    fn parts_are_apart(moves in prop::collection::vec((0usize..12, any::<bool>()), 1..60)) {
        let (ranges, mut memory) = (ranges(&[("10.0.0.0/21", 24)], &["10.0.2.0/24"]), Memory::default());
        let mut nodes: BTreeMap<usize, Arc<Node>> = BTreeMap::new();
        for (index, comes) in moves {
            if comes {
                nodes.entry(index).or_insert_with(|| node(&index.to_string(), &[]));
            } else {
                nodes.remove(&index);
            }
            let all: Vec<_> = nodes.values().cloned().collect();
            let Plan { give, lacking } = plan(&ranges, &all, &mut memory);
            prop_assert_eq!(lacking.len(), nodes.len().saturating_sub(7));
            for (node, parts) in give {
                let mut changed = (*node).clone();
                let spec = changed.spec.get_or_insert_default();
                spec.pod_cidrs = Some(parts.iter().map(ToString::to_string).collect());
                nodes.insert(node.name_any().parse().unwrap(), Arc::new(changed));
            }
            let mut all: Vec<_> = nodes.values().flat_map(|node| parts(node).to_vec()).collect();
            let count = all.len();
            all.sort();
            all.dedup();
            prop_assert!(all.len() == count && !all.contains(&"10.0.2.0/24".to_owned()));
        }
    }
}
