//! What a worker remembers between two plans: the steps it has taken and how they went.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, PodStatus};
use wherry_runtime_api::{ContainerId, ImageContent, SandboxSpec};

use super::admitting::Admittance;
use super::allocation::{Given, own_of};
use super::backoff::{Backoff, later};
use super::rerun;
use super::resources::with_limits_of_pod;
use crate::eviction::Eviction;
use crate::runtimes::Handler;
use crate::volumes::Volumes;

/// A step that is taken once and repeated only if it fails.
#[derive(Clone, Debug, Default)]
pub(super) enum Step<T> {
    /// Not taken yet.
    #[default]
    Idle,
    /// Under way.
    Busy,
    /// Taken.
    Done(T),
    /// Failed, to be repeated.
    Failed(Failure),
}

impl<T> Step<T> {
    /// What the step yielded.
    pub(super) fn done(&self) -> Option<&T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Idle | Self::Busy | Self::Failed(_) => None,
        }
    }

    /// The failure, if the step failed.
    pub(super) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Idle | Self::Busy | Self::Done(_) => None,
        }
    }

    /// Whether the step is under way.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Busy)
    }

    /// Whether the step may be taken now, else when.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        match self {
            Self::Idle => Due::Now,
            Self::Busy | Self::Done(_) => Due::No,
            Self::Failed(failure) => Due::by(failure.retry_at, now),
        }
    }
}

/// Something to look at again and again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    /// Somebody looks.
    Busy,
    /// To be looked at from then on.
    Next(Timestamp),
}

impl Default for Look {
    fn default() -> Self {
        Self::Next(Timestamp::MIN)
    }
}

impl Look {
    /// Whether to look now, else when.
    pub(super) fn due(self, now: Timestamp) -> Due {
        match self {
            Self::Busy => Due::No,
            Self::Next(at) => Due::by(at, now),
        }
    }
}

/// Whether something is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is.
    Now,
    /// It is not, until then.
    At(Timestamp),
    /// It is not.
    No,
}

impl Due {
    /// Now, if the time has come.
    pub(super) fn by(at: Timestamp, now: Timestamp) -> Self {
        if at <= now { Self::Now } else { Self::At(at) }
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Kubelet's word: `ErrImagePull`, `CreateContainerConfigError`.
    pub(super) reason: &'static str,
    /// A sentence.
    pub(super) message: String,
    /// How often it has failed in a row.
    pub(super) failures: u32,
    /// When it failed last.
    pub(super) at: Timestamp,
    /// When to try again.
    pub(super) retry_at: Timestamp,
}

impl Failure {
    /// The failure that follows `earlier` (failures in a row) with waits after `delay`.
    pub(super) fn after<T>(
        earlier: Option<u32>,
        (reason, message): (&'static str, String),
        now: Timestamp,
        delay: fn(u32) -> Duration,
    ) -> Step<T> {
        let failures = earlier.unwrap_or(0) + 1;
        Step::Failed(Self { reason, message, failures, at: now, retry_at: later(now, delay(failures)) })
    }
}

/// An image that can be run.
#[derive(Debug)]
pub(super) struct PreparedImage {
    /// Its content.
    pub(super) content: ImageContent,
    /// Which runtime runs it.
    pub(super) handler: Handler,
    /// The OCI runtime it is to be, if the pod's RuntimeClass names one.
    pub(super) program: Option<&'static str>,
    /// `registry/repository@digest`.
    pub(super) image_id: String,
    /// Arguments used when the container gives neither command nor arguments.
    pub(super) default_args: Vec<String>,
}

/// The pod's place in the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodNetworking {
    /// Its address.
    pub(super) ip: IpAddr,
    /// Its name in the cluster, if it is to know one.
    pub(super) fqdn: Option<String>,
    /// What its containers share.
    pub(super) sandbox: SandboxSpec,
}

impl PodNetworking {
    /// All its addresses.
    pub(super) fn ips(&self) -> Vec<IpAddr> {
        std::iter::once(self.ip).chain(self.sandbox.ip6.map(IpAddr::V6)).collect()
    }
}

/// What the probes of the current attempt have found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProbeView {
    /// The attempt these are about.
    pub(super) attempt: u32,
    /// Whether the startup probe has succeeded.
    pub(super) started: bool,
    /// Whether the readiness probe succeeds.
    pub(super) ready: bool,
    /// What the failing liveness or startup probe said.
    pub(super) kill: Option<ProbeKill>,
}

/// Why a container is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The pod ends.
    Ending,
    /// A probe failed.
    Probe(ProbeKill),
    /// It is to run another image.
    Changed,
    /// It is to have something that it can only get at its start.
    Resized,
    /// One of its pod ended so that all are started again.
    Rerun,
}

/// A probe wants its container restarted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProbeKill {
    /// `liveness` or `startup`.
    pub(super) probe: &'static str,
    /// The probe's own grace period in seconds.
    pub(super) grace: Option<i64>,
}

/// A stop that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StopOrder {
    /// Which container.
    pub(super) id: ContainerId,
    /// When it will be killed.
    pub(super) kill_at: Timestamp,
    /// When to try again, if it failed.
    pub(super) retry_at: Option<Timestamp>,
}

/// What is remembered of one container.
#[derive(Debug, Default)]
pub(super) struct ContainerMemory {
    /// The attempt the image was made ready for.
    pub(super) image_attempt: u32,
    /// The image.
    pub(super) image: Step<Arc<PreparedImage>>,
    /// How often making the image ready failed in a row.
    pub(super) image_failures: u32,
    /// The attempt that is or was launched last.
    pub(super) launch_attempt: u32,
    /// Its launch.
    pub(super) launch: Step<()>,
    /// When it was last launched.
    pub(super) launched_at: Timestamp,
    /// How often launching failed in a row.
    pub(super) launch_failures: u32,
    /// The stop under way.
    pub(super) stop: Option<StopOrder>,
    /// The crash-loop back-off.
    pub(super) backoff: Backoff,
    /// What the probes found.
    pub(super) probes: ProbeView,
    /// The image the newest attempt was launched with; empty if none was.
    pub(super) launched_image: String,
    /// What the newest attempt was started with, or was given since, and which attempt that is.
    pub(super) applied: Option<(u32, core::ResourceRequirements)>,
    /// The attempt that was stopped because it is to run another image, or with other limits.
    pub(super) replaced: Option<u32>,
    /// The last attempt before all containers of the pod were last begun anew.
    pub(super) before_rerun: Option<u32>,
    /// What the API said of the container when the worker started.
    pub(super) recorded: Option<core::ContainerStatus>,
    /// What attempts that ended left as their last words, by attempt.
    pub(super) termination_messages: BTreeMap<u32, Option<String>>,
    /// The image id the status showed last; it outlives the image step.
    pub(super) image_id: String,
}

/// What a pod shows its containers of itself and may change while they run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    resources: Vec<Option<core::ResourceRequirements>>,
    own: Option<core::ResourceRequirements>,
}

impl Shown {
    /// What the pod shows now.
    pub(super) fn of(pod: &core::Pod) -> Self {
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        Self {
            labels: pod.metadata.labels.clone(),
            annotations: pod.metadata.annotations.clone(),
            resources: containers.map(|container| container.resources.clone()).collect(),
            own: own_of(pod).cloned(),
        }
    }
}

/// What is remembered of one pod.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When the node first saw the pod.
    pub(super) start_time: Timestamp,
    /// The status planned last, or the API's at the start: the base of transition times.
    pub(super) reported: PodStatus,
    /// What the pod showed when it was looked at last.
    pub(super) shown: Shown,
    /// Directories and files for volumes.
    pub(super) volumes: Step<Arc<Volumes>>,
    /// Whether volumes are to be set up once more when the set-up under way is done.
    pub(super) volumes_outdated: bool,
    /// Whether volumes are being set up.
    pub(super) volumes_busy: bool,
    /// How often setting volumes up failed in a row.
    pub(super) volume_failures: u32,
    /// The volume whose image could not be had, if it was that.
    pub(super) image_volume: Option<String>,
    /// Address and sandbox.
    pub(super) network: Step<PodNetworking>,
    /// How often setting the network up failed in a row.
    pub(super) network_failures: u32,
    /// Containers by name.
    pub(super) containers: BTreeMap<String, ContainerMemory>,
    /// Whether the containers have what they are to have for themselves.
    pub(super) admittance: Admittance,
    /// What the containers were given.
    pub(super) given: Given,
    /// What the pod itself has while something of it runs.
    pub(super) own_applied: Option<core::ResourceRequirements>,
    /// Changing the limits of containers that run.
    pub(super) resize: Step<()>,
    /// How often that failed in a row.
    pub(super) resize_failures: u32,
    /// When to look at what the pod takes of the disk.
    pub(super) storage: Look,
    /// Why the node ends the pod, if it does.
    pub(super) evicted: Option<Eviction>,
    /// Removals under way.
    pub(super) removing: BTreeSet<ContainerId>,
    /// When the pod was first seen ending.
    pub(super) ending_since: Option<Timestamp>,
    /// The status the pod ended with; set when teardown starts.
    pub(super) final_status: Option<PodStatus>,
    /// Everything given back: containers, sandbox, address, volumes.
    pub(super) teardown: Step<()>,
    /// How often the teardown failed in a row.
    pub(super) teardown_failures: u32,
    /// The Pod object deleted.
    pub(super) deletion: Step<()>,
}

impl Memory {
    /// Begins with what the API knows of the pod.
    pub(super) fn recall(pod: &core::Pod, now: Timestamp) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let start_time = status.start_time.as_ref().map_or(now, |time| time.0);
        let given = Given::recall(pod);
        let own_applied = own_of(pod).and_then(|_| status.resources.clone());
        let mut memory = Self { start_time, shown: Shown::of(pod), given, own_applied, ..Self::default() };
        let lists = [
            &status.init_container_statuses,
            &status.container_statuses,
            &status.ephemeral_container_statuses,
        ];
        for recorded in lists.into_iter().flatten().flatten() {
            let container = memory.containers.entry(recorded.name.clone()).or_default();
            container.image_id.clone_from(&recorded.image_id);
            if recorded.container_id.is_some() {
                container.launched_image.clone_from(&recorded.image);
            }
            if let Some(resources) = &recorded.resources {
                let attempt = u32::try_from(recorded.restart_count).unwrap_or(0);
                let applied = with_limits_of_pod(Some(resources), memory.own_applied.as_ref());
                container.applied = Some((attempt, applied.into_owned()));
            }
            // A container that still runs is as ready as it was until its probes say otherwise.
            container.probes = ProbeView {
                attempt: u32::try_from(recorded.restart_count).unwrap_or(0),
                started: recorded.started == Some(true),
                ready: recorded.ready,
                kill: None,
            };
            container.before_rerun = rerun::recall(pod, recorded);
            container.recorded = Some(recorded.clone());
        }
        memory.reported = status;
        memory
    }

    /// The memory of the container, made if there is none.
    pub(super) fn container(&mut self, name: &str) -> &mut ContainerMemory {
        self.containers.entry(name.to_owned()).or_default()
    }
}
