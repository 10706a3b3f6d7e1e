//! The namespaces of a pod that has users for itself.
//!
//! ```text
//! agent --spawns--> shim: users
//!   \--> shim: as-users, in a new namespace of users --"made"--> its ids are mapped --"mapped"--> it makes the others
//!   <--"ready"-- they are mounted by name; both end
//! ```
//!
//! A process with more than one thread, as the agent is, can neither make nor enter a namespace of users.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use wherry_shim::namespaces;
use wherry_shim::task::{Task, Users};

use crate::Failure;
use crate::idmap::mapped;

const MADE: &str = "made";
const MAPPED: &str = "mapped";
const READY: &str = "ready";

/// Makes the namespaces and mounts them.
pub(super) fn make(task: &Users) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let child = Command::new(program)
        .args(Task::AsUsers.to_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start a process: {error}"))?;
    with(child, task)
}

fn with(mut child: Child, task: &Users) -> Result<(), Failure> {
    let (Some(mut orders), Some(reports)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("the process in the namespaces has no pipes".to_owned());
    };
    let mut reports = BufReader::new(reports);
    let own = Path::new("/proc").join(child.id().to_string());
    expect(&mut reports, MADE)?;
    for name in ["gid_map", "uid_map"] {
        fs::write(own.join(name), format!("0 {} {}\n", task.first_id, task.count))
            .map_err(|error| format!("cannot map {} ids from {} on: {error}", task.count, task.first_id))?;
    }
    writeln!(orders, "{MAPPED}")
        .map_err(|error| format!("cannot tell the process in the namespaces: {error}"))?;
    expect(&mut reports, READY)?;
    let user =
        File::open(own.join("ns/user")).map_err(|error| format!("cannot open the namespace: {error}"))?;
    mapped(&task.maps, user.as_fd())?;
    for (name, place) in [("ns/net", &task.network), ("ns/ipc", &task.ipc), ("ns/user", &task.user)] {
        namespaces::pin(&own.join(name), place)?;
    }
    drop(orders);
    child.wait().map_err(|error| format!("cannot wait for the process in the namespaces: {error}"))?;
    Ok(())
}

fn expect(reports: &mut impl BufRead, wanted: &str) -> Result<(), Failure> {
    let mut said = String::new();
    reports.read_line(&mut said).map_err(|error| format!("cannot hear of the namespaces: {error}"))?;
    let said = said.trim_end();
    if said == wanted { Ok(()) } else { Err(format!("the namespaces cannot be made: {said}")) }
}

/// Is the first process in the namespaces.
pub(super) fn live() -> Result<(), Failure> {
    let report = match enter() {
        Ok(()) => READY.to_owned(),
        Err(error) => error.to_string(),
    };
    let told = |error: io::Error| format!("cannot report: {error}");
    writeln!(io::stdout(), "{report}").map_err(told)?;
    // They are mounted when nobody has anything to say any more.
    io::stdin().read_to_end(&mut Vec::new()).map(drop).map_err(told)
}

fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    writeln!(io::stdout(), "{MADE}")?;
    io::stdin().lock().read_line(&mut String::new())?;
    setgroups(&[])?;
    setresgid(Gid::from_raw(0), Gid::from_raw(0), Gid::from_raw(0))?;
    setresuid(Uid::from_raw(0), Uid::from_raw(0), Uid::from_raw(0))?;
    Ok(unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC)?)
}
