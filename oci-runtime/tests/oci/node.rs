//! A node of one runtime and one pod, and an image of busybox.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use wherry_oci_runtime::{Config, OciRuntime};
use wherry_runtime_api::spec::Layer;
use wherry_runtime_api::{
    CommonEnv, Confinement, ContainerId, ContainerSpec, ContainerState, DnsConfig, ImageContent,
    NodeNamespaces, Resources, Runtime, SandboxId, SandboxSpec, Streams, UserSpec,
};

/// Far beyond what anything here takes; a test that fails ends.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const APPLETS: [&str; 15] = [
    "sh", "sleep", "cat", "id", "echo", "env", "head", "tail", "touch", "pwd", "stty", "true", "chmod",
    "unshare", "readlink",
];

/// One machine with one pod.
pub(crate) struct Node {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) runtime: OciRuntime,
    pub(crate) sandbox: SandboxSpec,
    group: String,
}

impl Node {
    pub(crate) async fn new() -> Self {
        Self::with(|_, _| {}).await
    }

    /// A node whose set-up is changed before it starts; the path is a directory for the test's own files.
    pub(crate) async fn with(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let dir = tempfile::Builder::new().prefix("oci").tempdir().unwrap();
        let mut config = Config::new(dir.path().join("data"));
        change(&mut config, dir.path());
        let name = dir.path().file_name().unwrap().to_string_lossy().into_owned();
        let group = format!("/wherry-test-{name}");
        config.shims_cgroup.clone_from(&group);
        let sandbox = SandboxSpec {
            id: SandboxId(name),
            namespace: "default".into(),
            hostname: "pod-host".into(),
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip6: None,
            netns: None,
            dns: DnsConfig::default(),
            cgroup_parent: format!("{group}/pod"),
            resources: Resources::default(),
            huge_pages: BTreeMap::new(),
            node_namespaces: NodeNamespaces::default(),
            shares_processes: false,
            sysctls: BTreeMap::new(),
            users: None,
        };
        let runtime = OciRuntime::new(config.clone()).unwrap();
        runtime.ensure_sandbox(&sandbox).await.unwrap();
        Self { dir, config, runtime, sandbox, group }
    }

    /// A node whose containers are run by crun.
    pub(crate) async fn of_crun() -> Self {
        Self::with(|config, dir| config.runtime_binary = crun(dir)).await
    }

    /// A node whose containers are run by the program that `WHERRY_OTHER_OCI_RUNTIME` names, else by crun.
    pub(crate) async fn of_other() -> Self {
        let other = std::env::var_os("WHERRY_OTHER_OCI_RUNTIME").map(PathBuf::from);
        Self::with(|config, dir| config.runtime_binary = other.unwrap_or_else(|| crun(dir))).await
    }

    /// A new agent on the same data, after the old one is gone.
    pub(crate) fn restart(mut self) -> Self {
        self.next_agent();
        self
    }

    pub(crate) fn next_agent(&mut self) {
        self.runtime = OciRuntime::new(self.config.clone()).unwrap();
    }

    pub(crate) fn id(&self, name: &str) -> ContainerId {
        ContainerId { sandbox: self.sandbox.id.clone(), name: name.into(), attempt: 0 }
    }

    /// A container that runs a shell script.
    pub(crate) fn script(&self, name: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            id: self.id(name),
            sandbox: self.sandbox.clone(),
            image: self.image(&[busybox_layer()]),
            command: Some(["/bin/sh", "-c", script].map(str::to_owned).to_vec()),
            args: None,
            env: Vec::new(),
            common_env: CommonEnv::default(),
            working_dir: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            resources: Resources::default(),
            huge_pages: BTreeMap::new(),
            cpus: None,
            hooks: Vec::new(),
            user: UserSpec::default(),
            confinement: Confinement::default(),
            read_only_rootfs: false,
            ports: Vec::new(),
            processes_of: None,
            own_network: false,
            program: None,
            streams: Streams::default(),
            log_path: self.dir.path().join(format!("{name}.log")),
            annotations: BTreeMap::new(),
        }
    }

    /// Stores an image of these (uncompressed) layers.
    pub(crate) fn image(&self, layers: &[Vec<u8>]) -> ImageContent {
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
        let config = serde_json::json!({
            "architecture": oci_spec::image::Arch::default().to_string(),
            "os": "linux",
            "config": {"Env": ["FROM=image"], "User": "root"},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = serde_json::to_vec(&config).unwrap();
        let layers = layers.iter().map(|layer| {
            let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
            Layer { digest: digest(layer), media_type, path: self.store(layer) }
        });
        ImageContent::Oci { digest: digest(&config), layers: layers.collect(), config: self.store(&config) }
    }

    fn store(&self, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(digest(bytes).replace(':', "-"));
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) async fn run(&self, spec: &ContainerSpec) {
        self.runtime.create(spec).await.unwrap();
        self.runtime.start(&spec.id).await.unwrap();
    }

    pub(crate) async fn state(&self, id: &ContainerId) -> Option<ContainerState> {
        let all = self.runtime.list().await.unwrap();
        all.into_iter().find(|status| status.id == *id).map(|status| status.state)
    }

    /// Waits, by events, until the container is as wanted.
    pub(crate) async fn until(
        &self,
        id: &ContainerId,
        is: impl Fn(&ContainerState) -> bool,
    ) -> ContainerState {
        let mut events = self.runtime.events();
        let wait = async {
            loop {
                match self.state(id).await {
                    Some(state) if is(&state) => return state,
                    _ => events.recv().await.unwrap(),
                };
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the container never got there")
    }

    pub(crate) async fn until_exited(&self, id: &ContainerId) -> ContainerState {
        self.until(id, |state| matches!(state, ContainerState::Exited { .. })).await
    }

    /// Runs a script to its end; answers its log without the times.
    pub(crate) async fn output(&self, spec: &ContainerSpec) -> Vec<String> {
        self.run(spec).await;
        self.until_exited(&spec.id).await;
        self.log(&spec.id.name)
    }

    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join(format!("{name}.log"))).unwrap_or_default();
        text.lines().map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
    }

    /// Waits until the container has written a line that ends so.
    pub(crate) async fn until_logged(&self, name: &str, end: &str) {
        let wait = async {
            while !self.log(name).iter().any(|line| line.ends_with(end)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the line was never logged");
    }

    pub(crate) fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.config.data_dir.join("containers").join(id.to_string())
    }

    /// The program that shims are started from.
    pub(crate) fn shim_program(&self) -> PathBuf {
        let directory = self.config.data_dir.join("shim");
        let [name] = &names(&directory)[..] else { panic!("one program of shims") };
        directory.join(name)
    }

    /// Ids of the processes in the shim's cgroup.
    pub(crate) fn shim_processes(&self, id: &ContainerId) -> Vec<i32> {
        let group = format!("{}/shim_{id}", self.group);
        let text = hierarchies()
            .iter()
            .find_map(|h| fs::read_to_string(h.join(&group[1..]).join("cgroup.procs")).ok());
        text.unwrap_or_default().lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Removes the pod and checks that nothing is left of it anywhere.
    pub(crate) async fn finish(self) {
        self.runtime.remove_sandbox(&self.sandbox.id).await.unwrap();
        assert_eq!(names(&self.config.data_dir.join("containers")), [""; 0]);
        assert_eq!(names(&self.config.data_dir.join("sandboxes")), [""; 0]);
        assert_eq!(names(&self.config.data_dir.join("runtime")), [""; 0]);
        let data = self.config.data_dir.display().to_string();
        assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&data), "a mount is left");
        for hierarchy in hierarchies() {
            let left = names(&hierarchy.join(&self.group[1..]));
            assert!(
                left.iter().all(|name| !name.starts_with("pod") && !name.starts_with("shim")),
                "{left:?}"
            );
        }
        self.runtime.close().await;
    }
}

impl Drop for Node {
    /// Leaves nothing behind, also after a failed test.
    fn drop(&mut self) {
        for hierarchy in hierarchies() {
            clean(&hierarchy.join(&self.group[1..]));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for place in mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new) {
            if place.starts_with(self.dir.path()) {
                rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH).ok();
            }
        }
    }
}

fn clean(group: &Path) {
    for _ in 0..100 {
        let ids = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        for id in ids.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)) {
            rustix::process::kill_process(id, rustix::process::Signal::KILL).ok();
        }
        for entry in fs::read_dir(group).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                clean(&entry.path());
            }
        }
        if !group.exists() || fs::remove_dir(group).is_ok() {
            return;
        }
        std::thread::yield_now();
    }
}

pub(crate) fn hierarchies() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.to_path_buf()];
    }
    fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect()
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|e| e.path().is_dir() || e.path().is_file())
        .map(|e| e.file_name().into_string().unwrap())
        .collect()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// A layer of busybox, its applets, accounts and the usual directories.
fn busybox_layer() -> Vec<u8> {
    let mut layer = tar::Builder::new(Vec::new());
    for directory in ["bin/", "etc/", "tmp/"] {
        entry(&mut layer, directory, tar::EntryType::Directory, 0o755, b"");
    }
    let busybox = fs::read("/usr/bin/busybox").or_else(|_| fs::read("/bin/busybox"));
    entry(&mut layer, "bin/busybox", tar::EntryType::Regular, 0o755, &busybox.expect("busybox-static"));
    entry(
        &mut layer,
        "etc/passwd",
        tar::EntryType::Regular,
        0o644,
        b"root:x:0:0::/:/bin/sh\nweb:x:33:34::/:/bin/sh\n",
    );
    entry(&mut layer, "etc/group", tar::EntryType::Regular, 0o644, b"www:x:34:\nlogs:x:50:web\n");
    for applet in APPLETS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        layer.append_link(&mut header, format!("bin/{applet}"), "busybox").unwrap();
    }
    layer.into_inner().unwrap()
}

/// Appends an entry whatever its name is.
pub(crate) fn entry(
    to: &mut tar::Builder<Vec<u8>>,
    path: &str,
    kind: tar::EntryType,
    mode: u32,
    data: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(data.len() as u64);
    header.set_cksum();
    to.append(&header, data).unwrap();
}

/// Debian's crun, called so in this directory. It refuses machines whose controllers are of both versions of cgroups, as build machines
/// may be, so there it sees those of version 1 alone.
pub(crate) fn crun(dir: &Path) -> PathBuf {
    let path = dir.join("crun");
    let alone = "umount -l /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun \"$@\"";
    program(&path, &format!("#!/bin/sh\nexec unshare --mount sh -c '{alone}' crun \"$@\"\n"));
    path
}

/// Writes an executable file.
pub(crate) fn program(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
