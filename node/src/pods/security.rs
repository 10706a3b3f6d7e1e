//! Security contexts: from a Pod's words to those of a runtime.

use std::path::Path;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, Container, Pod, PodSecurityContext, SeccompProfile, SecurityContext,
};
use wherry_runtime_api::{AppArmor, Confinement, ImageContent, Seccomp, UserSpec};

/// What is asked of the container: its own security context, and the pod's.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    own: Option<&'a SecurityContext>,
    pod: Option<&'a PodSecurityContext>,
}

impl<'a> Asked<'a> {
    /// Of this container.
    pub(super) fn of(pod: &'a Pod, container: &'a Container) -> Self {
        let pod = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        Self { own: container.security_context.as_ref(), pod }
    }

    /// What the container says, else what the pod says.
    fn either<T>(
        self,
        own: impl FnOnce(&'a SecurityContext) -> Option<T>,
        pod: impl FnOnce(&'a PodSecurityContext) -> Option<T>,
    ) -> Option<T> {
        self.own.and_then(own).or_else(|| self.pod.and_then(pod))
    }

    /// Who runs the container.
    pub(super) fn user(self) -> UserSpec {
        let id = |id: i64| u32::try_from(id).ok();
        let capabilities = self.own.and_then(|context| context.capabilities.as_ref());
        let plain = |list: Option<&Vec<String>>| -> Vec<String> {
            list.into_iter().flatten().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
        };
        let groups = self.pod.and_then(|context| context.supplemental_groups.clone()).unwrap_or_default();
        let fs_group = self.pod.and_then(|context| context.fs_group);
        let policy = self.pod.and_then(|context| context.supplemental_groups_policy.as_deref());
        UserSpec {
            uid: self.either(|own| own.run_as_user, |pod| pod.run_as_user).and_then(id),
            gid: self.either(|own| own.run_as_group, |pod| pod.run_as_group).and_then(id),
            supplemental_groups: fs_group.into_iter().chain(groups).filter_map(id).collect(),
            only_these_groups: policy == Some("Strict"),
            privileged: self.own.and_then(|context| context.privileged) == Some(true),
            add_capabilities: plain(capabilities.and_then(|c| c.add.as_ref())),
            drop_capabilities: plain(capabilities.and_then(|c| c.drop.as_ref())),
            allow_privilege_escalation: self
                .own
                .and_then(|context| context.allow_privilege_escalation)
                .unwrap_or(true),
        }
    }

    /// What the kernel is to keep from the container; profiles are files in the directory.
    pub(super) fn confinement(self, profiles: &Path) -> Confinement {
        let seccomp = self.either(|own| own.seccomp_profile.as_ref(), |pod| pod.seccomp_profile.as_ref());
        let apparmor =
            self.either(|own| own.app_armor_profile.as_ref(), |pod| pod.app_armor_profile.as_ref());
        Confinement {
            seccomp: seccomp.map_or(Seccomp::Unconfined, |profile| seccomp_of(profile, profiles)),
            apparmor: apparmor.map(apparmor_of).unwrap_or_default(),
            bare_proc: self.own.and_then(|own| own.proc_mount.as_deref()) == Some("Unmasked"),
        }
    }

    /// Refuses a user that is, or may be, root, if root is not wanted.
    pub(super) fn check_not_root(self, content: &ImageContent) -> Result<(), String> {
        if self.either(|own| own.run_as_non_root, |pod| pod.run_as_non_root) != Some(true) {
            return Ok(());
        }
        match (self.user().uid, content) {
            (Some(0), _) => {
                Err("container's runAsUser breaks non-root policy: it is 0 and runAsNonRoot is true"
                    .to_owned())
            }
            // WebAssembly has no users.
            (Some(_), _) | (None, ImageContent::Wasm { .. }) => Ok(()),
            (None, ImageContent::Oci { config, .. }) => check_image_user(&image_user(config)?),
        }
    }
}

fn seccomp_of(profile: &SeccompProfile, profiles: &Path) -> Seccomp {
    match (profile.type_.as_str(), profile.localhost_profile.as_deref()) {
        ("RuntimeDefault", _) => Seccomp::RuntimeDefault,
        ("Localhost", Some(name)) => Seccomp::Profile(profiles.join(name)),
        _ => Seccomp::Unconfined,
    }
}

fn apparmor_of(profile: &AppArmorProfile) -> AppArmor {
    match (profile.type_.as_str(), &profile.localhost_profile) {
        ("RuntimeDefault", _) => AppArmor::RuntimeDefault,
        ("Localhost", Some(name)) => AppArmor::Profile(name.clone()),
        _ => AppArmor::Unconfined,
    }
}

fn check_image_user(user: &str) -> Result<(), String> {
    match user.split(':').next().unwrap_or_default() {
        "" | "0" | "root" => Err("container has runAsNonRoot and image will run as root".to_owned()),
        user if user.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        user => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({user}), cannot verify user is non-root"
        )),
    }
}

fn image_user(config: &Path) -> Result<String, String> {
    let bytes =
        std::fs::read(config).map_err(|error| format!("cannot read the image configuration: {error}"))?;
    let config: serde_json::Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("cannot parse the image configuration: {error}"))?;
    Ok(config["config"]["User"].as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(of_pod: Value, own: Value) -> Pod {
        let container = json!({ "name": "a", "securityContext": own });
        let spec = json!({ "securityContext": of_pod, "containers": [container] });
        serde_json::from_value(json!({ "metadata": {}, "spec": spec })).unwrap()
    }

    fn asked(pod: &Pod) -> Asked<'_> {
        Asked::of(pod, &pod.spec.as_ref().unwrap().containers[0])
    }

    #[test]
    fn a_container_overrides_its_pod() {
        let pod = pod(
            json!({
                "runAsUser": 1, "runAsGroup": 2, "fsGroup": 3, "supplementalGroups": [4], "runAsNonRoot": true,
                "supplementalGroupsPolicy": "Strict",
            }),
            json!({ "runAsUser": 9, "capabilities": { "add": ["CAP_NET_ADMIN"] } }),
        );
        let user = asked(&pod).user();
        assert_eq!(
            (user.uid, user.gid, user.supplemental_groups.as_slice()),
            (Some(9), Some(2), &[3, 4][..])
        );
        assert_eq!(user.add_capabilities, ["NET_ADMIN"]);
        assert!(user.allow_privilege_escalation && user.only_these_groups);
    }

    #[test]
    fn the_containers_profiles_win_over_the_pods() {
        let local = |name: &str| json!({ "type": "Localhost", "localhostProfile": name });
        let both = pod(
            json!({ "seccompProfile": { "type": "RuntimeDefault" }, "appArmorProfile": local("of-pod") }),
            json!({ "seccompProfile": local("a/b.json"), "appArmorProfile": { "type": "Unconfined" } }),
        );
        let confinement = asked(&both).confinement(Path::new("/profiles"));
        assert_eq!(confinement.seccomp, Seccomp::Profile("/profiles/a/b.json".into()));
        assert_eq!(confinement.apparmor, AppArmor::Unconfined);
        let inherited = pod(
            json!({ "seccompProfile": { "type": "RuntimeDefault" }, "appArmorProfile": local("of-pod") }),
            json!({}),
        );
        let confinement = asked(&inherited).confinement(Path::new("/profiles"));
        assert_eq!(confinement.seccomp, Seccomp::RuntimeDefault);
        assert_eq!(confinement.apparmor, AppArmor::Profile("of-pod".to_owned()));
        let usual = pod(json!({ "appArmorProfile": { "type": "RuntimeDefault" } }), json!({}));
        assert_eq!(asked(&usual).confinement(Path::new("/")).apparmor, AppArmor::RuntimeDefault);
        assert_eq!(asked(&pod(json!({}), json!({}))).confinement(Path::new("/")), Confinement::default());
    }

    #[test]
    fn root_is_refused_where_it_is_not_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        let check = |own: Value, user: &str| {
            std::fs::write(&config, json!({ "config": { "User": user } }).to_string()).unwrap();
            let content =
                ImageContent::Oci { digest: String::new(), config: config.clone(), layers: Vec::new() };
            asked(&pod(json!({ "runAsNonRoot": true }), own)).check_not_root(&content)
        };
        assert!(check(json!({}), "1000").is_ok() && check(json!({ "runAsUser": 7 }), "root").is_ok());
        assert!(check(json!({ "runAsNonRoot": false }), "root").is_ok());
        for (own, user) in [(json!({ "runAsUser": 0 }), "1"), (json!({}), "0:5"), (json!({}), "web")] {
            assert!(check(own, user).is_err());
        }
    }
}
