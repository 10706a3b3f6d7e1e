//! `/stats/summary`: what kubelet's summary API tells (`stats.k8s.io/v1alpha1`).
//!
//! Rates (`usageNanoCores`) are those since the last question: who asks first is told none.

use std::collections::HashMap;

use jiff::Timestamp;
use rustix::fs::StatVfs;
use serde_json::{Map, Value, json};
use wherry_runtime_api::{Usage, disk};

use super::host::Traffic;
use super::rates::Rates;
use super::snapshot::{ContainerFigures, PodFigures, Snapshot, sum};
use crate::csi::Fullness;
use crate::pods;

/// What Pods take of the disk, and of volumes of drivers, by the uid of the Pod.
pub(super) type DiskUsage = HashMap<String, Taken>;

/// What one Pod takes.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Of the disk: its containers, and the volumes that are its own.
    pub(super) own: pods::DiskUsage,
    /// How full its volumes of drivers are.
    pub(super) of_drivers: Vec<Fullness>,
}

/// What is told beside the snapshot.
pub(super) struct Surroundings<'a> {
    pub(super) node_name: &'a str,
    pub(super) memory: u64,
    /// The file system of the node's data.
    pub(super) disk: Option<StatVfs>,
    pub(super) taken: &'a DiskUsage,
    pub(super) rates: &'a Rates,
}

/// The summary.
pub(super) fn of(snapshot: &Snapshot, around: &Surroundings<'_>) -> Value {
    let at = whole_seconds(snapshot.at);
    let fs = around.disk.as_ref().map(|disk| file_system(at, disk));
    let mut memory = memory(at, snapshot.node);
    memory["availableBytes"] = json!(around.memory.saturating_sub(snapshot.node.working_set));
    let interfaces = snapshot.interfaces.iter().filter(|(name, _)| *name != "lo");
    let mut interfaces: Vec<Value> = interfaces.map(|(name, traffic)| interface(name, *traffic)).collect();
    interfaces.sort_by_key(|interface| interface["name"].to_string());
    let mut node = json!({
        "nodeName": around.node_name,
        "cpu": cpu(at, snapshot.node, around.rates.since_last("node", snapshot.at, snapshot.node.cpu_nanos)),
        "memory": memory,
        "network": { "time": at, "name": "", "interfaces": interfaces },
        "systemContainers": system_containers(snapshot, around),
    });
    if let Some(fs) = fs {
        node["fs"] = fs.clone();
        node["runtime"] = json!({ "imageFs": fs });
    }
    let pods: Vec<Value> = snapshot.pods.iter().map(|it| pod(it, snapshot.at, around)).collect();
    around.rates.forget_others(snapshot.at);
    json!({ "node": node, "pods": pods })
}

/// The agent itself, and all Pods together, under kubelet's names.
fn system_containers(snapshot: &Snapshot, around: &Surroundings<'_>) -> Value {
    let at = whole_seconds(snapshot.at);
    let pods = sum(snapshot.pods.iter().map(PodFigures::total));
    let told = [("kubelet", snapshot.agent), ("pods", pods)].map(|(name, usage)| {
        let rate = around.rates.since_last(name, snapshot.at, usage.cpu_nanos);
        json!({ "name": name, "startTime": null, "cpu": cpu(at, usage, rate), "memory": memory(at, usage) })
    });
    json!(told)
}

/// Times as the API writes them.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn pod(figures: &PodFigures, now: Timestamp, around: &Surroundings<'_>) -> Value {
    let at = whole_seconds(now);
    let total = figures.total();
    let taken = around.taken.get(figures.uid());
    let containers: Vec<Value> =
        figures.containers.iter().map(|it| container(it, now, around, taken)).collect();
    let started = figures.pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    let mut pod = json!({
        "podRef": { "name": figures.name(), "namespace": figures.namespace(), "uid": figures.uid() },
        "startTime": started,
        "containers": containers,
        "cpu": cpu(at, total, around.rates.since_last(figures.uid(), now, total.cpu_nanos)),
        "memory": memory(at, total),
        "process_stats": { "process_count": total.processes },
    });
    if let Some(traffic) = figures.traffic {
        pod["network"] = interface("eth0", traffic);
        pod["network"]["time"] = json!(at);
        pod["network"]["interfaces"] = json!([interface("eth0", traffic)]);
    }
    if let Some(taken) = taken {
        let volume = |(name, usage): (&String, &disk::DiskUsage)| {
            let mut volume = used(at, around, *usage);
            volume["name"] = json!(name);
            volume
        };
        let own = taken.own.volumes.iter().map(volume);
        let of_drivers = taken.of_drivers.iter().map(|it| of_driver(at, figures.namespace(), it));
        pod["volume"] = own.chain(of_drivers).collect();
        pod["ephemeral-storage"] = used(at, around, taken.own.total());
    }
    pod
}

/// A volume of a driver, as that tells it.
fn of_driver(at: Timestamp, namespace: &str, fullness: &Fullness) -> Value {
    let mut volume = json!({ "time": at, "name": fullness.volume });
    let kinds = [
        (fullness.bytes, ["availableBytes", "capacityBytes", "usedBytes"]),
        (fullness.inodes, ["inodesFree", "inodes", "inodesUsed"]),
    ];
    for (amount, [available, total, used]) in kinds {
        let Some(amount) = amount else { continue };
        for (name, count) in [(available, amount.available), (total, amount.total), (used, amount.used)] {
            volume[name] = json!(count);
        }
    }
    if let Some(claim) = &fullness.claim {
        volume["pvcRef"] = json!({ "name": claim, "namespace": namespace });
    }
    volume
}

fn container(
    figures: &ContainerFigures,
    now: Timestamp,
    around: &Surroundings<'_>,
    taken: Option<&Taken>,
) -> Value {
    let at = whole_seconds(now);
    let rate = around.rates.since_last(&figures.id, now, figures.usage.cpu_nanos);
    let mut container = json!({
        "name": figures.name,
        "startTime": whole_seconds(figures.started_at),
        "cpu": cpu(at, figures.usage, rate),
        "memory": memory(at, figures.usage),
    });
    if let Some(usage) = taken.and_then(|taken| taken.own.containers.get(&figures.name)) {
        container["rootfs"] = used(at, around, *usage);
    }
    container
}

fn cpu(at: Timestamp, usage: Usage, rate: Option<u64>) -> Value {
    let mut cpu = json!({ "time": at, "usageCoreNanoSeconds": usage.cpu_nanos });
    if let Some(rate) = rate {
        cpu["usageNanoCores"] = json!(rate);
    }
    cpu
}

fn memory(at: Timestamp, usage: Usage) -> Value {
    json!({
        "time": at,
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.anonymous,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    })
}

fn interface(name: &str, traffic: Traffic) -> Value {
    json!({
        "name": name,
        "rxBytes": traffic.received.bytes,
        "rxErrors": traffic.received.errors,
        "txBytes": traffic.sent.bytes,
        "txErrors": traffic.sent.errors,
    })
}

fn file_system(at: Timestamp, disk: &StatVfs) -> Value {
    json!({
        "time": at,
        "availableBytes": disk.f_bavail * disk.f_frsize,
        "capacityBytes": disk.f_blocks * disk.f_frsize,
        "usedBytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        "inodesFree": disk.f_ffree,
        "inodes": disk.f_files,
        "inodesUsed": disk.f_files - disk.f_ffree,
    })
}

/// What something takes of the file system it is in.
fn used(at: Timestamp, around: &Surroundings<'_>, usage: disk::DiskUsage) -> Value {
    let of = around.disk.as_ref().map(|disk| file_system(at, disk));
    let mut fields = match of {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    fields.insert("usedBytes".to_owned(), json!(usage.bytes));
    fields.insert("inodesUsed".to_owned(), json!(usage.inodes));
    Value::Object(fields)
}
