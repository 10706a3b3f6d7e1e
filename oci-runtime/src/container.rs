//! One container as the agent sees it: a directory, a phase, a shim it listens to.
//!
//! The phase follows the files of [`crate::state`]; only [`Container::listen`] and the operations below change
//! it. Everyone else waits on it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};
use wherry_runtime_api::{ContainerId, ContainerStatus, ExitReason, RuntimeError, RuntimeEvent};
use wherry_shim::START_ERROR_CODE;
use wherry_shim::records::Exit;

use crate::files::failed;
use crate::runtime::{Shared, cgroups};
use crate::state::{ContainerDir, Phase, Record};

/// 128 + SIGKILL.
const KILLED: i32 = 137;
/// How long a killed container may take to end before the caller hears of it.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_LOG_TAIL: usize = 2048;

/// A container there is.
#[derive(Debug)]
pub(crate) struct Container {
    dir: ContainerDir,
    record: Record,
    phase: watch::Sender<Phase>,
    /// Held by operations that must not overlap: start, and stopping what was not started.
    operation: Mutex<()>,
}

impl Container {
    /// A container just created.
    pub(crate) fn created(dir: ContainerDir, record: Record) -> Arc<Self> {
        Arc::new(Self { dir, record, phase: watch::Sender::new(Phase::Created), operation: Mutex::new(()) })
    }

    /// A container an earlier agent made; `None` if it was not completed. Listens to its shim if it has one.
    pub(crate) fn load(dir: ContainerDir, shared: &Arc<Shared>) -> Result<Option<Arc<Self>>, RuntimeError> {
        let Some(record) = dir.record()? else { return Ok(None) };
        let alive = open_alive(&dir.alive())?;
        let phase = match (dir.exit()?, dir.running()?) {
            (Some(exit), _) => Phase::Exited(exit),
            (None, Some(running)) => Phase::Running { started_at: running.started_at },
            (None, None) if alive.attempted() => Phase::Starting,
            (None, None) => Phase::Created,
        };
        let listens = matches!(phase, Phase::Starting | Phase::Running { .. });
        let phase = watch::Sender::new(phase);
        let container = Arc::new(Self { dir, record, phase, operation: Mutex::new(()) });
        if listens {
            let receiver = alive.receiver().map_err(failed("listen to", &container.dir.alive()))?;
            shared.track(Arc::clone(&container).listen(Arc::clone(shared), receiver, None));
        }
        Ok(Some(container))
    }

    pub(crate) fn id(&self) -> &ContainerId {
        &self.record.spec.id
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn dir(&self) -> &ContainerDir {
        &self.dir
    }

    pub(crate) fn status(&self) -> ContainerStatus {
        let image_digest = self.record.image_digest.clone();
        let user = self.record.user.clone();
        ContainerStatus { id: self.id().clone(), state: self.phase.borrow().state(), image_digest, user }
    }

    /// Whether its program runs.
    pub(crate) fn is_running(&self) -> bool {
        self.in_phase(|phase| matches!(phase, Phase::Running { .. }))
    }

    /// Starts the program and returns once it runs.
    pub(crate) async fn start(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), RuntimeError> {
        {
            let _operation = self.operation.lock().await;
            if self.in_phase(|phase| *phase == Phase::Created) {
                self.spawn_shim(shared)?;
            }
        }
        match self.wait(|phase| matches!(phase, Phase::Running { .. } | Phase::Exited(_))).await {
            Phase::Exited(Exit { started_at: None, message, .. }) => {
                Err(RuntimeError::Failed { step: format!("{} run", self.record.program()), reason: message })
            }
            _ => Ok(()),
        }
    }

    /// Asks the program to end, makes it after `grace`, returns once it has.
    pub(crate) async fn stop(&self, shared: &Arc<Shared>, grace: Duration) -> Result<(), RuntimeError> {
        if self.stop_unstarted(shared).await? {
            return Ok(());
        }
        let end = tokio::time::sleep(grace);
        tokio::pin!(end);
        tokio::select! {
            () = self.ask_to_end(shared) => Ok(()),
            () = &mut end => self.kill(shared).await,
        }
    }

    /// Sends the stop signal as soon as there is a program to take it; returns once it has ended.
    async fn ask_to_end(&self, shared: &Arc<Shared>) {
        self.wait(|phase| matches!(phase, Phase::Running { .. } | Phase::Exited(_))).await;
        let number = self.record.stop_signal;
        if let Some(signal) = Signal::from_named_raw(number) {
            self.signal(signal);
        } else if let Err(error) = shared
            .runtime(&self.record.runtime_binary, &["kill", &self.id().to_string(), &number.to_string()])
            .await
        {
            // A real-time signal. If it cannot be sent, the end of the grace period ends the container.
            tracing::warn!(container = %self.id(), %error, "the stop signal could not be sent");
        }
        self.wait_for_exit().await;
    }

    /// Ends the container now.
    pub(crate) async fn kill(&self, shared: &Arc<Shared>) -> Result<(), RuntimeError> {
        if self.stop_unstarted(shared).await? {
            return Ok(());
        }
        if !self.signal(Signal::KILL) && !self.in_phase(|phase| matches!(phase, Phase::Exited(_))) {
            // It is being started, or its shim is gone: everything that belongs to it ends.
            self.kill_groups(shared).await?;
        }
        tokio::time::timeout(KILL_TIMEOUT, self.wait_for_exit()).await.map_err(|_| RuntimeError::Failed {
            step: format!("kill container {}", self.id()),
            reason: format!("it does not end within {} s of SIGKILL", KILL_TIMEOUT.as_secs()),
        })
    }

    /// Kills whatever is in the container's and its shim's cgroup.
    pub(crate) async fn kill_groups(&self, shared: &Arc<Shared>) -> Result<(), RuntimeError> {
        let groups = [self.record.shim_cgroup.clone(), self.record.cgroup.clone()];
        let cgroups = cgroups()?;
        shared.blocking(move || groups.iter().try_for_each(|group| cgroups.kill(group))).await
    }

    /// True if the container ended without ever having been started, now or before.
    async fn stop_unstarted(&self, shared: &Shared) -> Result<bool, RuntimeError> {
        let _operation = self.operation.lock().await;
        if self.in_phase(|phase| *phase != Phase::Created) {
            return Ok(self.in_phase(|phase| matches!(phase, Phase::Exited(_))));
        }
        let exit = Exit {
            started_at: None,
            finished_at: shared.now(),
            code: KILLED,
            reason: ExitReason::Error,
            message: "stopped before it was started".to_owned(),
        };
        self.dir.set_exit(&exit)?;
        self.phase.send_replace(Phase::Exited(exit));
        Ok(true)
    }

    fn in_phase(&self, is: impl FnOnce(&Phase) -> bool) -> bool {
        is(&self.phase.borrow())
    }

    async fn wait(&self, until: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.subscribe();
        let reached = phase.wait_for(until).await;
        reached.expect("the sender lives in self, which is borrowed").clone()
    }

    async fn wait_for_exit(&self) {
        self.wait(|phase| matches!(phase, Phase::Exited(_))).await;
    }

    /// Signals the container's first process; false if there is none to signal.
    ///
    /// The pid on record is the container's for as long as the shim lives and has recorded no exit (the shim
    /// reaps afterwards), so both are checked after the handle is open.
    fn signal(&self, signal: Signal) -> bool {
        let Ok(Some(running)) = self.dir.running() else { return false };
        let Some(pid) = Pid::from_raw(running.pid) else { return false };
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        let ours = matches!(self.dir.exit(), Ok(None))
            && open_alive(&self.dir.alive()).is_ok_and(|alive| matches!(alive, Alive::Yes(_)));
        ours && pidfd_send_signal(&process, signal).is_ok()
    }

    fn spawn_shim(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), RuntimeError> {
        let path = self.dir.alive();
        match rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from(0o600), 0) {
            Err(error) if error != Errno::EXIST => return Err(failed("create", &path)(error.into())),
            _ => {}
        }
        let receiver = pipe::OpenOptions::new().open_receiver(&path).map_err(failed("open", &path))?;
        let writer = OpenOptions::new().write(true).open(&path).map_err(failed("open", &path))?;
        match self.shim(shared, writer) {
            Ok(child) => {
                self.phase.send_replace(Phase::Starting);
                shared.track(Arc::clone(self).listen(Arc::clone(shared), receiver, Some(child)));
                Ok(())
            }
            Err(error) => {
                // Without a shim there was no attempt: the container is still merely created.
                fs::remove_file(&path).ok();
                let program = shared.shim.display();
                Err(RuntimeError::Failed {
                    step: format!("run the shim {program}"),
                    reason: error.to_string(),
                })
            }
        }
    }

    fn shim(&self, shared: &Shared, alive: File) -> io::Result<Child> {
        let log = OpenOptions::new().append(true).create(true).open(self.dir.shim_log())?;
        Command::new(&shared.shim)
            .args(self.record.task(&self.dir).to_args())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(alive)
            .stderr(log)
            .spawn()
    }

    /// Follows the shim until it is gone, and records how the container ended.
    async fn listen(self: Arc<Self>, shared: Arc<Shared>, mut alive: pipe::Receiver, child: Option<Child>) {
        let mut news = [0; 8];
        self.look();
        while alive.read(&mut news).await.is_ok_and(|count| count > 0) {
            self.look();
        }
        if let Some(mut child) = child {
            // Only reaps: how the container ended is in its files.
            child.wait().await.ok();
        }
        let exit = match self.dir.exit() {
            Ok(Some(exit)) => exit,
            _ => self.lost(&shared).await,
        };
        self.phase.send_replace(Phase::Exited(exit));
        shared.announce(RuntimeEvent { id: self.id().clone() });
    }

    /// Takes note that the program runs, if it does.
    fn look(&self) {
        if let Ok(Some(running)) = self.dir.running() {
            self.phase.send_replace(Phase::Running { started_at: running.started_at });
        }
    }

    /// The shim ended without recording an exit: nobody holds the container's output or learns of its exit any
    /// more, so the container ends too.
    async fn lost(self: &Arc<Self>, shared: &Arc<Shared>) -> Exit {
        let killed = self.kill_groups(shared).await;
        let started_at = self.dir.running().ok().flatten().map(|running| running.started_at);
        let (code, reason, what) = match started_at {
            Some(_) => {
                (KILLED, ExitReason::Error, "the container's shim was killed, and the container with it")
            }
            None => {
                (START_ERROR_CODE, ExitReason::StartError, "the container's shim ended before it was started")
            }
        };
        let mut message = what.to_owned();
        message.extend(log_tail(&self.dir.shim_log()).map(|tail| format!(": {tail}")));
        message.extend(killed.err().map(|error| format!("; {error}")));
        let exit = Exit { started_at, finished_at: shared.now(), code, reason, message };
        if let Err(error) = self.dir.set_exit(&exit) {
            tracing::warn!(container = %self.id(), %error, "the end of a container could not be recorded");
        }
        exit
    }
}

fn log_tail(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(MAX_LOG_TAIL)..]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Whether a shim holds the FIFO open.
enum Alive {
    /// There is no FIFO: nobody tried to start the container.
    Never,
    /// The FIFO has no writer.
    No,
    /// A shim lives.
    Yes(OwnedFd),
}

impl Alive {
    fn attempted(&self) -> bool {
        !matches!(self, Self::Never)
    }

    /// What to listen to. Without a shim this is a pipe already closed, so that the listener finds it gone.
    fn receiver(self) -> io::Result<pipe::Receiver> {
        match self {
            Self::Yes(fd) => pipe::Receiver::from_owned_fd(fd),
            Self::No | Self::Never => {
                let (reader, _closed) = io::pipe()?;
                rustix::io::ioctl_fionbio(reader.as_fd(), true)?;
                pipe::Receiver::from_owned_fd(reader.into())
            }
        }
    }
}

/// Opens the FIFO and tells whether it has a writer: reading finds the end if not. News read on the way are no
/// loss, as whoever listens looks at the files first.
fn open_alive(path: &Path) -> Result<Alive, RuntimeError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(Alive::Never),
        Err(error) => return Err(failed("open", path)(error.into())),
    };
    match rustix::io::read(&fd, &mut [0; 8]) {
        Ok(0) => Ok(Alive::No),
        Ok(_) | Err(Errno::AGAIN) => Ok(Alive::Yes(fd)),
        Err(error) => Err(failed("read", path)(error.into())),
    }
}
