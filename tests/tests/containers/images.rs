//! Images that are brought to a node by hand.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, build_dir, in_cluster, wherry_binary};

/// A name that no registry has.
const NAME: &str = "nowhere.example/imported:1";

fn image(cluster: &Cluster, args: &[&str], input: Stdio) -> String {
    let output = Command::new(wherry_binary())
        .arg("image")
        .args(args)
        .arg("--data-dir")
        .arg(cluster.data_dir())
        .stdin(input)
        .output()
        .expect("wherry runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "wherry image {}: {out}{err}", args.join(" "));
    out.into_owned()
}

/// An OCI layout in an archive, with a name for its image.
fn archive(dir: &Path) -> std::fs::File {
    let layout = build_dir().join("images/hello-oci");
    let index = std::fs::read(layout.join("index.json")).expect("scripts/oci-images made the layout");
    let mut index: Value = serde_json::from_slice(&index).expect("an index is JSON");
    index["manifests"][0]["annotations"] = json!({ "io.containerd.image.name": NAME });
    std::fs::write(dir.join("index.json"), index.to_string()).expect("the test's directory is writable");
    let archive = dir.join("image.tar.gz");
    let status = Command::new("tar")
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(&layout)
        .args(["oci-layout", "blobs", "-C"])
        .arg(dir)
        .arg("index.json")
        .status();
    assert!(status.expect("tar is installed").success());
    std::fs::File::open(archive).expect("the archive was written")
}

#[test]
fn an_image_that_is_imported_beside_a_running_node_needs_no_registry() {
    in_cluster(Options::default(), |cluster| {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let pod = with(shell("main", IDLE), json!({ "image": NAME, "imagePullPolicy": "Never" }));
        cluster.run_pod("early", &json!({ "terminationGracePeriodSeconds": 0, "containers": [pod] }));
        let waiting = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
        cluster
            .kubectl_until(&["get", "pod", "early", "-o", waiting], |reason| reason == "ErrImageNeverPull");
        let imported = image(cluster, &["import", "-"], archive(dir.path()).into());
        assert_eq!(imported, format!("imported {NAME}\n"));
        cluster.wait_for("condition=Ready", &["pod/early"]);
        let kept = |cluster: &Cluster| {
            let list = image(cluster, &["list"], Stdio::null());
            let line = list.lines().find(|line| line.starts_with(NAME)).expect("the image is listed");
            line.split_whitespace().nth(3).map(str::to_owned)
        };
        assert_eq!(kept(cluster).as_deref(), Some("imported"));
        image(cluster, &["unpin", NAME], Stdio::null());
        assert_eq!(kept(cluster), None);
        image(cluster, &["pin", NAME], Stdio::null());
        assert_eq!(kept(cluster).as_deref(), Some("pinned"));
    });
}
