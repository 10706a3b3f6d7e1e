//! Starting `wherry`: its output goes to a log, its first line says that it is ready.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Starts a command, which appends its log to a file; returns when it says that it is ready, with what it says.
pub(crate) fn launch(command: &mut Command, log: &Path) -> (Child, String) {
    let file = File::options().create(true).append(true).open(log).expect("the log file opens");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
    let mut process = command.spawn().expect("wherry starts");
    let stdout = process.stdout.take().expect("stdout is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("wherry writes its ready line");
    assert!(line.starts_with("ready in "), "wherry did not get ready:\n{}", read(log));
    (process, line)
}

/// SIGTERM; answers whether the process drained and exited with 0.
pub(crate) fn terminate(mut process: Child) -> bool {
    let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid fits"));
    kill(pid, Signal::SIGTERM).expect("a child can be signalled");
    process.wait().expect("a child can be awaited").success()
}

/// SIGKILL: the process gets no chance to save anything.
pub(crate) fn kill_now(mut process: Child) {
    process.kill().expect("a child can be killed");
    process.wait().expect("a child can be awaited");
}

/// What was logged so far.
pub(crate) fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
