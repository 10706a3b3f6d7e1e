//! What a claim needs next, as data.
//!
//! ```text
//! Pending --(a volume fits, or is made for it)--> Bound --(the volume is lost)--> Lost
//! ```

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use wherry_api::local_path;

use super::super::facts::{
    BIND_COMPLETED, BOUND_BY_CONTROLLER, LOST, PENDING, SELECTED_NODE, annotation, claim_class, claim_phase,
    is_bound_to, is_going, names_class, volume_name,
};
use super::super::local_path::{provision, refuse};
use super::super::matching;
use super::super::told::Said;
use crate::objects::meta::uid;
use crate::runtime::error::ReconcileError;

/// What was observed.
pub(super) struct World<'a> {
    pub(super) claim: &'a PersistentVolumeClaim,
    /// All volumes, for a claim that names none; else the one it names.
    pub(super) volumes: &'a [Arc<PersistentVolume>],
    /// The class the claim names, if there is one.
    pub(super) class: Option<&'a StorageClass>,
    /// The class of claims that name none.
    pub(super) default_class: Option<&'a str>,
    /// The node where a new volume is to be, if there is one.
    pub(super) node: Option<&'a Node>,
    /// Pods that use the claim and have no node yet.
    pub(super) waiting: &'a [String],
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Bind claim and volume to each other.
    Bind(Arc<PersistentVolume>),
    /// Make a volume.
    Provision(Box<PersistentVolume>),
    /// Say who is to make a volume.
    Expect(String),
    /// Give the claim the default class.
    Classify(String),
    /// Let the scheduler choose another node.
    Reselect,
    /// Write that the claim holds nothing.
    Phase(&'static str),
    /// Nothing.
    Wait,
}

/// What to do, and what to tell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) act: Act,
    pub(super) say: Option<Said>,
}

impl From<Act> for Plan {
    fn from(act: Act) -> Self {
        Self { act, say: None }
    }
}

impl Act {
    fn saying(self, said: Said) -> Plan {
        Plan { act: self, say: Some(said) }
    }
}

/// Decides.
pub(super) fn plan(world: &World<'_>) -> Result<Plan, ReconcileError> {
    let claim = world.claim;
    if annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return Ok(bound(world));
    }
    if is_going(&claim.metadata) {
        return Ok(Act::Wait.into());
    }
    if volume_name(claim).is_empty() { unbound(world) } else { Ok(requested(world)) }
}

/// A claim that was bound before.
fn bound(world: &World<'_>) -> Plan {
    let claim = world.claim;
    let lost = |reason, message: &str| {
        let said = Said::warning(reason, message.to_owned());
        if claim_phase(claim) == LOST { Act::Wait.into() } else { Act::Phase(LOST).saying(said) }
    };
    if volume_name(claim).is_empty() {
        return lost(
            "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        );
    }
    let Some(volume) = world.volumes.first() else {
        return lost("ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
    };
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    if reference.is_none_or(|reference| reference.uid.as_deref() == Some(uid(&claim.metadata))) {
        return Act::Bind(volume.clone()).into();
    }
    lost("ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")
}

/// A claim that names the volume it wants.
fn requested(world: &World<'_>) -> Plan {
    let claim = world.claim;
    let Some(volume) = world.volumes.first() else { return Act::Phase(PENDING).into() };
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    if volume.spec.as_ref().is_none_or(|spec| spec.claim_ref.is_none()) {
        return match matching::satisfies(volume, claim) {
            Ok(()) => Act::Bind(volume.clone()).into(),
            Err(why) => {
                let message = format!("Cannot bind to requested volume {name:?}: {why}");
                Act::Phase(PENDING).saying(Said::warning("VolumeMismatch", message))
            }
        };
    }
    if is_bound_to(volume, claim) {
        return Act::Bind(volume.clone()).into();
    }
    let by = if annotation(&claim.metadata, BOUND_BY_CONTROLLER).is_some() { " by controller" } else { "" };
    let message = format!("volume {name:?} already bound to a different claim{by}.");
    Act::Phase(PENDING).saying(Said::warning("FailedBinding", message))
}

/// A claim that takes any volume that fits.
fn unbound(world: &World<'_>) -> Result<Plan, ReconcileError> {
    let claim = world.claim;
    let mode = world.class.and_then(|class| class.volume_binding_mode.as_deref());
    let delayed = mode == Some("WaitForFirstConsumer");
    if let Some(volume) = matching::best(claim, world.volumes, delayed)? {
        return Ok(Act::Bind(volume.clone()).into());
    }
    if let Some(class) = world.default_class.filter(|_| !names_class(claim)) {
        return Ok(Act::Classify(class.to_owned()).into());
    }
    if delayed && annotation(&claim.metadata, SELECTED_NODE).is_none() && world.node.is_none() {
        return Ok(Act::Phase(PENDING).saying(waits(world.waiting)));
    }
    if !claim_class(claim).is_empty() {
        return Ok(provided(world));
    }
    let message = "no persistent volumes available for this claim and no storage class is set";
    Ok(Act::Phase(PENDING).saying(Said::normal("FailedBinding", message.to_owned())))
}

fn waits(pods: &[String]) -> Said {
    match pods {
        [] => Said::normal(
            "WaitForFirstConsumer",
            "waiting for first consumer to be created before binding".to_owned(),
        ),
        [pod] => Said::normal("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
        pods => {
            let message = format!("waiting for pods {} to be scheduled", pods.join(","));
            Said::normal("WaitForPodScheduled", message)
        }
    }
}

/// A claim that needs a new volume.
fn provided(world: &World<'_>) -> Plan {
    let failed = |act: Act, message: String| act.saying(Said::warning("ProvisioningFailed", message));
    let name = claim_class(world.claim);
    let Some(class) = world.class else {
        return failed(Act::Wait, format!("storageclass.storage.k8s.io {name:?} not found"));
    };
    let provisioner = &class.provisioner;
    if provisioner == local_path::PROVISIONER {
        return directory(world, class);
    }
    if provisioner.starts_with("kubernetes.io/") {
        return failed(Act::Wait, format!("no volume plugin matched name: {provisioner}"));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
         registered."
    );
    Act::Expect(provisioner.clone()).saying(Said::normal("ExternalProvisioning", message))
}

/// A claim whose new volume is a directory.
fn directory(world: &World<'_>, class: &StorageClass) -> Plan {
    let failed = |act: Act, why: &str| {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Failed to provision volume with StorageClass {name:?}: {why}");
        act.saying(Said::warning("ProvisioningFailed", message))
    };
    if let Some(why) = refuse(world.claim, class) {
        return failed(Act::Wait, &why);
    }
    let selected = annotation(&world.claim.metadata, SELECTED_NODE);
    let Some(node) = world.node else {
        return match selected {
            Some(selected) => {
                let message = format!("Failed to get target node: node {selected:?} not found");
                Act::Reselect.saying(Said::warning("ProvisioningFailed", message))
            }
            None => failed(
                Act::Wait,
                "no node was selected: the class needs the volumeBindingMode WaitForFirstConsumer",
            ),
        };
    };
    if let Some(volume) = provision(world.claim, class, node) {
        return Act::Provision(Box::new(volume)).into();
    }
    let node = node.metadata.name.as_deref().unwrap_or_default();
    failed(Act::Reselect, &format!("node {node:?} has no directory for volumes"))
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
