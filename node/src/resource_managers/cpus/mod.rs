//! Processors that containers have for themselves (`--cpu-manager-policy static`).
//!
//! A container of a Guaranteed Pod that asks for whole processors gets some that nobody else runs on; all others share the rest,
//! among it the processors that are reserved, which no container ever has for itself.
//!
//! # Guarantees
//! - What a container has is written down before it starts, in kubelet's file `cpu_manager_state`: an agent that starts again gives
//!   it the same, and nobody else.
//! - Containers that share the rest follow what is left of it while they run ([`keep`]).

mod keep;
mod take;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use wherry_runtime_api::CpuSet;

use super::numa::{Hints, NumaNodes, hints};
use super::settings::{CpuPolicy, ResourceSettings};
use super::topology::Topology;
use crate::cgroups::GUARANTEED;
use crate::checkpoint;
use crate::pods::{passing_inits, qos_class, whole_processors};
use crate::runtimes::Handler;
use crate::volumes::WriteError;
pub(crate) use keep::keep;
use take::take;

/// Kubelet's name.
const FILE: &str = "cpu_manager_state";

/// Why processors cannot be given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpusError {
    /// The node's owner reserves what there is not.
    #[error("processors {reserved} are to be reserved, but this machine has {all}")]
    Reserved {
        /// What is to be reserved.
        reserved: String,
        /// What there is.
        all: CpuSet,
    },
    /// Containers have processors that they could not be given now.
    #[error(
        "{} says that containers have processors for themselves which they cannot have now: drain this node and remove the \
             file, or go back to the settings it was made with",
        path.display()
    )]
    Outdated {
        /// The file.
        path: PathBuf,
    },
    /// Others have them.
    #[error("not enough cpus available to satisfy request: requested={wanted}, available={free}")]
    TooFew {
        /// How many are wanted.
        wanted: usize,
        /// How many nobody has.
        free: usize,
    },
    /// It cannot be read or written down.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is written down, as kubelet writes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    policy_name: String,
    default_cpu_set: CpuSet,
    /// By uid and container.
    #[serde(default)]
    entries: BTreeMap<String, BTreeMap<String, CpuSet>>,
}

/// The processors of this node.
#[derive(Debug)]
pub(crate) struct Cpus {
    topology: Topology,
    /// Those that containers may have for themselves.
    givable: CpuSet,
    path: PathBuf,
    record: Mutex<Record>,
    /// Counted up when somebody got or gave back some.
    changed: watch::Sender<u64>,
}

impl Cpus {
    /// What containers have, as an earlier agent wrote it below `directory`; `None` if all share all.
    pub(crate) fn open(
        directory: &Path,
        settings: &ResourceSettings,
        topology: Topology,
    ) -> Result<Option<Self>, CpusError> {
        let path = directory.join(FILE);
        let mut record: Record = checkpoint::read(&path)?;
        if settings.cpu_policy == CpuPolicy::None {
            return if record.entries.is_empty() { Ok(None) } else { Err(CpusError::Outdated { path }) };
        }
        let all = topology.cpus();
        let givable = all.without(&reserved(settings, &topology)?);
        let given = record.given(|_, _| true);
        if !given.is_subset(&givable) {
            return Err(CpusError::Outdated { path });
        }
        "static".clone_into(&mut record.policy_name);
        record.default_cpu_set = all.without(&given);
        checkpoint::write(&path, &record)?;
        let changed = watch::Sender::default();
        Ok(Some(Self { topology, givable, path, record: Mutex::new(record), changed }))
    }

    /// The processors that the container runs on: its own, or those that are everybody's.
    pub(crate) fn of(&self, uid: &str, container: &str) -> CpuSet {
        let record = self.record.lock();
        let own = record.entries.get(uid).and_then(|containers| containers.get(container));
        own.unwrap_or(&record.default_cpu_set).clone()
    }

    /// The processors that the container has for itself, if it has some.
    pub(crate) fn own(&self, uid: &str, container: &str) -> Option<CpuSet> {
        self.record.lock().entries.get(uid)?.get(container).cloned()
    }

    /// Those that containers may have for themselves.
    pub(crate) fn givable(&self) -> &CpuSet {
        &self.givable
    }

    /// Tells when somebody got or gave back some.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The Pods that have some.
    pub(super) fn holders(&self) -> Vec<String> {
        self.record.lock().entries.keys().cloned().collect()
    }

    /// Where so many processors are best taken from; nowhere in particular if none are wanted, or the container has its own.
    pub(super) fn hints(&self, pod: &Pod, container: Option<&str>, wanted: usize) -> Hints {
        let has_some = container.is_some_and(|container| self.own(uid(pod), container).is_some());
        if wanted == 0 || has_some {
            return None;
        }
        let all = self.topology.cpus();
        let (free, _) = self.free(pod, container.unwrap_or_default());
        let among = |cpus: &CpuSet, nodes| cpus.intersection(&self.topology.of_nodes(nodes)).len();
        let nodes = self.topology.nodes();
        Some(hints(nodes, wanted, |nodes| among(&all, nodes), |nodes| among(&free, nodes)))
    }

    /// Gives the container the processors that it is to have for itself, of these nodes where that can be.
    pub(super) fn give(
        &self,
        pod: &Pod,
        container: &Container,
        nodes: Option<NumaNodes>,
    ) -> Result<(), CpusError> {
        let wanted = exclusive(pod, container);
        if wanted == 0 || self.own(uid(pod), &container.name).is_some() {
            return Ok(());
        }
        let (free, left) = self.free(pod, &container.name);
        let too_few = || CpusError::TooFew { wanted, free: free.len() };
        let first = take(&self.topology, &left, wanted.min(left.len()), nodes).ok_or_else(too_few)?;
        let rest = take(&self.topology, &free.without(&first), wanted - first.len(), nodes);
        let cpus = first.union(&rest.ok_or_else(too_few)?);
        self.change(|record| {
            let of_pod = record.entries.entry(uid(pod).to_owned()).or_default();
            of_pod.insert(container.name.clone(), cpus);
        })?;
        Ok(())
    }

    /// Takes back what the Pod has.
    pub(super) fn release(&self, uid: &str) -> Result<(), WriteError> {
        if !self.record.lock().entries.contains_key(uid) {
            return Ok(());
        }
        self.change(|record| drop(record.entries.remove(uid)))
    }

    /// What the container may be given, and what of it init containers of its Pod leave behind.
    fn free(&self, pod: &Pod, container: &str) -> (CpuSet, CpuSet) {
        let inits: BTreeSet<&str> = passing_inits(pod).filter(|name| *name != container).collect();
        let record = self.record.lock();
        let passes = |of: &str, name: &str| of == uid(pod) && inits.contains(name);
        let taken = record.given(|of, name| !passes(of, name));
        let free = self.givable.without(&taken);
        let left = record.given(passes).intersection(&free);
        (free, left)
    }

    /// Changes what is written down, and then what counts.
    fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), WriteError> {
        let mut record = self.record.lock();
        let mut next = record.clone();
        change(&mut next);
        next.default_cpu_set = self.topology.cpus().without(&next.given(|_, _| true));
        checkpoint::write(&self.path, &next)?;
        *record = next;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }
}

impl Record {
    /// What those have of whom this is true, by uid and container.
    fn given(&self, of: impl Fn(&str, &str) -> bool) -> CpuSet {
        let all = self.entries.iter().flat_map(|(uid, containers)| {
            containers.iter().map(move |(name, cpus)| (uid.as_str(), name.as_str(), cpus))
        });
        all.filter(|(uid, name, _)| of(uid, name)).flat_map(|(_, _, cpus)| cpus.iter()).collect()
    }
}

/// The processors that no container has for itself: those that are named, else as many as are kept from Pods.
fn reserved(settings: &ResourceSettings, topology: &Topology) -> Result<CpuSet, CpusError> {
    let all = topology.cpus();
    if let Some(named) = &settings.reserved_cpus {
        let known = named.is_subset(&all);
        let refused = || CpusError::Reserved { reserved: named.to_string(), all: all.clone() };
        return known.then(|| named.clone()).ok_or_else(refused);
    }
    let count = usize::try_from(settings.reserved().cpu.div_ceil(1000)).unwrap_or(usize::MAX);
    take(topology, &all, count, None)
        .ok_or_else(|| CpusError::Reserved { reserved: format!("(as many as {count})"), all })
}

/// How many processors the container is to have for itself: as many as it asks for, if these are whole ones, its Pod is
/// Guaranteed, and its program is no guest of the agent, whose threads run all guests.
pub(super) fn exclusive(pod: &Pod, container: &Container) -> usize {
    let spec = pod.spec.as_ref();
    let class = spec.and_then(|spec| spec.runtime_class_name.as_deref());
    let as_a_whole = spec.is_some_and(|spec| spec.resources.is_some());
    if as_a_whole || class == Some(Handler::Wasmtime.as_str()) || qos_class(pod) != GUARANTEED {
        return 0;
    }
    whole_processors(container)
}

fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::two_nodes;
    use super::*;

    fn settings(reserved: &str) -> ResourceSettings {
        ResourceSettings {
            cpu_policy: CpuPolicy::Static,
            reserved_cpus: Some(reserved.parse().unwrap()),
            ..ResourceSettings::default()
        }
    }

    fn pod(uid: &str, inits: &[(&str, &str)], containers: &[(&str, &str)]) -> Pod {
        let many = |list: &[(&str, &str)]| -> Vec<Value> {
            let limits = |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "1Mi"}});
            list.iter().map(|(name, cpu)| json!({"name": name, "resources": limits(cpu)})).collect()
        };
        let spec = json!({"initContainers": many(inits), "containers": many(containers)});
        serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": spec})).unwrap()
    }

    fn give(cpus: &Cpus, pod: &Pod) -> Result<Vec<String>, String> {
        let spec = pod.spec.as_ref().unwrap();
        let all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let one = |container: &Container| {
            cpus.give(pod, container, None).map_err(|error| error.to_string())?;
            Ok(cpus.of(uid(pod), &container.name).to_string())
        };
        all.map(one).collect()
    }

    #[test]
    fn whole_processors_are_one_containers_alone_and_outlive_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let open = |settings| Cpus::open(dir.path(), &settings, two_nodes());
        let cpus = open(settings("0")).unwrap().unwrap();
        let one = pod("u-1", &[], &[("a", "2"), ("b", "500m")]);
        assert_eq!(give(&cpus, &one).unwrap(), ["2-3", "0-1,4-7"]);
        let other = pod("u-2", &[], &[("a", "6")]);
        let refused = give(&cpus, &other).unwrap_err();
        assert_eq!(refused, "not enough cpus available to satisfy request: requested=6, available=5");
        let cpus = open(settings("0")).unwrap().unwrap();
        assert_eq!(give(&cpus, &one).unwrap(), ["2-3", "0-1,4-7"]);
        for wrong in [settings("0,2"), ResourceSettings::default()] {
            assert!(open(wrong).unwrap_err().to_string().contains("drain this node"));
        }
        cpus.release("u-1").unwrap();
        assert_eq!(give(&cpus, &other).unwrap(), ["2-7"]);
        cpus.release("u-2").unwrap();
        assert_eq!(cpus.of("u-1", "a").to_string(), "0-7");
        assert!(open(ResourceSettings::default()).unwrap().is_none());
        assert!(matches!(open(settings("9")), Err(CpusError::Reserved { .. })));
    }

    #[test]
    fn containers_have_what_init_containers_of_their_pod_had() {
        let dir = tempfile::tempdir().unwrap();
        let cpus = Cpus::open(dir.path(), &settings("0-1"), two_nodes()).unwrap().unwrap();
        let one = pod("u-1", &[("i", "2")], &[("a", "4"), ("b", "2")]);
        assert_eq!(give(&cpus, &one).unwrap(), ["2-3", "2-5", "6-7"]);
        assert_eq!(cpus.of("u-2", "c").to_string(), "0-1", "what is reserved is left for others");
    }

    #[test]
    fn only_whole_processors_of_guaranteed_pods_are_exclusive() {
        let of = |change: Value| {
            let mut pod = serde_json::to_value(pod("u", &[], &[("a", "2")])).unwrap();
            json_merge(&mut pod["spec"], &change);
            let pod: Pod = serde_json::from_value(pod).unwrap();
            exclusive(&pod, &pod.spec.as_ref().unwrap().containers[0])
        };
        assert_eq!(of(json!({})), 2);
        assert_eq!(of(json!({"runtimeClassName": "wasmtime"})), 0);
        assert_eq!(of(json!({"resources": {"limits": {"cpu": "2"}}})), 0);
        let container = |cpu: &str| json!([{"name": "a", "resources": {"requests": {"cpu": cpu}}}]);
        assert_eq!(of(json!({"containers": container("2")})), 0);
    }

    fn json_merge(spec: &mut Value, change: &Value) {
        for (field, value) in change.as_object().unwrap() {
            spec[field] = value.clone();
        }
    }
}
