//! Pods that a directory of manifests names: they run, the API shows them, and only their manifests end them.

use std::fs;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Cluster, Options, Registry, isolated, wait};

const MIRROR: &str = "web-node-1";

fn manifest(script: &str) -> String {
    let spec = json!({ "terminationGracePeriodSeconds": 2, "containers": [shell("main", script)] });
    let metadata = json!({ "name": "web", "labels": { "app": "static" } });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }).to_string()
}

/// The uid of the mirror, and the hash of what it shows.
fn shown(mirror: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let meta = &mirror["metadata"];
    (text(&meta["uid"]), text(&meta["annotations"]["kubernetes.io/config.mirror"]))
}

fn until_shown(cluster: &Cluster, seen: impl Fn(&Value) -> bool) -> Value {
    wait::until("the mirror", || {
        let output = cluster.try_kubectl(&["get", "pod", MIRROR, "-o", "json"]);
        let mirror: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let is_ready = mirror["status"]["containerStatuses"][0]["ready"] == true;
        if is_ready && seen(&mirror) { Ok(mirror) } else { Err(format!("{mirror:#}")) }
    })
}

#[test]
fn static_pods_follow_their_manifests_and_mirrors_follow_the_pods() {
    isolated(|| {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let manifests = dir.path().join("manifests");
        fs::create_dir(&manifests).expect("the directory is new");
        let write =
            |name: &str, text: &str| fs::write(manifests.join(name), text).expect("a file can be written");
        write("web.json", &manifest(&format!("echo first; {IDLE}")));
        write("broken.yaml", "apiVersion: apps/v1\nkind: Deployment\n");
        let _registry = Registry::start(dir.path());
        let flags = vec![format!("--pod-manifest-path={}", manifests.display())];
        let mut cluster = Cluster::start(dir.path(), Options { flags, ..Options::default() });

        let mirror = until_shown(&cluster, |_| true);
        let (uid, hash) = shown(&mirror);
        let node = cluster.get(&["node", "node-1"])["metadata"]["uid"].clone();
        let owner =
            json!({ "apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": node, "controller": true });
        assert_eq!(mirror["metadata"]["ownerReferences"], json!([owner]));
        let annotations = &mirror["metadata"]["annotations"];
        assert_eq!(
            (&annotations["kubernetes.io/config.source"], &annotations["kubernetes.io/config.hash"]),
            (&json!("file"), &json!(hash))
        );
        assert_eq!(cluster.kubectl(&["logs", MIRROR]), "first\n");
        assert!(cluster.kubectl(&["exec", MIRROR, "--", "hostname"]).contains(MIRROR));
        assert!(cluster.log().contains("and not a Pod of apiVersion v1"), "{}", cluster.log());

        // The mirror alone is deleted; the container goes on.
        let container = mirror["status"]["containerStatuses"][0]["containerID"].clone();
        cluster.kubectl(&["delete", "pod", MIRROR, "--wait=false"]);
        let again = until_shown(&cluster, |mirror| shown(mirror).0 != uid);
        assert_eq!(again["status"]["containerStatuses"][0]["containerID"], container);

        // It goes on while the agent is away, and is taken over.
        cluster.kill();
        cluster.launch();
        let over = until_shown(&cluster, |_| true);
        assert_eq!(over["status"]["containerStatuses"][0]["containerID"], container);
        assert_eq!(shown(&over), shown(&again));

        // Another manifest is another Pod; one that is broken is none.
        write("web.json", &manifest(&format!("echo second; {IDLE}")));
        let other = until_shown(&cluster, |mirror| shown(mirror).1 != hash);
        assert_eq!(cluster.kubectl(&["logs", MIRROR]), "second\n");
        write("web.json", "{");
        wait::until("the broken manifest to be told", || {
            let log = cluster.log();
            if log.contains("the Pod that it named before goes on") { Ok(()) } else { Err(log) }
        });
        assert_eq!(shown(&cluster.get(&["pod", MIRROR])), shown(&other));

        fs::remove_file(manifests.join("web.json")).expect("the manifest is there");
        cluster.wait_for("delete", &[&format!("pod/{MIRROR}")]);
        let left = cluster.left_behind();
        assert!(left.is_empty(), "left of the static Pod:\n{}", left.join("\n"));
    });
}
