//! `/metrics/cadvisor`: the main series of cAdvisor, with its labels.

use rustix::fs::StatVfs;
use wherry_runtime_api::disk::DiskUsage;

use super::exposition::{Kind, Page, seconds};
use super::host::Traffic;
use super::snapshot::{ContainerFigures, PodFigures, Snapshot};
use super::summary::DiskUsage as DiskUsages;
use crate::registration::Machine;

/// What is told of every container: name, kind, what it is, and how it is read.
type Family = (&'static str, Kind, &'static str, fn(&ContainerFigures) -> String);

const CONTAINERS: [Family; 6] = [
    ("container_cpu_usage_seconds_total", Kind::Counter, "Cumulative cpu time consumed in seconds.", |it| {
        seconds(it.usage.cpu_nanos).to_string()
    }),
    ("container_memory_working_set_bytes", Kind::Gauge, "Current working set in bytes.", |it| {
        it.usage.working_set.to_string()
    }),
    (
        "container_memory_usage_bytes",
        Kind::Gauge,
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        |it| it.usage.memory.to_string(),
    ),
    ("container_memory_rss", Kind::Gauge, "Size of RSS in bytes.", |it| it.usage.anonymous.to_string()),
    ("container_processes", Kind::Gauge, "Number of processes running inside the container.", |it| {
        it.usage.processes.to_string()
    }),
    (
        "container_start_time_seconds",
        Kind::Gauge,
        "Start time of the container since unix epoch in seconds.",
        |it| it.started_at.as_second().to_string(),
    ),
];

/// What is told of the file system that containers write to: name, what it is, and how it is read of all of it and of what one
/// takes.
type FileFamily = (&'static str, &'static str, fn(&StatVfs, DiskUsage) -> u64);

const FILE_SYSTEM: [FileFamily; 4] = [
    ("container_fs_inodes_free", "Number of available Inodes", |all, _| all.f_ffree),
    ("container_fs_inodes_total", "Number of Inodes", |all, _| all.f_files),
    (
        "container_fs_limit_bytes",
        "Number of bytes that can be consumed by the container on this filesystem.",
        |all, _| all.f_blocks * all.f_frsize,
    ),
    (
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        |_, taken| taken.bytes,
    ),
];

/// The file system that containers write to.
pub(super) struct Disk {
    /// What it is on, as the kernel calls it.
    pub(super) device: String,
    /// How large it is.
    pub(super) size: StatVfs,
}

/// What is told of every Pod's interface.
type NetworkFamily = (&'static str, &'static str, fn(&Traffic) -> u64);

const NETWORK: [NetworkFamily; 8] = [
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", |it| it.received.bytes),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |it| it.received.errors,
    ),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |it| it.received.dropped,
    ),
    ("container_network_receive_packets_total", "Cumulative count of packets received", |it| {
        it.received.packets
    }),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |it| it.sent.bytes),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |it| it.sent.errors,
    ),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |it| it.sent.dropped,
    ),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", |it| {
        it.sent.packets
    }),
];

/// The page.
pub(super) fn page(
    snapshot: &Snapshot,
    (disk, taken): (Option<&Disk>, &DiskUsages),
    machine: &Machine,
) -> String {
    let mut page = Page::default();
    if let Some(disk) = disk {
        file_system(&mut page, snapshot, disk, taken);
    }
    for (name, kind, help, value) in CONTAINERS {
        page.family(name, kind, help);
        for pod in &snapshot.pods {
            for container in &pod.containers {
                page.sample(name, &labels(pod, container), value(container), Some(snapshot.at));
            }
        }
    }
    for (name, help, value) in NETWORK {
        page.family(name, Kind::Counter, help);
        for (pod, traffic) in snapshot.pods.iter().filter_map(|pod| Some((pod, pod.traffic?))) {
            let labels = [
                ("container", ""),
                ("id", pod.uid()),
                ("image", ""),
                ("interface", "eth0"),
                ("name", ""),
                ("namespace", pod.namespace()),
                ("pod", pod.name()),
            ];
            page.sample(name, &labels, value(&traffic), Some(snapshot.at));
        }
    }
    let ids = [
        ("boot_id", machine.boot_id.as_str()),
        ("machine_id", machine.id.as_str()),
        ("system_uuid", machine.system_uuid.as_str()),
    ];
    page.family("machine_cpu_cores", Kind::Gauge, "Number of logical CPU cores.");
    page.sample("machine_cpu_cores", &ids, machine.cpus, None);
    page.family("machine_memory_bytes", Kind::Gauge, "Amount of memory installed on the machine.");
    page.sample("machine_memory_bytes", &ids, machine.memory, None);
    page.into_text()
}

fn file_system(page: &mut Page, snapshot: &Snapshot, disk: &Disk, taken: &DiskUsages) {
    for (name, help, value) in FILE_SYSTEM {
        page.family(name, Kind::Gauge, help);
        for pod in &snapshot.pods {
            let of_pod = taken.get(pod.uid()).map(|taken| &taken.own.containers);
            for container in &pod.containers {
                let Some(taken) = of_pod.and_then(|all| all.get(&container.name)) else { continue };
                let [rest @ .., namespace, of] = labels(pod, container);
                let [first, id, image, called] = rest;
                let labels = [first, ("device", disk.device.as_str()), id, image, called, namespace, of];
                page.sample(name, &labels, value(&disk.size, *taken), Some(snapshot.at));
            }
        }
    }
}

fn labels<'a>(pod: &'a PodFigures, container: &'a ContainerFigures) -> [(&'static str, &'a str); 6] {
    [
        ("container", &container.name),
        ("id", &container.id),
        ("image", &container.image),
        ("name", &container.id),
        ("namespace", pod.namespace()),
        ("pod", pod.name()),
    ]
}
