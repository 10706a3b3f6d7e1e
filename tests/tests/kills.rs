//! `kill -9` of whatever keeps a container, and a full disk, while Pods start, run and stop: statuses are right, nothing is
//! started again that need not be, and nothing is left behind.
//!
//! `WHERRY_KILL_ROUNDS` says how often each happens; 1 by default.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wherry_tests::pods::{shell, with};
use wherry_tests::{Cluster, FullDisk, Options, in_cluster, wait};

/// When something happens to a Pod.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Start,
    Run,
    Stop,
}

const PHASES: [Phase; 3] = [Phase::Start, Phase::Run, Phase::Stop];

/// Notes each start, and goes on when it is asked to end until it is made to.
const STUBBORN: &str =
    "until echo >> /count/starts; do sleep 0.1; done; trap '' TERM; while true; do sleep 0.1; done";

fn rounds() -> usize {
    std::env::var("WHERRY_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// One Pod of one container, to which something happens.
struct Victim<'a> {
    cluster: &'a Cluster,
    name: &'static str,
    uid: String,
}

impl<'a> Victim<'a> {
    fn create(cluster: &'a Cluster, name: &'static str) -> Self {
        let mounts = json!({ "volumeMounts": [{ "name": "count", "mountPath": "/count" }] });
        let main = with(shell("main", STUBBORN), mounts);
        let volumes = json!([{ "name": "count", "emptyDir": {} }]);
        let spec = json!({ "terminationGracePeriodSeconds": 1, "volumes": volumes, "containers": [main] });
        cluster.run_pod(name, &spec);
        let uid = cluster.get(&["pod", name])["metadata"]["uid"].as_str().unwrap().to_owned();
        Self { cluster, name, uid }
    }

    fn container(&self) -> Value {
        self.cluster.first_container(self.name)
    }

    /// Waits until the container runs after so many restarts.
    fn until_running(&self, restarts: std::ops::RangeInclusive<u64>) {
        wait::until(&format!("{} to run", self.name), || {
            let container = self.container();
            let count = container["restartCount"].as_u64().unwrap_or(0);
            assert!(count <= *restarts.end(), "started again for nothing: {container:#}");
            let runs = container["state"]["running"].is_object() && restarts.contains(&count);
            if runs { Ok(()) } else { Err(format!("{container:#}")) }
        });
    }

    /// Waits until the container runs again after it was killed; what is said of that.
    fn was_killed_and_runs(&self) -> String {
        self.until_running(1..=1);
        let last = self.container()["lastState"]["terminated"].clone();
        assert_eq!((&last["exitCode"], &last["reason"]), (&json!(137), &json!("Error")), "{last}");
        last["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The program came to be started so often, and not more.
    fn was_started(&self, times: usize) {
        let file = self.cluster.data_dir().join(format!("node/pods/{}/volumes/count/starts", self.uid));
        wait::until(&format!("{times} starts of {}", self.name), || {
            let starts = fs::read_to_string(&file).unwrap_or_default().lines().count();
            assert!(starts <= times, "started {starts} times");
            if starts == times { Ok(()) } else { Err(starts.to_string()) }
        });
    }

    fn place(&self, attempt: usize) -> PathBuf {
        let name = format!("{}_main_{attempt}", self.uid);
        self.cluster.data_dir().join("node/oci/containers").join(name)
    }

    /// Waits for a process of the container's first attempt with these words; its id, or `None` if it went by too fast.
    fn process(&self, words: &[&str]) -> Option<i32> {
        let id = format!("{}_main_0", self.uid);
        let has = |line: &str| line.contains(&id) && words.iter().all(|word| line.contains(word));
        let look = || {
            let found = command_lines().find(|(_, line)| has(line)).map(|(id, _)| id);
            let is_over = self.place(0).join("running.json").exists();
            if found.is_some() || is_over { Ok(found) } else { Err(()) }
        };
        wait::within(wait::PATIENCE, look).expect("the container is started")
    }

    fn init(&self) -> Option<i32> {
        let text = fs::read_to_string(self.place(0).join("running.json")).ok()?;
        i32::try_from(serde_json::from_str::<Value>(&text).ok()?["pid"].as_i64()?).ok()
    }

    fn delete(&self) {
        self.cluster.kubectl(&["delete", "pod", self.name, "--wait=false"]);
    }

    /// Deletes the Pod, of which nothing may be left.
    fn is_gone_without_a_trace(&self) {
        self.cluster.try_kubectl(&["delete", "pod", self.name, "--ignore-not-found", "--wait=false"]);
        self.cluster.wait_for("delete", &[&format!("pod/{}", self.name)]);
        let left = self.cluster.left_behind();
        assert!(left.is_empty(), "left of {}:\n{}", self.name, left.join("\n"));
    }
}

fn command_lines() -> impl Iterator<Item = (i32, String)> {
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((id, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
}

/// Sets what it holds when it is dropped, a panic included.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits for a runc that starts a container of the cluster with this directory; its id, or `None` if it is over before one is seen.
fn runc_of(data_dir: &Path, is_over: &AtomicBool) -> Option<i32> {
    let words = ["runc", " run ", data_dir.to_str()?];
    while !is_over.load(Ordering::Relaxed) {
        let found = command_lines().find(|(_, line)| words.iter().all(|word| line.contains(word)));
        if let Some((id, _)) = found {
            return Some(id);
        }
    }
    None
}

fn strike(process: Option<i32>) -> bool {
    process.is_some_and(|id| match kill(Pid::from_raw(id), Signal::SIGKILL) {
        Ok(()) => true,
        Err(Errno::ESRCH) => false,
        Err(error) => panic!("{error}"),
    })
}

#[test]
fn an_agent_that_is_killed_takes_over_what_it_left() {
    in_cluster(Options::hasty(), |cluster| {
        for round in 0..rounds() {
            for phase in PHASES {
                let victim = Victim::create(cluster, "agent");
                let (name, uid) = (victim.name, victim.uid.clone());
                match phase {
                    // At another step each time: when it is made, when its shim is there, when runc is.
                    Phase::Start => {
                        let _seen = victim.process(&[["wherry-shim"], ["runc"], ["/"]][round % 3]);
                    }
                    Phase::Run => victim.until_running(0..=0),
                    Phase::Stop => {
                        victim.until_running(0..=0);
                        victim.delete();
                    }
                }
                cluster.kill();
                cluster.launch();
                let victim = Victim { cluster, name, uid };
                if phase != Phase::Stop {
                    victim.until_running(0..=0);
                    victim.was_started(1);
                }
                victim.is_gone_without_a_trace();
            }
        }
    });
}

#[test]
fn a_shim_that_is_killed_takes_its_container_along() {
    in_cluster(Options::hasty(), |cluster| {
        for _ in 0..rounds() {
            for phase in PHASES {
                let victim = Victim::create(cluster, "shim");
                if phase != Phase::Start {
                    victim.until_running(0..=0);
                }
                if phase == Phase::Stop {
                    victim.delete();
                }
                let shim = command_lines()
                    .find(|(_, line)| line.contains("wherry-shim") && line.contains(&victim.uid));
                let shim = shim.map(|(id, _)| id).or_else(|| victim.process(&["wherry-shim"]));
                assert!(strike(shim), "{phase:?}: there is a shim");
                match phase {
                    Phase::Start => victim.until_running(1..=1),
                    Phase::Run => {
                        let message = victim.was_killed_and_runs();
                        assert!(message.contains("shim was killed"), "{message}");
                        victim.was_started(2);
                    }
                    Phase::Stop => {}
                }
                victim.is_gone_without_a_trace();
            }
        }
    });
}

#[test]
fn a_runc_that_is_killed_while_it_creates_leaves_nothing() {
    in_cluster(Options::hasty(), |cluster| {
        let mut struck = 0;
        // Now and then it is faster than who looks for it.
        for _ in 0..rounds() * 10 {
            let is_over = AtomicBool::new(false);
            // Who looks for it only once the Pod is made is mostly too late.
            let (victim, was_there) = thread::scope(|scope| {
                let hunter = scope.spawn(|| strike(runc_of(&cluster.data_dir(), &is_over)));
                let over = Over(&is_over);
                let victim = Victim::create(cluster, "runc");
                victim.until_running(0..=1);
                drop(over);
                (victim, hunter.join().unwrap())
            });
            victim.was_started(1);
            struck += usize::from(was_there && victim.container()["restartCount"] == 1);
            victim.is_gone_without_a_trace();
            if struck == rounds() {
                return;
            }
        }
        panic!("runc was struck {struck} times only");
    });
}

#[test]
fn a_program_that_is_killed_is_started_again_once() {
    in_cluster(Options::hasty(), |cluster| {
        for _ in 0..rounds() {
            for phase in [Phase::Run, Phase::Stop] {
                let victim = Victim::create(cluster, "init");
                victim.until_running(0..=0);
                if phase == Phase::Stop {
                    victim.delete();
                }
                assert!(strike(victim.init()), "{phase:?}: there is a program");
                if phase == Phase::Run {
                    victim.was_killed_and_runs();
                }
                victim.is_gone_without_a_trace();
            }
        }
    });
}

#[test]
fn a_full_disk_delays_starts_and_nothing_else() {
    in_cluster(Options::hasty(), |cluster| {
        let disk = cluster.move_to_small_disk();
        // Its image is there from now on.
        let first = Victim::create(cluster, "first");
        first.until_running(0..=0);
        first.is_gone_without_a_trace();
        for _ in 0..rounds() {
            for phase in PHASES {
                let full = (phase == Phase::Start).then(|| FullDisk::fill(&disk));
                let victim = Victim::create(cluster, "disk");
                if phase == Phase::Start {
                    let of_victim = format!("involvedObject.uid={}", victim.uid);
                    cluster.until_told(&of_victim, |told| told.contains("No space left on device"));
                    drop(full);
                    victim.until_running(0..=1);
                    victim.was_started(1);
                } else {
                    victim.until_running(0..=0);
                    let _full = FullDisk::fill(&disk);
                    if phase == Phase::Stop {
                        victim.is_gone_without_a_trace();
                        continue;
                    }
                    assert_eq!(victim.container()["restartCount"], 0);
                    victim.was_started(1);
                }
                victim.is_gone_without_a_trace();
            }
        }
    });
}

/// The numbers that the attempts at a container wrote, one after the other.
fn counted(cluster: &Cluster, pod: &str) -> Vec<u64> {
    let logs = fs::read_dir(cluster.data_dir().join("node/logs/pods")).unwrap().flatten();
    let logs = logs.map(|entry| entry.path().join("main"));
    let Some(dir) = logs.into_iter().find(|dir| dir.to_string_lossy().contains(&format!("default_{pod}_")))
    else {
        return Vec::new();
    };
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|file| file.path()).collect();
    files.sort_by_key(number);
    let line = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse().ok());
    let of = |file: &PathBuf| -> Vec<u64> {
        fs::read_to_string(file).unwrap_or_default().lines().filter_map(line).collect()
    };
    files.iter().flat_map(of).collect()
}

/// A counter in a lasting bucket: what a guest was told is there after the agent was killed, and nothing counts twice.
#[test]
fn what_a_bucket_acknowledged_outlives_an_agent_that_is_killed() {
    in_cluster(Options::hasty(), |cluster| {
        let steps: Vec<&str> = ["increment", "b", "n", "1"].repeat(5000);
        let main = json!({
            "name": "main", "image": "127.0.0.1:5000/interfaces:v1", "args": steps,
            "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        });
        let spec = json!({ "containers": [main], "volumes": [{ "name": "data", "emptyDir": {} }] });
        let metadata = json!({ "name": "counter", "annotations": { "run.wherry.dev/keyvalue": "/data" } });
        cluster.create(
            &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }).to_string(),
        );
        let (mut before, kills) = (0, 3.max(rounds()));
        for round in 1..=kills {
            wait::until("more to be counted", || {
                let last = counted(cluster, "counter").last().copied().unwrap_or(0);
                if last >= before + 50 { Ok(()) } else { Err(format!("{last} in round {round}")) }
            });
            cluster.kill();
            before = counted(cluster, "counter").last().copied().unwrap_or(0);
            cluster.launch();
        }
        wait::until("more to be counted", || {
            let last = counted(cluster, "counter").last().copied().unwrap_or(0);
            if last >= before + 50 { Ok(()) } else { Err(last.to_string()) }
        });
        // Only what was being counted when the agent was killed may have come without being told.
        let (mut last, mut untold) = (0, 0);
        for number in counted(cluster, "counter") {
            assert!(number == last + 1 || number == last + 2, "{number} came after {last}");
            untold += usize::from(number == last + 2);
            last = number;
        }
        assert!(untold <= kills, "{untold} counts were never told");
    });
}
