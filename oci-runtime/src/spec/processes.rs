//! Whose processes a container sees.

use std::path::Path;

use oci_spec::runtime::{LinuxNamespaceType, Spec};

/// Lets the container see the processes of this namespace instead of its own alone.
pub(crate) fn share(oci: &mut Spec, namespace: &Path) {
    let Some(linux) = oci.linux_mut() else { return };
    let all = linux.namespaces_mut().as_mut().into_iter().flatten();
    for own in all.filter(|own| own.typ() == LinuxNamespaceType::Pid) {
        own.set_path(Some(namespace.to_owned()));
    }
}
