//! What a container joins instead of having its own: namespaces of its pod, and the memory that goes with one of them.

use std::path::{Path, PathBuf};

use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxNamespaceType, MountBuilder, Spec};

use super::mounts::SHARED_MEMORY;

/// Where the container finds what it shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The IPC namespace and the directory of its shared memory.
    pub(crate) ipc: Option<(PathBuf, PathBuf)>,
    /// The namespace of the processes it sees.
    pub(crate) processes: Option<PathBuf>,
}

impl Joined {
    /// Puts it into the specification.
    pub(crate) fn apply(&self, oci: &mut Spec) -> Result<(), OciSpecError> {
        if let Some((namespace, memory)) = &self.ipc {
            join(oci, LinuxNamespaceType::Ipc, namespace);
            share_memory(oci, memory)?;
        }
        if let Some(namespace) = &self.processes {
            join(oci, LinuxNamespaceType::Pid, namespace);
        }
        Ok(())
    }
}

/// A namespace that is not to be made, because the node's is used, stays so.
fn join(oci: &mut Spec, kind: LinuxNamespaceType, namespace: &Path) {
    let Some(linux) = oci.linux_mut() else { return };
    let all = linux.namespaces_mut().as_mut().into_iter().flatten();
    for own in all.filter(|own| own.typ() == kind) {
        own.set_path(Some(namespace.to_owned()));
    }
}

/// Shows the pod's memory where the container would have its own; a volume in that place stays.
fn share_memory(oci: &mut Spec, memory: &Path) -> Result<(), OciSpecError> {
    let all = oci.mounts_mut().as_mut().into_iter().flatten();
    let is_own = |mount: &&mut oci_spec::runtime::Mount| {
        mount.destination() == Path::new(SHARED_MEMORY) && mount.typ().as_deref() == Some("tmpfs")
    };
    for own in all.filter(is_own) {
        let options = ["rbind", "rprivate", "nosuid", "noexec", "nodev"].map(str::to_owned).to_vec();
        *own = MountBuilder::default()
            .destination(SHARED_MEMORY)
            .typ("bind")
            .source(memory)
            .options(options)
            .build()?;
    }
    Ok(())
}
