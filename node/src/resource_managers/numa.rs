//! NUMA nodes, and which of them something is best taken from.
//!
//! Whoever gives something of which each node has some says by hints which sets of nodes have enough. A hint is preferred if
//! no smaller set of nodes could ever have enough; hints about several things are merged to the set of nodes that serves all.

use std::collections::BTreeSet;

use super::settings::TopologyPolicy;

/// A set of NUMA nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NumaNodes(u64);

/// A set of nodes that has enough of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hint {
    /// The nodes; `None` if any will do.
    pub(crate) nodes: Option<NumaNodes>,
    /// Whether no smaller set could ever have enough.
    pub(crate) preferred: bool,
}

/// What is known of one thing: hints, or that it does not matter where it is from.
pub(crate) type Hints = Option<Vec<Hint>>;

impl NumaNodes {
    /// The node of this number, if it is one.
    pub(crate) fn of(id: i64) -> Self {
        let bit = u32::try_from(id).ok().and_then(|id| 1_u64.checked_shl(id));
        Self(bit.unwrap_or(0))
    }

    /// Those of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub(crate) fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Their numbers.
    pub(crate) fn ids(self) -> impl Iterator<Item = u32> {
        (0..u64::BITS).filter(move |id| self.0 & (1_u64 << *id) != 0)
    }

    /// All sets of these nodes but the empty one.
    pub(crate) fn subsets(self) -> impl Iterator<Item = Self> {
        let below = move |set: &u64| Some((set.wrapping_sub(1)) & self.0).filter(|next| *next != 0);
        std::iter::successors(Some(self.0).filter(|all| *all != 0), below).map(Self)
    }
}

impl FromIterator<Self> for NumaNodes {
    fn from_iter<I: IntoIterator<Item = Self>>(nodes: I) -> Self {
        nodes.into_iter().fold(Self::default(), |all, one| Self(all.0 | one.0))
    }
}

/// Hints about so much of something, given how much of it sets of nodes have, and how much of that is free.
pub(crate) fn hints(
    all: NumaNodes,
    wanted: usize,
    total: impl Fn(NumaNodes) -> usize,
    free: impl Fn(NumaNodes) -> usize,
) -> Vec<Hint> {
    let fewest = all.subsets().filter(|nodes| total(*nodes) >= wanted).map(NumaNodes::count).min();
    let enough = all.subsets().filter(|nodes| free(*nodes) >= wanted);
    enough.map(|nodes| Hint { nodes: Some(nodes), preferred: Some(nodes.count()) == fewest }).collect()
}

/// Nothing can be taken from the same nodes, and the policy wants that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAligned;

/// The nodes to take everything from, as far as there is a choice.
pub(crate) fn merge(
    policy: TopologyPolicy,
    all: NumaNodes,
    lists: &[Hints],
) -> Result<Option<NumaNodes>, NotAligned> {
    if policy == TopologyPolicy::None {
        return Ok(None);
    }
    let lists: Vec<Vec<Hint>> = lists.iter().map(|hints| of_one(policy, hints)).collect();
    let best = best(all, &lists);
    let admitted = policy == TopologyPolicy::BestEffort || best.preferred;
    let nodes = best.nodes.filter(|nodes| policy != TopologyPolicy::SingleNumaNode || *nodes != all);
    if admitted { Ok(nodes) } else { Err(NotAligned) }
}

/// The hints that count: what does not matter is no reason against anything, what cannot be had is one.
fn of_one(policy: TopologyPolicy, hints: &Hints) -> Vec<Hint> {
    let list = match hints.as_deref() {
        None => vec![Hint { nodes: None, preferred: true }],
        Some([]) => vec![Hint { nodes: None, preferred: false }],
        Some(list) => list.to_vec(),
    };
    let is_single = |hint: &Hint| hint.preferred && hint.nodes.is_none_or(|nodes| nodes.count() == 1);
    match policy {
        TopologyPolicy::SingleNumaNode => list.into_iter().filter(is_single).collect(),
        TopologyPolicy::None | TopologyPolicy::BestEffort | TopologyPolicy::Restricted => list,
    }
}

/// The best of what one hint from each list have in common.
fn best(all: NumaNodes, lists: &[Vec<Hint>]) -> Hint {
    let mut merged = BTreeSet::from([Hint { nodes: None, preferred: true }]);
    for list in lists {
        merged = merged.iter().flat_map(|one| list.iter().map(|other| both(*one, *other))).collect();
    }
    let smallest = |list: &Vec<Hint>| {
        let preferred = list.iter().filter(|hint| hint.preferred);
        preferred.filter_map(|hint| hint.nodes).map(NumaNodes::count).min()
    };
    // Where nothing is preferred, as many nodes as the neediest of all needs are the best.
    let needed = lists.iter().filter_map(smallest).max().unwrap_or(0);
    let of_all = |hint: Hint| Hint { nodes: Some(hint.nodes.unwrap_or(all)), ..hint };
    let rank = |hint: &Hint| {
        let nodes = hint.nodes.unwrap_or(all);
        let count = nodes.count();
        let distance = match (hint.preferred, count < needed) {
            (true, _) => 0,
            (false, true) => needed - count,
            (false, false) if count == needed => 0,
            (false, false) => needed + count,
        };
        (!hint.preferred, distance, count, nodes)
    };
    let some =
        merged.into_iter().map(of_all).filter(|hint| hint.nodes.is_some_and(|nodes| !nodes.is_empty()));
    some.min_by_key(rank).unwrap_or(Hint { nodes: Some(all), preferred: false })
}

/// What two hints have in common; nodes are preferred only if both prefer the same.
fn both(one: Hint, other: Hint) -> Hint {
    let preferred = one.preferred && other.preferred;
    match (one.nodes, other.nodes) {
        (Some(a), Some(b)) => Hint { nodes: Some(a.and(b)), preferred: preferred && a == b },
        (a, b) => Hint { nodes: a.or(b), preferred },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::TopologyPolicy::{BestEffort, Restricted, SingleNumaNode};
    use super::*;

    const ALL: NumaNodes = NumaNodes(0b11);

    fn hint(nodes: u64, preferred: bool) -> Hint {
        Hint { nodes: Some(NumaNodes(nodes)), preferred }
    }

    #[test]
    fn the_fewest_nodes_that_could_have_enough_are_preferred() {
        let each = |nodes: NumaNodes, of: usize| nodes.count() as usize * of;
        let found = hints(ALL, 3, |nodes| each(nodes, 4), |nodes| each(nodes, 2));
        assert_eq!(found, [hint(0b11, false)], "one node would do, if it was free");
        let found = hints(ALL, 2, |nodes| each(nodes, 4), |nodes| each(nodes, 2));
        assert_eq!(found, [hint(0b11, false), hint(0b10, true), hint(0b01, true)]);
    }

    #[rstest]
    #[case::in_common(&[vec![hint(1, true), hint(2, true)], vec![hint(2, true)]], Some(2), Some(2), Some(2))]
    #[case::apart(&[vec![hint(1, true)], vec![hint(2, true), hint(3, false)]], Some(1), None, None)]
    #[case::both_need_two(&[vec![hint(3, true)]], Some(3), Some(3), None)]
    #[case::nothing_to_be_had(&[vec![]], Some(3), None, None)]
    fn policies_take_what_they_say(
        #[case] lists: &[Vec<Hint>],
        #[case] best_effort: Option<u64>,
        #[case] restricted: Option<u64>,
        #[case] single: Option<u64>,
    ) {
        let lists: Vec<Hints> = lists.iter().cloned().map(Some).chain([None]).collect();
        let of = |policy| merge(policy, ALL, &lists).ok().map(|nodes| nodes.unwrap_or_default().0);
        assert_eq!((of(BestEffort), of(Restricted), of(SingleNumaNode)), (best_effort, restricted, single));
        assert_eq!(merge(TopologyPolicy::None, ALL, &lists), Ok(None));
    }

    #[test]
    fn a_machine_of_one_node_takes_all_that_fits() {
        let one = NumaNodes(1);
        assert_eq!(merge(SingleNumaNode, one, &[Some(vec![hint(1, true)])]), Ok(None));
        assert_eq!(merge(SingleNumaNode, one, &[]), Ok(None));
    }

    /// Every choice of one hint from each list, as upstream goes through them.
    fn all_choices(lists: &[Vec<Hint>]) -> Vec<Vec<Hint>> {
        lists.iter().fold(vec![Vec::new()], |choices, list| {
            let with = |choice: &Vec<Hint>, hint: &Hint| choice.iter().chain([hint]).copied().collect();
            choices.iter().flat_map(|choice| list.iter().map(move |hint| with(choice, hint))).collect()
        })
    }

    proptest! {
        #[test]
        fn a_preferred_choice_is_found_if_there_is_one(
            lists in proptest::collection::vec(
                proptest::collection::vec((1_u64..8, any::<bool>()).prop_map(|(nodes, preferred)| hint(nodes, preferred)), 0..4),
                1..4,
            )
        ) {
            let preferred = all_choices(&lists).into_iter().filter(|choice| {
                choice.iter().all(|hint| hint.preferred && hint.nodes == choice[0].nodes)
            });
            let smallest = preferred.filter_map(|choice| choice[0].nodes).map(NumaNodes::count).min();
            let lists: Vec<Hints> = lists.into_iter().map(Some).collect();
            let merged = merge(Restricted, NumaNodes(7), &lists).ok().flatten();
            prop_assert_eq!(merged.map(NumaNodes::count), smallest);
        }
    }
}
