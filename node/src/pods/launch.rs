//! Starts one attempt at a container: environment, mounts, user, then create and start.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::{ContainerId, ContainerSpec, Mount, RuntimeError, SandboxId, Streams, UserSpec};

use super::allocation::own_of;
use super::jobs::{Refusal, uid};
use super::memory::{PodNetworking, PreparedImage};
use super::security::Asked;
use super::specs::{field_path, find_container, is_ephemeral, target};
use super::{hooks, pod_files, resources};
use crate::commands::Commands;
use crate::context::{Context, chain};
use crate::env::{self, Environment, PodSources, Request, expand};
use crate::events::{Happening, Severity};
use crate::huge_pages;
use crate::probes::{Place, Probe, ProbeKind};
use crate::runtimes::Handler;
use crate::static_pods::is_static;
use crate::volumes::{Mounter, Volumes, devices};

const CONFIG_ERROR: &str = "CreateContainerConfigError";
const CREATE_ERROR: &str = "CreateContainerError";
const RUN_ERROR: &str = "RunContainerError";

/// What is needed to launch.
pub(super) struct Order {
    /// The pod.
    pub(super) pod: Arc<Pod>,
    /// The container's name.
    pub(super) container: String,
    /// The attempt.
    pub(super) attempt: u32,
    /// Its image.
    pub(super) image: Arc<PreparedImage>,
    /// The pod's volumes.
    pub(super) volumes: Arc<Volumes>,
    /// The pod's address and sandbox.
    pub(super) network: PodNetworking,
    /// Cancelled when the pod ends, so that nobody waits for a hook any more.
    pub(super) ending: CancellationToken,
}

/// Launches; the refusal's word tells which step failed.
pub(super) async fn run(ctx: &Context, order: Order) -> Result<(), Refusal> {
    let tell = |severity, reason, message: String| {
        let field_path = field_path(&order.pod, &order.container);
        ctx.events.pod(&order.pod, Happening { field_path, severity, reason, message });
    };
    let refuse = |word: &'static str, message: String| {
        tell(Severity::Warning, "Failed", format!("Error: {message}"));
        (word, message)
    };
    let spec = specify(ctx, &order).await.map_err(|message| refuse(CONFIG_ERROR, message))?;
    let runtime = ctx.runtimes.get(order.image.handler);
    if let Err(error) = runtime.ensure_sandbox(&spec.sandbox).await {
        let message = format!("Failed to create pod sandbox: {}", chain(&error));
        let happening = Happening::of_pod(Severity::Warning, "FailedCreatePodSandBox", message.clone());
        ctx.events.pod(&order.pod, happening);
        return Err((CREATE_ERROR, message));
    }
    runtime.create(&spec).await.map_err(|error| {
        let word = match error {
            // The Pod can be given it, as it can be given a ConfigMap that is missing.
            RuntimeError::NotGranted { .. } => CONFIG_ERROR,
            _ => CREATE_ERROR,
        };
        refuse(word, chain(&error))
    })?;
    tell(Severity::Normal, "Created", "Container created".to_owned());
    runtime.start(&spec.id).await.map_err(|error| refuse(RUN_ERROR, chain(&error)))?;
    tell(Severity::Normal, "Started", "Container started".to_owned());
    let commands = Commands::new(runtime.clone(), spec.id.clone());
    let listening = ctx.in_process.listening.clone();
    let place = Place { ip: order.network.ip, commands, listening };
    hooks::post_start(ctx, &order, &place).await;
    Ok(())
}

/// Refuses volumes as devices where there can be none.
fn check_devices(handler: Handler, container: &Container) -> Result<(), String> {
    let asked = container.volume_devices.iter().flatten().next().filter(|_| handler == Handler::Wasmtime);
    asked.map_or(Ok(()), |device| {
        Err(format!(
            "volumeDevices: WebAssembly sees no devices, so it cannot have {:?} as one: use a volume of volumeMode Filesystem and volumeMounts",
            device.name
        ))
    })
}

/// Turns the container of the Pod into what a runtime understands.
async fn specify(ctx: &Context, order: &Order) -> Result<ContainerSpec, String> {
    let pod = &*order.pod;
    let container = &*find_container(pod, &order.container).ok_or("the pod has no such container")?;
    for kind in ProbeKind::ALL {
        Probe::parse(container, kind).map_err(|error| error.to_string())?;
    }
    let security = Asked::of(pod, container);
    security.check_not_root(&order.image.content)?;
    let own_network = needs_network(order, container)?;
    check_devices(order.image.handler, container)?;
    let equipment = ctx.devices.equip(pod, container).await.map_err(|error| chain(&error))?;
    let env = environment(ctx, order, container).await?;
    let mounter = Mounter {
        container,
        volumes: &order.volumes,
        sub_paths: &ctx.volumes.sub_paths(uid(pod)),
        env: &env,
        links_files: order.image.handler == Handler::Wasmtime,
    };
    let mut mounts = mounter.mounts().map_err(|error| chain(&error))?;
    mounts.extend(equipment.mounts);
    let mut devices = devices(container, &order.volumes).map_err(|error| chain(&error))?;
    devices.extend(equipment.devices);
    if order.image.handler == Handler::Runc {
        add_pod_files(ctx, order, container, &mut mounts)?;
    }
    let words = |list: Option<&Vec<String>>| -> Option<Vec<String>> {
        let list = list.filter(|list| !list.is_empty())?;
        Some(list.iter().map(|word| expand(word, |name| env.get(name))).collect())
    };
    let command = words(container.command.as_ref());
    let args = words(container.args.as_ref()).or_else(|| default_args(&order.image, command.is_some()));
    let log_path = ctx.logs.prepare(pod, &container.name, order.attempt).map_err(|error| chain(&error))?;
    let own = container.security_context.as_ref();
    let user = security.user();
    let supplemental_groups = user.supplemental_groups.iter().copied().chain(equipment.groups).collect();
    Ok(ContainerSpec {
        id: ContainerId {
            sandbox: SandboxId(uid(pod).to_owned()),
            name: container.name.clone(),
            attempt: order.attempt,
        },
        sandbox: order.network.sandbox.clone(),
        image: order.image.content.clone(),
        command,
        args,
        working_dir: container.working_dir.clone().filter(|dir| !dir.is_empty()),
        mounts,
        devices,
        resources: resources::of(&resources::with_limits_of_pod(container.resources.as_ref(), own_of(pod))),
        huge_pages: huge_pages::of_container(container.resources.as_ref(), own_of(pod)),
        cpus: ctx.managers.cpus().map(|cpus| cpus.of(uid(pod), &container.name)),
        user: UserSpec { supplemental_groups, ..user },
        hooks: equipment.hooks,
        confinement: security.confinement(&ctx.seccomp_profiles),
        read_only_rootfs: own.and_then(|context| context.read_only_root_filesystem) == Some(true),
        own_network,
        program: order.image.program.map(str::to_owned),
        processes_of: target(pod, &container.name).map(str::to_owned),
        streams: Streams {
            stdin: container.stdin == Some(true),
            stdin_once: container.stdin_once == Some(true),
            terminal: container.tty == Some(true),
        },
        ports: ports(container),
        log_path,
        annotations: pod
            .metadata
            .annotations
            .iter()
            .flatten()
            .map(owned)
            .chain(equipment.annotations)
            .collect(),
        // What the Pod sets itself comes later, and so counts.
        env: equipment.env.into_iter().chain(env.own).collect(),
        common_env: env.common,
    })
}

/// Whether the container is to have a network of its own, because its pod has no namespace for one. Only what is added for a look
/// inside may run so.
fn needs_network(order: &Order, container: &Container) -> Result<bool, String> {
    let host_network = order.pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    let is_missing =
        order.image.handler == Handler::Runc && !host_network && order.network.sandbox.netns.is_none();
    if is_missing && !is_ephemeral(&order.pod, &container.name) {
        return Err(
            "the pod was set up for WebAssembly only and has no network namespace, but the image is now an \
                    OCI image: delete the pod to have it set up anew"
                .to_owned(),
        );
    }
    Ok(is_missing)
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

fn default_args(image: &PreparedImage, has_command: bool) -> Option<Vec<String>> {
    (!has_command && !image.default_args.is_empty()).then(|| image.default_args.clone())
}

fn ports(container: &Container) -> Vec<u16> {
    container.ports.iter().flatten().filter_map(|port| u16::try_from(port.container_port).ok()).collect()
}

async fn environment(ctx: &Context, order: &Order, container: &Container) -> Result<Environment, String> {
    let pod = &*order.pod;
    // Static Pods run without an API server, with what is known of Services by now.
    if !is_static(pod) {
        ctx.services.complete().await;
    }
    let sources = PodSources {
        client: &ctx.client,
        objects: &ctx.objects,
        tokens: &ctx.tokens,
        trust_bundles: &ctx.trust_bundles,
        pod_certificates: &ctx.pod_certificates,
        csi: &ctx.csi,
        pod,
        ending: &order.ending,
    };
    let node = ctx.node_fields(order.network.ips());
    let request = Request { pod, container, services: &ctx.services, node: &node };
    env::resolve(&request, &sources).await.map_err(|error| chain(&error))
}

fn add_pod_files(
    ctx: &Context,
    order: &Order,
    container: &Container,
    mounts: &mut Vec<Mount>,
) -> Result<(), String> {
    let dir = ctx.volumes.pod_dir(uid(&order.pod));
    let files = pod_files::write(&dir, &order.pod, container, order.attempt, &order.network)
        .map_err(|error| chain(&error))?;
    for (container_path, host_path, read_only) in files {
        if mounts.iter().all(|mount| mount.container_path != container_path) {
            mounts.push(Mount::new(host_path, container_path, read_only));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webassembly_is_given_no_devices() {
        let container = |devices: serde_json::Value| {
            serde_json::from_value(serde_json::json!({ "name": "c", "volumeDevices": devices })).unwrap()
        };
        let disk: Container = container(serde_json::json!([{ "name": "disk", "devicePath": "/dev/disk" }]));
        let refused = check_devices(Handler::Wasmtime, &disk).unwrap_err();
        assert!(refused.starts_with("volumeDevices: ") && refused.contains("\"disk\""), "{refused}");
        assert_eq!(check_devices(Handler::Runc, &disk), Ok(()));
        assert_eq!(check_devices(Handler::Wasmtime, &container(serde_json::json!([]))), Ok(()));
    }
}
