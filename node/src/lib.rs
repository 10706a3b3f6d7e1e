//! The node agent: runs the Pods bound to this node and tells the API server how they are.
//!
//! An ordinary client of the API server; nobody calls it, except for log streams.
//!
//! Reading order:
//! - [`Config`], [`run`]: what the agent needs, and its life from registration to drain (`agent`).
//! - `certificates`: how a node whose API server is elsewhere comes by its certificates ([`join`]).
//! - `registration`: the Node object, its Lease and its conditions.
//! - `pods`: one worker per Pod, `observe -> plan (pure) -> apply`; the heart of the agent.
//! - `static_pods`: Pods of manifests on disk or behind a URL, and what the API shows of them.
//! - `admission`: which Pods it takes at all. `shutdown`, `logind`: how they end when the node does,
//!   and who tells it.
//! - `images`: from an image reference to content on disk, and what that content is.
//! - `csi`, `plugins`: volumes of drivers, and how drivers say that they are there. `devices`: those that plugins offer.
//! - `env`, `volumes`, `probes`, `logs`: what containers are given and how they are watched.
//! - `runtimes`, `containers`, `commands`: the two runtimes behind one contract, what they run now, and commands run to
//!   their end inside of it.
//! - `resource_managers`: devices and processors that containers have for themselves. `pod_resources`: who is told of it.
//! - `allocations`, `cgroups`, `huge_pages`: what Pods were given of the node, and the cgroups above theirs.
//! - `streams`: commands, attached programs and forwarded ports for clients.
//! - [`network`]: Pod addresses. [`services`]: ClusterIPs and NodePorts on this node. `dns`: the names of both.
//! - `host_ports`: ports of the node that lead to its Pods. `policies`: which packets reach them, and which leave them.
//! - `in_process`: where requests of guests to guests of this node lead, which need no connection.
//! - `ingress`: what is asked of it from outside, by Ingresses.
//! - `objects`, `claims`, `tokens`, `events`, `wakers`: references followed by watch, claims read, tokens renewed, events
//!   told, workers woken. `trust_bundles`, `pod_certificates`: whom pods believe, and how they show who they are.

#![cfg_attr(test, expect(clippy::needless_pass_by_value, reason = "helpers of tests take JSON literals"))]

mod access;
mod admission;
mod agent;
mod allocations;
mod certificates;
mod cgroups;
mod checkpoint;
mod claims;
mod commands;
mod config;
mod containers;
mod context;
mod csi;
mod devices;
mod dns;
mod env;
mod events;
mod eviction;
mod file_watch;
mod host_ports;
mod huge_pages;
mod images;
mod in_process;
mod ingress;
mod logind;
mod logs;
pub mod network;
mod objects;
mod plugins;
mod pod_certificates;
mod pod_resources;
mod pods;
mod policies;
mod probes;
mod registration;
mod resource_managers;
mod runtimes;
pub mod services;
mod shutdown;
mod sockets;
mod static_pods;
mod stats;
mod streams;
#[cfg(test)]
mod testing;
mod tokens;
mod trust_bundles;
mod user_ids;
mod volumes;
mod wakers;
mod watches;

pub use admission::{Sysctls, SysctlsError};
pub use agent::{Clients, NodeError, run};
pub use certificates::{JoinError, Joined, Joining, join};
pub use cgroups::{CgroupRoot, CgroupRootError};
pub use config::{Config, EndpointTls, NodeEndpoint};
pub use dns::DnsSettings;
pub use eviction::{EvictionSettings, MinimumReclaim, MissingGrace, SoftGrace, Thresholds, ThresholdsError};
pub use images::{
    ArchiveForm, ControlError, CredentialProviders, GarbageError, ImageLimits, ImageStore, ImageStoreError,
    Interfaces, KeyError, ListedImage, ProvidersError, PublicKey, Registries, RegistriesError, RemovedImage,
    SignaturePolicy, SignaturePolicyError, WasmArtifact, push_wasm,
};
pub use ingress::{IngressDoors, IngressError};
pub use network::{CniDirectories, NetworkMode};
pub use registration::{RangeError, pod_range};
pub use resource_managers::{
    CpuPolicy, Reserved, ReservedError, ResourceSettings, ResourceSettingsError, TopologyPolicy,
    TopologyScope, WordError,
};
pub use runtimes::wasm_dir;
pub use shutdown::{GraceGroup, GraceGroupError, ShutdownGrace, ShutdownGraceError};
pub use static_pods::{ManifestUrl, ManifestUrlError};
pub use wherry_runtime_api::CpuSet;
