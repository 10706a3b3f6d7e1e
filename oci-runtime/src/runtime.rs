//! [`OciRuntime`]: the calls of the runtime contract over containers, images and cgroups.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::process::Command;
use tokio::sync::{RwLock, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_runtime_api::disk::DiskUsage;
use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerStatus, CpuSet, ExecSpec, Execution, ImageContent, PodUsers,
    Resources, Runtime, RuntimeError, RuntimeEvent, SandboxId, SandboxSpec, Usage, disk,
};

use crate::attach::attach;
use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::container::Container;
use crate::create::{create, invalid, runtime_root, source};
use crate::exec::exec;
use crate::files::{self, failed};
use crate::host;
use crate::image::Images;
use crate::locks::KeyedLocks;
use crate::program;
use crate::sandbox::SandboxDir;
use crate::spec::joined::Joined;
use crate::state::ContainerDir;
use crate::users;

const HANDLER: &str = "runc";
const EVENTS: usize = 256;
/// Begins the name of a container's directory that is being removed.
const TRASH: &str = ".trash-";
const MAX_STDERR: usize = 2048;

/// Runs OCI images through an OCI runtime, each container below a shim that outlives this process.
///
/// Dropping it leaves the containers running; a new one with the same data directory takes them over.
#[derive(Debug)]
pub struct OciRuntime {
    shared: Arc<Shared>,
    images: Images,
    containers: Mutex<BTreeMap<ContainerId, Arc<Container>>>,
    /// Creation and removal of one container exclude each other.
    by_container: KeyedLocks,
    /// So do setting one sandbox up and tearing it down.
    by_sandbox: KeyedLocks,
    /// One unpacking of an image at a time.
    by_image: KeyedLocks,
    /// Written by the collection of layers, read by what comes to need some.
    layers: RwLock<()>,
}

/// What containers and the runtime share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    /// The shim's program.
    pub(crate) shim: PathBuf,
    events: broadcast::Sender<RuntimeEvent>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.config.clock)()
    }

    pub(crate) fn announce(&self, event: RuntimeEvent) {
        // Nobody listening is fine: `list` tells.
        self.events.send(event).ok();
    }

    /// Runs `task` until it ends or this runtime is dropped.
    pub(crate) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }

    /// Runs file operations off the async threads.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let failed = |reason: String| RuntimeError::Failed { step: "file operation".to_owned(), reason };
        self.tasks.spawn_blocking(work).await.map_err(|error| failed(error.to_string()))?
    }

    /// Runs a command of the OCI runtime that made a container; its complaint is the error's reason.
    pub(crate) async fn runtime(&self, binary: &Path, arguments: &[&str]) -> Result<(), RuntimeError> {
        let name = binary.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed =
            |reason: String| RuntimeError::Failed { step: format!("{name} {}", arguments[0]), reason };
        let output = Command::new(binary)
            .arg("--root")
            .arg(runtime_root(&self.config.data_dir))
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = &output.stderr[output.stderr.len().saturating_sub(MAX_STDERR)..];
        Err(failed(format!("{}: {}", output.status, String::from_utf8_lossy(stderr).trim())))
    }
}

impl OciRuntime {
    /// Opens the data directory and takes over the containers in it. Must be called within a tokio runtime.
    pub fn new(config: Config) -> Result<Self, RuntimeError> {
        let images = Images::open(&config.data_dir, config.max_layer_bytes)?;
        for directory in [containers_dir(&config), sandboxes_dir(&config), runtime_root(&config.data_dir)] {
            files::create_dir(&directory)?;
        }
        let shim = program::install(&config.data_dir)?;
        let (events, _) = broadcast::channel(EVENTS);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let shared = Arc::new(Shared { config, shim, events, tasks, stop });
        let containers = load(&shared)?;
        images.collect(used_layers(containers.values()))?;
        Ok(Self {
            shared,
            images,
            containers: Mutex::new(containers),
            by_container: KeyedLocks::default(),
            by_sandbox: KeyedLocks::default(),
            by_image: KeyedLocks::default(),
            layers: RwLock::new(()),
        })
    }

    /// Stops listening to shims and waits for operations under way. Containers keep running.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    fn find(&self, id: &ContainerId) -> Option<Arc<Container>> {
        self.containers.lock().get(id).cloned()
    }

    fn get(&self, id: &ContainerId) -> Result<Arc<Container>, RuntimeError> {
        self.find(id).ok_or_else(|| RuntimeError::NotFound(id.clone()))
    }

    /// What the container shares with others of its sandbox.
    fn joined(&self, spec: &ContainerSpec) -> Result<Joined, RuntimeError> {
        let mut joined = sandbox_dir(&self.shared.config, &spec.id.sandbox)?.joined(&spec.sandbox);
        if let (Some(name), None) = (&spec.processes_of, &joined.processes) {
            joined.processes = Some(self.processes_of(spec, name)?);
        }
        Ok(joined)
    }

    /// The namespace of the processes of another container.
    fn processes_of(&self, spec: &ContainerSpec, name: &str) -> Result<PathBuf, RuntimeError> {
        let mut found = None;
        for (id, container) in spec.id.sandbox.among(&self.containers.lock()) {
            if id.name == *name && container.is_running() {
                found = container.dir().running()?;
            }
        }
        let missing =
            || invalid(&spec.id, format!("container {name:?}, whose processes it is to see, does not run"));
        let running = found.ok_or_else(missing)?;
        Ok(PathBuf::from(format!("/proc/{}/ns/pid", running.pid)))
    }

    /// Removes everything of an ended container. Each step may be repeated.
    async fn dispose(&self, container: &Container) -> Result<(), RuntimeError> {
        container.kill(&self.shared).await?;
        // The shim has recorded the end and may not have left its cgroup yet.
        container.kill_groups(&self.shared).await?;
        let record = container.record();
        let id = container.id().to_string();
        if record.runtime_root.join(&id).exists() {
            self.shared.runtime(&record.runtime_binary, &["delete", "--force", &id]).await?;
        }
        let cgroups = cgroups()?;
        let groups = [record.cgroup.clone(), record.shim_cgroup.clone()];
        let dir = container.dir().clone();
        let trash = containers_dir(&self.shared.config).join(format!("{TRASH}{id}"));
        self.shared
            .blocking(move || {
                groups.iter().try_for_each(|group| cgroups.remove(group))?;
                fs::rename(dir.path(), &trash).map_err(failed("remove", dir.path()))?;
                files::remove_tree(&trash)
            })
            .await
    }
}

impl Drop for OciRuntime {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

#[async_trait]
impl Runtime for OciRuntime {
    fn handler(&self) -> &'static str {
        HANDLER
    }

    async fn ready(&self) -> Result<(), RuntimeError> {
        let checked = host::check().and_then(|()| host::check_program(&self.shared.config));
        checked.map_err(|reason| RuntimeError::Unavailable { handler: HANDLER, reason })
    }

    async fn ready_with(&self, program: &str) -> Result<(), RuntimeError> {
        host::check().map_err(|reason| RuntimeError::Unavailable { handler: HANDLER, reason })?;
        let found = self.shared.config.find_program(program);
        found.map(drop).ok_or_else(|| RuntimeError::NoProgram(program.to_owned()))
    }

    async fn prepare_image(&self, image: &ImageContent) -> Result<(), RuntimeError> {
        let source = source(image)?;
        let _one = self.by_image.lock(&source.digest).await;
        let _layers = self.layers.read().await;
        let images = self.images.clone();
        self.shared.blocking(move || images.prepare(&source).map(drop)).await
    }

    async fn mount_image(&self, image: &ImageContent, target: &Path) -> Result<(), RuntimeError> {
        let source = source(image)?;
        let _one = self.by_image.lock(&source.digest).await;
        let _layers = self.layers.read().await;
        let (images, target) = (self.images.clone(), target.to_owned());
        self.shared.blocking(move || images.mount(&source, &target)).await
    }

    async fn forget_image(&self, digest: &str) -> Result<(), RuntimeError> {
        let _layers = self.layers.write().await;
        let in_use = used_layers(self.containers.lock().values());
        let (images, digest) = (self.images.clone(), digest.to_owned());
        self.shared
            .blocking(move || {
                images.forget(&digest)?;
                images.collect(in_use)
            })
            .await
    }

    async fn ensure_group(&self, path: &str, limits: &Resources) -> Result<(), RuntimeError> {
        let (cgroups, path, limits) = (cgroups()?, path.to_owned(), *limits);
        self.shared.blocking(move || cgroups.ensure(&path, &limits)).await
    }

    async fn can_map_users(&self) -> Result<(), RuntimeError> {
        let (config, program) = (self.shared.config.clone(), self.shared.shim.clone());
        let layers = self.images.layers().to_owned();
        self.shared.blocking(move || users::check(&config.data_dir, &program, &layers)).await
    }

    async fn ensure_users(&self, users: &PodUsers) -> Result<(), RuntimeError> {
        let (users, program) = (users.clone(), self.shared.shim.clone());
        let layers = self.images.layers().to_owned();
        self.shared.blocking(move || users::ensure(&users, &program, &layers)).await
    }

    async fn ensure_sandbox(&self, sandbox: &SandboxSpec) -> Result<(), RuntimeError> {
        let dir = sandbox_dir(&self.shared.config, &sandbox.id)?;
        let _one = self.by_sandbox.lock(&sandbox.id.0).await;
        let (cgroups, sandbox) = (cgroups()?, sandbox.clone());
        let program = self.shared.shim.clone();
        self.shared.blocking(move || dir.ensure(&sandbox, &cgroups, &program)).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<(), RuntimeError> {
        let dir = sandbox_dir(&self.shared.config, id)?;
        let inside: Vec<ContainerId> =
            id.among(&self.containers.lock()).map(|(container, _)| container.clone()).collect();
        for container in inside {
            self.remove(&container).await?;
        }
        let _one = self.by_sandbox.lock(&id.0).await;
        let cgroups = cgroups()?;
        self.shared.blocking(move || dir.remove(&cgroups)).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let _one = self.by_container.lock(&spec.id.to_string()).await;
        if self.find(&spec.id).is_some() {
            return Ok(());
        }
        let _layers = self.layers.read().await;
        let dir = ContainerDir::new(containers_dir(&self.shared.config).join(spec.id.to_string()));
        let joined = self.joined(spec)?;
        let (config, images, spec) = (self.shared.config.clone(), self.images.clone(), spec.clone());
        let id = spec.id.clone();
        let place = dir.clone();
        let record = self.shared.blocking(move || create(&config, &images, &place, &spec, &joined)).await?;
        self.containers.lock().insert(id, Container::created(dir, record));
        Ok(())
    }

    async fn start(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        self.get(id)?.start(&self.shared).await
    }

    async fn update(&self, id: &ContainerId, limits: &Resources) -> Result<(), RuntimeError> {
        let container = self.get(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        let (cgroups, group, limits) = (cgroups()?, container.record().cgroup.clone(), *limits);
        self.shared.blocking(move || cgroups.update(&group, &limits)).await
    }

    async fn set_cpus(&self, id: &ContainerId, cpus: &CpuSet) -> Result<(), RuntimeError> {
        let container = self.get(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        let (cgroups, group, cpus) = (cgroups()?, container.record().cgroup.clone(), cpus.clone());
        self.shared.blocking(move || cgroups.set_cpus(&group, &cpus)).await
    }

    async fn disk_usage(&self, id: &ContainerId) -> Result<DiskUsage, RuntimeError> {
        let upper = self.get(id)?.dir().upper();
        self.shared.blocking(move || disk::usage(&upper).map_err(failed("read", &upper))).await
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        let (cgroups, group) = (cgroups()?, self.get(id)?.record().cgroup.clone());
        self.shared.blocking(move || Ok(cgroups.usage(&group))).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<(), RuntimeError> {
        self.get(id)?.stop(&self.shared, grace).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _one = self.by_container.lock(&id.to_string()).await;
        let Some(container) = self.find(id) else { return Ok(()) };
        self.dispose(&container).await?;
        self.containers.lock().remove(id);
        Ok(())
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Execution, RuntimeError> {
        let container = self.get(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        exec(&self.shared, &container, spec).await
    }

    async fn attach(&self, id: &ContainerId, stdin: bool) -> Result<Execution, RuntimeError> {
        let container = self.get(id)?;
        if !container.is_running() {
            return Err(RuntimeError::NotRunning(id.clone()));
        }
        attach(&container, stdin).await
    }

    async fn list(&self) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(self.containers.lock().values().map(|container| container.status()).collect())
    }

    async fn list_of(&self, sandbox: &SandboxId) -> Result<Vec<ContainerStatus>, RuntimeError> {
        Ok(sandbox.among(&self.containers.lock()).map(|(_, container)| container.status()).collect())
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.shared.events.subscribe()
    }
}

/// The machine's cgroups. Where they are is looked for until they are found, once: it takes going through all hierarchies.
pub(crate) fn cgroups() -> Result<Cgroups, RuntimeError> {
    static FOUND: OnceLock<Cgroups> = OnceLock::new();
    if let Some(found) = FOUND.get() {
        return Ok(found.clone());
    }
    let found = Cgroups::detect().map_err(|reason| RuntimeError::Unavailable { handler: HANDLER, reason })?;
    Ok(FOUND.get_or_init(|| found).clone())
}

fn containers_dir(config: &Config) -> PathBuf {
    config.data_dir.join("containers")
}

fn sandboxes_dir(config: &Config) -> PathBuf {
    config.data_dir.join("sandboxes")
}

fn sandbox_dir(config: &Config, id: &SandboxId) -> Result<SandboxDir, RuntimeError> {
    if id.0.is_empty() || id.0.contains('/') || id.0.starts_with('.') {
        let step = format!("find sandbox {:?}", id.0);
        return Err(RuntimeError::Failed { step, reason: "the id cannot name a file".to_owned() });
    }
    Ok(SandboxDir::new(sandboxes_dir(config).join(&id.0)))
}

/// Finds the containers of earlier processes, and removes what these left half created or half removed.
fn load(shared: &Arc<Shared>) -> Result<BTreeMap<ContainerId, Arc<Container>>, RuntimeError> {
    let directory = containers_dir(&shared.config);
    let mut containers = BTreeMap::new();
    for entry in fs::read_dir(&directory).map_err(failed("read", &directory))? {
        let path = entry.map_err(failed("read", &directory))?.path();
        match whole(&path)
            .then(|| Container::load(ContainerDir::new(path.clone()), shared))
            .transpose()?
            .flatten()
        {
            Some(container) => drop(containers.insert(container.id().clone(), container)),
            None => files::remove_tree(&path)?,
        }
    }
    Ok(containers)
}

fn whole(path: &Path) -> bool {
    !path.file_name().unwrap_or_default().to_string_lossy().starts_with(TRASH)
}

fn used_layers<'a>(containers: impl Iterator<Item = &'a Arc<Container>>) -> Vec<String> {
    let images = containers.map(|container| &container.record().spec.image);
    let layers = images.flat_map(|image| match image {
        ImageContent::Oci { layers, .. } => layers.as_slice(),
        ImageContent::Wasm { .. } => &[],
    });
    layers.map(|layer| layer.digest.clone()).collect()
}
