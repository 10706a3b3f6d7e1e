//! Which system calls a container may make.
//!
//! `RuntimeDefault` has the effect of containerd's default: a list of calls for everybody, and more for those who have
//! the capability that the kernel asks of them anyway. All else fails as if it were not permitted.

use std::fs;
use std::path::Path;

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Arch, Capability, LinuxCapabilities, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg,
    LinuxSeccompArgBuilder, LinuxSeccompBuilder, LinuxSeccompOperator, LinuxSyscall, LinuxSyscallBuilder,
};
use wherry_runtime_api::Seccomp;

use super::syscalls;

/// The largest profile that is read.
const MAX_PROFILE: u64 = 4 << 20;
/// `EPERM` and `ENOSYS`.
const NOT_PERMITTED: u32 = 1;
const NO_SUCH_CALL: u32 = 38;
/// All flags of `clone` that make a namespace: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// The family of sockets to the hypervisor, which knows no namespaces.
const AF_VSOCK: u64 = 40;
/// What `personality` may be asked for: Linux, Linux of 32 bits, the same with a kernel that says it is 2.6, and what is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The filter, if there is to be one.
pub(super) fn filter(
    asked: &Seccomp,
    capabilities: Option<&LinuxCapabilities>,
) -> Result<Option<LinuxSeccomp>, String> {
    match asked {
        Seccomp::Unconfined => Ok(None),
        Seccomp::RuntimeDefault => {
            let bounding = capabilities.and_then(|sets| sets.bounding().as_ref());
            let has = |capability| bounding.is_some_and(|set| set.contains(&capability));
            default(has).map(Some).map_err(|error| error.to_string())
        }
        Seccomp::Profile(path) => read(path).map(Some),
    }
}

fn read(path: &Path) -> Result<LinuxSeccomp, String> {
    let failed = |error: &dyn std::fmt::Display| {
        format!(
            "cannot load seccomp profile {}: {error}; put the profile there on every node, or use another",
            path.display()
        )
    };
    let size = fs::metadata(path).map_err(|error| failed(&error))?.len();
    if size > MAX_PROFILE {
        return Err(failed(&format!("it has {size} bytes, of at most {MAX_PROFILE}")));
    }
    let bytes = fs::read(path).map_err(|error| failed(&error))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

fn default(has: impl Fn(Capability) -> bool) -> Result<LinuxSeccomp, OciSpecError> {
    let admin = has(Capability::SysAdmin);
    let mut rules = vec![allow(syscalls::EVERYBODY)?, allow(syscalls::OF_THIS_ARCHITECTURE)?];
    for (capability, calls) in syscalls::BY_CAPABILITY {
        if has(capability) {
            rules.push(allow(calls)?);
        }
    }
    for personality in PERSONALITIES {
        rules.push(allow_if("personality", argument(personality, None, LinuxSeccompOperator::ScmpCmpEq)?)?);
    }
    rules.push(allow_if("socket", argument(AF_VSOCK, None, LinuxSeccompOperator::ScmpCmpNe)?)?);
    if !admin {
        let none_new = argument(NEW_NAMESPACES, Some(0), LinuxSeccompOperator::ScmpCmpMaskedEq)?;
        rules.push(allow_if("clone", none_new)?);
        // Its flags are in memory, where no filter looks; libraries go on with clone.
        let clone3 = LinuxSyscallBuilder::default()
            .names(vec!["clone3".to_owned()])
            .action(LinuxSeccompAction::ScmpActErrno)
            .errno_ret(NO_SUCH_CALL);
        rules.push(clone3.build()?);
    }
    LinuxSeccompBuilder::default()
        .default_action(LinuxSeccompAction::ScmpActErrno)
        .default_errno_ret(NOT_PERMITTED)
        .architectures(architectures())
        .syscalls(rules)
        .build()
}

/// The kinds of programs that this machine runs.
fn architectures() -> Vec<Arch> {
    if cfg!(target_arch = "x86_64") {
        vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32]
    } else if cfg!(target_arch = "aarch64") {
        vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm]
    } else {
        // The runtime's own.
        Vec::new()
    }
}

fn allow(calls: &str) -> Result<LinuxSyscall, OciSpecError> {
    LinuxSyscallBuilder::default()
        .names(calls.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .action(LinuxSeccompAction::ScmpActAllow)
        .build()
}

fn allow_if(call: &str, argument: LinuxSeccompArg) -> Result<LinuxSyscall, OciSpecError> {
    LinuxSyscallBuilder::default()
        .names(vec![call.to_owned()])
        .action(LinuxSeccompAction::ScmpActAllow)
        .args(vec![argument])
        .build()
}

/// A test of the first argument.
fn argument(
    value: u64,
    masked: Option<u64>,
    operator: LinuxSeccompOperator,
) -> Result<LinuxSeccompArg, OciSpecError> {
    let argument = LinuxSeccompArgBuilder::default().index(0usize).value(value).op(operator);
    match masked {
        Some(masked) => argument.value_two(masked).build(),
        None => argument.build(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(has: &[Capability]) -> Vec<String> {
        let filter = default(|capability| has.contains(&capability)).unwrap();
        let rules = filter.syscalls().clone().unwrap();
        let allowed = rules.iter().filter(|rule| {
            rule.action() == LinuxSeccompAction::ScmpActAllow
                && rule.args().as_ref().is_none_or(Vec::is_empty)
        });
        allowed.flat_map(|rule| rule.names().clone()).collect()
    }

    #[test]
    fn every_call_is_named_once() {
        let mut names = allowed(&[]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn calls_that_change_the_node_need_their_capability() {
        for (call, capability) in [
            ("mount", Capability::SysAdmin),
            ("unshare", Capability::SysAdmin),
            ("reboot", Capability::SysBoot),
            ("init_module", Capability::SysModule),
            ("settimeofday", Capability::SysTime),
            ("bpf", Capability::Bpf),
            ("mbind", Capability::SysNice),
        ] {
            assert!(!allowed(&[]).contains(&call.to_owned()), "{call}");
            assert!(allowed(&[capability]).contains(&call.to_owned()), "{call}");
        }
        assert!(allowed(&[]).contains(&"execve".to_owned()));
    }

    #[test]
    fn a_profile_that_is_missing_or_broken_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.json");
        let load = || filter(&Seccomp::Profile(path.clone()), None).map(Option::unwrap);
        assert!(load().unwrap_err().starts_with(&format!("cannot load seccomp profile {}", path.display())));
        fs::write(&path, r#"{"defaultAction": "SCMP_ACT_NOSUCH"}"#).unwrap();
        assert!(load().unwrap_err().contains("SCMP_ACT_NOSUCH"));
        fs::write(&path, r#"{"defaultAction": "SCMP_ACT_LOG"}"#).unwrap();
        assert_eq!(load().unwrap().default_action(), LinuxSeccompAction::ScmpActLog);
    }

    proptest! {
        #[test]
        fn no_profile_makes_the_reader_panic(text in ".{0,200}") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("p.json");
            fs::write(&path, text).unwrap();
            prop_assert!(read(&path).is_err());
        }
    }
}
