//! Volumes of huge pages. The pages are the machine's: a test adds some and gives them back.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, Registry, isolated};

const PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB";
const CONTROLLER: &str = "/sys/fs/cgroup/hugetlb";

/// More pages than the machine had, for as long as it lives.
struct Pages {
    before: u64,
}

impl Pages {
    fn add(count: u64) -> Self {
        let before = number("nr_hugepages");
        fs::write(file("nr_hugepages"), (before + count).to_string()).expect("the kernel has huge pages");
        assert_eq!(number("nr_hugepages"), before + count, "the machine has no memory for huge pages");
        Self { before }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        fs::write(file("nr_hugepages"), self.before.to_string()).ok();
    }
}

fn file(name: &str) -> PathBuf {
    Path::new(PAGES).join(name)
}

fn number(name: &str) -> u64 {
    fs::read_to_string(file(name)).expect("the kernel tells").trim().parse().expect("it is a number")
}

/// The controller of huge pages, where this machine has cgroups of version 1 and did not mount it; of this test alone.
struct Controller {
    made: bool,
}

impl Controller {
    fn mount() -> Self {
        let place = Path::new(CONTROLLER);
        let made =
            !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() && !place.join("cgroup.procs").exists();
        if made {
            fs::create_dir_all(place).expect("cgroups are in a tmpfs");
            mount(Some("cgroup"), place, Some("cgroup"), MsFlags::empty(), Some("hugetlb"))
                .expect("there is one");
        }
        Self { made }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if self.made {
            umount2(CONTROLLER, MntFlags::MNT_DETACH).ok();
            fs::remove_dir(CONTROLLER).ok();
        }
    }
}

fn pod(medium: &str, limits: &Value, script: &str) -> Value {
    let container = with(
        shell("main", script),
        json!({ "resources": { "limits": limits }, "volumeMounts": [{ "name": "v", "mountPath": "/huge" }] }),
    );
    json!({
        "terminationGracePeriodSeconds": 1, "restartPolicy": "Never", "containers": [container],
        "volumes": [{ "name": "v", "emptyDir": { "medium": medium } }],
    })
}

#[test]
fn a_pod_has_the_huge_pages_it_asks_for_and_no_more() {
    isolated(|| {
        let _pages = Pages::add(8);
        let _controller = Controller::mount();
        let dir = tempfile::tempdir().expect("a directory can be made");
        let _registry = Registry::start(dir.path());
        let cluster = Cluster::start(dir.path(), Options::default());
        the_node_tells_what_it_has(&cluster);
        pages_are_taken_up_to_the_limit(&cluster);
        a_pod_that_asks_for_none_is_told(&cluster);
    });
}

fn the_node_tells_what_it_has(cluster: &Cluster) {
    let status = cluster.get(&["node", "node-1"])["status"].clone();
    for list in ["capacity", "allocatable"] {
        let told: u64 = status[list]["hugepages-2Mi"]
            .as_str()
            .and_then(|told| told.strip_suffix("Mi")?.parse().ok())
            .unwrap_or_else(|| panic!("{status:#}"));
        assert!(told >= 16 && told.is_multiple_of(2), "{told}");
    }
}

/// What is allocated in a file takes pages of the machine; the third page is one more than the container may have.
fn pages_are_taken_up_to_the_limit(cluster: &Cluster) {
    let script = format!(
        "fallocate -l 4M /huge/two && stat -f -c %s /huge && {{ fallocate -l 6M /huge/three; echo $?; }}; {IDLE}"
    );
    let limits = json!({ "hugepages-2Mi": "4Mi", "memory": "32Mi", "cpu": "100m" });
    let free = number("free_hugepages");
    cluster.run_pod("huge", &pod("HugePages", &limits, &script));
    // What is said of the error stands between the numbers.
    let numbers = |log: &str| -> Vec<String> {
        log.lines().filter(|line| line.parse::<u64>().is_ok()).map(str::to_owned).collect()
    };
    let log = cluster.kubectl_until(&["logs", "huge"], |log| numbers(log).len() >= 2);
    let told = numbers(&log);
    assert_eq!(told[0], "2097152", "{log}");
    assert_ne!(told[1], "0", "it was given more than it asked for: {log}");
    assert!(number("free_hugepages") < free, "nothing was taken");
    cluster.kubectl(&["delete", "pod", "huge"]);
    wherry_tests::wait::until("the pages", || {
        let now = number("free_hugepages");
        if now == free { Ok(()) } else { Err(format!("{now} of {free} are free")) }
    });
}

fn a_pod_that_asks_for_none_is_told(cluster: &Cluster) {
    let limits = json!({ "memory": "32Mi", "cpu": "100m" });
    cluster.run_pod("without", &pod("HugePages-2Mi", &limits, IDLE));
    cluster.until_told("involvedObject.name=without", |told| {
        told.contains("medium HugePages-2Mi: no container of the Pod asks for huge pages of this size")
    });
    cluster.kubectl(&["delete", "pod", "without"]);
}
