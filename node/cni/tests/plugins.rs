//! Lists of plugins: programs that write down what they are asked, and those of Debian (containernetworking-plugins; needs root).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use nix::sched::{CloneFlags, setns, unshare};
use serde_json::{Value, json};
use tempfile::TempDir;
use wherry_cni::{Attachment, CniError, NetworkList, PluginError, Plugins};

/// Where Debian has them.
const DEBIANS: &str = "/usr/lib/cni";

fn attachment(netns: &Path) -> Attachment {
    let args = [("IgnoreUnknown", "1"), ("K8S_POD_NAME", "web"), ("K8S_POD_NAMESPACE", "default")];
    let mapping = json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "" }]);
    Attachment {
        container_id: "pod-1".to_owned(),
        netns: netns.to_owned(),
        netns_id: fs::metadata(netns).unwrap().ino(),
        interface: "eth0".to_owned(),
        args: args.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        capabilities: BTreeMap::from([("portMappings".to_owned(), mapping)]),
    }
}

fn list(version: &str, plugins: &Value) -> NetworkList {
    let list = json!({ "cniVersion": version, "name": "pods", "plugins": plugins });
    NetworkList::parse(list.to_string().as_bytes()).unwrap()
}

/// Plugins that write down what they are asked, one line a call.
struct Scripted {
    dir: TempDir,
    plugins: Plugins,
}

impl Scripted {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugins = Plugins::open(vec![dir.path().to_owned()], dir.path().join("kept")).unwrap();
        Self { dir, plugins }
    }

    /// A plugin that answers so.
    fn plugin(&self, name: &str, script: &str) {
        let (path, calls) = (self.dir.path().join(name), self.dir.path().join("calls"));
        let text = format!(
            "#!/bin/sh\nrequest=$(cat)\necho \"$CNI_COMMAND {name} $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS $request\" >> {}\n{script}\n",
            calls.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What was asked since the last look, by command and plugin, and in full.
    fn calls(&self) -> (Vec<String>, String) {
        let path = self.dir.path().join("calls");
        let text = fs::read_to_string(&path).unwrap_or_default();
        fs::write(&path, "").unwrap();
        let short = text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        (short.collect(), text)
    }

    /// As the next agent finds it.
    fn reopened(&self) -> Plugins {
        Plugins::open(vec![self.dir.path().to_owned()], self.dir.path().join("kept")).unwrap()
    }
}

const ANSWER: &str =
    r#"[ "$CNI_COMMAND" != ADD ] || echo '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}]}'"#;

#[tokio::test]
async fn plugins_are_asked_in_order_and_undone_in_reverse_by_the_next_agent_too() {
    let node = Scripted::new();
    node.plugin("a", ANSWER);
    node.plugin("b", "[ \"$CNI_COMMAND\" != ADD ] || echo \"$request\" | sed 's/.*\"prevResult\":\\({.*}\\),\"runtime.*/\\1/'");
    let both =
        list("1.0.0", &json!([{ "type": "a" }, { "type": "b", "capabilities": { "portMappings": true } }]));
    let pod = attachment(Path::new("/proc/self/ns/net"));
    let outcome = node.plugins.attach(&both, &pod).await.unwrap();
    assert_eq!(outcome.ips, ["10.1.2.3".parse::<std::net::IpAddr>().unwrap()]);
    let (calls, text) = node.calls();
    assert_eq!(calls, ["ADD a", "ADD b"]);
    assert!(text.contains("pod-1 eth0 IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_NAMESPACE=default"), "{text}");
    assert!(
        text.lines().nth(1).unwrap().contains("\"hostPort\":8080") && !text.contains("capabilities"),
        "{text}"
    );

    let next = node.reopened();
    assert_eq!(next.attached("pod-1", pod.netns_id).unwrap().unwrap().ips, outcome.ips);
    assert_eq!(next.attached("pod-1", 1).unwrap(), None, "another namespace has nothing");
    next.check("pod-1").await.unwrap();
    // Whatever is configured by now.
    next.detach("pod-1").await.unwrap();
    let (calls, text) = node.calls();
    assert_eq!(calls, ["CHECK a", "CHECK b", "DEL b", "DEL a"]);
    assert_eq!(text.matches("\"prevResult\":{\"cniVersion\":\"1.0.0\"").count(), 4, "{text}");
    next.detach("pod-1").await.unwrap();
    assert_eq!((node.calls().0.len(), next.known().unwrap().len()), (0, 0));
}

#[tokio::test]
async fn what_came_before_a_failure_is_undone_now_or_later() {
    let node = Scripted::new();
    let refuses = r#"[ "$CNI_COMMAND" != ADD ] || { echo '{"cniVersion": "1.0.0", "code": 7, "msg": "no room", "details": "none left"}'; exit 1; }"#;
    node.plugin("a", ANSWER);
    node.plugin("b", refuses);
    let both = list("0.3.1", &json!([{ "type": "a" }, { "type": "b" }]));
    let pod = attachment(Path::new("/proc/self/ns/net"));
    let error = node.plugins.attach(&both, &pod).await.unwrap_err();
    assert_eq!(error.to_string(), "plugin type=\"b\" failed (ADD): no room; none left");
    assert!(matches!(error, CniError::Plugin(PluginError::Failed { code: 7, .. })));
    let (calls, text) = node.calls();
    assert_eq!(calls, ["ADD a", "ADD b", "DEL b", "DEL a"]);
    assert!(!text.lines().skip(2).any(|line| line.contains("prevResult")), "0.3.1 has none at DEL: {text}");
    assert_eq!(node.plugins.known().unwrap(), [""; 0]);
    // One that cannot be undone now is known, and is later.
    node.plugin("a", "exit 3");
    node.plugins.attach(&both, &pod).await.unwrap_err();
    assert_eq!(node.plugins.known().unwrap(), ["pod-1"]);
    assert_eq!(node.plugins.attached("pod-1", pod.netns_id).unwrap(), None);
    node.plugin("a", ANSWER);
    node.calls();
    node.reopened().detach("pod-1").await.unwrap();
    assert_eq!(
        (node.calls().0, node.plugins.known().unwrap().len()),
        (vec!["DEL b".to_owned(), "DEL a".to_owned()], 0)
    );
    let missing = list("1.0.0", &json!([{ "type": "nobody" }]));
    let error = node.plugins.attach(&missing, &pod).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to find plugin \"nobody\" in path ["), "{error}");
}

#[tokio::test]
async fn plugins_of_the_newest_version_are_asked_how_they_are_and_told_what_there_is() {
    let node = Scripted::new();
    let unwell =
        r#"[ "$CNI_COMMAND" != STATUS ] || { echo '{"code": 50, "msg": "the daemon is away"}'; exit 1; }"#;
    node.plugin("a", ANSWER);
    let (old, new) = (list("1.0.0", &json!([{ "type": "a" }])), list("1.1.0", &json!([{ "type": "a" }])));
    node.plugins.attach(&new, &attachment(Path::new("/proc/self/ns/net"))).await.unwrap();
    node.calls();
    node.plugins.status(&old).await.unwrap();
    node.plugins.collect(&old).await.unwrap();
    assert_eq!(node.calls().0, [""; 0]);
    node.plugins.status(&new).await.unwrap();
    node.plugins.collect(&new).await.unwrap();
    let (calls, text) = node.calls();
    assert_eq!(calls, ["STATUS a", "GC a"]);
    assert!(
        text.contains(r#""cni.dev/valid-attachments":[{"containerID":"pod-1","ifname":"eth0"}]"#),
        "{text}"
    );
    node.plugin("a", unwell);
    let error = node.plugins.status(&new).await.unwrap_err().to_string();
    assert_eq!(error, "plugin type=\"a\" failed (STATUS): the daemon is away");
}

/// Runs in a network namespace of its own, on a thread that ends with it.
fn isolated(test: impl AsyncFnOnce() + Send + 'static) {
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root");
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    };
    std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A namespace that lives as long as the file is open.
fn namespace() -> File {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        File::open("/proc/thread-self/ns/net").unwrap()
    };
    std::thread::spawn(make).join().unwrap()
}

fn said(netns: &File, words: &[&str]) -> String {
    let (netns, words) =
        (netns.try_clone().unwrap(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    let run = move || {
        setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
        let output = Command::new(&words[0]).args(&words[1..]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    std::thread::spawn(run).join().unwrap()
}

#[test]
fn debians_plugins_make_an_interface_with_addresses_of_both_families_and_take_it_away() {
    isolated(async || {
        let dir = tempfile::tempdir().unwrap();
        let plugins = Plugins::open(vec![DEBIANS.into()], dir.path().join("kept")).unwrap();
        let ranges = json!([[{ "subnet": "10.77.0.0/24" }], [{ "subnet": "fd77::/64" }]]);
        let leases = dir.path().join("leases");
        let ipam = json!({ "type": "host-local", "ranges": ranges, "dataDir": leases });
        let bridge = json!({ "type": "bridge", "bridge": "cni0", "isGateway": true, "ipam": ipam });
        let pods = list("1.0.0", &json!([bridge]));
        let netns = namespace();
        let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
        let pod = attachment(Path::new(&path));
        let outcome = plugins.attach(&pods, &pod).await.unwrap();
        assert_eq!(outcome.ips, ["10.77.0.2", "fd77::2"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
        let shown = said(&netns, &["ip", "address", "show", "dev", "eth0"]);
        assert!(shown.contains("10.77.0.2/24") && shown.contains("fd77::2/64"), "{shown}");
        plugins.check("pod-1").await.unwrap();
        said(&netns, &["ip", "address", "flush", "dev", "eth0"]);
        let error = plugins.check("pod-1").await.unwrap_err().to_string();
        assert!(error.contains("(CHECK)"), "{error}");
        plugins.detach("pod-1").await.unwrap();
        assert_eq!(said(&netns, &["ip", "address", "show", "dev", "eth0"]), "");
        let left: Vec<_> =
            fs::read_dir(leases.join("pods")).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("10.")), "{left:?}");
    });
}
