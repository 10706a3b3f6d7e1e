//! The machine that a behaviour is shown on, and what the behaviours do with it.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;
use wherry_runtime_api::logs::{self, Stream};
use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerState, ExecSpec, Execution, ExitReason, Runtime,
};

/// Far beyond what anything here takes; a test that fails ends.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A program that goes on by itself.
pub(crate) const GOES_ON: [&str; 2] = ["sleep", "600000"];

/// The names of the pods that a behaviour may use.
pub const PODS: [&str; 2] = ["one", "two"];

/// A machine with one runtime and nothing else on it.
pub trait Machine: Sized + Send + Sync {
    /// Whether containers go on when the agent ends.
    const OUTLIVES_AGENT: bool;

    /// A machine with a directory of its own.
    fn new() -> impl Future<Output = Self> + Send;

    /// Its runtime.
    fn runtime(&self) -> &dyn Runtime;

    /// A directory for the files of the test.
    fn dir(&self) -> &Path;

    /// A container in one of [`PODS`] whose program does these steps; its sandbox is set up before `create`. The log is a
    /// file of [`dir`](Machine::dir).
    fn container(&self, pod: &str, name: &str, steps: &[&str]) -> ContainerSpec;

    /// The command that does these steps with the same program.
    fn command(&self, steps: &[&str]) -> Vec<String>;

    /// Ends the agent; another one starts on the same data.
    fn restart(&mut self) -> impl Future<Output = ()> + Send;

    /// Removes [`PODS`] and looks that nothing is left of them.
    fn finish(self) -> impl Future<Output = ()> + Send;
}

/// How a container ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exited {
    pub(crate) code: i32,
    pub(crate) reason: ExitReason,
    pub(crate) message: String,
}

pub(crate) async fn create<M: Machine>(machine: &M, spec: &ContainerSpec) {
    machine.runtime().ensure_sandbox(&spec.sandbox).await.unwrap();
    machine.runtime().prepare_image(&spec.image).await.unwrap();
    machine.runtime().create(spec).await.unwrap();
}

pub(crate) async fn start<M: Machine>(machine: &M, spec: &ContainerSpec) {
    create(machine, spec).await;
    machine.runtime().start(&spec.id).await.unwrap();
}

pub(crate) async fn run<M: Machine>(machine: &M, spec: &ContainerSpec) -> Exited {
    start(machine, spec).await;
    exited(machine, &spec.id).await
}

/// A container that runs until it is stopped.
pub(crate) async fn running<M: Machine>(machine: &M) -> ContainerSpec {
    let spec = machine.container(PODS[0], "main", &GOES_ON);
    start(machine, &spec).await;
    spec
}

pub(crate) async fn state<M: Machine>(machine: &M, id: &ContainerId) -> Option<ContainerState> {
    let all = machine.runtime().list_of(&id.sandbox).await.unwrap();
    all.into_iter().find(|status| status.id == *id).map(|status| status.state)
}

/// Waits, by events, for the container's end.
pub(crate) async fn exited<M: Machine>(machine: &M, id: &ContainerId) -> Exited {
    let mut events = machine.runtime().events();
    let wait = async {
        loop {
            if let Some(ContainerState::Exited { code, reason, message, .. }) = state(machine, id).await {
                return Exited { code, reason, message };
            }
            events.recv().await.unwrap();
        }
    };
    timeout(PATIENCE, wait).await.expect("the container did not end")
}

/// What one stream of a container's log holds.
pub(crate) fn log(spec: &ContainerSpec, stream: Stream) -> String {
    let file = std::fs::read(&spec.log_path).unwrap_or_default();
    let mut text = String::new();
    for line in file.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let record = logs::parse(line).expect("a log record");
        if record.stream == stream {
            text.push_str(&String::from_utf8_lossy(record.message));
            if !record.partial {
                text.push('\n');
            }
        }
    }
    text
}

/// Waits until the container's log holds this text.
pub(crate) async fn until_logged(spec: &ContainerSpec, text: &str) {
    let wait = async {
        while !log(spec, Stream::Stdout).contains(text) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, wait).await.expect("the text was never logged");
}

pub(crate) async fn exec<M: Machine>(machine: &M, spec: &ContainerSpec, steps: &[&str]) -> Execution {
    let command = ExecSpec { command: machine.command(steps), ..ExecSpec::default() };
    machine.runtime().exec(&spec.id, &command).await.unwrap()
}

/// What a command wrote to both streams, and its exit code.
pub(crate) async fn outcome(execution: Execution) -> (String, String, i32) {
    let Execution { stdout, stderr, ended, .. } = execution;
    let errors = async {
        match stderr {
            Some(stderr) => all(stderr).await,
            None => String::new(),
        }
    };
    let (out, errors, code) = tokio::join!(all(stdout), errors, timeout(PATIENCE, ended));
    (out, errors, code.expect("the command did not end").unwrap())
}

async fn all(mut output: impl AsyncRead + Unpin) -> String {
    let mut text = Vec::new();
    timeout(PATIENCE, output.read_to_end(&mut text)).await.expect("the output did not end").unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// Reads until this text was there; answers all that was read.
pub(crate) async fn until_shown(joined: &mut Execution, text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert_ne!(joined.stdout.read_buf(&mut seen).await.unwrap(), 0, "the output ended: {seen:?}");
        }
    };
    timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("{text:?} was never shown"));
    String::from_utf8_lossy(&seen).into_owned()
}
