//! A simulated world: random steps of controllers and nodes never break the limits of a rolling update, and the
//! update always ends.

use k8s_openapi::api::apps::v1::{ReplicaSetStatus, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use proptest::prelude::*;

use super::tests::{Fake, deployment, now, set_image};
use super::*;
use crate::deployment::limits::limits;

/// One step of the world.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The Deployment controller runs.
    Reconcile,
    /// The ReplicaSet controller creates or deletes the Pods of the set of this index.
    Replicas(usize),
    /// A Pod of the set of this index becomes available.
    Available(usize),
    /// The status of the set of this index is written.
    Report(usize),
    /// The user changes the image.
    Image(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Reconcile),
        4 => (0..4_usize).prop_map(Step::Replicas),
        6 => (0..4_usize).prop_map(Step::Available),
        6 => (0..4_usize).prop_map(Step::Report),
        1 => (0..3_u8).prop_map(Step::Image),
    ]
}

/// The Pods of one set as they are, which its status may lag behind.
#[derive(Clone, Copy, Default)]
struct Pods {
    all: i32,
    available: i32,
}

struct Cluster {
    fake: Fake,
    pods: Vec<Pods>,
}

impl Cluster {
    fn take(&mut self, step: Step) {
        self.pods.resize(self.fake.sets.len(), Pods::default());
        let count = self.fake.sets.len().max(1);
        match step {
            Step::Reconcile => drop(self.fake.step(now())),
            Step::Image(image) => set_image(&mut self.fake.deployment, &format!("v{image}")),
            Step::Replicas(index) => self.with(index % count, |pods, set| {
                pods.all = replicas(set);
                // Those that are not available are deleted first.
                pods.available = pods.available.min(pods.all);
            }),
            Step::Available(index) => {
                self.with(index % count, |pods, _| pods.available = (pods.available + 1).min(pods.all));
            }
            Step::Report(index) => self.with(index % count, |pods, set| {
                set.status = Some(ReplicaSetStatus {
                    replicas: pods.all,
                    available_replicas: Some(pods.available),
                    ready_replicas: Some(pods.available),
                    observed_generation: set.metadata.generation,
                    ..ReplicaSetStatus::default()
                });
            }),
        }
        self.pods.resize(self.fake.sets.len(), Pods::default());
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Pods, &mut ReplicaSet)) {
        if let (Some(pods), Some(set)) = (self.pods.get_mut(index), self.fake.sets.get_mut(index)) {
            change(pods, Arc::make_mut(set));
        }
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            for index in 0..self.fake.sets.len() {
                self.take(Step::Replicas(index));
                for _ in 0..20 {
                    self.take(Step::Available(index));
                }
                self.take(Step::Report(index));
            }
            self.take(Step::Reconcile);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn limits_hold_at_every_step(
        replicas in 1..8_i32,
        surge in 0..4_i32,
        unavailable in 0..4_i32,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut deployment = deployment(replicas);
        let rolling_update = RollingUpdateDeployment {
            max_surge: Some(IntOrString::Int(surge)),
            max_unavailable: Some(IntOrString::Int(unavailable)),
        };
        deployment.spec.as_mut().unwrap().strategy.as_mut().unwrap().rolling_update = Some(rolling_update);
        let bounds = limits(&deployment);
        let mut cluster = Cluster { fake: Fake::new(deployment), pods: Vec::new() };
        cluster.settle();
        for step in steps {
            cluster.take(step);
            // What is wanted bounds what is there; deletions that are still to come only make it less.
            let wanted: i32 = cluster.fake.sets.iter().map(|set| super::replicas(set)).sum();
            prop_assert!(wanted <= replicas + bounds.max_surge, "{wanted} Pods wanted");
            let available: i32 = cluster.pods.iter().map(|pods| pods.available).sum();
            prop_assert!(available >= replicas - bounds.max_unavailable, "{available} Pods available");
        }
        cluster.settle();
        prop_assert!(cluster.fake.plan(now()).actions.is_empty());
        let status = cluster.fake.deployment.status.clone().unwrap();
        prop_assert_eq!((status.updated_replicas, status.available_replicas), (Some(replicas), Some(replicas)));
    }
}

/// A set that shrinks reports Pods that are to go; going back to it at once must not count on them.
#[test]
fn going_back_to_a_shrinking_set_waits_for_its_new_pods() {
    use Step::{Available, Image, Reconcile, Replicas, Report};
    let mut deployment = deployment(1);
    let rolling_update = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(0)),
    };
    deployment.spec.as_mut().unwrap().strategy.as_mut().unwrap().rolling_update = Some(rolling_update);
    let mut cluster = Cluster { fake: Fake::new(deployment), pods: Vec::new() };
    cluster.settle();
    let forth = [Image(0), Reconcile, Replicas(1), Image(2), Available(1), Report(1), Reconcile, Report(3)];
    let back = [Image(1), Replicas(3), Reconcile, Replicas(1)];
    for step in forth.into_iter().chain(back) {
        cluster.take(step);
        assert!(cluster.pods.iter().map(|pods| pods.available).sum::<i32>() >= 1, "{step:?}");
    }
}
