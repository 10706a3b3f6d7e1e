//! Makes a claim for each template that a Pod names, and tells the Pod its name.
//!
//! Guarantees: a claim that was made, but of which the Pod was not told, is found by its owner and its annotation instead
//! of being made again. A Pod that has its node already gets claims reserved that others had allocated.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodResourceClaim};
use k8s_openapi::api::resource::v1::{ResourceClaim, ResourceClaimConsumerReference, ResourceClaimTemplate};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::{Named, asked, is_allocated, is_placed, is_reserved_for, named, names, users};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, controller_key, controller_reference, is_controlled_by, reference, uid};
use crate::runtime::error::{ReconcileError, Step, is_namespace_terminating, is_refusal, text};
use crate::runtime::queue::Queue;
use crate::runtime::recorder::{Notice, Recorder, Severity};
use crate::runtime::worker::{Controller, Next};

/// Which of a Pod's claims a claim was made for.
const POD_CLAIM: &str = "resource.kubernetes.io/pod-claim-name";
/// How long the part of a name may be that is not generated.
const LONGEST_BASE: usize = 57;
/// How many Pods can share a claim.
const MOST_USERS: usize = 256;

/// Keys are those of Pods.
pub(crate) struct ResourceClaimMaker {
    client: Client,
    caches: Arc<Caches>,
    recorder: Recorder,
}

/// What is to be done about one of a Pod's claims.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    Create(Box<ResourceClaim>),
    /// It is there; the Pod is to be told.
    Tell(String),
    /// Its template is not there.
    Lacks(String),
}

/// What is to be done about a Pod's claims, by their names in the Pod.
pub(super) fn plan(
    pod: &Pod,
    claim: impl Fn(&str) -> Option<Arc<ResourceClaim>>,
    own: &[Arc<ResourceClaim>],
    template: impl Fn(&str) -> Option<Arc<ResourceClaimTemplate>>,
) -> Vec<(String, Action)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let is_its = |claim: &ResourceClaim| is_controlled_by(&claim.metadata, uid(&pod.metadata));
    let action = |asked: &PodResourceClaim| {
        match named(asked, pod) {
            Named::ByUser(_) | Named::Unneeded => return None,
            Named::Made(name) if claim(&name).is_some_and(|claim| is_its(&claim)) => return None,
            Named::Made(_) | Named::NotYet => {}
        }
        let wanted = asked.resource_claim_template_name.as_deref()?;
        let is_made = |claim: &&Arc<ResourceClaim>| claim.annotations().get(POD_CLAIM) == Some(&asked.name);
        let action = match (own.iter().find(is_made), template(wanted)) {
            (Some(made), _) => Action::Tell(made.name_any()),
            (None, Some(template)) => Action::Create(Box::new(claim_of(pod, asked, &template))),
            (None, None) => Action::Lacks(wanted.to_owned()),
        };
        Some((asked.name.clone(), action))
    };
    asked(pod).iter().filter_map(action).collect()
}

fn claim_of(pod: &Pod, asked: &PodResourceClaim, template: &ResourceClaimTemplate) -> ResourceClaim {
    let given = template.spec.metadata.clone().unwrap_or_default();
    let mut annotations = given.annotations.unwrap_or_default();
    annotations.insert(POD_CLAIM.to_owned(), asked.name.clone());
    ResourceClaim {
        metadata: ObjectMeta {
            generate_name: Some(base(&pod.name_any(), &asked.name)),
            namespace: pod.namespace(),
            annotations: Some(annotations),
            labels: given.labels,
            owner_references: Some(vec![controller_reference(pod)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.spec.clone(),
        status: None,
    }
}

/// The name before what is generated; both parts of a long one are cut alike.
pub(super) fn base(pod: &str, claim: &str) -> String {
    let whole = format!("{pod}-{claim}-");
    if whole.len() <= LONGEST_BASE {
        return whole;
    }
    let cut = |part: &str| part.chars().take(part.len() * LONGEST_BASE / whole.len()).collect::<String>();
    format!("{}-{}", cut(pod), cut(claim))
}

impl Controller for ResourceClaimMaker {
    const NAME: &'static str = "resourceclaim-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.pods.on_change(move |change| {
            if let Some(pod) = change.new.filter(|pod| !asked(pod).is_empty()) {
                wake.add(Key::of(&**pod));
            }
        });
        let wake = queue.clone();
        context.caches.resource_claims.on_change(move |change| {
            let (Some(gone), None) = (change.old, change.new) else { return };
            if let Some(pod) = controller_key::<Pod>(&gone.metadata) {
                wake.add(pod);
            }
        });
        let (wake, pods) = (queue.clone(), context.caches.pods.clone());
        context.caches.resource_claim_templates.on_change(move |change| {
            let (None, Some(template)) = (change.old, change.new) else { return };
            let name = template.name_any();
            let waits = |pod: &Pod| {
                asked(pod).iter().any(|asked| asked.resource_claim_template_name.as_ref() == Some(&name))
            };
            for pod in pods.select(&template.namespace().unwrap_or_default(), waits) {
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
        let at = |name: &str| Key::new(&key.namespace, name);
        let own = self.caches.resource_claims.managed_by(&key.namespace, uid(&pod.metadata));
        let claim = |name: &str| self.caches.resource_claims.get(&at(name));
        let template = |name: &str| self.caches.resource_claim_templates.get(&at(name));
        let mut told = Vec::new();
        for (name, action) in plan(&pod, claim, &own, template) {
            match action {
                Action::Create(claim) => told.extend(self.create(&pod, &name, &claim).await?),
                Action::Tell(claim) => told.push((name, claim)),
                Action::Lacks(template) => {
                    let why = format!(
                        "resource claim template {template:?}: resourceclaimtemplate.resource.k8s.io {template:?} not found"
                    );
                    self.warn(&pod, &name, &why);
                }
            }
        }
        self.tell(&pod, &told).await?;
        if is_placed(&pod) && pod.metadata.deletion_timestamp.is_none() {
            self.reserve(&pod).await?;
        }
        Ok(Next::OnChange)
    }
}

impl ResourceClaimMaker {
    /// Makes a claim; returns what the Pod is to be told.
    async fn create(
        &self,
        pod: &Pod,
        name: &str,
        claim: &ResourceClaim,
    ) -> Result<Option<(String, String)>, ReconcileError> {
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::<ResourceClaim>::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), claim).await {
            Ok(created) => {
                let made = created.name_any();
                self.caches.resource_claims.note(created);
                Ok(Some((name.to_owned(), made)))
            }
            Err(error) if is_namespace_terminating(&error) => Ok(None),
            Err(source) => {
                if is_refusal(&source) {
                    self.warn(pod, name, &format!("create ResourceClaim : {}", text(&source)));
                }
                Err(ReconcileError::Api { step: "creating a claim of devices", source })
            }
        }
    }

    /// Tells a Pod the names of its claims.
    async fn tell(&self, pod: &Pod, told: &[(String, String)]) -> Result<(), ReconcileError> {
        if told.is_empty() {
            return Ok(());
        }
        let statuses: Vec<_> =
            told.iter().map(|(name, claim)| json!({ "name": name, "resourceClaimName": claim })).collect();
        let patch = json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "resourceClaimStatuses": statuses },
        });
        let api = Api::<Pod>::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let patched =
            api.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await;
        self.caches.pods.note(patched.step("telling a Pod its claims of devices")?);
        Ok(())
    }

    /// Reserves claims for a Pod that nobody scheduled.
    async fn reserve(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::<ResourceClaim>::namespaced(self.client.clone(), &namespace);
        for name in names(pod) {
            let Some(claim) = self.caches.resource_claims.get(&Key::new(&namespace, &name)) else { continue };
            if !is_allocated(&claim) || is_reserved_for(&claim, pod) || users(&claim).len() >= MOST_USERS {
                continue;
            }
            let mut claim = claim.as_ref().clone();
            let status = claim.status.get_or_insert_default();
            status.reserved_for.get_or_insert_default().push(ResourceClaimConsumerReference {
                api_group: None,
                resource: "pods".to_owned(),
                name: pod.name_any(),
                uid: uid(&pod.metadata).to_owned(),
            });
            let written = api.replace_status(&name, &PostParams::default(), &claim).await;
            self.caches.resource_claims.note(written.step("reserving a claim of devices for a Pod")?);
        }
        Ok(())
    }

    fn warn(&self, pod: &Pod, name: &str, why: &str) {
        let message = format!("PodResourceClaim {name}: {why}");
        let (component, severity) = ("resource_claim", Severity::Warning);
        let reason = "FailedResourceClaimCreation";
        self.recorder.event(reference(pod), Notice { component, severity, reason, message });
    }
}
