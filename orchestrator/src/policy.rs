//! The roles and bindings every cluster begins with, reconciled at each start.

use std::collections::HashMap;
use std::fmt::Debug;

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wherry_apiserver::bootstrap as api;

/// Creates what is missing and mends what lacks something; what users have added stays.
pub(crate) async fn reconcile(client: &Client) -> Result<(), kube::Error> {
    let (roles, bindings) = futures::join!(
        cluster_wide::<ClusterRole>(client, api::cluster_roles()),
        cluster_wide::<ClusterRoleBinding>(client, api::cluster_role_bindings()),
    );
    roles?;
    bindings?;
    let (roles, bindings) = futures::join!(
        namespaced::<Role>(client, api::roles()),
        namespaced::<RoleBinding>(client, api::role_bindings()),
    );
    roles?;
    bindings
}

/// The same for a ClusterRole that is not every cluster's.
pub(crate) async fn role(client: &Client, wanted: Value) -> Result<(), kube::Error> {
    let api = Api::<ClusterRole>::all(client.clone());
    let found = api.get_opt(&name(&wanted)).await?;
    let found = found.map(serde_json::to_value).transpose().map_err(kube::Error::SerdeError)?;
    one(&api, found.as_ref(), &wanted).await
}

async fn cluster_wide<K>(client: &Client, wanted: Vec<Value>) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope> + Object,
{
    all(Api::<K>::all(client.clone()), wanted).await
}

async fn namespaced<K>(client: &Client, wanted: Vec<Value>) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Object,
{
    let mut namespaces: HashMap<String, Vec<Value>> = HashMap::new();
    for object in wanted {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        namespaces.entry(namespace.to_owned()).or_default().push(object);
    }
    let each = namespaces.into_iter();
    let done = join_all(
        each.map(|(namespace, wanted)| all(Api::<K>::namespaced(client.clone(), &namespace), wanted)),
    );
    done.await.into_iter().collect()
}

/// What is read and written through the API.
trait Object: Clone + Debug + Serialize + DeserializeOwned + 'static {}

impl<K: Clone + Debug + Serialize + DeserializeOwned + 'static> Object for K {}

/// Reconciles the objects of one kind in one place. They are written at once, so that they share a commit.
async fn all<K: Object>(api: Api<K>, wanted: Vec<Value>) -> Result<(), kube::Error> {
    let found = api.list(&ListParams::default()).await?.items;
    let found = found.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
    let found: HashMap<String, Value> =
        found.map_err(kube::Error::SerdeError)?.into_iter().map(|object| (name(&object), object)).collect();
    try_join_all(wanted.iter().map(|object| one(&api, found.get(&name(object)), object))).await.map(drop)
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

async fn one<K: Object>(api: &Api<K>, found: Option<&Value>, wanted: &Value) -> Result<(), kube::Error> {
    let options = PostParams::default();
    let Some(found) = found else {
        return api.create(&options, &typed(wanted.clone())?).await.map(drop);
    };
    let Some(mended) = api::reconciled(found, wanted) else { return Ok(()) };
    let name = name(wanted);
    if mended["roleRef"] == wanted["roleRef"] {
        return api.replace(&name, &options, &typed(mended)?).await.map(drop);
    }
    // A binding stays with its role: one to another role is another binding.
    api.delete(&name, &DeleteParams::default()).await?;
    api.create(&options, &typed(wanted.clone())?).await.map(drop)
}

fn typed<K: DeserializeOwned>(object: Value) -> Result<K, kube::Error> {
    serde_json::from_value(object).map_err(kube::Error::SerdeError)
}
