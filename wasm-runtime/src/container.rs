//! The life of one container.
//!
//! ```text
//! Created --run--> Running --end--> Exited
//!    \--------------end--------------^
//! ```

use std::sync::{Arc, Weak};

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::{ContainerSpec, ContainerState, ContainerStatus, ExitReason, ImageContent};

use crate::guest::Environment;
use crate::memory::Budget;
use crate::pod_limits::PodLimits;
use crate::processor::Processor;
use crate::program::Program;
use crate::settings::Settings;

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) reason: ExitReason,
    pub(crate) message: String,
}

impl Exit {
    /// By itself, with this code.
    pub(crate) fn with_code(code: i32) -> Self {
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        Self { code, reason, message: String::new() }
    }

    /// By a stop it did not take part in: 128 + SIGTERM.
    pub(crate) fn terminated(message: &str) -> Self {
        Self { code: 143, reason: ExitReason::Error, message: message.to_owned() }
    }

    /// By force: 128 + SIGKILL.
    pub(crate) fn killed() -> Self {
        Self { code: 137, reason: ExitReason::Error, message: "killed".into() }
    }

    /// By Ctrl-C: 128 + SIGINT.
    pub(crate) fn interrupted() -> Self {
        Self { code: 130, reason: ExitReason::Error, message: "interrupted by Ctrl-C".into() }
    }

    /// By its memory limit: 128 + SIGKILL.
    pub(crate) fn out_of_memory(message: String) -> Self {
        Self { code: 137, reason: ExitReason::OOMKilled, message }
    }

    /// By a trap: 128 + SIGABRT.
    pub(crate) fn trapped(message: String) -> Self {
        Self { code: 134, reason: ExitReason::Error, message }
    }

    /// By a stop before it was started.
    pub(crate) fn never_started() -> Self {
        Self { message: "stopped before it was started".into(), ..Self::killed() }
    }

    /// Before it ran; 128 as runc's callers report it.
    pub(crate) fn not_started(message: String) -> Self {
        Self { code: 128, reason: ExitReason::StartError, message }
    }
}

/// What others want of a running container, and what it tells them.
#[derive(Clone, Default)]
pub(crate) struct Signals {
    /// End in an orderly way.
    pub(crate) stop: CancellationToken,
    /// End now.
    pub(crate) kill: CancellationToken,
    /// It has ended.
    pub(crate) ended: CancellationToken,
    ending: Weak<Ending>,
}

/// What begins the end of a container that has no task while it runs.
#[derive(Default)]
struct Ending(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Ending {
    fn begin(&self) {
        let begin = self.0.lock().take();
        if let Some(begin) = begin {
            begin();
        }
    }
}

impl Signals {
    /// Asks for an orderly end.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.begin();
    }

    /// Asks for the end now.
    pub(crate) fn kill(&self) {
        self.kill.cancel();
        self.begin();
    }

    fn begin(&self) {
        if let Some(ending) = self.ending.upgrade() {
            ending.begin();
        }
    }
}

/// One container; its runner and the callers of the runtime share it.
pub(crate) struct Container {
    /// What was asked.
    pub(crate) spec: ContainerSpec,
    /// What its Pod's annotations ask.
    pub(crate) settings: Settings,
    /// What it runs.
    pub(crate) program: Arc<Program>,
    /// The memory its instances may have together.
    pub(crate) memory: Arc<Budget>,
    /// The time it computed.
    pub(crate) processor: Arc<Processor>,
    /// How to end it.
    pub(crate) signals: Signals,
    ending: Arc<Ending>,
    /// Held while it is started, so that only one caller starts it.
    pub(crate) starting: tokio::sync::Mutex<()>,
    /// What its instances have in common while it runs.
    environment: Mutex<Option<Arc<Environment>>>,
    state: Mutex<ContainerState>,
}

impl Container {
    /// A container that was not started.
    pub(crate) fn new(
        spec: ContainerSpec,
        program: Arc<Program>,
        settings: Settings,
        pod: &PodLimits,
    ) -> Self {
        let ending = Arc::new(Ending::default());
        Self {
            memory: pod.memory_of(&spec.resources),
            processor: pod.processor_of(&spec.resources),
            spec,
            settings,
            program,
            signals: Signals { ending: Arc::downgrade(&ending), ..Signals::default() },
            ending,
            starting: tokio::sync::Mutex::default(),
            environment: Mutex::default(),
            state: Mutex::new(ContainerState::Created),
        }
    }

    /// Its state at this moment.
    pub(crate) fn state(&self) -> ContainerState {
        self.state.lock().clone()
    }

    /// Its state and what names it.
    pub(crate) fn status(&self) -> ContainerStatus {
        let (ImageContent::Wasm { digest, .. } | ImageContent::Oci { digest, .. }) = &self.spec.image;
        let image_digest = digest.clone();
        ContainerStatus { id: self.spec.id.clone(), state: self.state(), image_digest, user: None }
    }

    /// What its instances have in common while it runs.
    pub(crate) fn environment(&self) -> Option<Arc<Environment>> {
        self.environment.lock().clone()
    }

    /// Created to Running; false from any other state.
    pub(crate) fn run(&self, now: Timestamp, environment: Arc<Environment>) -> bool {
        let mut state = self.state.lock();
        let created = *state == ContainerState::Created;
        if created {
            *self.environment.lock() = Some(environment);
            *state = ContainerState::Running { started_at: now };
        }
        created
    }

    /// Has `begin` called when it is first asked to end, which may have happened.
    pub(crate) fn end_by(&self, begin: impl FnOnce() + Send + 'static) {
        *self.ending.0.lock() = Some(Box::new(begin));
        if self.signals.stop.is_cancelled() || self.signals.kill.is_cancelled() {
            self.ending.begin();
        }
    }

    /// Created or Running to Exited; false if it had ended before.
    pub(crate) fn end(&self, now: Timestamp, exit: Exit) -> bool {
        let mut state = self.state.lock();
        let started_at = match *state {
            ContainerState::Created => None,
            ContainerState::Running { started_at } => Some(started_at),
            ContainerState::Exited { .. } => return false,
        };
        let Exit { code, reason, message } = exit;
        *state = ContainerState::Exited { started_at, finished_at: now, code, reason, message };
        drop(state);
        if let Some(environment) = self.environment.lock().take() {
            environment.log.followers().end();
        }
        self.signals.ended.cancel();
        true
    }
}
