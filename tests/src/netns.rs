//! A network namespace for one test.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs a test in a thread with a network namespace of its own, in which only loopback is up.
///
/// Processes and sockets made by that thread are in the namespace too; it vanishes with the last of them.
pub fn isolated<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("making a network namespace needs root");
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().expect("ip is installed");
            assert!(up.success(), "ip link set lo up");
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
