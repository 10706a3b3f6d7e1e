//! The steps that take time, each as one future that answers with a [`Done`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodStatus, ResourceRequirements};
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, ResourceExt as _};
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::{
    ContainerId, DnsConfig, NodeNamespaces, PodUsers, RuntimeError, SandboxId, SandboxSpec,
};

use super::memory::{PodNetworking, PreparedImage, Why};
use super::plan::Action;
use super::qos::qos_class;
use super::resources;
use super::specs::field_path;
use super::storage::Usage;
use super::{image_volumes, launch, told};
use crate::admission::{Rejection, dotted};
use crate::commands::Commands;
use crate::context::{Context, chain};
use crate::dns;
use crate::env::PodSources;
use crate::events::{Happening, Severity};
use crate::host_ports::HostPort;
use crate::huge_pages;
use crate::network::{Bandwidth, PodAddress};
use crate::runtimes::{Forced, Handler};
use crate::volumes::Volumes;

/// As long as the kernel lets a hostname be.
const HOSTNAME_LETTERS: usize = 64;

/// A step of a container that failed: kubelet's word and a sentence.
pub(super) type Refusal = (&'static str, String);

/// Why the pod's volumes are not there.
pub(super) struct VolumeRefusal {
    /// Kubelet's word, and a sentence.
    pub(super) refusal: Refusal,
    /// The volume whose image cannot be had, if it is that. The pod was told of it.
    pub(super) image_of: Option<String>,
}

impl VolumeRefusal {
    /// A volume cannot be mounted.
    pub(super) fn mount(message: String) -> Self {
        Self { refusal: ("FailedMount", message), image_of: None }
    }
}

/// How a step went.
pub(super) enum Done {
    /// [`Action::Admit`]; `None` if the pod is ending.
    Admitted(Option<Result<(), Rejection>>),
    /// [`Action::MountVolumes`].
    Volumes(Result<Arc<Volumes>, VolumeRefusal>),
    /// [`Action::EnsureImage`]; `None` if the pod is ending.
    Image {
        /// The container.
        container: String,
        /// The attempt.
        attempt: u32,
        /// The image.
        result: Option<Result<Arc<PreparedImage>, Refusal>>,
    },
    /// [`Action::SetUpNetwork`].
    Network(Result<Box<PodNetworking>, Refusal>),
    /// [`Action::Launch`].
    Launch {
        /// The container.
        container: String,
        /// The attempt.
        attempt: u32,
        /// Whether it runs.
        result: Result<(), Refusal>,
    },
    /// [`Action::Stop`].
    Stopped(ContainerId, Result<(), String>),
    /// [`Action::Resize`].
    Resized {
        /// What the containers have now.
        applied: Vec<(ContainerId, ResourceRequirements)>,
        /// What the pod itself has then, if all is as it is to be.
        result: Result<Option<ResourceRequirements>, String>,
    },
    /// [`Action::MeasureStorage`].
    Storage(Usage),
    /// [`Action::Remove`].
    Removed(ContainerId),
    /// [`Action::TearDown`].
    TornDown(Result<(), String>),
    /// [`Action::DeletePod`].
    Deleted(Result<(), String>),
    /// The status was written, or not.
    Status(Box<PodStatus>, Result<u64, kube::Error>),
}

/// Sets the pod's volumes up, or brings those that were set up before up to date.
pub(super) async fn mount_volumes(
    ctx: Arc<Context>,
    pod: Arc<Pod>,
    pod_ips: Vec<IpAddr>,
    before: Option<Arc<Volumes>>,
    ending: CancellationToken,
) -> Done {
    let sources = PodSources {
        client: &ctx.client,
        objects: &ctx.objects,
        tokens: &ctx.tokens,
        trust_bundles: &ctx.trust_bundles,
        pod_certificates: &ctx.pod_certificates,
        csi: &ctx.csi,
        pod: &pod,
        ending: &ending,
    };
    let set_up = ctx.volumes.set_up(&pod, &sources, &ctx.node_fields(pod_ips), before.as_deref()).await;
    let mut volumes = match set_up {
        Ok(volumes) => volumes,
        Err(error) => return Done::Volumes(Err(VolumeRefusal::mount(chain(&error)))),
    };
    let mounted = image_volumes::mount(&ctx, &pod, &mut volumes, &ending).await;
    Done::Volumes(mounted.map(|()| Arc::new(volumes)))
}

/// Gives the pod its address.
pub(super) async fn set_up_network(ctx: Arc<Context>, pod: Arc<Pod>, netns: bool) -> Done {
    if let Some(refusal) = refuse_claims(&pod) {
        return Done::Network(Err(refusal));
    }
    let users = match own_users(&ctx, &pod, netns).await {
        Ok(users) => users,
        Err(cause) => return no_sandbox(&cause),
    };
    let uid = uid(&pod);
    let spec = pod.spec.as_ref();
    let host_network = spec.and_then(|spec| spec.host_network) == Some(true);
    let attached = if host_network { of_node(&ctx) } else { attach(&ctx, &pod, netns, users.as_ref()).await };
    let PodAddress { ip, ip6, netns } = match attached {
        Ok(address) => address,
        Err(cause) => return no_sandbox(&cause),
    };
    let hostname = hostname(&pod, host_network, &ctx.node_name);
    let fqdn = domain(&pod, &ctx.dns.domain).map(|domain| format!("{hostname}.{domain}"));
    let own_name = match fqdn.as_ref().filter(|_| wants_fqdn(&pod)) {
        Some(fqdn) if fqdn.len() > HOSTNAME_LETTERS => return no_sandbox(&too_long(fqdn)),
        Some(fqdn) => fqdn.clone(),
        None => hostname,
    };
    let sandbox = SandboxSpec {
        id: SandboxId(uid.to_owned()),
        namespace: pod.namespace().unwrap_or_default(),
        hostname: own_name,
        ip,
        ip6,
        netns,
        cgroup_parent: ctx.cgroup_root.of_pod(uid, qos_class(&pod)),
        dns: dns_of(&ctx, &pod),
        resources: resources::of_pod(&pod),
        huge_pages: huge_pages::of_pod(&pod),
        node_namespaces: NodeNamespaces {
            pid: spec.and_then(|spec| spec.host_pid) == Some(true),
            ipc: spec.and_then(|spec| spec.host_ipc) == Some(true),
        },
        shares_processes: spec.and_then(|spec| spec.share_process_namespace) == Some(true),
        sysctls: sysctls(&pod),
        users,
    };
    Done::Network(Ok(Box::new(PodNetworking { ip, fqdn, sandbox })))
}

/// The addresses of a pod on the node's own network.
fn of_node(ctx: &Context) -> Result<PodAddress, String> {
    let ip = ctx.host_ips.first().copied().ok_or("the node has no address")?;
    let ip6 = ctx.host_ips.iter().find_map(|other| match other {
        IpAddr::V6(ip6) if *other != ip => Some(*ip6),
        _ => None,
    });
    Ok(PodAddress { ip, ip6, netns: None })
}

/// Connects the pod, and the ports of the node that are to lead to it.
async fn attach(
    ctx: &Context,
    pod: &Pod,
    netns: bool,
    users: Option<&PodUsers>,
) -> Result<PodAddress, String> {
    let ports = HostPort::of(pod).map_err(|error| chain(&error))?;
    let bandwidth = Bandwidth::of(pod.annotations()).map_err(|error| chain(&error))?;
    if let Some(plugins) = ctx.network.plugins() {
        // Ports, rates and policies are theirs, too.
        let told =
            told::of(pod, &ports, bandwidth, &dns::of_pod(pod, &ctx.dns, dns::of_node(dns::NODE)).config);
        let made = users.map(PodUsers::network);
        let connected = plugins.connect(uid(pod), told, made.as_deref()).await;
        return connected.map_err(|error| {
            format!("failed to setup network for sandbox {:?}: {}", uid(pod), chain(&error))
        });
    }
    let attached = match users {
        Some(users) => ctx.network.attach_made(uid(pod), &users.network()).await,
        None => ctx.network.attach(uid(pod), netns).await,
    };
    let address = attached.map_err(|error| chain(&error))?;
    ctx.network.limit(uid(pod), bandwidth).await.map_err(|error| chain(&error))?;
    // Before anything can be sent, and before anybody is led here.
    ctx.policies.admit(uid(pod), pod, &address).await.map_err(|error| chain(&error))?;
    ctx.host_ports.lead(uid(pod), &address, ports).await.map_err(|error| chain(&error))?;
    Ok(address)
}

/// What the pod is told about finding hosts; tells its owner what is left out.
fn dns_of(ctx: &Context, pod: &Pod) -> DnsConfig {
    let told = dns::of_pod(pod, &ctx.dns, dns::of_node(dns::NODE));
    for message in told.omissions {
        ctx.events.pod(pod, Happening::of_pod(Severity::Warning, "DNSConfigForming", message));
    }
    told.config
}

fn no_sandbox(cause: &str) -> Done {
    Done::Network(Err(("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {cause}"))))
}

/// Why a pod with claims on devices does not start: there is no driver that could prepare them.
fn refuse_claims(pod: &Pod) -> Option<Refusal> {
    let claim = pod.spec.as_ref()?.resource_claims.as_ref()?.first()?;
    let cause =
        format!("this node has no DRA drivers, so nobody prepares the devices of claim {:?}", claim.name);
    Some(("FailedPrepareDynamicResources", format!("Failed to prepare dynamic resources: {cause}")))
}

/// The users of a pod that is to have some for itself, and their namespaces. WebAssembly has no users.
async fn own_users(ctx: &Context, pod: &Pod, netns: bool) -> Result<Option<PodUsers>, String> {
    let asked = pod.spec.as_ref().and_then(|spec| spec.host_users) == Some(false);
    if !asked || !netns {
        return Ok(None);
    }
    let users = ctx.user_ids.ensure(uid(pod)).map_err(|error| chain(&error))?;
    let runtime = ctx.runtimes.get(Handler::Runc);
    runtime.ensure_users(&users).await.map_err(|error| chain(&error))?;
    Ok(Some(users))
}

/// What the pod asks of the kernel.
fn sysctls(pod: &Pod) -> BTreeMap<String, String> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let asked = context.and_then(|context| context.sysctls.as_ref()).into_iter().flatten();
    asked.map(|sysctl| (dotted(&sysctl.name), sysctl.value.clone())).collect()
}

fn hostname(pod: &Pod, host_network: bool, node_name: &str) -> String {
    if host_network {
        return node_name.to_owned();
    }
    let given = pod.spec.as_ref().and_then(|spec| spec.hostname.as_deref()).filter(|name| !name.is_empty());
    let name = given.or(pod.metadata.name.as_deref()).unwrap_or_default();
    // A hostname has at most 63 characters; Pod names are ASCII.
    name.get(..63).unwrap_or(name).trim_end_matches(['-', '.']).to_owned()
}

/// The domain of a pod with a subdomain. Its name leads to the pod where a headless Service is called like the subdomain.
fn domain(pod: &Pod, of_cluster: &str) -> Option<String> {
    let subdomain = pod.spec.as_ref()?.subdomain.as_deref().filter(|name| !name.is_empty())?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Some(format!("{subdomain}.{namespace}.svc.{of_cluster}"))
}

fn wants_fqdn(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.set_hostname_as_fqdn) == Some(true)
}

fn too_long(fqdn: &str) -> String {
    format!(
        "Failed to construct FQDN from pod hostname and cluster domain, FQDN {fqdn} is too long ({HOSTNAME_LETTERS} \
         characters is the max, {} characters requested)",
        fqdn.len()
    )
}

/// The runtime the pod's RuntimeClass forces, if it has one.
pub(super) async fn forced_handler(ctx: &Context, pod: &Pod) -> Result<Option<Forced>, String> {
    let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
    let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(None) };
    let api: Api<RuntimeClass> = Api::all(ctx.client.clone());
    let found =
        api.get_opt(class).await.map_err(|error| format!("cannot read RuntimeClass {class:?}: {error}"))?;
    let found = found.ok_or_else(|| format!("RuntimeClass {class:?} not found"))?;
    let unknown = || chain(&RuntimeError::NoProgram(found.handler.clone()));
    Forced::parse(&found.handler).map(Some).ok_or_else(unknown)
}

/// Creates and starts an attempt at a container.
pub(super) async fn launch(ctx: Arc<Context>, order: launch::Order) -> Done {
    let (container, attempt, pod) = (order.container.clone(), order.attempt, order.pod.clone());
    let result = Box::pin(launch::run(&ctx, order)).await;
    ctx.containers.refresh_pod(uid(&pod)).await;
    Done::Launch { container, attempt, result }
}

/// Stops a container.
pub(super) async fn stop(ctx: Arc<Context>, pod: Arc<Pod>, action: Action) -> Option<Done> {
    let Action::Stop { id, handler, grace, why } = action else { return None };
    let message = match &why {
        Why::Probe(kill) => format!("Container {} failed {} probe, will be restarted", id.name, kill.probe),
        Why::Changed => format!("Container {} definition changed, will be restarted", id.name),
        Why::Resized => format!("Container {} resize requires restart", id.name),
        Why::Ending | Why::Rerun => format!("Stopping container {}", id.name),
    };
    ctx.events.pod(
        &pod,
        Happening {
            field_path: field_path(&pod, &id.name),
            severity: Severity::Normal,
            reason: "Killing",
            message,
        },
    );
    let runtime = ctx.runtimes.get(handler);
    let grace = match why {
        // All of them are back in a moment: nothing is said to them, and nobody waits.
        Why::Rerun => grace,
        _ => super::hooks::pre_stop(&ctx, &pod, Commands::new(runtime.clone(), id.clone()), grace).await,
    };
    let result = runtime.stop(&id, grace).await;
    ctx.containers.refresh_pod(&id.sandbox.0).await;
    Some(Done::Stopped(id, result.map_err(|error| chain(&error))))
}

/// Removes an old attempt and its logs.
pub(super) async fn remove(ctx: Arc<Context>, pod: Arc<Pod>, id: ContainerId, handler: Handler) -> Done {
    remove_attempt(&ctx, &pod, &id, handler).await;
    Done::Removed(id)
}

/// Removes an attempt that has ended, and its logs.
pub(crate) async fn remove_attempt(ctx: &Context, pod: &Pod, id: &ContainerId, handler: Handler) {
    if let Err(error) = ctx.runtimes.get(handler).remove(id).await {
        tracing::warn!(container = %id, error = %chain(&error), "cannot remove container");
    }
    ctx.logs.remove_attempt(pod, &id.name, id.attempt);
    ctx.containers.refresh_pod(&id.sandbox.0).await;
}

/// Gives back everything a pod has: containers, sandboxes, address, volumes. Logs stay.
pub(super) async fn tear_down(ctx: &Context, uid: &str) -> Result<(), String> {
    let sandbox = SandboxId(uid.to_owned());
    for running in ctx.containers.of_pod(uid) {
        let runtime = ctx.runtimes.get(running.handler);
        runtime.remove(&running.status.id).await.map_err(|error| chain(&error))?;
    }
    for (_, runtime) in ctx.runtimes.all() {
        runtime.remove_sandbox(&sandbox).await.map_err(|error| chain(&error))?;
    }
    ctx.host_ports.withdraw(uid).await.map_err(|error| chain(&error))?;
    ctx.network.detach(uid).await.map_err(|error| chain(&error))?;
    ctx.user_ids.release(uid).map_err(|error| chain(&error))?;
    ctx.policies.release(uid);
    ctx.objects.release(uid);
    ctx.trust_bundles.release(uid);
    ctx.pod_certificates.release(uid);
    // A part of a volume that is still mounted would keep its driver from letting go of it.
    ctx.volumes.sub_paths(uid).tear_down().map_err(|error| chain(&error))?;
    ctx.csi.tear_down(uid).await.map_err(|error| chain(&error))?;
    ctx.managers.release(uid).map_err(|error| chain(&error))?;
    ctx.volumes.tear_down(uid).map_err(|error| chain(&error))?;
    ctx.containers.refresh_pod(uid).await;
    Ok(())
}

/// Deletes the Pod object for good; one that is gone or replaced is deleted.
pub(super) async fn delete_pod(ctx: Arc<Context>, pod: Arc<Pod>) -> Done {
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), namespace(&pod));
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    let deleted = api.delete(pod.metadata.name.as_deref().unwrap_or_default(), &params).await;
    Done::Deleted(match deleted {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(chain(&error)),
    })
}

/// The pod's uid.
pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// The pod's namespace.
pub(super) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}
