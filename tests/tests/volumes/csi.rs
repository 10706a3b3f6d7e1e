//! Volumes of CSI drivers.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, wait};

use super::driver::{Driver, NAME};

const VOLUME: &str = "kubernetes.io/csi/dir.example.com^vol";

fn make(cluster: &Cluster, kind: (&str, &str), name: &str, spec: &Value) {
    let (version, kind) = kind;
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec});
    cluster.create(&object.to_string());
}

/// A driver that is to attach its volumes, a volume of it, and its claim.
fn prepare(cluster: &Cluster) {
    let driver = json!({"volumeLifecycleModes": ["Persistent", "Ephemeral"], "podInfoOnMount": true});
    make(cluster, ("storage.k8s.io/v1", "CSIDriver"), NAME, &driver);
    let (size, modes) = (json!({"storage": "1Gi"}), json!(["ReadWriteOnce"]));
    let volume = json!({
        "csi": {"driver": NAME, "volumeHandle": "vol"}, "capacity": size, "accessModes": modes,
        "persistentVolumeReclaimPolicy": "Retain",
    });
    make(cluster, ("v1", "PersistentVolume"), "pv", &volume);
    let claim = json!({
        "volumeName": "pv", "storageClassName": "", "accessModes": modes, "resources": {"requests": size},
    });
    make(cluster, ("v1", "PersistentVolumeClaim"), "claim", &claim);
}

fn run(cluster: &Cluster, name: &str, volume: Value, script: &str) {
    let mut volume = volume;
    volume["name"] = json!("v");
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let container = with(shell("main", &format!("{script}; {IDLE}")), mounts);
    cluster.run_pod(name, &json!({"containers": [container], "volumes": [volume]}));
}

/// The only VolumeAttachment's name, once there is one.
fn attachment(cluster: &Cluster) -> String {
    let path = "jsonpath={.items[*].metadata.name}";
    cluster.kubectl_until(&["get", "volumeattachments", "-o", path], |name| !name.is_empty())
}

fn of_node(cluster: &Cluster, field: &str) -> String {
    cluster.kubectl(&["get", "node", "node-1", "-o", &format!("jsonpath={{.status.{field}}}")])
}

/// A volume of mode Block is a device of its container, here one of the node's own.
fn block_volumes_are_devices(cluster: &Cluster) {
    let (size, modes) = (json!({"storage": "1Gi"}), json!(["ReadWriteOnce"]));
    let here = json!({"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-1"]});
    let volume = json!({
        "local": {"path": "/dev/loop0"}, "volumeMode": "Block", "capacity": size, "accessModes": modes,
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    });
    make(cluster, ("v1", "PersistentVolume"), "device", &volume);
    let claim = json!({
        "volumeName": "device", "storageClassName": "", "volumeMode": "Block", "accessModes": modes,
        "resources": {"requests": size},
    });
    make(cluster, ("v1", "PersistentVolumeClaim"), "device", &claim);
    let asks = json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/xvda"}]});
    // It can be opened only if the container's group allows this device.
    let container = with(shell("main", "test -b /dev/xvda && (exec 3<>/dev/xvda)"), asks.clone());
    let claimed = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "device"}}]);
    let spec = json!({"restartPolicy": "Never", "containers": [container], "volumes": claimed});
    cluster.run_pod("block", &spec);
    assert_eq!(cluster.exit_code("block"), 0);
    cluster.kubectl(&["delete", "pod", "block"]);

    // WebAssembly knows none, and is told so.
    let container = with(json!({"name": "main", "image": "127.0.0.1:5000/cli-p2:v1"}), asks);
    cluster.run_pod("block", &json!({"containers": [container], "volumes": claimed}));
    wait::until("the Pod to be told that there are no devices", || {
        let waiting = cluster.first_container("block")["state"]["waiting"].clone();
        let message = waiting["message"].as_str().unwrap_or_default();
        let told =
            waiting["reason"] == "CreateContainerConfigError" && message.starts_with("volumeDevices: ");
        if told { Ok(()) } else { Err(waiting.to_string()) }
    });
    cluster.kubectl(&["delete", "pod", "block"]);
}

/// A driver registers with its node. A claim on one of its volumes is attached, staged and published in that order, and an inline
/// volume is told its Pod; an agent that starts again finds both, and when the Pods go, all is undone in the reverse order.
#[test]
fn volumes_of_drivers_are_mounted_and_given_back() {
    in_cluster(Options::default(), |cluster| {
        let volumes = cluster.data_dir().join("driver");
        let driver = Driver::start(&cluster.data_dir().join("node"), &volumes);
        let id = ["get", "csinode", "node-1", "-o", "jsonpath={.spec.drivers[0].nodeID}"];
        cluster.kubectl_until(&id, |id| id == "here");
        prepare(cluster);

        let claimed = json!({"persistentVolumeClaim": {"claimName": "claim"}});
        run(cluster, "web", claimed, "cp /v/device /v/copy && echo from $HOSTNAME >/v/file");
        let attachment = attachment(cluster);
        wait::until("the node to name the volume", || {
            let named = of_node(cluster, "volumesInUse");
            if named.contains(VOLUME) { Ok(()) } else { Err(named) }
        });
        assert_eq!(driver.asked(), ["registered true "], "nothing is asked before the volume is attached");
        let attached = json!({"status": {"attached": true, "attachmentMetadata": {"device": "sdb"}}});
        let patch = ["patch", "volumeattachment", &attachment, "--subresource=status", "--type=merge", "-p"];
        cluster.kubectl(&[&patch[..], &[&attached.to_string()]].concat());
        cluster.wait_for("condition=Ready", &["pod", "web"]);
        assert_eq!(driver.asked(), ["stage vol", "publish vol"]);
        let file = |name: &str| std::fs::read_to_string(volumes.join("vol").join(name)).unwrap_or_default();
        wait::until("the Pod to write", || {
            if file("file") == "from web\n" { Ok(()) } else { Err(file("file")) }
        });
        assert_eq!(file("copy"), "sdb");
        cluster.kubectl_until(
            &["get", "node", "node-1", "-o", "jsonpath={.status.volumesAttached[*].name}"],
            |named| named == VOLUME,
        );

        run(
            cluster,
            "inline",
            json!({"csi": {"driver": NAME}}),
            "test $(cat /v/pod.name) = inline || exit 1",
        );
        cluster.wait_for("condition=Ready", &["pod", "inline"]);
        let asked = driver.asked();
        assert!(asked.len() == 1 && asked[0].starts_with("publish csi-"), "{asked:?}");

        block_volumes_are_devices(cluster);

        cluster.kill();
        cluster.launch();
        cluster.kubectl(&["delete", "pod", "web", "inline", "--grace-period=1"]);
        let mut undone = driver.asked();
        undone.retain(|call| call.starts_with("un"));
        undone.sort();
        assert_eq!(undone.len(), 3, "{undone:?}");
        assert!(undone[0].starts_with("unpublish csi-"), "{undone:?}");
        assert_eq!(undone[1..], ["unpublish vol", "unstage vol"]);
        assert_eq!(file("file"), "from web\n", "the volume outlives the Pod");
        cluster.wait_for("delete", &["volumeattachment", &attachment]);
        assert_eq!(of_node(cluster, "volumesInUse"), "");
    });
}
