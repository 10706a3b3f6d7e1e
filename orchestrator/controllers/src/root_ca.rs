//! The ConfigMap `kube-root-ca.crt` of each namespace: the CA by which Pods can check the API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_namespace_terminating};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};
use crate::service_account::{is_active, wake_on_namespaces};

const NAME: &str = "kube-root-ca.crt";
const DATA_KEY: &str = "ca.crt";

/// Keys are names of namespaces.
pub(crate) struct RootCaController {
    client: Client,
    caches: Arc<Caches>,
    root_ca: Option<watch::Receiver<String>>,
}

/// What has to be written.
#[derive(Debug, PartialEq)]
enum Action {
    Create(ConfigMap),
    Replace(ConfigMap),
}

fn plan(root_ca: &str, found: Option<&ConfigMap>) -> Option<Action> {
    let data = BTreeMap::from([(DATA_KEY.to_owned(), root_ca.to_owned())]);
    match found {
        None => {
            let note = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
                        endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
                        guaranteed across distributions of Kubernetes clusters.";
            let annotations = BTreeMap::from([("kubernetes.io/description".to_owned(), note.to_owned())]);
            let metadata = ObjectMeta {
                name: Some(NAME.to_owned()),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            };
            Some(Action::Create(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }))
        }
        Some(found) if found.data.as_ref() == Some(&data) => None,
        Some(found) => Some(Action::Replace(ConfigMap { data: Some(data), ..found.clone() })),
    }
}

impl Controller for RootCaController {
    const NAME: &'static str = "root-ca-certificate-publisher";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        wake_on_namespaces(&context.caches.namespaces, queue);
        let wake = queue.clone();
        context.caches.root_cas.on_change(move |change| {
            wake.add(change.last().and_then(|map| map.namespace()).unwrap_or_default());
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            root_ca: context.config.root_ca.clone(),
        }
    }

    async fn wake(&self, queue: &Queue<String>) {
        let Some(mut root_ca) = self.root_ca.clone() else { return };
        while root_ca.changed().await.is_ok() {
            for namespace in self.caches.namespaces.all() {
                queue.add(namespace.name_any());
            }
        }
    }

    async fn reconcile(&self, namespace: &String) -> Result<Next, ReconcileError> {
        let Some(root_ca) = self.root_ca.as_ref().map(|root_ca| root_ca.borrow().clone()) else {
            return Ok(Next::OnChange);
        };
        if !is_active(self.caches.namespaces.get_global(namespace).as_deref()) {
            return Ok(Next::OnChange);
        }
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), namespace);
        let found = self.caches.root_cas.get(&Key::new(namespace, NAME));
        let written = match plan(&root_ca, found.as_deref()) {
            None => return Ok(Next::OnChange),
            Some(Action::Create(map)) => match api.create(&PostParams::default(), &map).await {
                Err(error) if is_already_exists(&error) || is_namespace_terminating(&error) => {
                    return Ok(Next::OnChange);
                }
                created => created,
            },
            Some(Action::Replace(map)) => api.replace(NAME, &PostParams::default(), &map).await,
        };
        self.caches.root_cas.note(written.step("writing the root CA")?);
        Ok(Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_only_what_differs() {
        let Some(Action::Create(created)) = plan("PEM", None) else { panic!("nothing was created") };
        assert_eq!(plan("PEM", Some(&created)), None);
        let Some(Action::Replace(replaced)) = plan("NEW", Some(&created)) else {
            panic!("nothing was replaced")
        };
        assert_eq!(replaced.data.unwrap()[DATA_KEY], "NEW");
        assert_eq!(replaced.metadata, created.metadata);
    }
}
