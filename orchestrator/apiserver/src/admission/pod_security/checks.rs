//! The checks of a standard: what a Pod does that it may not, in upstream's words and order.

use std::collections::BTreeSet;

use wherry_schema::Value;

use super::policy::{Level, Standard};
use crate::object::Fields;

/// What a Pod does that it may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it is about.
    pub(super) reason: &'static str,
    /// Who does it.
    pub(super) detail: String,
}

/// A Pod's spec with the containers of all its lists.
struct Pod<'a> {
    spec: &'a Value,
    containers: Vec<&'a Value>,
    standard: Standard,
}

type Check = fn(&Pod<'_>) -> Option<Finding>;

/// The checks of the baseline; those of number 1 are replaced by checks of the restricted level.
const BASELINE: &[(Check, Option<u32>)] = &[
    (app_armor, None),
    (capabilities, Some(22)),
    (host_namespaces, None),
    (host_paths, Some(0)),
    (host_ports, None),
    (probe_hosts, None),
    (privileged, None),
    (proc_mount, Some(35)),
    (se_linux, None),
    (seccomp, Some(19)),
    (sysctls, None),
    (host_process, None),
];
/// The checks of the restricted level, with the version that each is of.
const RESTRICTED: &[(Check, u32)] = &[
    (privilege_escalation, 8),
    (few_capabilities, 22),
    (any_proc_mount, 35),
    (volume_types, 0),
    (non_root, 0),
    (user_zero, 23),
    (seccomp_set, 19),
];

/// All that a Pod does that it may not.
pub(super) fn evaluate(standard: Standard, spec: &Value) -> Vec<Finding> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let containers = lists.iter().flat_map(|list| spec.items(list)).collect();
    let pod = Pod { spec, containers, standard };
    let restricted = standard.level == Level::Restricted;
    let replaced = |since: &Option<u32>| restricted && since.is_some_and(|minor| standard.since(minor));
    let baseline = BASELINE.iter().filter(|(_, since)| !replaced(since)).map(|(check, _)| check);
    let more = RESTRICTED.iter().filter(|(_, since)| restricted && standard.since(*since));
    baseline.chain(more.map(|(check, _)| check)).filter_map(|check| check(&pod)).collect()
}

fn quote<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| format!("{:?}", text.as_ref())).collect();
    quoted.join(", ")
}

/// `container "a"` or `containers "a", "b"`.
fn named(what: &str, names: &[&str]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    format!("{what}{plural} {}", quote(names))
}

fn verb(names: &[&str]) -> &'static str {
    if names.len() == 1 { "uses" } else { "use" }
}

/// A finding, if there is somebody to name.
fn find(reason: &'static str, detail: String) -> Option<Finding> {
    (!detail.is_empty()).then_some(Finding { reason, detail })
}

impl<'a> Pod<'a> {
    /// The names of the containers that do something.
    fn who(&self, does: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers.iter().filter(|c| does(c)).map(|c| c.text("name")).collect()
    }

    fn context(&self, field: &str) -> Option<&'a Value> {
        self.spec.field("securityContext")?.field(field)
    }

    fn is_windows(&self) -> bool {
        self.spec.text("os.name") == "windows"
    }

    /// Whether the Pod's users are not those of the host, so that its root is nobody there.
    fn has_own_users(&self) -> bool {
        self.spec.field("hostUsers").and_then(Value::as_bool) == Some(false)
    }

    /// Settings of the Pod and of containers: who has a forbidden one, and the forbidden ones.
    fn setters<T: Ord>(
        &self,
        field: &str,
        mut forbidden: impl FnMut(&Value) -> Option<T>,
    ) -> (Vec<String>, BTreeSet<T>) {
        let (mut setters, mut values) = (Vec::new(), BTreeSet::new());
        if let Some(value) = self.context(field).and_then(&mut forbidden) {
            setters.push("pod".to_owned());
            values.insert(value);
        }
        let mut names = Vec::new();
        for container in &self.containers {
            let setting = container.field("securityContext").and_then(|context| context.field(field));
            if let Some(value) = setting.and_then(&mut forbidden) {
                names.push(container.text("name"));
                values.insert(value);
            }
        }
        if !names.is_empty() {
            setters.push(named("container", &names));
        }
        (setters, values)
    }
}

fn app_armor(pod: &Pod<'_>) -> Option<Finding> {
    let (setters, values) = pod.setters("appArmorProfile", |profile| {
        let kind = profile.text("type");
        (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
    });
    if setters.is_empty() {
        return None;
    }
    let reason = if values.len() == 1 { "forbidden AppArmor profile" } else { "forbidden AppArmor profiles" };
    find(reason, format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quote(values)))
}

/// Capabilities that containers add beyond the allowed.
fn added<'a>(pod: &Pod<'a>, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let (mut names, mut found) = (Vec::new(), BTreeSet::new());
    for container in &pod.containers {
        let added = container.items("securityContext.capabilities.add").iter().filter_map(Value::as_str);
        let before = found.len();
        let more: Vec<&str> = added.filter(|capability| !allowed.contains(capability)).collect();
        found.extend(&more);
        if !more.is_empty() || found.len() > before {
            names.push(container.text("name"));
        }
    }
    (names, found)
}

fn capabilities(pod: &Pod<'_>) -> Option<Finding> {
    const ALLOWED: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];
    let (names, found) = added(pod, ALLOWED);
    if names.is_empty() {
        return None;
    }
    let (who, what) = (named("container", &names), quote(found));
    find(
        "non-default capabilities",
        format!("{who} must not include {what} in securityContext.capabilities.add"),
    )
}

fn host_namespaces(pod: &Pod<'_>) -> Option<Finding> {
    let fields = ["hostNetwork", "hostPID", "hostIPC"];
    let set: Vec<String> =
        fields.iter().filter(|field| pod.spec.flag(field)).map(|field| format!("{field}=true")).collect();
    find("host namespaces", set.join(", "))
}

fn host_paths(pod: &Pod<'_>) -> Option<Finding> {
    let volumes = pod.spec.items("volumes").iter().filter(|volume| volume.has("hostPath"));
    let names: Vec<&str> = volumes.map(|volume| volume.text("name")).collect();
    if names.is_empty() { None } else { find("hostPath volumes", named("volume", &names)) }
}

fn host_ports(pod: &Pod<'_>) -> Option<Finding> {
    let port = |port: &Value| port.int("hostPort").filter(|number| *number != 0);
    let names = pod.who(|container| container.items("ports").iter().any(|p| port(p).is_some()));
    if names.is_empty() {
        return None;
    }
    let all = pod.containers.iter().flat_map(|container| container.items("ports")).filter_map(port);
    let ports: BTreeSet<String> = all.map(|number| number.to_string()).collect();
    let plural = if ports.len() == 1 { "" } else { "s" };
    let list = ports.into_iter().collect::<Vec<_>>().join(", ");
    find("hostPort", format!("{} {} hostPort{plural} {list}", named("container", &names), verb(&names)))
}

fn probe_hosts(pod: &Pod<'_>) -> Option<Finding> {
    if !pod.standard.since(34) {
        return None;
    }
    let hosts = |container: &Value| -> Vec<String> {
        let places =
            ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop"];
        let actions =
            places.iter().flat_map(|place| ["httpGet", "tcpSocket"].map(|a| format!("{place}.{a}.host")));
        actions.map(|path| container.text(&path).to_owned()).filter(|host| !host.is_empty()).collect()
    };
    let names = pod.who(|container| !hosts(container).is_empty());
    if names.is_empty() {
        return None;
    }
    let all: BTreeSet<String> = pod.containers.iter().flat_map(|container| hosts(container)).collect();
    let plural = if all.len() == 1 { "" } else { "s" };
    let (who, verb) = (named("container", &names), verb(&names));
    find("probe or lifecycle host", format!("{who} {verb} probe or lifecycle host{plural} {}", quote(all)))
}

fn privileged(pod: &Pod<'_>) -> Option<Finding> {
    let names = pod.who(|container| container.flag("securityContext.privileged"));
    if names.is_empty() {
        return None;
    }
    let who = named("container", &names);
    find("privileged", format!("{who} must not set securityContext.privileged=true"))
}

fn proc_mount(pod: &Pod<'_>) -> Option<Finding> {
    if pod.standard.since(35) && pod.has_own_users() { None } else { any_proc_mount(pod) }
}

fn any_proc_mount(pod: &Pod<'_>) -> Option<Finding> {
    let (_, values) = pod
        .setters("procMount", |mount| mount.as_str().filter(|mount| *mount != "Default").map(str::to_owned));
    let names = pod.who(|c| !matches!(c.text("securityContext.procMount"), "" | "Default"));
    if names.is_empty() {
        return None;
    }
    let who = named("container", &names);
    find("procMount", format!("{who} must not set securityContext.procMount to {}", quote(values)))
}

fn se_linux(pod: &Pod<'_>) -> Option<Finding> {
    const TYPES: &[&str] = &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
    let (mut types, mut user, mut role) = (BTreeSet::new(), false, false);
    let (setters, _) = pod.setters("seLinuxOptions", |options| {
        let kind = options.text("type");
        let (bad, has_user, has_role) =
            (!TYPES.contains(&kind), !options.text("user").is_empty(), !options.text("role").is_empty());
        if bad {
            types.insert(kind.to_owned());
        }
        user |= has_user;
        role |= has_role;
        (bad || has_user || has_role).then_some(())
    });
    if setters.is_empty() {
        return None;
    }
    let mut data = Vec::new();
    if !types.is_empty() {
        let plural = if types.len() == 1 { "" } else { "s" };
        data.push(format!("type{plural} {}", quote(types)));
    }
    data.extend(user.then(|| "user may not be set".to_owned()));
    data.extend(role.then(|| "role may not be set".to_owned()));
    let who = setters.join(" and ");
    find("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; ")))
}

fn bad_seccomp(profile: &Value) -> Option<String> {
    let kind = profile.text("type");
    (!matches!(kind, "RuntimeDefault" | "Localhost")).then(|| kind.to_owned())
}

fn seccomp(pod: &Pod<'_>) -> Option<Finding> {
    let (setters, values) = pod.setters("seccompProfile", bad_seccomp);
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    find(
        "seccompProfile",
        format!("{who} must not set securityContext.seccompProfile.type to {}", quote(values)),
    )
}

fn seccomp_set(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() && pod.standard.since(25) {
        return None;
    }
    if let Some(found) = seccomp(pod) {
        return Some(found);
    }
    if pod.context("seccompProfile").is_some() {
        return None;
    }
    let names = pod.who(|container| !container.has("securityContext.seccompProfile"));
    if names.is_empty() {
        return None;
    }
    let who = named("container", &names);
    let detail = format!(
        "pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""
    );
    find("seccompProfile", detail)
}

fn sysctls(pod: &Pod<'_>) -> Option<Finding> {
    const ALLOWED: &[(&str, u32)] = &[
        ("kernel.shm_rmid_forced", 0),
        ("net.ipv4.ip_local_port_range", 0),
        ("net.ipv4.tcp_syncookies", 0),
        ("net.ipv4.ping_group_range", 0),
        ("net.ipv4.ip_unprivileged_port_start", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_fin_timeout", 29),
        ("net.ipv4.tcp_keepalive_intvl", 29),
        ("net.ipv4.tcp_keepalive_probes", 29),
        ("net.ipv4.tcp_rmem", 32),
        ("net.ipv4.tcp_wmem", 32),
    ];
    let allowed =
        |name: &str| ALLOWED.iter().any(|(known, since)| *known == name && pod.standard.since(*since));
    let all = pod.spec.items("securityContext.sysctls").iter().map(|sysctl| sysctl.text("name"));
    let bad: Vec<&str> = all.filter(|name| !allowed(name)).collect();
    find("forbidden sysctls", bad.join(", "))
}

fn host_process(pod: &Pod<'_>) -> Option<Finding> {
    let (setters, _) = pod.setters("windowsOptions", |options| options.flag("hostProcess").then_some(()));
    if setters.is_empty() {
        return None;
    }
    let who = setters.join(" and ");
    find("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}

fn privilege_escalation(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() && pod.standard.since(25) {
        return None;
    }
    let field = "securityContext.allowPrivilegeEscalation";
    let names = pod.who(|container| container.field(field).and_then(Value::as_bool) != Some(false));
    if names.is_empty() {
        return None;
    }
    find(
        "allowPrivilegeEscalation != false",
        format!("{} must set {field}=false", named("container", &names)),
    )
}

fn few_capabilities(pod: &Pod<'_>) -> Option<Finding> {
    if pod.is_windows() && pod.standard.since(25) {
        return None;
    }
    let drops_all = |container: &Value| {
        let dropped = container.items("securityContext.capabilities.drop");
        dropped.iter().any(|capability| capability.as_str() == Some("ALL"))
    };
    let missing = pod.who(|container| !drops_all(container));
    let (names, found) = added(pod, &["NET_BIND_SERVICE"]);
    let mut details = Vec::new();
    if !missing.is_empty() {
        let who = named("container", &missing);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !names.is_empty() {
        let (who, what) = (named("container", &names), quote(found));
        details.push(format!("{who} must not include {what} in securityContext.capabilities.add"));
    }
    find("unrestricted capabilities", details.join("; "))
}

fn volume_types(pod: &Pod<'_>) -> Option<Finding> {
    const ALLOWED: &[&str] = &[
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "name",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    let (mut names, mut types) = (Vec::new(), BTreeSet::new());
    for volume in pod.spec.items("volumes") {
        let keys = volume.as_object().into_iter().flat_map(wherry_schema::Object::keys);
        let bad: Vec<&str> =
            keys.map(wherry_schema::Str::as_str).filter(|key| !ALLOWED.contains(key)).collect();
        if !bad.is_empty() {
            names.push(volume.text("name"));
            types.extend(bad);
        }
    }
    if names.is_empty() {
        return None;
    }
    let plural = if types.len() == 1 { "" } else { "s" };
    let (who, verb) = (named("volume", &names), verb(&names));
    find("restricted volume types", format!("{who} {verb} restricted volume type{plural} {}", quote(types)))
}

fn non_root(pod: &Pod<'_>) -> Option<Finding> {
    const REASON: &str = "runAsNonRoot != true";
    if pod.has_own_users() {
        return None;
    }
    let (setters, _) = pod.setters("runAsNonRoot", |value| (value.as_bool() == Some(false)).then_some(()));
    if !setters.is_empty() {
        let who = setters.join(" and ");
        return find(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    if pod.context("runAsNonRoot").is_some() {
        return None;
    }
    let names = pod.who(|container| !container.has("securityContext.runAsNonRoot"));
    if names.is_empty() {
        return None;
    }
    let who = named("container", &names);
    find(REASON, format!("pod or {who} must set securityContext.runAsNonRoot=true"))
}

fn user_zero(pod: &Pod<'_>) -> Option<Finding> {
    if pod.has_own_users() {
        return None;
    }
    let (setters, _) = pod.setters("runAsUser", |value| (value.as_i64() == Some(0)).then_some(()));
    if setters.is_empty() {
        None
    } else {
        find("runAsUser=0", format!("{} must not set runAsUser=0", setters.join(" and ")))
    }
}
