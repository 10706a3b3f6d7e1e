//! Which revision Pods are to be of: the one of the set's template, and the one before while an update is under way.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use kube::ResourceExt;

use super::StatefulSetController;
use super::plan::Revision;
use crate::objects::history::{self, Created, Snapshot};
use crate::runtime::error::ReconcileError;

/// The label that repeats the hash of a revision.
const HASH: &str = "controller.kubernetes.io/hash";

/// What the set's template asks of its history.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// It is the latest revision.
    Latest(Arc<ControllerRevision>),
    /// It is an older one, which becomes the latest again.
    Again(Arc<ControllerRevision>, i64),
    /// It is none yet.
    New(i64),
}

/// Decides about revisions, oldest first.
pub(super) fn decide(set: &StatefulSet, revisions: &[Arc<ControllerRevision>]) -> Wanted {
    let snapshot = Snapshot::of(&set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default());
    let next = revisions.last().map_or(0, |latest| latest.revision) + 1;
    match revisions.iter().rposition(|revision| snapshot.is_in(revision)) {
        Some(index) if index + 1 == revisions.len() => Wanted::Latest(revisions[index].clone()),
        Some(index) => Wanted::Again(revisions[index].clone(), next),
        None => Wanted::New(next),
    }
}

/// The revisions of a set and how often names collided.
pub(super) struct Revisions {
    pub(super) current: Revision,
    pub(super) update: Revision,
    pub(super) collisions: i32,
}

impl StatefulSetController {
    /// Brings the history up to date with the set's template.
    pub(super) async fn revisions(
        &self,
        set: &StatefulSet,
        all: &[Arc<ControllerRevision>],
    ) -> Result<Revisions, ReconcileError> {
        let status = set.status.as_ref();
        let mut collisions = status.and_then(|status| status.collision_count).unwrap_or(0);
        let update = match decide(set, all) {
            Wanted::Latest(revision) => revision,
            Wanted::Again(revision, number) => {
                let renumbered = ControllerRevision { revision: number, ..(*revision).clone() };
                self.history.update(&renumbered).await?
            }
            Wanted::New(number) => self.create_revision(set, number, &mut collisions).await?,
        };
        let current = status.and_then(|status| status.current_revision.as_deref());
        let current = all.iter().find(|revision| Some(revision.name_any().as_str()) == current);
        let read = |revision: &ControllerRevision| Revision {
            name: revision.name_any(),
            template: history::template_of(revision).unwrap_or_default(),
        };
        Ok(Revisions { current: read(current.unwrap_or(&update)), update: read(&update), collisions })
    }

    async fn create_revision(
        &self,
        set: &StatefulSet,
        number: i64,
        collisions: &mut i32,
    ) -> Result<Arc<ControllerRevision>, ReconcileError> {
        let template = set.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let mut revision = history::revision_of(set, &template, number);
        let snapshot = Snapshot::of(&template);
        loop {
            history::name(&mut revision, &set.name_any(), &snapshot.hash(*collisions), HASH);
            match self.history.create(&revision).await? {
                Created::Is(created) => return Ok(created),
                Created::Collides => *collisions += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_that_comes_back_gets_its_revision_back() {
        let set = |image: &str| -> StatefulSet {
            let template = json!({"spec": {"containers": [{"name": "c", "image": image}]}});
            serde_json::from_value(json!({
                "metadata": {"name": "web"}, "spec": {"selector": {}, "template": template},
            }))
            .unwrap()
        };
        let revision = |image: &str, number: i64| {
            let set = set(image);
            Arc::new(history::revision_of(&set, &set.spec.as_ref().unwrap().template, number))
        };
        let all = [revision("v1", 1), revision("v2", 4)];
        assert_eq!(decide(&set("v2"), &all), Wanted::Latest(all[1].clone()));
        assert_eq!(decide(&set("v1"), &all), Wanted::Again(all[0].clone(), 5));
        assert_eq!(decide(&set("v3"), &all), Wanted::New(5));
        assert_eq!(decide(&set("v1"), &[]), Wanted::New(1));
    }
}
