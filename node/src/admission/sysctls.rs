//! The kernel settings that Pods may have: those that touch nobody but the Pod, and those that the node's owner allows.

use std::collections::BTreeMap;

/// Settings of the Pod's own namespaces by which it can harm nobody else.
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// A pattern that allows nothing a node could keep apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlsError {
    /// The name is no name of a setting.
    #[error("sysctl {0:?} must be a name such as net.core.somaxconn, or the beginning of one followed by *")]
    Name(String),
    /// The kernel knows it only for the whole node.
    #[error(
        "the sysctl {0:?} is not known to be namespaced; allow kernel.shm*, kernel.msg*, kernel.sem, fs.mqueue.* or net.*"
    )]
    NotNamespaced(String),
}

/// The namespace that a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Namespace {
    Ipc,
    Network,
}

impl Namespace {
    fn of(name: &str) -> Option<Self> {
        const IPC: [&str; 3] = ["kernel.shm", "kernel.msg", "fs.mqueue."];
        if name == "kernel.sem" || IPC.iter().any(|prefix| name.starts_with(prefix)) {
            Some(Self::Ipc)
        } else {
            name.starts_with("net.").then_some(Self::Network)
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ipc => "ipc",
            Self::Network => "net",
        }
    }
}

/// What Pods may set: names, and beginnings of names that end with `*`.
#[derive(Clone, Debug)]
pub struct Sysctls(BTreeMap<String, Namespace>);

impl Default for Sysctls {
    fn default() -> Self {
        Self(SAFE.iter().filter_map(|name| Some(((*name).to_owned(), Namespace::of(name)?))).collect())
    }
}

impl Sysctls {
    /// What is safe, and these names or beginnings of names (`kernel.msg*`).
    pub fn allowing<T: AsRef<str>>(patterns: &[T]) -> Result<Self, SysctlsError> {
        let mut all = Self::default();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let name = dotted(pattern);
            let plain = name.strip_suffix('*').unwrap_or(&name);
            let known =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
            if plain.is_empty() || !plain.bytes().all(known) {
                return Err(SysctlsError::Name(pattern.to_owned()));
            }
            let namespace = Namespace::of(plain);
            all.0.insert(
                name.clone(),
                namespace.ok_or_else(|| SysctlsError::NotNamespaced(pattern.to_owned()))?,
            );
        }
        Ok(all)
    }

    /// Why a Pod that shares these namespaces with the node may not set it, if it may not.
    pub(super) fn refusal(&self, name: &str, host_network: bool, host_ipc: bool) -> Option<String> {
        let name = dotted(name);
        let matches = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        let found = self.0.iter().find(|(pattern, _)| matches(pattern)).map(|(_, namespace)| *namespace);
        match found {
            None => Some(format!("{name:?} not allowlisted")),
            Some(namespace @ Namespace::Ipc) if host_ipc => Some(shared(&name, namespace)),
            Some(namespace @ Namespace::Network) if host_network => Some(shared(&name, namespace)),
            Some(Namespace::Ipc | Namespace::Network) => None,
        }
    }
}

fn shared(name: &str, namespace: Namespace) -> String {
    format!("{name:?} not allowed with host {} enabled", namespace.as_str())
}

/// The name with dots between its parts: one that is written with slashes has its dots within the parts.
pub(crate) fn dotted(name: &str) -> String {
    match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'/' => name
            .chars()
            .map(|c| match c {
                '/' => '.',
                '.' => '/',
                other => other,
            })
            .collect(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn all_that_is_safe_is_of_a_namespace() {
        assert_eq!(Sysctls::default().0.len(), SAFE.len());
    }

    #[rstest]
    #[case("net.ipv4.tcp_syncookies", "net.ipv4.tcp_syncookies")]
    #[case("net/ipv4/conf/eth0.1/rp_filter", "net.ipv4.conf.eth0/1.rp_filter")]
    #[case("net.ipv4.conf.eth0/1.rp_filter", "net.ipv4.conf.eth0/1.rp_filter")]
    #[case("kernel", "kernel")]
    fn names_may_be_written_with_slashes(#[case] name: &str, #[case] expected: &str) {
        assert_eq!(dotted(name), expected);
    }

    #[rstest]
    #[case(
        "kernel.shm_rmid_forced",
        false,
        true,
        Some("\"kernel.shm_rmid_forced\" not allowed with host ipc enabled")
    )]
    #[case("kernel/shm_rmid_forced", true, false, None)]
    #[case(
        "net.ipv4.tcp_syncookies",
        true,
        false,
        Some("\"net.ipv4.tcp_syncookies\" not allowed with host net enabled")
    )]
    #[case("kernel.msgmax", false, false, None)]
    #[case("net.core.somaxconn", false, false, None)]
    #[case("net.core.other", false, false, Some("\"net.core.other\" not allowlisted"))]
    fn what_is_allowed_depends_on_the_list_and_the_namespace(
        #[case] name: &str,
        #[case] network: bool,
        #[case] ipc: bool,
        #[case] expected: Option<&str>,
    ) {
        let sysctls = Sysctls::allowing(&["kernel.msg*", "net/core/somaxconn"]).unwrap();
        assert_eq!(sysctls.refusal(name, network, ipc).as_deref(), expected);
    }

    #[rstest]
    #[case("kernel.panic")]
    #[case("vm.*")]
    #[case("*")]
    #[case("net.core; reboot")]
    fn patterns_of_the_whole_node_are_refused(#[case] pattern: &str) {
        let error = Sysctls::allowing(&[pattern]).unwrap_err();
        assert!(error.to_string().contains(&format!("{pattern:?}")), "{error}");
    }

    proptest! {
        #[test]
        fn writing_with_slashes_is_undone_by_writing_with_dots(name in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}") {
            prop_assert_eq!(dotted(&name.replace('.', "/")), name);
        }
    }
}
