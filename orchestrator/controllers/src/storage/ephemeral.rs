//! Claims of ephemeral volumes: one for each such volume of a Pod, which owns it and takes it along when it goes.
//!
//! Guarantees: a claim of that name that somebody else made is never used; an event tells of it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Volume};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};

use super::facts::{claims_of, ephemeral_name, is_going, is_made_for, volumes};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, controller_reference, reference};
use crate::runtime::error::{ReconcileError, is_already_exists, is_namespace_terminating, text};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

/// Keys are those of Pods.
pub(crate) struct EphemeralVolumesController {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
}

/// What is to be done about one volume.
#[derive(Debug, PartialEq)]
enum Action {
    Create(Box<PersistentVolumeClaim>),
    /// The name is taken.
    Tell(String),
}

fn plan(pod: &Pod, claim: impl Fn(&str) -> Option<Arc<PersistentVolumeClaim>>) -> Vec<(String, Action)> {
    if is_going(&pod.metadata) {
        return Vec::new();
    }
    let ephemeral = volumes(pod).filter(|volume| volume.ephemeral.is_some());
    let actions = ephemeral.filter_map(|volume| {
        let action = match claim(&ephemeral_name(pod, volume)) {
            None => Action::Create(Box::new(claim_for(pod, volume)?)),
            Some(found) if is_made_for(&found, pod) => return None,
            Some(found) => Action::Tell(format!(
                "PVC {0}/{1} was not created for pod {0}/{2} (pod is not owner)",
                pod.namespace().unwrap_or_default(),
                found.name_any(),
                pod.name_any(),
            )),
        };
        Some((volume.name.clone(), action))
    });
    actions.collect()
}

/// The claim of an ephemeral volume.
fn claim_for(pod: &Pod, volume: &Volume) -> Option<PersistentVolumeClaim> {
    let template = volume.ephemeral.as_ref()?.volume_claim_template.as_ref()?;
    let given = template.metadata.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(ephemeral_name(pod, volume)),
        namespace: pod.metadata.namespace.clone(),
        annotations: given.annotations,
        labels: given.labels,
        owner_references: Some(vec![controller_reference(pod)]),
        ..ObjectMeta::default()
    };
    Some(PersistentVolumeClaim { metadata, spec: Some(template.spec.clone()), status: None })
}

fn has_ephemeral(pod: &Pod) -> bool {
    volumes(pod).any(|volume| volume.ephemeral.is_some())
}

impl Controller for EphemeralVolumesController {
    const NAME: &'static str = "ephemeral-volume-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.pods.on_change(move |change| {
            // What volumes a Pod has never changes.
            let appeared = change.new.filter(|pod| {
                change.old.is_none_or(|old| old.metadata.uid != pod.metadata.uid) && has_ephemeral(pod)
            });
            if let Some(pod) = appeared {
                wake.add(Key::of(&**pod));
            }
        });
        let (wake, pods) = (queue.clone(), context.caches.pods.clone());
        context.caches.persistent_volume_claims.on_change(move |change| {
            let (Some(gone), None) = (change.old, change.new) else { return };
            let name = gone.name_any();
            let concerned = |pod: &Pod| has_ephemeral(pod) && claims_of(pod).any(|claim| claim == name);
            for pod in pods.select(&gone.namespace().unwrap_or_default(), concerned) {
                wake.add(Key::of(&*pod));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            recorder: context.recorder.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(pod) = self.caches.pods.get(key) else { return Ok(Next::OnChange) };
        let claim = |name: &str| self.caches.persistent_volume_claims.get(&Key::new(&key.namespace, name));
        for (volume, action) in plan(&pod, claim) {
            match action {
                Action::Create(claim) => self.create(&pod, &volume, &claim).await?,
                Action::Tell(why) => self.tell(&pod, &volume, &why),
            }
        }
        Ok(Next::OnChange)
    }
}

impl EphemeralVolumesController {
    async fn create(
        &self,
        pod: &Pod,
        volume: &str,
        claim: &PersistentVolumeClaim,
    ) -> Result<(), ReconcileError> {
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), claim).await {
            Ok(created) => self.caches.persistent_volume_claims.note(created),
            Err(error) if is_namespace_terminating(&error) => {}
            Err(source) => {
                if !is_already_exists(&source) {
                    let why = format!("create PVC {}: {}", claim.name_any(), text(&source));
                    self.tell(pod, volume, &why);
                }
                return Err(ReconcileError::Api {
                    step: "creating the claim of an ephemeral volume",
                    source,
                });
            }
        }
        Ok(())
    }

    fn tell(&self, pod: &Pod, volume: &str, why: &str) {
        let message = format!("ephemeral volume {volume}: {why}");
        let (component, severity) = ("ephemeral_volume", Severity::Warning);
        self.recorder.event(reference(pod), Notice { component, severity, reason: "FailedBinding", message });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Pod {
        let template = json!({
            "metadata": {"labels": {"a": "b"}},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        });
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "ns", "uid": "u-1"},
            "spec": {"containers": [], "volumes": [
                {"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}},
                {"name": "other", "emptyDir": {}},
            ]},
        }))
        .unwrap()
    }

    #[test]
    fn each_ephemeral_volume_gets_a_claim_of_its_pod() {
        let [(volume, Action::Create(claim))] = &plan(&pod(), |_| None)[..] else {
            panic!("no claim is made")
        };
        assert_eq!((volume.as_str(), claim.name_any().as_str()), ("scratch", "web-scratch"));
        assert_eq!(claim.labels().get("a").map(String::as_str), Some("b"));
        assert_eq!(claim.metadata.owner_references.as_ref().unwrap()[0].uid, "u-1");
        let made = Arc::new((**claim).clone());
        assert_eq!(plan(&pod(), |name| (name == "web-scratch").then(|| made.clone())), []);
    }

    #[test]
    fn a_claim_of_somebody_else_is_not_used() {
        let mut foreign = PersistentVolumeClaim::default();
        foreign.metadata.name = Some("web-scratch".to_owned());
        let foreign = Arc::new(foreign);
        let planned = plan(&pod(), |_| Some(foreign.clone()));
        let why = "PVC ns/web-scratch was not created for pod ns/web (pod is not owner)";
        assert_eq!(planned, [("scratch".to_owned(), Action::Tell(why.to_owned()))]);
    }

    #[test]
    fn a_pod_that_goes_gets_nothing() {
        let mut pod = pod();
        pod.metadata.deletion_timestamp =
            Some(serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
        assert_eq!(plan(&pod, |_| None), []);
    }
}
