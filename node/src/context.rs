//! What every part of the agent that deals with pods shares.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use kube::Client;
use wherry_api::clock::Clock;

use crate::admission::Admission;
use crate::allocations::{Allocations, Amounts};
use crate::cgroups::CgroupRoot;
use crate::containers::Containers;
use crate::csi::Csi;
use crate::devices::Devices;
use crate::dns::DnsSettings;
use crate::env::{NodeFields, ServiceVariables};
use crate::events::Events;
use crate::eviction::Evictions;
use crate::host_ports::HostPorts;
use crate::images::garbage::Garbage;
use crate::images::{CredentialProviders, Images};
use crate::in_process::InProcess;
use crate::logs::LogDir;
use crate::network::PodNetwork;
use crate::objects::Objects;
use crate::pod_certificates::PodCertificates;
use crate::policies::Gate;
use crate::probes::Tallies;
use crate::resource_managers::ResourceManagers;
use crate::runtimes::Runtimes;
use crate::services::SyncTimes;
use crate::tokens::Tokens;
use crate::trust_bundles::TrustBundles;
use crate::user_ids::UserIds;
use crate::volumes::VolumeRoot;
use crate::wakers::Wakers;

/// The parts of a running agent.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// This node's name.
    pub(crate) node_name: String,
    /// This node's addresses, the one that counts where only one is asked for first.
    pub(crate) host_ips: Vec<IpAddr>,
    /// What pods may use of this node, by resource.
    pub(crate) allocatable: BTreeMap<String, String>,
    /// Whether pods can have a network namespace here.
    pub(crate) has_namespaces: bool,
    /// Which pods this node takes.
    pub(crate) admission: Arc<Admission>,
    /// Where profiles of system calls are, for containers that name one.
    pub(crate) seccomp_profiles: PathBuf,
    /// How long a ready pod goes on serving after its deletion.
    pub(crate) endpoint_drain: std::time::Duration,
    /// The longest wait before a container that ended is started again.
    pub(crate) max_container_restart_period: std::time::Duration,
    /// Where the cgroups of pods are.
    pub(crate) cgroup_root: CgroupRoot,
    /// What pods were given of this node.
    pub(crate) allocations: Allocations,
    /// What pods may use of its processors and its memory.
    pub(crate) allocatable_amounts: Amounts,
    /// The runtimes.
    pub(crate) runtimes: Runtimes,
    /// What they run.
    pub(crate) containers: Arc<Containers>,
    /// Images.
    pub(crate) images: Images,
    /// Who knows accounts of registries.
    pub(crate) credential_providers: Arc<CredentialProviders>,
    /// Which of them nothing used for how long.
    pub(crate) garbage: Garbage,
    /// ConfigMaps and Secrets.
    pub(crate) objects: Objects,
    /// Tokens of ServiceAccounts.
    pub(crate) tokens: Tokens,
    /// Whom pods believe.
    pub(crate) trust_bundles: TrustBundles,
    /// Certificates of pods.
    pub(crate) pod_certificates: PodCertificates,
    /// What pods are told about finding hosts by their names.
    pub(crate) dns: DnsSettings,
    /// How long changes of Services took to be in force.
    pub(crate) service_syncs: SyncTimes,
    /// Where requests of guests lead.
    pub(crate) in_process: InProcess,
    /// What containers are told of Services.
    pub(crate) services: ServiceVariables,
    /// Where events are told.
    pub(crate) events: Events,
    /// Pod addresses.
    pub(crate) network: Arc<dyn PodNetwork>,
    /// Pods that are to end because the node is short.
    pub(crate) evictions: Evictions,
    /// Ports of the node that lead to pods.
    pub(crate) host_ports: Arc<HostPorts>,
    /// What lets pods onto the network once their policies stand.
    pub(crate) policies: Gate,
    /// How often probes looked.
    pub(crate) probe_tallies: Tallies,
    /// Devices that plugins offer.
    pub(crate) devices: Arc<Devices>,
    /// What containers have for themselves: devices and processors.
    pub(crate) managers: Arc<ResourceManagers>,
    /// Drivers of volumes.
    pub(crate) csi: Csi,
    /// Users of pods that have some for themselves.
    pub(crate) user_ids: UserIds,
    /// Volumes.
    pub(crate) volumes: VolumeRoot,
    /// Container logs.
    pub(crate) logs: LogDir,
    /// How workers are woken.
    pub(crate) wakers: Wakers,
}

impl Context {
    /// What the node knows for downward references.
    pub(crate) fn node_fields(&self, pod_ips: Vec<IpAddr>) -> NodeFields {
        NodeFields { pod_ips, host_ips: self.host_ips.clone(), allocatable: self.allocatable.clone() }
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Transparent errors repeat their cause.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
