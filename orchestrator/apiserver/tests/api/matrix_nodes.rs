//! The columns of the authorization matrix that are nodes: what is called `x` belongs to the node `x`, and what is
//! called `y` to the node `y`.

use serde_json::{Value, json};
use wherry_apiserver::UserInfo;

use crate::harness::{Api, PODS};
use crate::matrix::{Place, Row};

/// A node as a user.
pub(crate) fn user(name: &str) -> UserInfo {
    UserInfo::new(&format!("system:node:{name}"), &["system:nodes"])
}

/// Gives each of two nodes a Pod that mounts one of everything, and what else nodes have to do with.
pub(crate) async fn set_up(api: &Api) {
    for name in ["x", "y"] {
        let metadata = json!({"name": name});
        let create = async |path: &str, spec: Value| {
            api.post(path, &json!({"metadata": metadata, "spec": spec})).await.expect(201);
        };
        let account = json!({"metadata": metadata});
        api.post("/api/v1/namespaces/default/serviceaccounts", &account).await.expect(201);
        create(PODS, pod(name)).await;
        let volume = json!({
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/v"},
            "claimRef": {"namespace": "default", "name": name},
        });
        create("/api/v1/persistentvolumes", volume).await;
        let source = json!({"persistentVolumeName": name});
        let attachment = json!({"attacher": "a.example.com", "nodeName": name, "source": source});
        create("/apis/storage.k8s.io/v1/volumeattachments", attachment).await;
        let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
        let slice = json!({"driver": "d.example.com", "nodeName": name, "pool": pool});
        create("/apis/resource.k8s.io/v1/resourceslices", slice).await;
    }
}

fn pod(name: &str) -> Value {
    json!({
        "nodeName": name, "serviceAccountName": name,
        "containers": [{"name": "c", "image": "i"}],
        "resourceClaims": [{"name": "r", "resourceClaimName": name}],
        "volumes": [
            {"name": "s", "secret": {"secretName": name}},
            {"name": "m", "configMap": {"name": name}},
            {"name": "c", "persistentVolumeClaim": {"claimName": name}},
        ],
    })
}

/// What the node `x` is told in this place: nothing if it may, else why not, which may be empty.
pub(crate) fn answer(row: &Row, place: Place) -> Result<(), String> {
    let one = !row.collection();
    let no = |why: &str| Err(why.to_owned());
    let related = || match (one, place.name) {
        (false, _) => no("No Object name found"),
        (true, "x") => Ok(()),
        (true, _) => no("no relationship found between node 'x' and this object"),
    };
    let own = |what: &str| match (row.verb.as_str(), place.name) {
        ("create", _) | (_, "x") => Ok(()),
        _ => Err(format!("can only access {what} with the same name as the requesting node")),
    };
    let verb = row.verb.as_str();
    let reads = matches!(verb, "get" | "list" | "watch");
    match (row.group.as_str(), row.plural.as_str(), row.part.as_str()) {
        ("", "secrets" | "configmaps", _) if reads => related(),
        ("", "secrets" | "configmaps", _) => no("can only read resources of this type"),
        ("", "persistentvolumeclaims", "status") if verb == "get" => {
            no("can only get/update/patch this type")
        }
        ("", "persistentvolumeclaims", "status") | ("", "serviceaccounts", "token") => related(),
        ("", "persistentvolumeclaims" | "persistentvolumes", part)
        | ("resource.k8s.io", "resourceclaims", part)
        | ("storage.k8s.io", "volumeattachments", part) => match (verb, part) {
            ("get", "") => related(),
            ("get", _) => no("cannot get subresource"),
            _ => no("can only get individual resources of this type"),
        },
        ("", "serviceaccounts", part) if verb != "get" || !part.is_empty() => {
            no("can only create tokens for individual service accounts")
        }
        ("", "nodes", "") if reads => match (one, place.name) {
            (false, _) => no("node 'x' cannot read all nodes, only its own Node object"),
            (true, "x") => Ok(()),
            (true, other) => Err(format!("node 'x' cannot read '{other}', only its own Node object")),
        },
        ("", "nodes", "") if matches!(verb, "create" | "update" | "patch") => Ok(()),
        ("", "nodes" | "pods", "status") if matches!(verb, "update" | "patch") => Ok(()),
        ("", "pods" | "serviceaccounts", "") if verb == "get" => related(),
        ("", "pods", "") if reads => no("can only list/watch pods with spec.nodeName field selector"),
        ("", "pods", "") if matches!(verb, "create" | "delete") => Ok(()),
        ("", "pods", "eviction") => Ok(()),
        ("resource.k8s.io", "resourceslices", _) => match verb {
            "create" => Ok(()),
            "list" | "watch" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => related(),
        },
        ("storage.k8s.io", "csinodes", _) if matches!(verb, "list" | "watch" | "deletecollection") => {
            no("can only get, create, update, patch, or delete a CSINode")
        }
        ("storage.k8s.io", "csinodes", _) => own("CSINode"),
        ("coordination.k8s.io", "leases", _) => match (verb, place.namespace) {
            ("list" | "watch" | "deletecollection", _) => {
                no("can only get, create, update, patch, or delete a node lease")
            }
            (_, "kube-node-lease") => own("node lease"),
            _ => no("can only access leases in the \"kube-node-lease\" system namespace"),
        },
        _ if everybody(row, verb, reads) => Ok(()),
        _ => no(""),
    }
}

/// What all nodes may do with anybody's objects.
fn everybody(row: &Row, verb: &str, reads: bool) -> bool {
    match (row.group.as_str(), row.plural.as_str(), row.part.as_str()) {
        ("authentication.k8s.io", "tokenreviews", "")
        | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews", "") => true,
        ("", "services", "")
        | ("storage.k8s.io", "csidrivers", "")
        | ("node.k8s.io", "runtimeclasses", "") => reads,
        ("", "events", "") => matches!(verb, "create" | "update" | "patch"),
        ("", "endpoints", "") => verb == "get",
        ("certificates.k8s.io", "certificatesigningrequests", "") => reads || verb == "create",
        _ => false,
    }
}
