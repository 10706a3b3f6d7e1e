//! Which processors are taken: whole NUMA nodes, sockets and cores where so many are wanted, else those that leave the most of
//! these whole.

use wherry_runtime_api::CpuSet;

use super::super::numa::NumaNodes;
use super::super::topology::{Place, Topology};

/// So many of the free ones, those of the nodes first; `None` if there are too few.
pub(super) fn take(
    topology: &Topology,
    free: &CpuSet,
    count: usize,
    nodes: Option<NumaNodes>,
) -> Option<CpuSet> {
    if free.len() < count {
        return None;
    }
    let near = nodes.map_or_else(CpuSet::default, |nodes| free.intersection(&topology.of_nodes(nodes)));
    let first = pack(topology, &near, count.min(near.len()));
    let rest = pack(topology, &free.without(&first), count - first.len());
    Some(first.union(&rest))
}

/// What a processor has in common with the others of a part of the machine.
type Part = fn(&Place) -> (NumaNodes, Option<u32>, Option<u32>);

/// Parts of the machine, from large to small.
const PARTS: [Part; 3] = [
    |place| (place.node, None, None),
    |place| (place.node, Some(place.socket), None),
    |place| (place.node, Some(place.socket), Some(place.core)),
];

fn pack(topology: &Topology, free: &CpuSet, count: usize) -> CpuSet {
    let mut taken = CpuSet::default();
    for part in PARTS {
        let in_part = |cpus: &CpuSet, cpu: u32| -> CpuSet {
            let same = |other: &u32| {
                let places = (topology.place(*other), topology.place(cpu));
                matches!(places, (Some(other), Some(cpu)) if part(&other) == part(&cpu))
            };
            cpus.iter().filter(same).collect()
        };
        let all = topology.cpus();
        for cpu in in_order(topology, free) {
            let whole = in_part(&all, cpu);
            let is_free = whole.is_subset(&free.without(&taken));
            if !whole.is_empty() && is_free && taken.len() + whole.len() <= count {
                taken = taken.union(&whole);
            }
        }
    }
    let single = in_order(topology, &free.without(&taken));
    let rest = single.into_iter().take(count - taken.len()).collect();
    taken.union(&rest)
}

/// The free ones, first those of parts of which the least is free.
fn in_order(topology: &Topology, free: &CpuSet) -> Vec<u32> {
    let free_in = |cpu: u32, part: Part| {
        let of = |cpu| topology.place(cpu).map(|place| part(&place));
        free.iter().filter(|other| of(*other) == of(cpu)).count()
    };
    let mut cpus: Vec<u32> = free.iter().collect();
    cpus.sort_by_cached_key(|cpu| (PARTS.map(|part| free_in(*cpu, part)), *cpu));
    cpus
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::super::testing::two_nodes;
    use super::*;

    /// Two nodes of two cores of two threads: node 0 has 0-3, node 1 has 4-7; cores are 0-1, 2-3 and so on.
    #[rstest]
    #[case::a_whole_node("0-7", 4, None, "0-3")]
    #[case::a_whole_core_of_the_fuller_node("1-7", 2, None, "2-3")]
    #[case::a_thread_whose_core_is_broken("1-7", 1, None, "1")]
    #[case::of_the_node_that_is_wanted("0-7", 2, Some(1), "4-5")]
    #[case::more_than_the_node_has("2-7", 3, Some(0), "2-3,4")]
    #[case::a_core_and_a_thread("0-7", 3, None, "0-2")]
    fn processors_are_packed(
        #[case] free: CpuSet,
        #[case] count: usize,
        #[case] node: Option<i64>,
        #[case] expected: CpuSet,
    ) {
        assert_eq!(take(&two_nodes(), &free, count, node.map(NumaNodes::of)), Some(expected));
    }

    proptest! {
        #[test]
        fn as_many_are_taken_as_are_wanted(cpus in proptest::collection::btree_set(0_u32..8, 0..8), count in 0_usize..9, node in 0_i64..2) {
            let free: CpuSet = cpus.into_iter().collect();
            let taken = take(&two_nodes(), &free, count, Some(NumaNodes::of(node)));
            prop_assert_eq!(taken.is_some(), count <= free.len());
            let taken = taken.unwrap_or_default();
            prop_assert!(taken.is_subset(&free) && (taken.len() == count || taken.is_empty()));
        }
    }
}
