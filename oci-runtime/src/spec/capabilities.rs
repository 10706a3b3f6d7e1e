//! The capabilities of a container's process.

use std::collections::HashSet;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, LinuxCapabilitiesBuilder};
use wherry_runtime_api::UserSpec;

/// What a container has that asks for nothing: the set of containerd and Docker.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All capabilities, by their number in the kernel.
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities asked for; an unknown name is an error.
///
/// `available` has a bit for each capability this process itself has: nobody can hand out more, so `ALL`, and a
/// privileged container, mean all of these.
pub(crate) fn resolve(user: &UserSpec, available: u64) -> Result<LinuxCapabilities, String> {
    let mut names: Vec<&str> = if user.privileged { ALL.to_vec() } else { DEFAULT.to_vec() };
    let added = parse(&user.add_capabilities)?;
    let dropped = parse(&user.drop_capabilities)?;
    if dropped.all {
        names.clear();
    }
    if added.all {
        names = ALL.to_vec();
    }
    names.retain(|name| !dropped.names.contains(name));
    names.extend(added.names);
    let set: Capabilities = names.into_iter().filter(|name| has(available, name)).map(capability).collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(HashSet::new())
        .ambient(HashSet::new())
        .build()
        .map_err(|error| error.to_string())
}

struct Named {
    all: bool,
    names: Vec<&'static str>,
}

fn parse(texts: &[String]) -> Result<Named, String> {
    let mut named = Named { all: false, names: Vec::new() };
    for text in texts {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        match ALL.iter().find(|known| **known == name) {
            Some(known) => named.names.push(known),
            None if name == "ALL" => named.all = true,
            None => return Err(format!("unknown capability {text:?}")),
        }
    }
    Ok(named)
}

fn has(available: u64, name: &str) -> bool {
    ALL.iter().position(|known| *known == name).is_some_and(|bit| available & (1 << bit) != 0)
}

fn capability(name: &str) -> Capability {
    let text = serde_json::Value::String(format!("CAP_{name}"));
    serde_json::from_value(text).expect("the table holds the kernel's names, which the specification knows")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: u64 = (1 << ALL.len()) - 1;

    fn set(user: &UserSpec, available: u64) -> Vec<String> {
        let found = resolve(user, available).unwrap();
        let mut names: Vec<String> = found.bounding().iter().flatten().map(ToString::to_string).collect();
        names.sort();
        names
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_name_of_the_table_is_one_of_the_specifications() {
        let user = UserSpec { privileged: true, ..UserSpec::default() };
        assert_eq!(set(&user, EVERY).len(), ALL.len());
        assert_eq!(set(&UserSpec::default(), EVERY).len(), DEFAULT.len());
    }

    #[test]
    fn add_and_drop_change_the_default_set() {
        let user = UserSpec {
            add_capabilities: texts(&["net_admin"]),
            drop_capabilities: texts(&["ALL"]),
            ..UserSpec::default()
        };
        assert_eq!(set(&user, EVERY).len(), 1);
        let user = UserSpec { drop_capabilities: texts(&["CHOWN", "CAP_KILL"]), ..UserSpec::default() };
        assert_eq!(set(&user, EVERY).len(), DEFAULT.len() - 2);
        let user = UserSpec { add_capabilities: texts(&["ALL"]), ..UserSpec::default() };
        assert_eq!(set(&user, EVERY).len(), ALL.len());
    }

    #[test]
    fn nothing_is_given_that_this_process_has_not() {
        assert_eq!(set(&UserSpec { privileged: true, ..UserSpec::default() }, 0b1001).len(), 2);
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let user = UserSpec { add_capabilities: texts(&["FLY"]), ..UserSpec::default() };
        assert_eq!(resolve(&user, EVERY).unwrap_err(), "unknown capability \"FLY\"");
    }
}
