//! The harness of the end-to-end suites: real binary, real kubectl, real registry, real runc.
//!
//! Every cluster runs in a network namespace that the test made, so tests reach nothing but themselves and can run
//! beside each other. Reading order: [`isolated`], [`Cluster`], [`pods`], [`Agent`], [`Host`], [`Machines`], [`ApiServer`], [`Registry`], [`Viewer`],
//! [`churn`], [`wait`].

#![expect(clippy::missing_panics_doc, reason = "a harness panics to fail its test")]

mod agent;
mod api_server;
pub mod churn;
mod cluster;
mod disk;
mod hosts;
pub mod http;
pub mod keys;
mod leftovers;
mod machines;
mod netns;
pub mod pods;
mod process;
mod proxy;
mod registry;
mod viewer;
pub mod wait;
pub mod websocket;

pub use agent::Agent;
pub use api_server::ApiServer;
pub use cluster::{Cluster, DUAL_STACK, Options, SIX, in_cluster, one_shot};
pub use disk::FullDisk;
pub use hosts::{Host, Link};
pub use machines::Machines;
pub use netns::{isolated, isolated_on_disk};
pub use proxy::Proxy;
pub use registry::Registry;
pub use viewer::Viewer;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies in the workspace root")
}

/// Where the scripts put guests and images.
pub fn build_dir() -> PathBuf {
    std::env::var_os("WHERRY_BUILD_DIR").map_or_else(|| workspace().join(".build"), PathBuf::from)
}

/// A kubectl of 1.20, which speaks SPDY alone: `target/kubectl-1.20`, where `scripts/setup --test` puts it.
pub fn old_kubectl() -> PathBuf {
    let binary = wherry_binary();
    let target = binary.ancestors().nth(2).expect("the binary is in target/<profile>");
    let kubectl = target.join("kubectl-1.20/usr/bin/kubectl");
    assert!(kubectl.exists(), "{} is missing: run scripts/setup --test", kubectl.display());
    kubectl
}

/// The `wherry` binary beside the running test: `target/<profile>/wherry`.
pub fn wherry_binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let profile = test.ancestors().nth(2).expect("tests run from target/<profile>/deps");
    let binary = profile.join("wherry");
    assert!(
        binary.exists(),
        "{} is missing: run `cargo build -p wherry` first, as ./test does",
        binary.display()
    );
    binary
}
