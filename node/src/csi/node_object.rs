//! What of this node drivers and controllers read: its CSINode, with the drivers it has and how they call it, and the
//! labels that drivers give its Node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver, CSINodeSpec, VolumeNodeResources};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use wherry_plugin_api::csi::NodeInfo;

/// The names that drivers have for a node, where sidecars looked for them before there were CSINodes.
const NODE_IDS: &str = "csi.volume.kubernetes.io/nodeid";
/// How often somebody else may have written first.
const TRIES: u32 = 5;

/// The object of this node.
#[derive(Clone)]
pub(super) struct NodeObject {
    client: Client,
    name: String,
}

impl NodeObject {
    /// That of the node of this name.
    pub(super) fn new(client: Client, name: &str) -> Self {
        Self { client, name: name.to_owned() }
    }

    /// Names the driver, and gives the Node its labels.
    pub(super) async fn add(&self, driver: &str, info: &NodeInfo) -> Result<(), kube::Error> {
        let topology = info.accessible_topology.clone().unwrap_or_default().segments;
        self.write_node(driver, Some(&info.node_id), &topology).await?;
        let keys: Vec<String> = topology.into_keys().collect();
        let count = i32::try_from(info.max_volumes_per_node).ok().filter(|count| *count > 0);
        let entry = CSINodeDriver {
            name: driver.to_owned(),
            node_id: info.node_id.clone(),
            topology_keys: (!keys.is_empty()).then_some(keys),
            allocatable: count.map(|count| VolumeNodeResources { count: Some(count) }),
        };
        self.change(|drivers| {
            drivers.retain(|other| other.name != driver);
            drivers.push(entry.clone());
        })
        .await
    }

    /// Names the driver no more. Its labels stay: volumes may be bound to them.
    pub(super) async fn remove(&self, driver: &str) -> Result<(), kube::Error> {
        self.change(|drivers| drivers.retain(|other| other.name != driver)).await?;
        self.write_node(driver, None, &BTreeMap::new()).await
    }

    /// Makes the object, if there is none.
    pub(super) async fn make(&self) -> Result<(), kube::Error> {
        self.change(|_| {}).await
    }

    async fn write_node(
        &self,
        driver: &str,
        id: Option<&str>,
        labels: &BTreeMap<String, String>,
    ) -> Result<(), kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.get(&self.name).await?;
        let before = node.metadata.annotations.as_ref().and_then(|all| all.get(NODE_IDS));
        let ids = with_id(before.map(String::as_str), driver, id);
        let has = |(name, value)| node.metadata.labels.as_ref().and_then(|has| has.get(name)) == Some(value);
        if before == ids.as_ref() && labels.iter().all(has) {
            return Ok(());
        }
        let patch = json!({ "metadata": { "annotations": { NODE_IDS: ids }, "labels": labels } });
        nodes.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    async fn change(&self, change: impl Fn(&mut Vec<CSINodeDriver>)) -> Result<(), kube::Error> {
        let objects: Api<CSINode> = Api::all(self.client.clone());
        for _ in 1..TRIES {
            match self.try_change(&objects, &change).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                done => return done,
            }
        }
        self.try_change(&objects, &change).await
    }

    async fn try_change(
        &self,
        objects: &Api<CSINode>,
        change: impl Fn(&mut Vec<CSINodeDriver>),
    ) -> Result<(), kube::Error> {
        let Some(mut object) = objects.get_opt(&self.name).await? else {
            let mut spec = CSINodeSpec::default();
            change(&mut spec.drivers);
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                owner_references: Some(vec![self.owner().await?]),
                ..ObjectMeta::default()
            };
            return objects.create(&PostParams::default(), &CSINode { metadata, spec }).await.map(drop);
        };
        let before = object.spec.clone();
        change(&mut object.spec.drivers);
        if object.spec == before {
            return Ok(());
        }
        objects.replace(&self.name, &PostParams::default(), &object).await.map(drop)
    }

    async fn owner(&self) -> Result<OwnerReference, kube::Error> {
        let node = Api::<Node>::all(self.client.clone()).get(&self.name).await?;
        Ok(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.name.clone(),
            uid: node.metadata.uid.unwrap_or_default(),
            ..OwnerReference::default()
        })
    }
}

/// The annotation with the driver's name for the node, or without.
fn with_id(before: Option<&str>, driver: &str, id: Option<&str>) -> Option<String> {
    let mut ids: BTreeMap<String, String> =
        before.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    match id {
        Some(id) => drop(ids.insert(driver.to_owned(), id.to_owned())),
        None => drop(ids.remove(driver)),
    }
    (!ids.is_empty()).then(|| Value::from_iter(ids).to_string())
}

#[cfg(test)]
mod tests {
    use wherry_plugin_api::csi::Topology;

    use super::*;
    use crate::testing::FakeApi;

    #[tokio::test]
    async fn drivers_are_named_and_forgotten() {
        let api = FakeApi::new();
        let path = "/apis/storage.k8s.io/v1/csinodes/n";
        api.put("/api/v1/nodes/n", json!({"metadata": {"name": "n", "uid": "u"}}));
        api.put(path, json!({"metadata": {"name": "n"}, "spec": {"drivers": []}}));
        let object = NodeObject::new(api.client(), "n");
        let segments = BTreeMap::from([("zone".to_owned(), "z".to_owned())]);
        let accessible_topology = Some(Topology { segments });
        let info = NodeInfo { node_id: "id".to_owned(), max_volumes_per_node: 3, accessible_topology };
        object.add("d", &info).await.unwrap();
        let driver = api.get(path).unwrap()["spec"]["drivers"][0].clone();
        let expected =
            json!({"name": "d", "nodeID": "id", "topologyKeys": ["zone"], "allocatable": {"count": 3}});
        assert_eq!(driver, expected);
        let node = api.get("/api/v1/nodes/n").unwrap();
        assert_eq!(node["metadata"]["labels"]["zone"], "z");
        assert_eq!(node["metadata"]["annotations"][NODE_IDS], r#"{"d":"id"}"#);
        object.remove("d").await.unwrap();
        assert_eq!(api.get(path).unwrap()["spec"]["drivers"], json!([]));
        assert!(api.get("/api/v1/nodes/n").unwrap()["metadata"]["annotations"].get(NODE_IDS).is_none());
    }
}
