//! What the node takes to run OCI containers, and what runc takes alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wherry_tests::pods::BUSYBOX;
use wherry_tests::{Cluster, Options, Registry};

use super::api_load::{self, Client, PODS, is_deleted};
use super::{clock, figure, float, idle_for, median, processor_ticks, rss_mib};

/// How often what is done one at a time is done.
const TIMES: usize = 20;
const AT_ONCE: usize = 50;
const MANY: usize = 100;
/// How long the idle node is looked at.
const IDLE_SECONDS: u32 = 30;
/// A number that only the processes of this bench have among their arguments.
const MARK: &str = "864209753";

/// A Pod that does nothing until it is asked to end. Its image is in the cache once one has run.
fn idle(name: &str) -> String {
    pod(name, "trap 'exit 0' TERM; sleep 2147483 & wait")
}

fn pod(name: &str, script: &str) -> String {
    let container = json!({ "name": "main", "image": BUSYBOX, "command": ["sh", "-c", script] });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "terminationGracePeriodSeconds": 10, "containers": [container] },
    })
    .to_string()
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn is_running(event: &Value) -> bool {
    event["object"]["status"]["phase"] == "Running"
}

fn has_restarted(event: &Value) -> bool {
    let container = &event["object"]["status"]["containerStatuses"][0];
    container["restartCount"].as_u64() > Some(0) && container["state"]["running"].is_object()
}

/// All figures of the node, in one cluster.
pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let node = Node { cluster: &cluster, runtime };
    node.run(&[idle("first")]);
    node.one_at_a_time(dir);
    node.exec("first");
    node.restart();
    node.delete_all();
    node.many();
}

struct Node<'a> {
    cluster: &'a Cluster,
    runtime: Runtime,
}

impl Node<'_> {
    fn client(&self) -> Client {
        self.runtime.block_on(Client::connect(&self.cluster.kubeconfig()))
    }

    /// Makes Pods; milliseconds until all run.
    fn run(&self, pods: &[String]) -> f64 {
        let mut client = self.client();
        self.runtime.block_on(async {
            let mut watched = client.watch(PODS).await;
            let start = clock();
            client.create(PODS, pods).await;
            watched.until(pods.len(), is_running).await;
            start.elapsed().as_secs_f64() * 1000.0
        })
    }

    /// Milliseconds until all Pods are gone.
    fn delete_all(&self) -> f64 {
        let list = self.cluster.get(&["pods"]);
        let count = list["items"].as_array().unwrap().len();
        let mut client = self.client();
        self.runtime.block_on(async {
            let mut watched = client.watch(PODS).await;
            let start = clock();
            client.delete_all(PODS).await;
            watched.until(count, is_deleted).await;
            start.elapsed().as_secs_f64() * 1000.0
        })
    }

    /// POST to Running, beside `runc run` of the same bundle.
    fn one_at_a_time(&self, dir: &Path) {
        let bundle = Bundle::of_container(&self.cluster.data_dir(), dir);
        let (mut ours, mut runc) = (Vec::new(), Vec::new());
        for name in names("one", TIMES) {
            runc.push(bundle.run(&name));
            ours.push(self.run(&[idle(&name)]));
        }
        let (ours, runc) = (median(ours), median(runc));
        figure("oci_running", ours, "ms");
        figure("oci_runc_run", runc, "ms");
        figure("oci_running_to_runc", ours / runc, "times");
    }

    fn exec(&self, pod: &str) {
        let kubeconfig = self.cluster.kubeconfig();
        let times = (0..TIMES).map(|_| self.runtime.block_on(api_load::exec(&kubeconfig, pod)));
        figure("oci_exec", median(times.map(|time| time.as_secs_f64() * 1000.0).collect()), "ms");
    }

    /// SIGKILL of a container's first process until it runs again, each in a Pod of its own: only the first restart is
    /// not put off.
    fn restart(&self) {
        let mut times = Vec::new();
        for number in 0..TIMES {
            let mark = format!("{MARK}{number:02}");
            self.run(&[pod(&format!("restarted-{number}"), &format!("exec sleep {mark}"))]);
            let process = process_with(&mark);
            let mut client = self.client();
            let took = self.runtime.block_on(async {
                let mut watched = client.watch(PODS).await;
                let start = clock();
                kill(process, Signal::SIGKILL).unwrap();
                watched.until(1, has_restarted).await;
                start.elapsed()
            });
            times.push(took.as_secs_f64() * 1000.0);
        }
        figure("oci_restarted", median(times), "ms");
    }

    /// Many Pods at once, idle, and gone.
    fn many(&self) {
        idle_for(Duration::from_secs(5));
        let before = rss_mib(self.cluster.pid());
        let started: Vec<_> = names("many", AT_ONCE).iter().map(|name| idle(name)).collect();
        let took = self.run(&started);
        figure("oci_running_50_rate", 1000.0 * float(AT_ONCE) / took, "Pods/s");
        let more: Vec<_> = names("more", MANY - AT_ONCE).iter().map(|name| idle(name)).collect();
        self.run(&more);
        idle_for(Duration::from_secs(5));
        let per_pod = (rss_mib(self.cluster.pid()) - before) / float(MANY);
        figure("oci_rss_per_pod", per_pod * 1024.0, "KiB");
        let shims = shims(&self.cluster.data_dir());
        figure("oci_shim_rss", median(shims.iter().map(|shim| rss_mib(*shim)).collect()) * 1024.0, "KiB");
        figure("oci_shim_pss", median(shims.iter().map(|shim| pss_kib(*shim)).collect()), "KiB");
        figure("oci_shims_per_pod", float(shims.len()) / float(MANY), "processes");
        let all: Vec<u32> = shims.into_iter().chain([self.cluster.pid()]).collect();
        let busy = processor_ticks(&all);
        idle_for(Duration::from_secs(IDLE_SECONDS.into()));
        let busy = processor_ticks(&all) - busy;
        // A tick is a hundredth of a second, so ticks in a second are hundredths of a core.
        figure("oci_idle_100_processor", busy / f64::from(IDLE_SECONDS), "% of a core");
        figure("oci_delete_100", self.delete_all() / 1000.0, "s");
    }
}

/// The bundle of a container that runs, made to run without its Pod.
struct Bundle {
    dir: PathBuf,
    root: PathBuf,
    layers: String,
}

impl Bundle {
    /// Of the only container under a data directory.
    fn of_container(data: &Path, dir: &Path) -> Self {
        let found = find(data, "config.json");
        let [config] = &found[..] else { panic!("one container was to run: {found:?}") };
        let mut spec: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
        for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            namespace.as_object_mut().unwrap().remove("path");
        }
        spec["linux"]["cgroupsPath"] = json!("/wherry-bench-runc");
        spec["root"]["path"] = json!("rootfs");
        let (own, root) = (dir.join("runc-bundle"), dir.join("runc-state"));
        for part in ["rootfs", "upper", "work"] {
            fs::create_dir_all(own.join(part)).unwrap();
        }
        fs::write(own.join("config.json"), spec.to_string()).unwrap();
        let container = config.parent().unwrap().parent().unwrap();
        let layers: BTreeSet<_> = fs::read_dir(container)
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .map(|layer| layer.to_str().unwrap().to_owned())
            .collect();
        Self { dir: own, root, layers: layers.into_iter().collect::<Vec<_>>().join(":") }
    }

    /// `runc run --detach`: milliseconds until the program was started, its mount included.
    fn run(&self, name: &str) -> f64 {
        let [rootfs, upper, work] = ["rootfs", "upper", "work"].map(|part| self.dir.join(part));
        let options =
            format!("lowerdir={},upperdir={},workdir={}", self.layers, upper.display(), work.display());
        let start = clock();
        mount(Some("overlay"), &rootfs, Some("overlay"), MsFlags::empty(), Some(options.as_str())).unwrap();
        self.runc(&["run", "--detach", "--bundle", self.dir.to_str().unwrap(), name]);
        let took = start.elapsed();
        self.runc(&["delete", "--force", name]);
        umount2(&rootfs, MntFlags::empty()).unwrap();
        took.as_secs_f64() * 1000.0
    }

    fn runc(&self, args: &[&str]) {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.root).args(args).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(command.status().expect("runc is installed").success(), "runc {args:?}");
    }
}

/// The files of a name in a directory and those below.
fn find(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(find(&path, name));
        } else if path.file_name().is_some_and(|of| of == name) {
            found.push(path);
        }
    }
    found
}

/// All processes with what they were started with.
fn processes() -> impl Iterator<Item = (u32, String)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let arguments = fs::read(entry.path().join("cmdline")).ok()?;
        Some((number, String::from_utf8_lossy(&arguments).into_owned()))
    })
}

fn process_with(mark: &str) -> Pid {
    let found: Vec<_> = processes().filter(|(_, arguments)| arguments.contains(mark)).collect();
    let [(process, _)] = &found[..] else { panic!("one process was to run with {mark}: {found:?}") };
    Pid::from_raw(i32::try_from(*process).unwrap())
}

/// The shims of the containers whose data is here.
fn shims(data: &Path) -> Vec<u32> {
    let data = data.to_str().unwrap();
    processes()
        .filter(|(_, args)| args.contains("wherry-shim") && args.contains(data))
        .map(|(pid, _)| pid)
        .collect()
}

/// A process's memory, where what several share counts in part for each.
fn pss_kib(process: u32) -> f64 {
    let sums = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = sums.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
