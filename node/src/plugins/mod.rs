//! Plugins of this node: programs that put a socket into its directory `plugins_registry` and are asked who they are.
//!
//! ```text
//! (socket appears) -> GetInfo -> taken by its kind -> NotifyRegistrationStatus
//! (socket goes, or another takes its place) -> forgotten
//! ```
//! # Guarantees
//! A plugin that cannot be taken is told why, and asked again, ever less often. Those that were there before the agent are found
//! when it starts.

mod sockets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_plugin_api::grpc;
use wherry_plugin_api::registration::{CSI_PLUGIN, Empty, GET_INFO, NOTIFY, PluginInfo, RegistrationStatus};

use crate::context::{Context, chain};
use crate::file_watch::FileWatch;
use sockets::Identity;

/// How long a plugin may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_mins(2);

/// Keeps the plugins of the node, until `shutdown`.
pub(crate) async fn follow(ctx: Arc<Context>, root: PathBuf, shutdown: CancellationToken) {
    let directory = root.join("plugins_registry");
    let keeper = Keeper { ctx, directory, known: BTreeMap::new() };
    if let Some(Err(error)) = shutdown.run_until_cancelled(keeper.run()).await {
        warn!(error = %error, "cannot watch for plugins of the node; start it again to take them");
    }
}

struct Keeper {
    ctx: Arc<Context>,
    directory: PathBuf,
    known: BTreeMap<PathBuf, Known>,
}

/// A socket that was seen.
struct Known {
    identity: Identity,
    state: State,
}

enum State {
    /// It is to be asked, not before this time.
    Waiting { at: Instant, pause: Duration },
    /// It was taken; its name, if it is a driver.
    Taken { driver: String },
}

impl Keeper {
    async fn run(mut self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        // Watched before it is read, so that nothing appears unseen.
        let watch = FileWatch::new()?;
        watch.add_entries(&self.directory)?;
        self.announce().await;
        loop {
            self.look().await;
            let due = self.known.values().filter_map(|known| match known.state {
                State::Waiting { at, .. } => Some(at),
                State::Taken { .. } => None,
            });
            let due = due.min();
            tokio::select! {
                changed = watch.changed() => changed?,
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// The node has a CSINode, be there drivers or not.
    async fn announce(&self) {
        if let Err(error) = self.ctx.csi.announce().await {
            warn!(error = %chain(&error), "cannot write the node's CSINode; the next driver will");
        }
    }

    async fn look(&mut self) {
        let found = sockets::list(&self.directory);
        let is_there = |path: &PathBuf, known: &Known| found.get(path) == Some(&known.identity);
        let gone: Vec<PathBuf> = self
            .known
            .iter()
            .filter(|(path, known)| !is_there(path, known))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            if let Some(Known { state: State::Taken { driver }, .. }) = self.known.remove(&path) {
                self.forget(&driver).await;
            }
        }
        for (path, identity) in found {
            let fresh =
                || Known { identity, state: State::Waiting { at: Instant::now(), pause: FIRST_RETRY } };
            let known = self.known.entry(path.clone()).or_insert_with(fresh);
            let State::Waiting { at, pause } = known.state else { continue };
            if at > Instant::now() {
                continue;
            }
            known.state = match meet(&self.ctx, &path).await {
                Ok(driver) => State::Taken { driver },
                Err(error) => {
                    warn!(socket = %path.display(), error, "cannot take a plugin yet");
                    State::Waiting { at: Instant::now() + pause, pause: (pause * 2).min(LONGEST_RETRY) }
                }
            };
        }
    }

    async fn forget(&self, driver: &str) {
        info!(driver, "CSI driver gone");
        if let Err(error) = self.ctx.csi.unregister(driver).await {
            warn!(driver, error = %chain(&error), "cannot take a driver from the node's CSINode");
        }
    }
}

/// Asks the plugin who it is and takes it; the name of the driver it is.
async fn meet(ctx: &Context, socket: &Path) -> Result<String, String> {
    let info: PluginInfo = within(grpc::call(socket, GET_INFO, &Empty {})).await?;
    let taken = take(ctx, &info, socket).await;
    let error = taken.as_ref().err().cloned().unwrap_or_default();
    let status = RegistrationStatus { plugin_registered: taken.is_ok(), error };
    let told = within(grpc::call(socket, NOTIFY, &status)).await.map(|Empty {}| ());
    if let Err(error) = told {
        warn!(plugin = %info.name, error, "cannot tell a plugin whether it was taken");
    }
    taken.map(|()| info.name)
}

async fn within<T>(call: impl Future<Output = Result<T, grpc::CallError>>) -> Result<T, String> {
    let answer = tokio::time::timeout(PATIENCE, call).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    answer.map_err(|error| chain(&error))
}

async fn take(ctx: &Context, info: &PluginInfo, socket: &Path) -> Result<(), String> {
    let endpoint = if info.endpoint.is_empty() { socket } else { Path::new(&info.endpoint) };
    if info.kind != CSI_PLUGIN {
        return Err(format!(
            "plugins of type {:?} are not taken by this node: it takes {CSI_PLUGIN}",
            info.kind
        ));
    }
    if !info.supported_versions.iter().any(|version| major(version) == Some(1)) {
        let versions = info.supported_versions.join(", ");
        return Err(format!("none of the versions of CSI [{versions}] is supported: 1.x is"));
    }
    ctx.csi.register(&info.name, endpoint).await.map_err(|error| chain(&error))?;
    info!(driver = %info.name, socket = %endpoint.display(), "CSI driver registered");
    Ok(())
}

/// The first number of a version: `1.0.0`, or `v1`.
fn major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}
