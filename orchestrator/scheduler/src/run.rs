//! Starts the watches and the scheduler's task, and drains them.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
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
    let (recorder, writer) = recorder(client.clone(), config.clock.clone(), config.host.clone());
    let random = Random::new(config.seed);

    let mut tasks = JoinSet::new();
    let mut watches = Watches { tasks: &mut tasks, client: &client, inputs, random, stop: &stop };
    watches.follow::<Pod>(|event| Input::Pod(Box::new(event)));
    watches.follow::<Node>(|event| Input::Node(Box::new(event)));
    watches.follow::<Namespace>(|event| Input::Namespace(Box::new(event)));
    watches.follow::<PodDisruptionBudget>(|event| Input::Budget(Box::new(event)));
    drop(watches);
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

/// What all watches share.
struct Watches<'r> {
    tasks: &'r mut JoinSet<()>,
    client: &'r Client,
    inputs: mpsc::Sender<Input>,
    random: Random,
    stop: &'r CancellationToken,
}

impl Watches<'_> {
    /// Follows all objects of a kind.
    fn follow<K>(&mut self, wrap: fn(watcher::Event<K>) -> Input)
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let api = Api::<K>::all(self.client.clone());
        let open = move || watcher(api.clone(), watcher::Config::default()).boxed();
        self.tasks.spawn(follow(open, wrap, self.inputs.clone(), self.random.clone(), self.stop.clone()));
    }
}
