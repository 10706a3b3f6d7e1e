//! The namespaces of pods that have users for themselves.
//!
//! They are made by a process of the shim's program, because only one with a single thread can, and are mounted at files: no process
//! holds them. What is made in them belongs to the pod's users: without that the kernel would let these neither mount what shows
//! a namespace nor change what is in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use wherry_runtime_api::{PodUsers, RuntimeError};
use wherry_shim::tail;
use wherry_shim::task::{Task, Users};

use crate::files::{self, failed};
use crate::sandbox::{is_namespace, step_failed, unmount};

const STEP: &str = "make the users of a pod";
/// Whom the check maps; any would do.
const FIRST_ID: u32 = 65536;

/// Makes those namespaces that are missing. `layers` is where the layers of images are.
pub(crate) fn ensure(users: &PodUsers, program: &Path, layers: &Path) -> Result<(), RuntimeError> {
    let places = [users.user(), users.network(), users.ipc()];
    if places.iter().all(|place| is_namespace(place)) {
        return Ok(());
    }
    files::create_dir(&users.namespaces)?;
    // Of some that were made before, as by an agent that was killed, the others cannot be known.
    places.iter().try_for_each(|place| unmount(place))?;
    check_reachable(layers)?;
    let [user, network, ipc] = places;
    let (first_id, count, maps) = (users.first_id, users.count, layers.to_owned());
    let task = Task::Users(Users { user, network, ipc, first_id, count, maps });
    let shim = Command::new(program).args(task.to_args()).stdin(Stdio::null()).output();
    let shim = shim.map_err(step_failed(STEP))?;
    if shim.status.success() { Ok(()) } else { Err(step_failed(STEP)(tail(&shim.stderr))) }
}

/// Makes namespaces once, to see whether it works.
pub(crate) fn check(data_dir: &Path, program: &Path, layers: &Path) -> Result<(), RuntimeError> {
    let place = tempfile::Builder::new().prefix("users-").tempdir_in(data_dir);
    let place = place.map_err(failed("create a directory in", data_dir))?;
    let users = PodUsers { namespaces: place.path().to_owned(), first_id: FIRST_ID, count: FIRST_ID };
    let made = ensure(&users, program, layers);
    [users.user(), users.network(), users.ipc()].iter().try_for_each(|place| unmount(place))?;
    made
}

/// The pod's users are others on the node, and go to their files by the same path as everybody.
fn check_reachable(directory: &Path) -> Result<(), RuntimeError> {
    for above in directory.ancestors() {
        let mode = fs::metadata(above).map_err(failed("read", above))?.permissions().mode();
        if mode & 0o001 == 0 {
            let above = above.display();
            return Err(step_failed(STEP)(format!(
                "users other than root cannot get through {above}, where files of pods are: chmod o+x {above}"
            )));
        }
    }
    Ok(())
}
