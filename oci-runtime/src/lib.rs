//! A container runtime on runc (or another OCI runtime), with a shim per container that outlives the agent.
//!
//! Reading order: `sandbox` sets up what the containers of a pod share, `state` says what is on disk of a container, `image` turns
//! layer blobs into directories, `spec` turns a request into an OCI runtime specification, `create` joins the two, the program of the crate `wherry-shim`, which
//! `program` puts on disk, runs the result, `container` is the agent's side of a shim, `exec` runs commands beside a container's program, `attach` joins the program's
//! own streams, `users` makes the namespaces of pods with users for themselves, `apparmor` finds profiles, `runtime` implements the
//! contract.
//!
//! The crate needs root, Linux 5.6 or later (`openat2`), overlayfs and cgroups of version 1 or 2, which it drives
//! through their files.
//!
//! # Caveats
//! - Layers are unpacked apart from each other: a directory a layer's archive implies but does not list gets
//!   mode 0755 and owner root, whatever a lower layer says.
//! - A privileged container may use every device, but only the usual nodes are in its `/dev`.

mod apparmor;
mod attach;
mod cgroup;
mod config;
mod container;
mod create;
mod exec;
mod files;
mod host;
mod image;
mod locks;
mod program;
mod reports;
mod runtime;
mod sandbox;
mod spec;
mod state;
mod users;

pub use config::{Clock, Config, PROGRAMS};
pub use image::unpack_layer;
/// Reading layers, which come from outside.
pub mod layers {
    pub use crate::image::archive::{Archive, Entry};
    pub use crate::image::bounded::{Allowance, Bounded};
    pub use crate::image::layer::decompress;
}
pub use runtime::OciRuntime;
