//! Pods that a directory of manifests names: they run, the API shows them, and only their manifests end them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

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

/// The Pods that a URL answers.
fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "PodList", "items": items }).to_string()
}

/// The address of a server that answers so, to who shows the token.
fn answering(body: Arc<Mutex<String>>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let is_known = head.iter().any(|line| line.eq_ignore_ascii_case("x-token: secret"));
            let status = if is_known { "200 OK" } else { "403 Forbidden" };
            let body = body.lock().expect("nobody panics with it").clone();
            let length = body.len();
            // Who does not wait for the answer asks again.
            let _ = write!(
                &stream,
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    address
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
        let spec = json!({ "terminationGracePeriodSeconds": 2, "containers": [shell("main", IDLE)] });
        let remote = json!({ "metadata": { "name": "remote" }, "spec": spec });
        let answer = Arc::new(Mutex::new(list(&[remote])));
        let flags = vec![
            format!("--pod-manifest-path={}", manifests.display()),
            format!("--manifest-url=http://{}/pods", answering(answer.clone())),
            "--manifest-url-header=X-Token: secret".to_owned(),
            "--http-check-frequency=1s".to_owned(),
        ];
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

        cluster.wait_for("condition=Ready", &["pod/remote-node-1"]);
        let remote = cluster.get(&["pod", "remote-node-1"]);
        assert_eq!(remote["metadata"]["annotations"]["kubernetes.io/config.source"], "http");

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
        *answer.lock().expect("nobody panics with it") = list(&[]);
        cluster.wait_for("delete", &["pod/remote-node-1"]);
        let left = cluster.left_behind();
        assert!(left.is_empty(), "left of the static Pod:\n{}", left.join("\n"));
    });
}
