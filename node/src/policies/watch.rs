//! The loop: waits for changes, plans, applies, lets Pods start.

use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Client;
use kube::runtime::watcher::{self, Event};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::Place;
use super::gate::{Request, Requests};
use super::judged::Judged;
use super::kernel::Kernel;
use super::world::World;
use crate::watches::follow;

/// How long after a failure the rules are written anew.
const RETRY: Duration = Duration::from_secs(1);

enum Change {
    Policy(Box<Event<NetworkPolicy>>),
    Namespace(Box<Event<Namespace>>),
    Pod(Box<Event<Pod>>),
    Failed(watcher::Error),
}

type Changes = SelectAll<BoxStream<'static, Change>>;

/// Keeps the rules as the API server's objects want them, until `shutdown`.
pub(crate) async fn serve(client: Client, place: Place, requests: Requests, shutdown: CancellationToken) {
    let mut keeper = Keeper {
        changes: Changes::new(),
        follows_peers: false,
        kernel: Kernel::new(place.layout),
        world: World::new(place),
        waiting: Vec::new(),
        judged: requests.judged,
        untold: false,
    };
    keeper.changes.push(follow(&client, watcher::Config::default(), Change::Policy, Change::Failed));
    let mut requests = requests.receiver;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY), if keeper.wants_retry() => {}
            Some(change) = keeper.changes.next() => keeper.record(&change),
            Some(request) = requests.recv() => keeper.answer(request),
        }
        // What is already there goes into the same transaction.
        while let Some(Some(change)) = keeper.changes.next().now_or_never() {
            keeper.record(&change);
        }
        while let Ok(request) = requests.try_recv() {
            keeper.answer(request);
        }
        keeper.follow_peers(&client);
        keeper.apply().await;
    }
}

struct Keeper {
    changes: Changes,
    /// Whether Pods and Namespaces are watched: from the first policy on.
    follows_peers: bool,
    world: World,
    kernel: Kernel,
    /// Who is to be told when the rules are in force.
    waiting: Vec<oneshot::Sender<()>>,
    /// Who asks which connections rules are about.
    judged: Judged,
    /// Whether they have not been told of the rules yet.
    untold: bool,
}

impl Keeper {
    fn record(&mut self, change: &Change) {
        match change {
            Change::Policy(event) => self.world.record_policy(event),
            Change::Namespace(event) => self.world.record_namespace(event),
            Change::Pod(event) => self.world.record_pod(event),
            Change::Failed(error) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "the watch on network policies and their peers was interrupted");
            }
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Admit { uid, key, pod, done } => {
                self.world.admit(uid, key, pod);
                self.waiting.push(done);
            }
            Request::Release { uid } => self.world.release(&uid),
        }
    }

    fn follow_peers(&mut self, client: &Client) {
        if !self.follows_peers && self.world.has_policies() {
            self.follows_peers = true;
            self.changes.push(follow(client, watcher::Config::default(), Change::Namespace, Change::Failed));
            self.changes.push(follow(client, watcher::Config::default(), Change::Pod, Change::Failed));
        }
    }

    fn wants_retry(&self) -> bool {
        self.world.complete() && !self.kernel.is_in_sync()
    }

    async fn apply(&mut self) {
        if !self.world.complete() {
            return;
        }
        if let Some(rules) = self.world.take_rules() {
            self.kernel.want(rules);
            self.untold = true;
        }
        self.kernel.apply().await;
        if self.kernel.is_in_sync() {
            if std::mem::take(&mut self.untold) {
                self.judged.by(self.kernel.wanted());
            }
            for done in self.waiting.drain(..) {
                // Whoever asked may have given up.
                let _ = done.send(());
            }
        }
    }
}
