//! Namespaces of one test.

use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs a test in a thread with a network namespace of its own, in which only loopback is up, and with temporary files of its
/// own, which are kept in memory.
///
/// Processes, sockets, mounts and files made by that thread are in the namespaces too; they vanish with the last process.
pub fn isolated<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    isolated_on_disk(|| {
        let temporary = std::env::temp_dir();
        let options = Some("mode=1777");
        mount(Some("tmpfs"), &temporary, Some("tmpfs"), MsFlags::empty(), options)
            .expect("a tmpfs can be mounted");
        test()
    })
}

/// The same with the temporary files of the machine, for what is measured.
pub fn isolated_on_disk<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let namespaces = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
            unshare(namespaces).expect("making namespaces needs root");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts can be private");
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip is installed");
            assert!(up.success(), "ip link set lo up");
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
