//! Commands beside a container's program, as the agent sees them: a shim, what it reports, the command's streams.
//!
//! The streams are the command's own pipes or its terminal; what a client and a command say to each other passes through
//! nobody else. The shim ends the command when the agent's end of their socket closes, for whatever reason.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use wherry_runtime_api::terminal::{Side, watched};
use wherry_runtime_api::{ExecSpec, Execution, RuntimeError};
use wherry_shim::reports::Report;

use crate::container::Container;
use crate::files::{self, failed};
use crate::reports::receive;
use crate::runtime::Shared;
use crate::state::ContainerDir;

/// Starts the command and returns once it runs.
pub(crate) async fn exec(
    shared: &Shared,
    container: &Container,
    spec: &ExecSpec,
) -> Result<Execution, RuntimeError> {
    let step = format!("{} exec", container.record().program());
    let refused = |reason: String| RuntimeError::Failed { step: step.clone(), reason };
    let place = prepare(container.dir(), spec, refused)?;
    let sockets = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (own, theirs) = sockets.map_err(|error| refused(error.to_string()))?;
    let log = fs::OpenOptions::new().append(true).create(true).open(container.dir().shim_log());
    let log = log.map_err(failed("open", &container.dir().shim_log()))?;
    let shim = Command::new(&shared.shim)
        .args(container.record().command(place.path(), spec.terminal).to_args())
        .current_dir("/")
        .stdin(theirs)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let program = shared.shim.display();
    let mut shim = shim.map_err(|error| refused(format!("cannot run the shim {program}: {error}")))?;
    // Only reaps: what the shim has to tell it reports.
    shared.track(async move { drop(Child::wait(&mut shim).await) });
    let own = watched(own).map_err(|error| refused(error.to_string()))?;
    let (report, streams) = receive(&own).await.map_err(|error| refused(error.to_string()))?;
    match report {
        Report::Started => execution(spec, streams, own, &step).map_err(|error| refused(error.to_string())),
        Report::Failed { reason } => Err(refused(reason)),
        Report::Exited { .. } => Err(refused("the shim reports the end of what never began".to_owned())),
    }
}

/// Describes the command in a directory that is needed until it has started.
fn prepare(
    dir: &ContainerDir,
    spec: &ExecSpec,
    refused: impl Fn(String) -> RuntimeError,
) -> Result<TempDir, RuntimeError> {
    let place = tempfile::Builder::new().prefix("exec-").tempdir_in(dir.path());
    let place = place.map_err(failed("create a directory in", dir.path()))?;
    let bundle: Option<Value> = files::read_json(&dir.config())?;
    let program = bundle.and_then(|mut bundle| bundle.get_mut("process").map(Value::take));
    let program = program.ok_or_else(|| refused("the container's bundle describes no process".to_owned()))?;
    files::write_json(&place.path().join("process.json"), &process(program, spec))?;
    Ok(place)
}

/// What runs: as the container's program, but for the command and the terminal.
fn process(mut process: Value, spec: &ExecSpec) -> Value {
    process["args"] = json!(spec.command);
    process["terminal"] = json!(spec.terminal);
    if spec.terminal
        && let Some(env) = process["env"].as_array_mut()
    {
        env.retain(|variable| variable.as_str().is_none_or(|text| !text.starts_with("TERM=")));
        env.push(json!("TERM=xterm"));
    }
    process
}

/// Joins what the shim handed over.
fn execution(
    spec: &ExecSpec,
    streams: Vec<OwnedFd>,
    own: AsyncFd<OwnedFd>,
    step: &str,
) -> io::Result<Execution> {
    let step = step.to_owned();
    let ended = Box::pin(async move {
        let refused = |reason: String| RuntimeError::Failed { step: step.clone(), reason };
        match receive(&own).await {
            Ok((Report::Exited { code }, _)) => Ok(code),
            Ok((Report::Failed { reason }, _)) => Err(refused(reason)),
            Ok((Report::Started, _)) => Err(refused("the shim reports a second start".to_owned())),
            Err(error) => Err(refused(format!("the shim has ended: {error}"))),
        }
    });
    let mut streams = streams.into_iter();
    let mut next = || streams.next().ok_or_else(|| io::Error::other("the shim handed over too few streams"));
    if spec.terminal {
        let side = Side::new(next()?)?;
        let stdin = spec.stdin.then(|| Box::new(side.clone()) as _);
        let (terminal, stdout) = (Some(Box::new(side.window()) as _), Box::new(side));
        return Ok(Execution { stdin, stdout, stderr: None, terminal, ended });
    }
    let stdout = Box::new(pipe::Receiver::from_owned_fd(next()?)?);
    let stderr = Some(Box::new(pipe::Receiver::from_owned_fd(next()?)?) as _);
    let stdin = if spec.stdin { Some(Box::new(pipe::Sender::from_owned_fd(next()?)?) as _) } else { None };
    Ok(Execution { stdin, stdout, stderr, terminal: None, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_as_the_program_but_for_its_words_and_its_terminal() {
        let program =
            json!({"args": ["/server"], "cwd": "/srv", "env": ["A=b", "TERM=dumb"], "user": {"uid": 33}});
        let command = vec!["ls".to_owned()];
        let plain = process(program.clone(), &ExecSpec { command: command.clone(), ..ExecSpec::default() });
        let expected = json!({"args": ["ls"], "cwd": "/srv", "env": ["A=b", "TERM=dumb"], "terminal": false,
            "user": {"uid": 33}});
        assert_eq!(plain, expected);
        let shown = process(program, &ExecSpec { command, stdin: true, terminal: true });
        assert_eq!(shown["env"], json!(["A=b", "TERM=xterm"]));
        assert_eq!(shown["terminal"], json!(true));
    }
}
