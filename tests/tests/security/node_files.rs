//! Files of the node that no container was given.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};

use nix::sys::stat::{major, minor};
use serde_json::{Value, json};
use wherry_tests::pods::{BUSYBOX, shell, with};
use wherry_tests::{Cluster, wait};

const SECRET: &str = "what only the node knows";

/// Says of each attempt that succeeds that it did. `$1` is the file, `$2` and `$3` the numbers of the disk it is on, `$4` a process that
/// sees it.
const TRICKS: &str = r#"
tell() { grep -q 'what only the node knows' 2>/dev/null && echo "REACHED by $1"; }
write() { v=$(cat $1 2>/dev/null) && [ -n "$v" ] && echo "$v" 2>/dev/null > $1 && echo "WROTE to $1"; }
for root in /proc/[0-9]*/root /proc/self/cwd /proc/[0-9]*/cwd; do cat $root$1 2>/dev/null | tell $root; done
for fd in /proc/self/fd/* /proc/1/fd/*; do
  cat $fd/../../../../../../../..$1 2>/dev/null | tell $fd; cat $fd$1 2>/dev/null | tell $fd
done
write /proc/sys/kernel/core_pattern 2>/dev/null
write /proc/sys/kernel/hostname 2>/dev/null
write /proc/sys/vm/overcommit_memory 2>/dev/null
[ -w /proc/sysrq-trigger ] && echo "WROTE to sysrq"
touch /sys/kernel/x /sys/fs/cgroup/x 2>/dev/null && echo "WROTE to sys"
[ -n "$(head -c 1 /proc/kcore 2>/dev/null)" ] && echo "READ memory"
[ -e /dev/mem ] || [ -e /dev/kmsg ] && echo "READ devices"
mknod /disk b $2 $3 2>/dev/null && head -c 1 /disk > /dev/null 2>&1 && echo "OPENED the disk"
mkdir -p /m && mount -t proc proc /m 2>/dev/null && echo "MOUNTED proc"
mount --bind /etc /m 2>/dev/null && echo "MOUNTED a directory"
unshare -m true 2>/dev/null && echo "MADE a namespace"
for process in 1 $4; do
  nsenter -t $process -m cat $1 2>/dev/null | tell nsenter
  chroot /proc/$process/root cat $1 2>/dev/null | tell chroot
done
echo END
"#;

/// The output of the tricks, tried by a container with this security context.
fn tried(cluster: &Cluster, name: &str, context: &Value, arguments: &[&str]) -> String {
    let command = [&["sh", "-c", TRICKS, "sh"], arguments].concat();
    let main = json!({ "name": "main", "image": BUSYBOX, "command": command, "securityContext": context });
    let is_privileged = context["privileged"] == true;
    cluster
        .run_pod(name, &json!({ "restartPolicy": "Never", "hostPID": is_privileged, "containers": [main] }));
    cluster.until_phase(name, "Succeeded");
    cluster.kubectl(&["logs", name])
}

pub(crate) fn tricks_with_proc_and_devices_lead_nowhere(cluster: &Cluster) {
    let secret = cluster.data_dir().join("secret");
    fs::write(&secret, SECRET).expect("the file can be written");
    let disk = fs::metadata(&secret).expect("it is there").dev();
    let numbers = [major(disk), minor(disk), u64::from(cluster.pid())].map(|number| number.to_string());
    let path = secret.display().to_string();
    let arguments = [path.as_str(), &numbers[0], &numbers[1], &numbers[2]];
    assert_eq!(tried(cluster, "plain", &json!({ "runAsUser": 0 }), &arguments), "END\n");
    let free = tried(cluster, "free", &json!({ "runAsUser": 0, "privileged": true }), &arguments);
    for deed in [
        "REACHED by /proc/",
        "REACHED by nsenter",
        "REACHED by chroot",
        "MOUNTED proc",
        "WROTE to /proc/sys/vm",
    ] {
        assert!(free.contains(deed), "{deed} is not told of by who may:\n{free}");
    }
}

/// A working directory that is a descriptor of whoever starts containers would lead to the node's files.
pub(crate) fn no_working_directory_leads_out(cluster: &Cluster) {
    let secret = cluster.data_dir().join("secret");
    let script = format!("cat ../../../../../../../../..{} || echo kept", secret.display());
    let container = |fd: usize| {
        let name = format!("fd-{fd}");
        with(shell(&name, &script), json!({ "workingDir": format!("/proc/self/fd/{fd}") }))
    };
    let containers: Vec<Value> = (3..12).map(container).collect();
    cluster.run_pod("leaping", &json!({ "restartPolicy": "Never", "containers": containers }));
    let ended: Vec<String> = wait::until("every container to have been tried", || {
        let statuses = cluster.get(&["pod", "leaping"])["status"]["containerStatuses"].clone();
        let all = statuses.as_array().cloned().unwrap_or_default();
        let is_refused = |it: &Value| {
            it["state"]["waiting"]["reason"].as_str().is_some_and(|reason| reason.ends_with("Error"))
        };
        let has_ended = |it: &&Value| it["state"]["terminated"].is_object();
        if all.is_empty() || !all.iter().all(|it| is_refused(it) || has_ended(&it)) {
            return Err(statuses.to_string());
        }
        let name = |it: &Value| it["name"].as_str().unwrap_or_default().to_owned();
        Ok(all.iter().filter(has_ended).map(name).collect())
    });
    for name in ended {
        let output = cluster.kubectl(&["logs", "leaping", "-c", &name]);
        assert!(!output.contains(SECRET), "{name} reads files of the node");
    }
    cluster.kubectl(&["delete", "pod", "leaping", "--grace-period=1", "--wait=false"]);
}

/// Whatever somebody puts at a path, and be it by a link, a Pod gets it only if it is of the kind that the Pod names.
pub(crate) fn a_path_of_the_node_is_what_its_type_says(cluster: &Cluster) {
    let dir = cluster.data_dir().join("paths");
    fs::create_dir(&dir).expect("the directory is new");
    let (file, link) = (dir.join("file"), dir.join("link"));
    fs::write(&file, "").expect("the file can be written");
    symlink("/dev/null", &link).expect("the link is new");
    let wrong = [("file", "Directory"), ("file", "Socket"), ("link", "File"), ("link", "BlockDevice")];
    for (number, (name, kind)) in wrong.into_iter().enumerate() {
        let source = json!({ "path": dir.join(name), "type": kind });
        let volumes = json!([{ "name": "v", "hostPath": source }]);
        let pod = format!("confused-{number}");
        cluster.run_pod(&pod, &json!({ "volumes": volumes, "containers": [shell("main", "true")] }));
        let of_pod = format!("involvedObject.name={pod},reason=FailedMount");
        cluster.until_told(&of_pod, |told| told.contains("hostPath type check failed"));
        cluster.kubectl(&["delete", "pod", &pod, "--grace-period=1", "--wait=false"]);
    }
}
