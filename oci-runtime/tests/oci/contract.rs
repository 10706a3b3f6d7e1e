//! The contract of `wherry_runtime_api::Runtime`, with the guest `cli` as a program of the machine: kept with runc, and with crun or
//! whatever `WHERRY_OTHER_OCI_RUNTIME` names.

use std::fs;
use std::path::{Path, PathBuf};

use wherry_runtime_api::{ContainerSpec, ImageContent, Runtime};
use wherry_runtime_suite::{Machine, PODS};

use crate::node::{Node, entry};

struct Oci<const OTHER: bool> {
    node: Node,
    files: PathBuf,
}

impl<const OTHER: bool> Machine for Oci<OTHER> {
    const OUTLIVES_AGENT: bool = true;

    async fn new() -> Self {
        let node = if OTHER { Node::of_other().await } else { Node::new().await };
        let files = node.dir.path().join("files");
        fs::create_dir(&files).unwrap();
        Self { node, files }
    }

    fn runtime(&self) -> &dyn Runtime {
        &self.node.runtime
    }

    fn dir(&self) -> &Path {
        &self.files
    }

    fn container(&self, pod: &str, name: &str, steps: &[&str]) -> ContainerSpec {
        let mut spec = ContainerSpec { image: self.image(), ..self.node.script(name, "") };
        if pod != PODS[0] {
            spec.sandbox.id.0.push_str(pod);
            spec.sandbox.cgroup_parent.push_str(pod);
            spec.id.sandbox = spec.sandbox.id.clone();
        }
        spec.log_path = self.dir().join(format!("{pod}-{name}.log"));
        spec.command = Some(self.command(steps));
        spec
    }

    fn command(&self, steps: &[&str]) -> Vec<String> {
        [&["/cli"], steps].concat().into_iter().map(str::to_owned).collect()
    }

    async fn restart(&mut self) {
        self.node.runtime.close().await;
        self.node.next_agent();
    }

    async fn finish(self) {
        let other = self.container(PODS[1], "main", &[]);
        self.runtime().remove_sandbox(&other.sandbox.id).await.unwrap();
        self.node.finish().await;
    }
}

impl<const OTHER: bool> Oci<OTHER> {
    fn image(&self) -> ImageContent {
        let build = std::env::var_os("WHERRY_BUILD_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.build"), Into::into);
        let program = build.join("guests/cli");
        let program = fs::read(&program)
            .unwrap_or_else(|error| panic!("{}: {error}: run scripts/guests first", program.display()));
        let mut layer = tar::Builder::new(Vec::new());
        entry(&mut layer, "etc/", tar::EntryType::Directory, 0o755, b"");
        entry(&mut layer, "etc/passwd", tar::EntryType::Regular, 0o644, b"root:x:0:0::/:\n");
        entry(&mut layer, "cli", tar::EntryType::Regular, 0o755, &program);
        self.node.image(&[layer.into_inner().unwrap()])
    }
}

wherry_runtime_suite::suite!(Oci<false>);

/// By another OCI runtime.
mod other {
    wherry_runtime_suite::suite!(super::Oci<true>);
}
