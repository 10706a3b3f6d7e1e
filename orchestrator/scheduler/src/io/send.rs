//! Writes whose answers are objects that nobody looks at: they are not decoded.

use kube::api::{Patch, PatchParams, PostParams, Request};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// Creates an object in a namespace.
pub(super) async fn create<K>(client: Client, namespace: &str, object: &K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = requests::<K>(namespace).create(&PostParams::default(), body);
    send(client, request.map_err(kube::Error::BuildRequest)?).await
}

/// Patches an object in a namespace.
pub(super) async fn patch<K: Resource<DynamicType = ()>>(
    client: Client,
    (namespace, name): (&str, &str),
    patch: &Patch<Value>,
) -> Result<(), kube::Error> {
    let request = requests::<K>(namespace).patch(name, &PatchParams::default(), patch);
    send(client, request.map_err(kube::Error::BuildRequest)?).await
}

/// Patches the status of an object in a namespace.
pub(super) async fn patch_status<K: Resource<DynamicType = ()>>(
    client: Client,
    (namespace, name): (&str, &str),
    patch: &Patch<Value>,
) -> Result<(), kube::Error> {
    let request = requests::<K>(namespace).patch_subresource("status", name, &PatchParams::default(), patch);
    send(client, request.map_err(kube::Error::BuildRequest)?).await
}

fn requests<K: Resource<DynamicType = ()>>(namespace: &str) -> Request {
    Request::new(K::url_path(&(), Some(namespace)))
}

async fn send(client: Client, request: http::Request<Vec<u8>>) -> Result<(), kube::Error> {
    let _: IgnoredAny = client.request(request).await?;
    Ok(())
}
