//! What every controller is built from: the client, the shared caches, the clock and the event recorder.

use std::sync::Arc;

use kube::Client;

pub(crate) use crate::caches::Caches;
use crate::config::Config;
use crate::runtime::backoff::Jitter;
use crate::runtime::everything::Everything;
use crate::runtime::life::Life;
use crate::runtime::recorder::Recorder;

/// See the module's documentation.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) caches: Arc<Caches>,
    pub(crate) everything: Arc<Everything>,
    pub(crate) recorder: Recorder,
    pub(crate) jitter: Arc<Jitter>,
    /// What handlers belong to, and how long to go on.
    pub(crate) life: Life,
}

impl Context {
    /// The same context, for one life of a controller.
    pub(crate) fn of_life(&self, life: &Life) -> Self {
        Self { caches: Arc::new(self.caches.of_life(life)), life: life.clone(), ..self.clone() }
    }
}
