//! The files every OCI container of a pod gets from the node: hosts, resolv.conf, the termination message.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};

use super::memory::PodNetworking;
use crate::dns;
use crate::volumes::WriteError;

const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// What every pod with a network of its own knows, in kubelet's words.
const HOSTS: &str = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
                     fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

/// Writes the files; answers with paths in the container, on the node, and whether they are read-only.
pub(super) fn write(
    pod_dir: &Path,
    pod: &Pod,
    container: &Container,
    attempt: u32,
    network: &PodNetworking,
) -> Result<Vec<(String, PathBuf, bool)>, WriteError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let resolv_conf = pod_dir.join("resolv.conf");
    put(&resolv_conf, &dns::render(&network.sandbox.dns))?;
    let message = message_path(pod_dir, &container.name, attempt);
    put(&message, "")?;
    let in_container = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let mut files = vec![
        ("/etc/resolv.conf".to_owned(), resolv_conf, false),
        (in_container.unwrap_or(DEFAULT_MESSAGE_PATH).to_owned(), message, false),
    ];
    let hosts = pod_dir.join("etc-hosts");
    let of_node =
        spec.host_network.unwrap_or_default().then(|| fs::read_to_string("/etc/hosts").unwrap_or_default());
    put(&hosts, &hosts_of(&spec, network, of_node.as_deref()))?;
    files.push(("/etc/hosts".to_owned(), hosts, false));
    Ok(files)
}

fn put(path: &Path, content: &str) -> Result<(), WriteError> {
    let failed = |source| WriteError::Io { action: "write", path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::write(path, content).map_err(failed)?;
    // Whoever runs in the container writes its message here.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(path, mode).map_err(failed)
}

/// The file for the last words of an attempt at a container.
pub(super) fn message_path(pod_dir: &Path, container: &str, attempt: u32) -> PathBuf {
    pod_dir.join("containers").join(container).join(attempt.to_string())
}

/// What the pod calls itself: with its domain first, if it has one.
fn names_of(network: &PodNetworking) -> String {
    match &network.fqdn {
        Some(fqdn) => format!("{fqdn}\t{}", fqdn.split('.').next().unwrap_or_default()),
        None => network.sandbox.hostname.clone(),
    }
}

/// The pod itself, at each of its addresses.
fn own_lines(network: &PodNetworking) -> String {
    let names = names_of(network);
    let lines: Vec<String> = network.ips().iter().map(|ip| format!("{ip}\t{names}\n")).collect();
    lines.concat()
}

/// The hosts a pod knows: itself, or all that its node knows if it shares the node's network.
fn hosts_of(spec: &PodSpec, network: &PodNetworking, of_node: Option<&str>) -> String {
    let mut out = match of_node {
        Some(of_node) => format!("# Kubernetes-managed hosts file (host network).\n{of_node}"),
        None => format!("{HOSTS}{}", own_lines(network)),
    };
    let aliases = spec.host_aliases.iter().flatten();
    for (index, alias) in aliases.enumerate() {
        if index == 0 {
            out.push_str("\n# Entries added by HostAliases.\n");
        }
        writeln!(out, "{}\t{}", alias.ip, alias.hostnames.clone().unwrap_or_default().join("\t"))
            .expect("writing to a String cannot fail");
    }
    out
}
