//! Which Pods this node takes: what it cannot honour it refuses before anything of a Pod is set up, and the Pod fails.

mod sysctls;

use k8s_openapi::api::core::v1::{AppArmorProfile, Pod};
use tokio::sync::watch;

pub(crate) use sysctls::dotted;
pub use sysctls::{Sysctls, SysctlsError};

/// Why a Pod was refused, in kubelet's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// One word.
    pub(crate) reason: &'static str,
    /// A sentence.
    pub(crate) message: String,
}

/// What decides whether a Pod is taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admission {
    /// Whether the node goes down.
    closed: watch::Sender<bool>,
    /// The kernel settings that Pods may have.
    pub(crate) sysctls: Sysctls,
    /// Whether the kernel enforces AppArmor profiles.
    pub(crate) apparmor: bool,
}

impl Admission {
    /// The rules of this node.
    pub(crate) fn observe(sysctls: Sysctls) -> Self {
        let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
        Self { closed: watch::Sender::new(false), sysctls, apparmor: enabled.starts_with('Y') }
    }

    /// Why the Pod cannot run here, if it cannot.
    pub(crate) fn check(&self, pod: &Pod) -> Option<Rejection> {
        self.check_shutdown().or_else(|| self.check_sysctls(pod)).or_else(|| self.check_apparmor(pod))
    }

    /// Takes no more Pods: the node goes down.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Takes Pods again: the node goes on.
    pub(crate) fn open(&self) {
        self.closed.send_replace(false);
    }

    /// Whether the node goes down.
    pub(crate) fn closed(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    fn check_shutdown(&self) -> Option<Rejection> {
        let message = "Pod was rejected as the node is shutting down.".to_owned();
        self.closed.borrow().then_some(Rejection { reason: "NodeShutdown", message })
    }

    fn check_sysctls(&self, pod: &Pod) -> Option<Rejection> {
        let spec = pod.spec.as_ref()?;
        let mut asked = spec.security_context.as_ref()?.sysctls.iter().flatten();
        let (network, ipc) = (spec.host_network == Some(true), spec.host_ipc == Some(true));
        let refused = asked.find_map(|sysctl| self.sysctls.refusal(&sysctl.name, network, ipc))?;
        Some(Rejection { reason: "SysctlForbidden", message: format!("forbidden sysctl: {refused}") })
    }

    fn check_apparmor(&self, pod: &Pod) -> Option<Rejection> {
        let spec = pod.spec.as_ref()?;
        let of_pod = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
        let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
        let own = containers.filter_map(|container| container.security_context.as_ref());
        let mut all = of_pod.into_iter().chain(own.filter_map(|context| context.app_armor_profile.as_ref()));
        let why = all.find_map(|profile| self.apparmor_refusal(profile))?;
        Some(Rejection { reason: "AppArmor", message: format!("Cannot enforce AppArmor: {why}") })
    }

    fn apparmor_refusal(&self, profile: &AppArmorProfile) -> Option<&'static str> {
        match profile.type_.as_str() {
            "Unconfined" => None,
            _ => (!self.apparmor).then_some("AppArmor is not enabled on the host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn refusal(apparmor: bool, spec: Value) -> Option<(&'static str, String)> {
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap();
        let admission = Admission { apparmor, ..Admission::default() };
        admission.check(&pod).map(|rejection| (rejection.reason, rejection.message))
    }

    #[test]
    fn one_unsafe_sysctl_keeps_a_pod_out() {
        let pod = |names: &[&str]| {
            let sysctls: Vec<Value> = names.iter().map(|n| json!({ "name": n, "value": "1" })).collect();
            json!({ "securityContext": { "sysctls": sysctls }, "containers": [] })
        };
        assert_eq!(refusal(false, pod(&["kernel.shm_rmid_forced"])), None);
        let message = "forbidden sysctl: \"kernel.msgmax\" not allowlisted".to_owned();
        let found = refusal(false, pod(&["kernel.shm_rmid_forced", "kernel.msgmax"]));
        assert_eq!(found, Some(("SysctlForbidden", message)));
    }

    #[rstest]
    #[case(false, "Unconfined", None)]
    #[case(false, "Localhost", Some("Cannot enforce AppArmor: AppArmor is not enabled on the host"))]
    #[case(true, "Localhost", None)]
    #[case(false, "RuntimeDefault", Some("Cannot enforce AppArmor: AppArmor is not enabled on the host"))]
    #[case(true, "RuntimeDefault", None)]
    fn profiles_need_a_kernel_that_enforces_them(
        #[case] apparmor: bool,
        #[case] kind: &str,
        #[case] expected: Option<&str>,
    ) {
        let profile = json!({ "appArmorProfile": { "type": kind } });
        for spec in [
            json!({ "securityContext": profile, "containers": [] }),
            json!({ "containers": [{ "name": "c", "securityContext": profile }] }),
        ] {
            assert_eq!(refusal(apparmor, spec).map(|(_, message)| message).as_deref(), expected);
        }
    }
}
