//! The table of who reaches whom: (node, wasm Pod, OCI Pod, mixed Pod) asks (node, wasm Pod, OCI Pod, mixed Pod), on the same node, on
//! another one of its link and on one behind a router, by Pod IP, ClusterIP, NodePort of each machine and DNS name, by IPv4 and IPv6. A
//! Pod on its node's network stands for the node, so that the node has names, too. A mixed Pod asks from both of its containers.

use std::collections::BTreeSet;
use std::process::Command;

use wherry_tests::Cluster;

use super::{KINDS, NODES, asking, pod_ips, until_silent, ways};

/// Every way to every server, by the server's name.
fn cells(cluster: &Cluster, addresses: &[&str]) -> Vec<(String, Vec<String>)> {
    let names = NODES.into_iter().flat_map(|node| KINDS.map(|kind| format!("{kind}-{node}")));
    let of = |name: String| {
        let mut ways = ways(cluster, &name, addresses);
        ways.extend(["", "-six"].map(|family| format!("{name}{family}.default.svc.cluster.local:80")));
        // Pod IP, ClusterIP, NodePort at every address, DNS name: each of both families.
        assert_eq!(ways.iter().collect::<BTreeSet<_>>().len(), 6 + addresses.len(), "{ways:?}");
        (name, ways)
    };
    names.map(of).collect()
}

/// Whoever asks, on whichever node, reaches every server on every node by every way.
pub(super) fn everybody_reaches_everybody(cluster: &Cluster, addresses: &[&str]) {
    let all = cells(cluster, addresses);
    for node in NODES {
        for kind in ["host", "oci", "mixed"] {
            let pod = format!("{kind}-{node}");
            let script = asking("", &all);
            until_silent(&format!("{pod} to reach all"), || {
                cluster.try_kubectl(&["exec", &pod, "-c", "oci", "--", "sh", "-c", &script])
            });
        }
        // The wasm server asks for whom it is asked.
        for kind in ["wasm", "mixed"] {
            let pod = format!("{kind}-{node}");
            let [at, _] = pod_ips(cluster, &pod);
            let script = asking(&format!("{at}:8080/get/"), &all);
            until_silent(&format!("wasm in {pod} to reach all"), || {
                Command::new("sh").args(["-c", &script]).output().unwrap()
            });
        }
    }
}
