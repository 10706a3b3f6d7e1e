//! The containers of a Pod's spec: those that initialize it, those it consists of, those added to it for a look inside.

use std::borrow::Cow;

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

/// What a container is to its Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It comes before the others.
    Init,
    /// The Pod consists of it.
    Main,
    /// It was added while the Pod ran.
    Ephemeral,
}

impl Role {
    /// The list of the spec it is in.
    fn list(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Main => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

/// All containers of the Pod with what they are to it, in the order of the spec.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = (Role, Cow<'_, Container>)> {
    let spec = pod.spec.as_ref();
    let init = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let main = spec.into_iter().flat_map(|spec| &spec.containers);
    let ephemeral = spec.into_iter().flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let init = init.map(|container| (Role::Init, Cow::Borrowed(container)));
    let main = main.map(|container| (Role::Main, Cow::Borrowed(container)));
    init.chain(main).chain(ephemeral.map(|added| (Role::Ephemeral, Cow::Owned(as_container(added)))))
}

/// The container of the Pod with this name.
pub(crate) fn find_container<'a>(pod: &'a Pod, name: &str) -> Option<Cow<'a, Container>> {
    containers(pod).map(|(_, container)| container).find(|container| container.name == name)
}

/// The name of the container whose processes an ephemeral container is to see.
pub(super) fn target<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let mut added = pod.spec.as_ref()?.ephemeral_containers.iter().flatten();
    let target = added.find(|container| container.name == name)?.target_container_name.as_deref();
    target.filter(|target| !target.is_empty())
}

/// Whether the container was added to the Pod for a look inside.
pub(super) fn is_ephemeral(pod: &Pod, name: &str) -> bool {
    containers(pod).any(|(role, container)| role == Role::Ephemeral && container.name == name)
}

/// `spec.containers{web}`, as events name a container.
pub(super) fn field_path(pod: &Pod, name: &str) -> String {
    let found = containers(pod).find(|(_, container)| container.name == name);
    let list = found.map_or(Role::Main, |(role, _)| role).list();
    format!("spec.{list}{{{name}}}")
}

/// An ephemeral container in the words of the others. It has no ports, probes, hooks or limits.
fn as_container(added: &EphemeralContainer) -> Container {
    let added = added.clone();
    Container {
        args: added.args,
        command: added.command,
        env: added.env,
        env_from: added.env_from,
        image: added.image,
        image_pull_policy: added.image_pull_policy,
        name: added.name,
        security_context: added.security_context,
        stdin: added.stdin,
        stdin_once: added.stdin_once,
        termination_message_path: added.termination_message_path,
        termination_message_policy: added.termination_message_policy,
        tty: added.tty,
        volume_devices: added.volume_devices,
        volume_mounts: added.volume_mounts,
        working_dir: added.working_dir,
        ..Container::default()
    }
}

/// The init containers that end before others start.
pub(crate) fn passing_inits(pod: &Pod) -> impl Iterator<Item = &str> {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.filter(|container| container.restart_policy.as_deref() != Some("Always"))
        .map(|container| container.name.as_str())
}
