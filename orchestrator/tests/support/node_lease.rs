//! What keeps a node that nobody runs from being taken for dead.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use wherry_api::clock::{Clock, SystemClock};

/// Renews the Lease of the node of this name, without end.
pub(crate) async fn renew(client: Client, node: String) {
    let leases = Api::<Lease>::namespaced(client, "kube-node-lease");
    let mut ticks = tokio::time::interval(Duration::from_secs(10));
    loop {
        ticks.tick().await;
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": node},
            "spec": {"holderIdentity": node, "renewTime": format!("{:.6}", SystemClock.now())},
        });
        // A cluster that stops refuses; whoever renews is dropped soon after.
        drop(leases.patch(&node, &PatchParams::apply("kubelet").force(), &Patch::Apply(lease)).await);
    }
}
