//! Starts the watches and the scheduler's task, and drains them.

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::io::events::recorder;
use crate::io::random::Random;
use crate::io::watch::follow;
use crate::scheduler::{Input, Scheduler};

/// How many changes may wait before the watches do.
const WAITING: usize = 1024;

/// Why the scheduler stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task of the scheduler panicked.
    #[error("the scheduler ended abnormally")]
    Panicked(#[source] JoinError),
}

/// Runs the scheduler until `shutdown`, then finishes what is under way.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    // The first failure of a task ends the others as well.
    let stop = shutdown.child_token();
    let _stop_on_return = stop.clone().drop_guard();
    let (inputs, received) = mpsc::channel(WAITING);
    let (recorder, writer) = recorder(client.clone(), config.clock.clone(), config.scheduler_name.clone());
    let random = Random::new(config.seed);

    let mut tasks = JoinSet::new();
    let pods = Api::<Pod>::all(client.clone());
    let open = move || watcher(pods.clone(), watcher::Config::default()).boxed();
    let wrap = |event| Input::Pod(Box::new(event));
    tasks.spawn(follow(open, wrap, inputs.clone(), random.clone(), stop.clone()));
    let nodes = Api::<Node>::all(client.clone());
    let open = move || watcher(nodes.clone(), watcher::Config::default()).boxed();
    let wrap = |event| Input::Node(Box::new(event));
    tasks.spawn(follow(open, wrap, inputs, random, stop.clone()));
    tasks.spawn(writer.run(stop.clone()));
    tasks.spawn(Scheduler::new(client, config, recorder).run(received, stop.clone()));

    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            stop.cancel();
            outcome = Err(Error::Panicked(error));
        }
    }
    outcome
}
