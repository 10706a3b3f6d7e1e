//! What every controller is built from: the client, the shared caches, the clock and the event recorder.

use std::sync::Arc;

use kube::Client;
use tokio_util::sync::CancellationToken;

pub(crate) use crate::caches::Caches;
use crate::config::Config;
use crate::runtime::backoff::Jitter;
use crate::runtime::everything::Everything;
use crate::runtime::recorder::Recorder;

/// See the module's documentation.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) config: Config,
    pub(crate) caches: Arc<Caches>,
    pub(crate) everything: Arc<Everything>,
    pub(crate) recorder: Recorder,
    pub(crate) jitter: Arc<Jitter>,
    pub(crate) shutdown: CancellationToken,
}
