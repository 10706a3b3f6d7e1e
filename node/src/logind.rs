//! systemd-logind: who is told that the machine goes down, and may delay it for a while.
//!
//! A delay is a file: while it is open, the machine waits, though no longer than logind allows all delays. If that is less than what is
//! wanted, a file of logind's configuration says otherwise, as with kubelet.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use wherry_dbus::{Address, AddressError, Answer, Call, Connection, Error, Kind, Message, Value};

const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SIGNAL: &str = "PrepareForShutdown";
const MATCH: &str = "type='signal',sender='org.freedesktop.login1',path='/org/freedesktop/login1',\
                     interface='org.freedesktop.login1.Manager',member='PrepareForShutdown'";
const SIGHUP: i32 = 1;
const CONFIGURATION: &str = "/etc/systemd/logind.conf.d";
const FILE: &str = "99-wherry.conf";
/// How long logind may take to read its configuration.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why the node is not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogindError {
    /// The address of the bus makes no sense.
    #[error("the system's bus cannot be found")]
    Address(#[from] AddressError),
    /// The bus or logind does not do what it is asked.
    #[error("systemd-logind cannot be asked")]
    Bus(#[from] Error),
    /// It answers something else.
    #[error("systemd-logind answered {0} with something else than expected")]
    Answer(&'static str),
    /// Its configuration cannot be changed.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Delays may not be as long as they have to.
    #[error(
        "systemd-logind delays a shutdown by at most {allowed:?} (InhibitDelayMaxSec), which is less than the {wanted:?} of the grace periods"
    )]
    TooShort {
        /// How long they may be.
        allowed: Duration,
        /// How long they have to be.
        wanted: Duration,
    },
}

/// A delay of the machine's end, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Delay {
    _file: OwnedFd,
}

/// A connection to logind.
#[derive(Debug)]
pub(crate) struct Logind {
    bus: Connection,
    configuration: PathBuf,
}

impl Logind {
    /// Connects over the system's bus, to be told of the machine's end.
    pub(crate) async fn open() -> Result<Self, LogindError> {
        Self::open_at(&Address::of_system()?, CONFIGURATION.into()).await
    }

    async fn open_at(address: &Address, configuration: PathBuf) -> Result<Self, LogindError> {
        let mut bus = Connection::open(address).await?;
        bus.ask("AddMatch", vec![Value::Text(MATCH.to_owned())]).await?;
        Ok(Self { bus, configuration })
    }

    /// Sees to it that delays may be this long.
    pub(crate) async fn allow(&mut self, wanted: Duration) -> Result<(), LogindError> {
        if self.longest().await? >= wanted {
            return Ok(());
        }
        self.write(wanted)?;
        let signal = vec![text("systemd-logind.service"), text("all"), Value::I32(SIGHUP)];
        let manager = Call {
            destination: "org.freedesktop.systemd1",
            path: "/org/freedesktop/systemd1",
            interface: "org.freedesktop.systemd1.Manager",
            member: "KillUnit",
        };
        self.bus.call(manager, signal).await?;
        // It is told by a signal, so nothing says when it has done so.
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let allowed = self.longest().await?;
            if allowed >= wanted {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(LogindError::TooShort { allowed, wanted });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn longest(&mut self) -> Result<Duration, LogindError> {
        let get = Call {
            destination: LOGIND,
            path: PATH,
            interface: "org.freedesktop.DBus.Properties",
            member: "Get",
        };
        let answer = self.bus.call(get, vec![text(MANAGER), text("InhibitDelayMaxUSec")]).await?;
        match answer.body.as_slice() {
            [Value::Variant(value)] if let Value::U64(micros) = **value => Ok(Duration::from_micros(micros)),
            _ => Err(LogindError::Answer("InhibitDelayMaxUSec")),
        }
    }

    fn write(&self, delay: Duration) -> Result<(), LogindError> {
        let failed = |path: PathBuf| move |source| LogindError::Write { path, source };
        fs::create_dir_all(&self.configuration).map_err(failed(self.configuration.clone()))?;
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        let content = format!(
            "# Written by wherry for its --shutdown-grace-period.\n[Login]\nInhibitDelayMaxSec={seconds}\n"
        );
        let path = self.configuration.join(FILE);
        fs::write(&path, content).map_err(failed(path))
    }

    /// Delays the machine's end, from when it begins.
    pub(crate) async fn delay(&mut self) -> Result<Delay, LogindError> {
        let inhibit = Call { destination: LOGIND, path: PATH, interface: MANAGER, member: "Inhibit" };
        let words = ["shutdown", "wherry", "Pods are ended before their node", "delay"].map(text);
        let Answer { body, mut files } = self.bus.call(inhibit, words.to_vec()).await?;
        match (body.as_slice(), files.pop()) {
            ([Value::File(_)], Some(file)) => Ok(Delay { _file: file }),
            _ => Err(LogindError::Answer("Inhibit")),
        }
    }

    /// Waits until the machine's end begins, or was called off.
    pub(crate) async fn told(&mut self) -> Result<bool, LogindError> {
        loop {
            let (Message { kind, member, body, .. }, _) = self.bus.next_message().await?;
            if kind != Kind::Signal || member.as_deref() != Some(SIGNAL) {
                continue;
            }
            if let [Value::Bool(begins)] = body.as_slice() {
                return Ok(*begins);
            }
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[cfg(test)]
mod tests;
