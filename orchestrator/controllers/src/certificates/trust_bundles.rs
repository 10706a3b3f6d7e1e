//! The ClusterTrustBundle of the API server: the CA by which its certificate can be checked.
//!
//! # Guarantees
//! There is one bundle, called after what is in it, with the current CA; those with others go once it is there.

use std::sync::Arc;

use k8s_openapi::api::certificates::v1beta1::{ClusterTrustBundle, ClusterTrustBundleSpec};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use ring::digest;
use tokio::sync::watch;
use wherry_api::kinds::SwitchedOn;

use crate::context::{Caches, Context};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";
/// How the names of its bundles begin.
const PREFIX: &str = "kubernetes.io:kube-apiserver-serving:";
/// Chooses them.
pub(crate) const SELECTOR: &str = "spec.signerName=kubernetes.io/kube-apiserver-serving";

/// The only key is empty: there is one bundle.
pub(crate) struct TrustBundlePublisher {
    client: Client,
    caches: Arc<Caches>,
    root_ca: Option<watch::Receiver<String>>,
    switched_on: SwitchedOn,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
enum Action {
    Create(Box<ClusterTrustBundle>),
    Replace(Box<ClusterTrustBundle>),
    /// What lacks nothing: the others go.
    Tidy(Vec<String>),
}

fn plan(root_ca: &str, found: &[Arc<ClusterTrustBundle>]) -> Action {
    let digest = digest::digest(&digest::SHA256, root_ca.as_bytes());
    let halves = digest.as_ref().iter().take(12).flat_map(|byte| [byte >> 4, byte & 15]);
    let digits: String = halves.filter_map(|half| char::from_digit(half.into(), 16)).collect();
    let name = format!("{PREFIX}{digits}");
    match found.iter().find(|bundle| bundle.name_any() == name) {
        None => Action::Create(Box::new(ClusterTrustBundle {
            metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
            spec: ClusterTrustBundleSpec {
                signer_name: Some(SIGNER.to_owned()),
                trust_bundle: root_ca.to_owned(),
            },
        })),
        Some(bundle) if bundle.spec.trust_bundle != root_ca => {
            let mut bundle = ClusterTrustBundle::clone(bundle);
            root_ca.clone_into(&mut bundle.spec.trust_bundle);
            Action::Replace(Box::new(bundle))
        }
        Some(_) => Action::Tidy(
            found.iter().map(|bundle| bundle.name_any()).filter(|other| *other != name).collect(),
        ),
    }
}

impl Controller for TrustBundlePublisher {
    const NAME: &'static str = "kube-apiserver-serving-clustertrustbundle-publisher-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let wake = queue.clone();
        context.caches.trust_bundles.on_change(move |_| wake.add(String::new()));
        queue.add(String::new());
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            root_ca: context.config.root_ca.clone(),
            switched_on: context.config.switched_on.clone(),
        }
    }

    async fn wake(&self, queue: &Queue<String>) {
        let Some(mut root_ca) = self.root_ca.clone() else { return };
        while root_ca.changed().await.is_ok() {
            queue.add(String::new());
        }
    }

    async fn reconcile(&self, _: &String) -> Result<Next, ReconcileError> {
        let is_served = self.switched_on.has("certificates.k8s.io", "ClusterTrustBundle");
        let root_ca = self.root_ca.as_ref().filter(|_| is_served);
        let Some(root_ca) = root_ca.map(|root_ca| root_ca.borrow().clone()) else {
            return Ok(Next::OnChange);
        };
        let found = self.caches.trust_bundles.all();
        let api = Api::<ClusterTrustBundle>::all(self.client.clone());
        let written = match plan(&root_ca, &found) {
            Action::Create(bundle) => match api.create(&PostParams::default(), &bundle).await {
                Err(error) if is_already_exists(&error) => return Ok(Next::OnChange),
                created => created,
            },
            Action::Replace(bundle) => api.replace(&bundle.name_any(), &PostParams::default(), &bundle).await,
            Action::Tidy(names) => {
                for bundle in found.iter().filter(|bundle| names.contains(&bundle.name_any())) {
                    let gone = delete(&api, &bundle.metadata, Only::This, DeleteParams::default()).await;
                    gone.step("deleting a trust bundle of another CA")?;
                }
                return Ok(Next::OnChange);
            }
        };
        self.caches.trust_bundles.note(written.step("writing the trust bundle of the API server")?);
        Ok(Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_bundle_called_after_its_content() {
        let Action::Create(made) = plan("PEM", &[]) else { panic!("nothing was created") };
        assert_eq!(made.name_any().len(), PREFIX.len() + 24);
        assert!(made.name_any().starts_with(PREFIX));
        let made = Arc::new(*made);
        assert_eq!(plan("PEM", std::slice::from_ref(&made)), Action::Tidy(Vec::new()));
        let Action::Create(other) = plan("NEW", std::slice::from_ref(&made)) else {
            panic!("nothing was created")
        };
        let (name, other) = (made.name_any(), Arc::new(*other));
        assert_eq!(plan("NEW", &[made.clone(), other]), Action::Tidy(vec![name.clone()]));
        let mut changed = ClusterTrustBundle::clone(&made);
        changed.spec.trust_bundle = "forged".to_owned();
        let Action::Replace(mended) = plan("PEM", &[Arc::new(changed)]) else {
            panic!("nothing was replaced")
        };
        assert_eq!((mended.name_any(), mended.spec.trust_bundle.as_str()), (name, "PEM"));
    }
}
