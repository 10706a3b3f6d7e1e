//! Starts the watches and the scheduler's task, and drains them.

use std::fmt::Debug;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{
    Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod, ReplicationController, Service,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::resource::v1::{DeviceClass, ResourceClaim, ResourceSlice};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity, StorageClass};
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::extender::{ConnectError, Extenders};
use crate::io::events::recorder;
use crate::io::random::Random;
use crate::io::watch::follow;
use crate::scheduler::{Input, Object, Scheduler};

/// How many changes may wait before the watches do.
const WAITING: usize = 1024;

/// Why the scheduler stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task of the scheduler panicked.
    #[error("the scheduler ended abnormally")]
    Panicked(#[source] JoinError),
    /// An extender of the configuration can never be asked.
    #[error("an extender cannot be asked")]
    Extender(#[from] ConnectError),
}

/// Runs the scheduler until `shutdown`, then finishes what is under way.
pub async fn run(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    // The first failure of a task ends the others as well.
    let stop = shutdown.child_token();
    let _stop_on_return = stop.clone().drop_guard();
    let extenders = Extenders::connect(&config.configuration.extenders).await?;
    let (inputs, received) = mpsc::channel(WAITING);
    let (recorder, writer) = recorder(client.clone(), config.clock.clone(), config.host.clone());
    let random = Random::new(config.seed);

    let mut tasks = JoinSet::new();
    let mut watches = Watches { tasks: &mut tasks, client: &client, inputs, random, stop: &stop };
    watches.follow::<Pod>(|event| Input::Pod(Box::new(event)));
    watches.follow::<Node>(|event| Input::Node(Box::new(event)));
    watches.follow::<Namespace>(|event| Input::Namespace(Box::new(event)));
    watches.follow::<PodDisruptionBudget>(|event| Input::Budget(Box::new(event)));
    watches.follow_objects();
    drop(watches);
    tasks.spawn(writer.run(stop.clone()));
    let scheduler = Scheduler::new(client, config, recorder).asking(extenders);
    tasks.spawn(scheduler.run(received, stop.clone()));

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
    /// Follows what plugins look at besides Pods, nodes and namespaces.
    fn follow_objects(&mut self) {
        self.follow::<PersistentVolumeClaim>(|event| Input::Object(Object::Claim(Box::new(event))));
        self.follow::<PersistentVolume>(|event| Input::Object(Object::Volume(Box::new(event))));
        self.follow::<StorageClass>(|event| Input::Object(Object::Class(Box::new(event))));
        self.follow::<CSINode>(|event| Input::Object(Object::CsiNode(Box::new(event))));
        self.follow::<CSIStorageCapacity>(|event| Input::Object(Object::Capacity(Box::new(event))));
        self.follow::<CSIDriver>(|event| Input::Object(Object::Driver(Box::new(event))));
        self.follow::<ResourceClaim>(|event| Input::Object(Object::DeviceClaim(Box::new(event))));
        self.follow::<ResourceSlice>(|event| Input::Object(Object::Slice(Box::new(event))));
        self.follow::<DeviceClass>(|event| Input::Object(Object::DeviceClass(Box::new(event))));
        self.follow::<Service>(|event| Input::Object(Object::Service(Box::new(event))));
        self.follow::<ReplicationController>(|event| {
            Input::Object(Object::ReplicationController(Box::new(event)))
        });
        self.follow::<ReplicaSet>(|event| Input::Object(Object::ReplicaSet(Box::new(event))));
        self.follow::<StatefulSet>(|event| Input::Object(Object::StatefulSet(Box::new(event))));
    }

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
