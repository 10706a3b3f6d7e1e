//! Random lives of DaemonSets: whatever happens to nodes and Pods, limits hold, and all comes to rest where it should.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{node, now, pod, rolling, set};
use super::*;

const NODES: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Step {
    Reconcile,
    /// A Pod gets on: is bound, becomes ready, or is gone if it was going.
    GetsOn(usize),
    Breaks(usize),
    Fails(usize),
    /// A node comes, goes, or gets a taint against new Pods or against all.
    Node(usize, &'static str),
    Template,
}

fn step() -> impl Strategy<Value = Step> {
    let mark = prop::sample::select(vec!["", "", "-", "t", "e"]);
    prop_oneof![
        6 => Just(Step::Reconcile),
        9 => (0..8_usize).prop_map(Step::GetsOn),
        1 => (0..8_usize).prop_map(Step::Breaks),
        1 => (0..8_usize).prop_map(Step::Fails),
        1 => (0..4_usize, mark).prop_map(|(index, mark)| Step::Node(index, mark)),
        1 => Just(Step::Template),
    ]
}

#[derive(Clone, Debug)]
struct State {
    number: usize,
    node: String,
    is: &'static str,
    of: usize,
}

struct Cluster {
    set: DaemonSet,
    template: usize,
    /// `-` for none.
    nodes: [&'static str; 4],
    pods: Vec<State>,
    made: usize,
}

impl Cluster {
    fn here(&self) -> Vec<Arc<Node>> {
        let here = NODES.iter().zip(self.nodes).filter(|(_, mark)| *mark != "-");
        here.map(|(name, mark)| node(&format!("{name}:{mark}"))).collect()
    }

    fn plan(&self, with: impl Fn(&World<'_>) -> Plan) -> Plan {
        let words = |state: &State| {
            let of = if state.of == self.template { "new".to_owned() } else { format!("old{}", state.of) };
            pod(&self.set, state.number, &format!("{}:{}@{of}", state.node, state.is))
        };
        let (nodes, pods) = (self.here(), self.pods.iter().map(words).collect::<Vec<_>>());
        with(&World { set: &self.set, hash: "new", nodes: &nodes, pods: &pods, now: now() })
    }

    /// On how many of the nodes where one shall be a Pod serves, and how many these are.
    fn served(&self) -> (i32, i32) {
        let wanted: Vec<_> = NODES.iter().zip(self.nodes).filter(|(_, mark)| mark.is_empty()).collect();
        let serves = |name: &str| self.pods.iter().any(|state| state.node == name && state.is == "ready");
        let served = wanted.iter().filter(|(name, _)| serves(name)).count();
        (i32::try_from(served).unwrap(), i32::try_from(wanted.len()).unwrap())
    }

    fn apply(&mut self, plan: &Plan) {
        for gone in plan.delete.iter().chain(&plan.ended) {
            let name = gone.name_any();
            let state = self.pods.iter_mut().find(|state| format!("p{}", state.number) == name).unwrap();
            state.is = "going";
        }
        for node in &plan.create {
            self.made += 1;
            self.pods.push(State { number: self.made, node: node.clone(), is: "waiting", of: self.template });
        }
    }

    fn reconcile(&mut self, unavailable: i32, surge: i32) -> Result<bool, TestCaseError> {
        let planned = self.plan(manage);
        if !planned.is_empty() {
            self.apply(&planned);
            return Ok(true);
        }
        let (before, wanted) = self.served();
        let planned = self.plan(roll);
        self.apply(&planned);
        let (after, _) = self.served();
        let least = if surge > 0 { wanted } else { wanted - unavailable };
        prop_assert!(after >= least.min(before), "{after} of {wanted} serve, {before} did");
        prop_assert!(surge > 0 || planned.create.is_empty());
        Ok(!planned.is_empty())
    }

    fn take(&mut self, step: &Step, unavailable: i32, surge: i32) -> Result<(), TestCaseError> {
        match *step {
            Step::Reconcile => drop(self.reconcile(unavailable, surge)?),
            Step::GetsOn(index) => match self.pods.get(index).map(|state| state.is) {
                Some("going") => drop(self.pods.remove(index)),
                Some("waiting") if self.exists(index) => self.pods[index].is = "running",
                Some("running") => self.pods[index].is = "ready",
                // Those of a node that is gone are collected with it.
                Some(_) if !self.exists(index) => drop(self.pods.remove(index)),
                Some(_) | None => {}
            },
            Step::Breaks(index) => self.change(index, "ready", "running"),
            Step::Fails(index) => self.change(index, "running", "failed"),
            Step::Node(index, mark) => self.nodes[index] = mark,
            Step::Template => self.template += 1,
        }
        Ok(())
    }

    fn exists(&self, index: usize) -> bool {
        let name = self.pods[index].node.as_str();
        NODES.iter().zip(self.nodes).any(|(node, mark)| *node == name && mark != "-")
    }

    fn change(&mut self, index: usize, from: &str, to: &'static str) {
        if let Some(state) = self.pods.get_mut(index).filter(|state| state.is == from) {
            state.is = to;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_and_all_comes_to_rest(
        (unavailable, surge) in prop::sample::select(vec![(1, 0), (2, 0), (0, 1), (0, 2)]),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let set = set(&rolling(&json!(unavailable), &json!(surge)));
        let mut cluster = Cluster { set, template: 0, nodes: [""; 4], pods: Vec::new(), made: 0 };
        for step in steps {
            cluster.take(&step, unavailable, surge)?;
        }
        for _ in 0..60 {
            cluster.reconcile(unavailable, surge)?;
            for index in (0..cluster.pods.len()).rev() {
                cluster.take(&Step::GetsOn(index), unavailable, surge)?;
            }
        }
        prop_assert!(!cluster.reconcile(unavailable, surge)?, "it never comes to rest");
        for (name, mark) in NODES.iter().zip(cluster.nodes) {
            let there: Vec<_> = cluster.pods.iter().filter(|state| state.node == *name).collect();
            match mark {
                "" => {
                    prop_assert_eq!(there.len(), 1, "{:?}", there);
                    prop_assert!(there[0].is == "ready" && there[0].of == cluster.template, "{:?}", there);
                }
                // One that is there may stay.
                "t" => prop_assert!(there.len() <= 1, "{:?}", there),
                _ => prop_assert!(there.is_empty(), "{:?}", there),
            }
        }
    }
}
