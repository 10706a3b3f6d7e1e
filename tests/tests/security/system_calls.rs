//! The default profile of system calls, as `docs/security.md` lists what it blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use nix::libc;
use serde_json::{Value, json};
use wherry_tests::pods::BUSYBOX;
use wherry_tests::{Cluster, workspace};

/// Makes every call with arguments that make no sense, and tells the error. The program is the machine's Python, which can call what no
/// shell can.
const CALLER: &str = r#"
import ctypes, sys
library = ctypes.CDLL(None, use_errno=True)
for pair in sys.argv[1:]:
    name, number = pair.split("=")
    ctypes.set_errno(0)
    result = library.syscall(ctypes.c_long(int(number)), *[ctypes.c_long(-1)] * 6)
    print(name, ctypes.get_errno() if result < 0 else 0)
"#;

/// Blocked for containers with the default capabilities.
const BLOCKED: [(&str, libc::c_long); 49] = [
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("clock_settime", libc::SYS_clock_settime),
    ("delete_module", libc::SYS_delete_module),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("get_mempolicy", libc::SYS_get_mempolicy),
    ("init_module", libc::SYS_init_module),
    ("io_uring_enter", libc::SYS_io_uring_enter),
    ("io_uring_register", libc::SYS_io_uring_register),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_file_load", libc::SYS_kexec_file_load),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("lookup_dcookie", libc::SYS_lookup_dcookie),
    ("mbind", libc::SYS_mbind),
    ("migrate_pages", libc::SYS_migrate_pages),
    ("mount", libc::SYS_mount),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("move_pages", libc::SYS_move_pages),
    ("nfsservctl", libc::SYS_nfsservctl),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", libc::SYS_open_tree),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("pivot_root", libc::SYS_pivot_root),
    ("quotactl", libc::SYS_quotactl),
    ("quotactl_fd", libc::SYS_quotactl_fd),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("set_mempolicy", libc::SYS_set_mempolicy),
    ("setdomainname", libc::SYS_setdomainname),
    ("sethostname", libc::SYS_sethostname),
    ("setns", libc::SYS_setns),
    ("settimeofday", libc::SYS_settimeofday),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vhangup", libc::SYS_vhangup),
];

/// Of those, what the kernel itself keeps from nobody: without a profile they fail for another reason.
const FREE: [&str; 6] = ["add_key", "get_mempolicy", "keyctl", "request_key", "setns", "unshare"];

/// The calls that the document lists.
fn documented() -> BTreeSet<String> {
    let path = workspace().join("docs/security.md");
    let text = fs::read_to_string(&path).expect("there is docs/security.md");
    let list = text.split("```text\n").nth(1).and_then(|rest| rest.split("```").next());
    list.expect("it has a list").split_whitespace().map(str::to_owned).collect()
}

/// The error of every call in a container with this profile.
fn errors(cluster: &Cluster, name: &str, profile: &str) -> BTreeMap<String, i32> {
    let calls = BLOCKED.iter().map(|(name, number)| format!("{name}={number}"));
    let command: Vec<String> =
        ["/usr/bin/python3", "-c", CALLER].map(str::to_owned).into_iter().chain(calls).collect();
    let places = ["/usr", "/lib", "/lib64"];
    let volume = |(number, path): (usize, &&str)| json!({ "name": format!("v{number}"), "hostPath": { "path": path } });
    let mount = |(number, path): (usize, &&str)| json!({ "name": format!("v{number}"), "mountPath": path, "readOnly": true });
    let volumes: Vec<Value> =
        places.iter().enumerate().filter(|(_, path)| fs::metadata(path).is_ok()).map(volume).collect();
    let mounts: Vec<Value> =
        places.iter().enumerate().filter(|(_, path)| fs::metadata(path).is_ok()).map(mount).collect();
    let context = json!({ "runAsUser": 0, "seccompProfile": { "type": profile } });
    let main = json!({ "name": "main", "image": BUSYBOX, "command": command, "volumeMounts": mounts,
        "securityContext": context });
    cluster.run_pod(name, &json!({ "restartPolicy": "Never", "volumes": volumes, "containers": [main] }));
    cluster.until_phase(name, "Succeeded");
    let output = cluster.kubectl(&["logs", name]);
    let error = |line: &str| {
        let (name, error) = line.split_once(' ').expect("a call and its error");
        (name.to_owned(), error.parse().expect("a number"))
    };
    output.lines().map(error).collect()
}

pub(crate) fn the_default_profile_blocks_what_is_documented(cluster: &Cluster) {
    let blocked: BTreeSet<String> = BLOCKED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(documented(), blocked, "docs/security.md lists what is tried here");
    let default = errors(cluster, "default", "RuntimeDefault");
    let let_through: Vec<_> = default.iter().filter(|(_, error)| **error != libc::EPERM).collect();
    assert!(let_through.is_empty() && default.len() == BLOCKED.len(), "{let_through:?} of {default:?}");
    let unconfined = errors(cluster, "unconfined", "Unconfined");
    for name in FREE {
        assert_ne!(unconfined[name], libc::EPERM, "{name} would fail without a profile, too");
    }
}
