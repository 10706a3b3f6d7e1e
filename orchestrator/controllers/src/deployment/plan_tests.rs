//! Tests of single plans: what a Deployment in a given state needs next.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{
    DeploymentCondition, DeploymentSpec, DeploymentStrategy, ReplicaSetStatus, RollingUpdateDeployment,
};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::ObjectMeta;
use rstest::rstest;

use super::*;
use crate::deployment::revision::{DESIRED, MAX, REVISION};

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

fn later(seconds: u64) -> Timestamp {
    now().checked_add(Duration::from_secs(seconds)).unwrap()
}

pub(super) fn template(image: &str) -> PodTemplateSpec {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let container = Container { name: "c".into(), image: Some(image.into()), ..Container::default() };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
        spec: Some(PodSpec { containers: vec![container], ..PodSpec::default() }),
    }
}

/// A Deployment `web` of image `v1` with surge and loss of one Pod each.
pub(super) fn deployment(replicas: i32) -> Deployment {
    let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
    let rolling_update = RollingUpdateDeployment {
        max_surge: Some(IntOrString::Int(1)),
        max_unavailable: Some(IntOrString::Int(1)),
    };
    let spec = DeploymentSpec {
        replicas: Some(replicas),
        template: template("v1"),
        selector: LabelSelector { match_labels: Some(labels), match_expressions: None },
        strategy: Some(DeploymentStrategy { type_: None, rolling_update: Some(rolling_update) }),
        progress_deadline_seconds: Some(600),
        revision_history_limit: Some(10),
        ..DeploymentSpec::default()
    };
    let metadata = ObjectMeta {
        name: Some("web".into()),
        namespace: Some("ns".into()),
        uid: Some("web-uid".into()),
        generation: Some(1),
        ..ObjectMeta::default()
    };
    Deployment { metadata, spec: Some(spec), status: None }
}

pub(super) fn set_image(deployment: &mut Deployment, image: &str) {
    deployment.spec.as_mut().unwrap().template = template(image);
    *deployment.metadata.generation.as_mut().unwrap() += 1;
}

fn edit(deployment: &mut Deployment, change: impl FnOnce(&mut DeploymentSpec)) {
    change(deployment.spec.as_mut().unwrap());
}

/// What a fake API server and fake ReplicaSet controller make of the plan's actions.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) deployment: Deployment,
    pub(super) sets: Vec<Arc<ReplicaSet>>,
    created: i64,
}

impl Fake {
    pub(super) fn new(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), created: 0 }
    }

    pub(super) fn plan(&self, at: Timestamp) -> Plan {
        plan(&World { deployment: &self.deployment, sets: &self.sets, pods: &[], now: at })
    }

    /// Plans and applies once; returns what was done, in words.
    pub(super) fn step(&mut self, at: Timestamp) -> Vec<String> {
        let actions = self.plan(at).actions;
        actions.into_iter().map(|action| self.apply(action)).collect()
    }

    fn apply(&mut self, action: Action) -> String {
        match action {
            Action::Create(mut set) => {
                self.created += 1;
                set.metadata.uid = Some(format!("set-{}", self.created));
                set.metadata.creation_timestamp = Some(Time(later(self.created.unsigned_abs())));
                set.metadata.generation = Some(1);
                let words = format!("create {}", replicas(&set));
                self.sets.push(Arc::new(*set));
                words
            }
            Action::Update { mut set, scaled_from } => {
                *set.metadata.generation.as_mut().unwrap() += 1;
                let words = match scaled_from {
                    Some(from) => format!("scale {} {from}>{}", image_of(&set), replicas(&set)),
                    None => format!("update {}", image_of(&set)),
                };
                let held = self.sets.iter_mut().find(|held| held.metadata.name == set.metadata.name);
                *held.unwrap() = Arc::new(*set);
                words
            }
            Action::Delete(set) => {
                self.sets.retain(|held| held.metadata.name != set.metadata.name);
                format!("delete {}", image_of(&set))
            }
            Action::Revision(revision) => {
                let annotations = self.deployment.metadata.annotations.get_or_insert_default();
                annotations.insert(REVISION.to_owned(), revision.clone());
                format!("revision {revision}")
            }
            Action::Status(status) => {
                self.deployment.status = Some(*status);
                "status".to_owned()
            }
        }
    }

    /// Lets the ReplicaSet controller and the nodes finish: every set has its Pods and all are available.
    pub(super) fn settle(&mut self) {
        for set in &mut self.sets {
            let count = Some(replicas(set)).filter(|count| *count > 0);
            Arc::make_mut(set).status = Some(ReplicaSetStatus {
                replicas: count.unwrap_or(0),
                ready_replicas: count,
                available_replicas: count,
                observed_generation: set.metadata.generation,
                ..ReplicaSetStatus::default()
            });
        }
    }

    /// Steps and settles until nothing is left to do; returns what was done to sets.
    pub(super) fn finish(&mut self, at: Timestamp) -> Vec<String> {
        let mut done = Vec::new();
        for _ in 0..100 {
            let words = self.step(at);
            if words.is_empty() {
                return done;
            }
            done.extend(words.into_iter().filter(|word| word != "status"));
            self.settle();
        }
        panic!("no end after {done:?}");
    }

    fn condition(&self, type_: &str) -> DeploymentCondition {
        let status = self.deployment.status.as_ref().unwrap();
        let conditions = status.conditions.as_ref().unwrap();
        conditions.iter().find(|condition| condition.type_ == type_).unwrap().clone()
    }

    fn reason(&self, type_: &str) -> String {
        let condition = self.condition(type_);
        format!("{} {}", condition.status, condition.reason.unwrap())
    }

    fn set_of(&self, image: &str) -> &ReplicaSet {
        self.sets.iter().find(|set| image_of(set) == image).unwrap()
    }
}

fn image_of(set: &ReplicaSet) -> String {
    let template = set.spec.as_ref().unwrap().template.as_ref().unwrap();
    template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

#[test]
fn a_new_deployment_creates_its_set() {
    let mut fake = Fake::new(deployment(3));
    assert_eq!(fake.step(now()), ["create 3", "revision 1", "status"]);
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetCreated");
    assert_eq!(fake.reason("Available"), "False MinimumReplicasUnavailable");
    let set = &fake.sets[0];
    let hash = set.metadata.labels.as_ref().unwrap()["pod-template-hash"].clone();
    assert_eq!(set.metadata.name, Some(format!("web-{hash}")));
    assert_eq!(set.spec.as_ref().unwrap().selector.match_labels.as_ref().unwrap()["pod-template-hash"], hash);
    assert_eq!(set.metadata.owner_references.as_ref().unwrap()[0].uid, "web-uid");
    let annotations = set.metadata.annotations.as_ref().unwrap();
    assert_eq!(
        (annotations[REVISION].as_str(), annotations[DESIRED].as_str(), annotations[MAX].as_str()),
        ("1", "3", "4")
    );

    fake.settle();
    assert_eq!(fake.step(now()), ["status"]);
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetAvailable");
    assert_eq!(fake.reason("Available"), "True MinimumReplicasAvailable");
    let message = fake.condition("Progressing").message.unwrap();
    assert_eq!(message, format!("ReplicaSet \"web-{hash}\" has successfully progressed."));
    let status = fake.deployment.status.as_ref().unwrap();
    assert_eq!(
        (status.replicas, status.updated_replicas, status.unavailable_replicas),
        (Some(3), Some(3), None)
    );
    assert_eq!(fake.plan(now()), Plan { actions: vec![], look_again: None });
}

#[test]
fn an_update_rolls_within_its_limits() {
    let mut fake = Fake::new(deployment(3));
    fake.finish(now());
    set_image(&mut fake.deployment, "v2");
    assert_eq!(fake.step(now()), ["create 1", "scale v1 3>2", "revision 2", "status"]);
    assert_eq!(fake.step(now()), ["scale v2 1>2", "status"], "the surge is used up");
    assert_eq!(fake.step(now()), [] as [&str; 0], "nothing moves before the Pods do");
    fake.settle();
    assert_eq!(fake.finish(now()), ["scale v1 2>0", "scale v2 2>3"]);
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn pods_that_serve_nobody_go_first() {
    let mut fake = Fake::new(deployment(4));
    fake.finish(now());
    let broken = Arc::make_mut(&mut fake.sets[0]).status.as_mut().unwrap();
    broken.available_replicas = Some(2);
    broken.ready_replicas = Some(2);
    set_image(&mut fake.deployment, "v2");
    let done = fake.step(now());
    // All in all 5, of which 1 is new and unavailable; at least 3 must stay, so 1 of the broken ones may go.
    assert_eq!(done[..2], ["create 1", "scale v1 4>3"]);
}

#[test]
fn recreate_waits_for_the_last_old_pod() {
    let mut fake = Fake::new(deployment(2));
    edit(&mut fake.deployment, |spec| {
        spec.strategy = Some(DeploymentStrategy { type_: Some("Recreate".into()), rolling_update: None });
    });
    // Without sets there is nothing to wait for.
    assert_eq!(fake.step(now())[0], "create 2");
    fake.settle();
    fake.step(now());
    set_image(&mut fake.deployment, "v2");
    assert_eq!(fake.step(now())[0], "scale v1 2>0");
    assert_eq!(fake.step(now()), [] as [&str; 0]);
    fake.settle();
    let owner = OwnerReference { uid: "set-1".into(), controller: Some(true), ..OwnerReference::default() };
    let metadata = ObjectMeta {
        owner_references: Some(vec![owner]),
        deletion_timestamp: Some(Time(now())),
        ..ObjectMeta::default()
    };
    let pod = Arc::new(Pod { metadata, ..Pod::default() });
    let world = World { deployment: &fake.deployment, sets: &fake.sets, pods: &[pod], now: now() };
    assert!(!plan(&world).actions.iter().any(|action| matches!(action, Action::Create(_))));
    assert_eq!(fake.step(now())[0], "create 2");
}

#[test]
fn an_undo_brings_back_the_old_set_as_a_new_revision() {
    let mut fake = Fake::new(deployment(1));
    fake.deployment.metadata.annotations =
        Some(BTreeMap::from([("kubernetes.io/change-cause".to_owned(), "first".to_owned())]));
    fake.finish(now());
    let cause = ("kubernetes.io/change-cause".to_owned(), "second".to_owned());
    fake.deployment.metadata.annotations.as_mut().unwrap().extend([cause]);
    set_image(&mut fake.deployment, "v2");
    fake.finish(now());
    let annotations = |fake: &Fake, image: &str| fake.set_of(image).metadata.annotations.clone().unwrap();
    assert_eq!(annotations(&fake, "v1")["kubernetes.io/change-cause"], "first");
    assert_eq!(annotations(&fake, "v2")["kubernetes.io/change-cause"], "second");

    set_image(&mut fake.deployment, "v1");
    let done = fake.finish(now());
    assert!(!done.iter().any(|word| word.starts_with("create")), "{done:?}");
    assert_eq!(annotations(&fake, "v1")[REVISION], "3");
    assert_eq!(annotations(&fake, "v1")["deployment.kubernetes.io/revision-history"], "1");
    assert_eq!(fake.deployment.metadata.annotations.as_ref().unwrap()[REVISION], "3");
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn history_keeps_only_so_many() {
    let mut fake = Fake::new(deployment(1));
    edit(&mut fake.deployment, |spec| spec.revision_history_limit = Some(1));
    for image in ["v1", "v2", "v3", "v4"] {
        set_image(&mut fake.deployment, image);
        fake.finish(now());
    }
    let mut images: Vec<_> = fake.sets.iter().map(|set| image_of(set)).collect();
    images.sort();
    assert_eq!(images, ["v3", "v4"]);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut fake = Fake::new(deployment(2));
    fake.finish(now());
    edit(&mut fake.deployment, |spec| spec.paused = Some(true));
    set_image(&mut fake.deployment, "v2");
    assert_eq!(fake.finish(now()), [] as [&str; 0]);
    assert_eq!(fake.reason("Progressing"), "Unknown DeploymentPaused");
    edit(&mut fake.deployment, |spec| spec.replicas = Some(5));
    assert_eq!(fake.finish(now()), ["scale v1 2>5"]);
    edit(&mut fake.deployment, |spec| spec.paused = None);
    assert_eq!(fake.step(now())[0], "create 1");
    fake.finish(now());
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[rstest]
#[case::grow(10, 20, &["scale v1 8>15", "scale v2 3>6"])]
#[case::shrink(10, 5, &["scale v1 8>4", "scale v2 3>2"])]
#[case::to_nothing(10, 0, &["scale v1 8>0", "scale v2 3>0"])]
fn a_new_size_in_the_middle_of_an_update_is_spread(
    #[case] from: i32,
    #[case] to: i32,
    #[case] expected: &[&str],
) {
    let mut fake = Fake::new(deployment(from));
    fake.finish(now());
    set_image(&mut fake.deployment, "v2");
    for size in [("v1", 8), ("v2", 3)] {
        while fake.sets.iter().all(|set| image_of(set) != size.0) {
            fake.step(now());
        }
        let set = fake.sets.iter_mut().find(|set| image_of(set) == size.0).unwrap();
        Arc::make_mut(set).spec.as_mut().unwrap().replicas = Some(size.1);
    }
    edit(&mut fake.deployment, |spec| spec.replicas = Some(to));
    let mut done = fake.step(now());
    done.retain(|word| word.starts_with("scale"));
    done.sort();
    assert_eq!(done, expected);
}

#[test]
fn lack_of_progress_is_noticed_in_time() {
    let mut fake = Fake::new(deployment(1));
    fake.step(now());
    let plan = fake.plan(later(100));
    assert_eq!((plan.actions.len(), plan.look_again), (0, Some(Duration::from_secs(501))));
    assert_eq!(fake.step(later(601)), ["status"]);
    assert_eq!(fake.reason("Progressing"), "False ProgressDeadlineExceeded");
    assert_eq!(fake.plan(later(9000)), Plan { actions: vec![], look_again: None });
    fake.settle();
    fake.step(later(9001));
    assert_eq!(fake.reason("Progressing"), "True NewReplicaSetAvailable");
}

#[test]
fn a_failure_to_create_pods_is_passed_on() {
    let mut fake = Fake::new(deployment(1));
    fake.step(now());
    let failure = serde_json::json!({ "replicas": 0, "conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota" }] });
    Arc::make_mut(&mut fake.sets[0]).status = Some(serde_json::from_value(failure).unwrap());
    fake.step(now());
    assert_eq!(fake.reason("ReplicaFailure"), "True FailedCreate");
    fake.settle();
    fake.finish(now());
    let conditions = fake.deployment.status.unwrap().conditions.unwrap();
    assert!(conditions.iter().all(|condition| condition.type_ != "ReplicaFailure"));
}

#[test]
fn a_deployment_being_deleted_only_counts() {
    let mut fake = Fake::new(deployment(2));
    fake.finish(now());
    fake.deployment.metadata.deletion_timestamp = Some(Time(now()));
    set_image(&mut fake.deployment, "v2");
    assert_eq!(fake.step(now()), ["status"]);
}
