//! Starts the caches and the controllers, and drains them.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::caches::{Caches, Watches};
use crate::config::Config;
use crate::context::Context;
use crate::runtime::backoff::Jitter;
use crate::runtime::budget::limited;
use crate::runtime::everything::Everything;
use crate::runtime::life::Life;
use crate::runtime::recorder::recorder;
use crate::table::CONTROLLERS;

/// Why the controllers stopped before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task that all controllers depend on panicked.
    #[error("a controller ended abnormally")]
    Panicked(#[source] JoinError),
}

/// Runs all controllers until `shutdown`, then finishes what is under way.
///
/// The future is boxed here so that all it consists of is compiled with this crate, once, and not by everyone who awaits it.
pub fn run(
    client: Client,
    config: Config,
    shutdown: CancellationToken,
) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(run_all(client, config, shutdown))
}

async fn run_all(client: Client, config: Config, shutdown: CancellationToken) -> Result<(), Error> {
    let client = limited(client, config.budget);
    // The first failure of a task ends the others as well.
    let stop = shutdown.child_token();
    let _stop_on_return = stop.clone().drop_guard();
    let jitter = Arc::new(Jitter::new(config.seed));
    let (recorder, writer) = recorder(client.clone(), config.clock.clone());
    let life = Life::new("controllers", stop.clone(), Some(recorder.clone()));
    let everything = Arc::new(Everything::new(client.clone(), jitter.clone(), life.clone()));
    let caches = Arc::new(Caches::new(&life));
    caches.speak_to(&everything);
    let context = Context { client, config, caches, everything, recorder, jitter, life };

    let mut tasks = JoinSet::new();
    context.caches.watch_all(&mut Watches {
        client: context.client.clone(),
        jitter: context.jitter.clone(),
        shutdown: stop.clone(),
        switched_on: context.config.switched_on.clone(),
        tasks: &mut tasks,
    });
    tasks.spawn(context.everything.clone().run());
    tasks.spawn(writer.run(stop.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = context.caches.synced() => {
            debug!("caches are filled, controllers start");
            for start in CONTROLLERS {
                tasks.spawn(start(context.clone()));
            }
        }
    }
    drain(&mut tasks, &stop).await
}

async fn drain(tasks: &mut JoinSet<()>, stop: &CancellationToken) -> Result<(), Error> {
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            stop.cancel();
            outcome = Err(Error::Panicked(error));
        }
    }
    outcome
}
