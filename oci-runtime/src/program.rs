//! The shim's program, which this one carries with it.
//!
//! It is written to the data directory under a name that follows from what it is, and run from there. After an upgrade shims of
//! the older program go on; it is removed by the first start at which none of them is left.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wherry_runtime_api::RuntimeError;

use crate::files::{self, failed};

const PROGRAM: &[u8] = include_bytes!(env!("WHERRY_SHIM"));
/// Begins the names of programs; the rest is a part of the digest.
const PREFIX: &str = "wherry-shim-";
const DIGEST_BYTES: usize = 8;

/// Puts the program into the data directory, removes those of others that nobody runs, and answers where it is.
pub(crate) fn install(data_dir: &Path) -> Result<PathBuf, RuntimeError> {
    let directory = data_dir.join("shim");
    files::create_dir(&directory)?;
    let digest = Sha256::digest(PROGRAM);
    let path = directory.join(format!("{PREFIX}{}", hex::encode(&digest[..DIGEST_BYTES])));
    // A power loss may have left a file of this name with other bytes.
    if fs::read(&path).ok().as_deref() != Some(PROGRAM) {
        write(&path).map_err(failed("write the shim's program", &path))?;
    }
    remove_others(&path).map_err(failed("read", &directory))?;
    // By what it is called where its processes are looked for.
    path.canonicalize().map_err(failed("find", &path))
}

fn write(path: &Path) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&temporary)?;
    file.write_all(PROGRAM)?;
    drop(file);
    fs::rename(&temporary, path)
}

/// Removes all in the directory but this program and those that run.
fn remove_others(own: &Path) -> io::Result<()> {
    let Some(directory) = own.parent() else { return Ok(()) };
    let mut others: Vec<PathBuf> = fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    others.retain(|path| path != own);
    if others.is_empty() {
        return Ok(());
    }
    let running = running()?;
    for other in others {
        if !other.canonicalize().is_ok_and(|path| running.contains(&path)) {
            // It will be looked at again at the next start.
            fs::remove_file(&other).ok();
        }
    }
    Ok(())
}

/// The programs of all processes.
fn running() -> io::Result<Vec<PathBuf>> {
    let processes = fs::read_dir("/proc")?.flatten();
    Ok(processes.filter_map(|process| fs::read_link(process.path().join("exe")).ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_program_is_there_whole_and_others_only_while_they_run() {
        let dir = tempfile::tempdir().unwrap();
        let own = install(dir.path()).unwrap();
        let said = Command::new(&own).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&said.stderr),
            "shims are started by the node agent, not by hand\n"
        );
        // As an older version would have left them, one of which runs.
        let [old, older] = ["old", "older"].map(|name| own.with_file_name(format!("{PREFIX}{name}")));
        fs::copy("/bin/sleep", &old).unwrap();
        fs::write(&older, "").unwrap();
        let mut shim = Command::new(&old).arg("1000").stdin(Stdio::null()).spawn().unwrap();
        fs::write(&own, "torn").unwrap();
        assert_eq!(install(dir.path()).unwrap(), own);
        assert_eq!(fs::read(&own).unwrap(), PROGRAM);
        assert!(old.exists() && !older.exists());
        shim.kill().unwrap();
        shim.wait().unwrap();
        install(dir.path()).unwrap();
        assert!(!old.exists());
    }
}
