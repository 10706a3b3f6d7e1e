//! A CSI driver for tests: its volumes are directories, which it binds to where it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tokio::net::UnixListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use wherry_plugin_api::csi::{
    Capabilities, Capability, GET_CAPABILITIES, GET_INFO, NodeInfo, PUBLISH, PublishRequest, STAGE,
    StageRequest, UNPUBLISH, UNSTAGE, UnpublishRequest, UnstageRequest,
};
use wherry_plugin_api::grpc::{INVALID_ARGUMENT, Question, Reply, Service, Status, UNIMPLEMENTED, serve};
use wherry_plugin_api::registration::{self, CSI_PLUGIN, Empty, NOTIFY, PluginInfo, RegistrationStatus};

/// The driver's name.
pub(crate) const NAME: &str = "dir.example.com";

/// A driver that runs; ends when dropped.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    stop: Option<DropGuard>,
}

struct Shared {
    /// Where the directories of volumes are.
    volumes: PathBuf,
    asked: Mutex<Vec<String>>,
}

impl Driver {
    /// Registers with the node of this data directory, once that is there; volumes are below `volumes`.
    pub(crate) fn start(node: &Path, volumes: &Path) -> Self {
        let registry = node.join("plugins_registry");
        fs::create_dir_all(&registry).expect("the node's directory is writable");
        let socket = registry.join(format!("{NAME}-reg.sock"));
        let shared = Arc::new(Shared { volumes: volumes.to_owned(), asked: Mutex::default() });
        let stop = CancellationToken::new();
        let (service, stopped) = (shared.clone(), stop.clone());
        // The thread is in the namespaces of the test, as a driver in a container with bidirectional mounts is.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime starts").block_on(async {
                let listener = UnixListener::bind(socket).expect("the socket is free");
                serve(listener, service, stopped).await;
            });
        });
        Self { shared, thread: Some(thread), stop: Some(stop.drop_guard()) }
    }

    /// The calls since the last look, but for questions.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.asked.lock().expect("nobody panicked"))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the driver panicked");
    }
}

impl Service for Shared {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        let failed = |error: std::io::Error| Status::new(INVALID_ARGUMENT, error.to_string());
        match method {
            registration::GET_INFO => {
                return Ok(Reply::one(&PluginInfo {
                    kind: CSI_PLUGIN.to_owned(),
                    name: NAME.to_owned(),
                    endpoint: String::new(),
                    supported_versions: vec!["1.0.0".to_owned()],
                }));
            }
            NOTIFY => {
                let status: RegistrationStatus = question.read()?;
                self.note(&format!("registered {} {}", status.plugin_registered, status.error));
            }
            GET_INFO => {
                return Ok(Reply::one(&NodeInfo { node_id: "here".to_owned(), ..NodeInfo::default() }));
            }
            GET_CAPABILITIES => return Ok(Reply::one(&Capabilities::of(&[Capability::StageUnstageVolume]))),
            STAGE => self.note(&format!("stage {}", question.read::<StageRequest>()?.volume_id)),
            UNSTAGE => self.note(&format!("unstage {}", question.read::<UnstageRequest>()?.volume_id)),
            PUBLISH => {
                let request: PublishRequest = question.read()?;
                self.publish(&request).map_err(failed)?;
                self.note(&format!("publish {}", request.volume_id));
            }
            UNPUBLISH => {
                let request: UnpublishRequest = question.read()?;
                unpublish(Path::new(&request.target_path)).map_err(failed)?;
                self.note(&format!("unpublish {}", request.volume_id));
            }
            other => return Err(Status::new(UNIMPLEMENTED, other)),
        }
        Ok(Reply::one(&Empty {}))
    }
}

impl Shared {
    fn note(&self, call: &str) {
        self.asked.lock().expect("nobody panicked").push(call.to_owned());
    }

    /// Binds the directory of the volume; in it are files that tell what the driver was told.
    fn publish(&self, request: &PublishRequest) -> std::io::Result<()> {
        let volume = self.volumes.join(&request.volume_id);
        fs::create_dir_all(&volume)?;
        for (name, value) in request.volume_context.iter().chain(&request.publish_context) {
            fs::write(volume.join(name.rsplit('/').next().unwrap_or(name)), value)?;
        }
        let target = Path::new(&request.target_path);
        if target.exists() {
            return Ok(());
        }
        fs::create_dir(target)?;
        Ok(mount(Some(&volume), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
    }
}

fn unpublish(target: &Path) -> std::io::Result<()> {
    if !target.exists() {
        return Ok(());
    }
    umount2(target, MntFlags::MNT_DETACH)?;
    fs::remove_dir(target)
}
