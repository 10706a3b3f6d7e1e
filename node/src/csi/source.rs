//! What a Pod wants of a driver: its own words (inline) or those of a PersistentVolume, in one form.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, CSIVolumeSource, ObjectReference, PersistentVolume, Pod, SecretReference,
};
use wherry_api::csi;
use wherry_api::quantity::Quantity;
use wherry_plugin_api::csi::{AccessMode, AccessType, BlockVolume, Mode, MountVolume, VolumeCapability};

/// Where a volume of a pod comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// Its pod says it all; it lives as long.
    Inline(&'a str, &'a CSIVolumeSource),
    /// A PersistentVolume, which the pod only reads or not.
    Persistent(&'a PersistentVolume, bool),
}

/// A volume that a driver is to give to a pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) driver: String,
    pub(super) handle: String,
    /// The name of the PersistentVolume, or of the pod's volume.
    pub(super) name: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) fs_type: String,
    pub(super) mount_options: Vec<String>,
    pub(super) access_modes: Vec<String>,
    pub(super) is_block: bool,
    pub(super) read_only: bool,
    pub(super) stage_secret: Option<SecretReference>,
    pub(super) publish_secret: Option<SecretReference>,
    pub(super) expand_secret: Option<SecretReference>,
    /// The claim and the size of a volume that outlives pods.
    pub(super) persistent: Option<(ObjectReference, Quantity)>,
}

impl Wanted {
    /// What the source asks for; `None` if a PersistentVolume is not of a driver.
    pub(super) fn of(pod: &Pod, source: Source<'_>) -> Option<Self> {
        match source {
            Source::Inline(name, inline) => Some(Self::inline(pod, name, inline)),
            Source::Persistent(volume, read_only) => {
                let csi = volume.spec.as_ref()?.csi.as_ref()?;
                Some(Self::persistent(volume, csi, read_only))
            }
        }
    }

    fn inline(pod: &Pod, name: &str, inline: &CSIVolumeSource) -> Self {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let secret = inline.node_publish_secret_ref.as_ref().map(|secret| SecretReference {
            name: Some(secret.name.clone()),
            namespace: pod.metadata.namespace.clone(),
        });
        Self {
            driver: inline.driver.clone(),
            handle: csi::ephemeral_handle(uid, name),
            name: name.to_owned(),
            attributes: inline.volume_attributes.clone().unwrap_or_default(),
            fs_type: inline.fs_type.clone().unwrap_or_default(),
            mount_options: Vec::new(),
            access_modes: vec!["ReadWriteOnce".to_owned()],
            is_block: false,
            read_only: inline.read_only == Some(true),
            stage_secret: None,
            publish_secret: secret,
            expand_secret: None,
            persistent: None,
        }
    }

    fn persistent(volume: &PersistentVolume, csi: &CSIPersistentVolumeSource, read_only: bool) -> Self {
        let spec = volume.spec.clone().unwrap_or_default();
        let size = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
        let size = size.and_then(|size| size.0.parse().ok()).unwrap_or_default();
        Self {
            driver: csi.driver.clone(),
            handle: csi.volume_handle.clone(),
            name: volume.metadata.name.clone().unwrap_or_default(),
            attributes: csi.volume_attributes.clone().unwrap_or_default(),
            fs_type: csi.fs_type.clone().unwrap_or_default(),
            mount_options: spec.mount_options.unwrap_or_default(),
            access_modes: spec.access_modes.unwrap_or_default(),
            is_block: spec.volume_mode.as_deref() == Some("Block"),
            read_only: read_only || csi.read_only == Some(true),
            stage_secret: csi.node_stage_secret_ref.clone(),
            publish_secret: csi.node_publish_secret_ref.clone(),
            expand_secret: csi.node_expand_secret_ref.clone(),
            persistent: Some((spec.claim_ref.unwrap_or_default(), size)),
        }
    }

    /// Whether it lives as long as its pod.
    pub(super) fn is_ephemeral(&self) -> bool {
        self.persistent.is_none()
    }

    /// How it is used, in the words of CSI; its files belong to `group` if the driver sees to that.
    pub(super) fn capability(&self, knows_single_writers: bool, group: Option<u32>) -> VolumeCapability {
        let mode = self.access_modes.first().map_or("", String::as_str);
        let mode = match (mode, knows_single_writers) {
            ("ReadWriteOnce", true) => Mode::SingleNodeMultiWriter,
            ("ReadWriteOncePod", true) => Mode::SingleNodeSingleWriter,
            ("ReadWriteOnce" | "ReadWriteOncePod", false) => Mode::SingleNodeWriter,
            ("ReadOnlyMany", _) => Mode::MultiNodeReaderOnly,
            ("ReadWriteMany", _) => Mode::MultiNodeMultiWriter,
            _ => Mode::Unknown,
        };
        let access_type = if self.is_block {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(MountVolume {
                fs_type: self.fs_type.clone(),
                mount_flags: self.mount_options.clone(),
                volume_mount_group: group.map(|group| group.to_string()).unwrap_or_default(),
            })
        };
        let access_mode = Some(AccessMode { mode: mode as i32 });
        VolumeCapability { access_type: Some(access_type), access_mode }
    }

    /// Whether the node is to give the files of the volume to the pod's group, by the policy of its driver.
    pub(super) fn is_owned_by_group(&self, policy: Option<&str>) -> bool {
        if self.read_only || self.is_block {
            return false;
        }
        match policy {
            Some("File") => true,
            Some("None") => false,
            _ => {
                let writes_once = self.access_modes.iter().any(|mode| mode == "ReadWriteOnce");
                !self.is_ephemeral() && !self.fs_type.is_empty() && writes_once
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn persistent(more: Value) -> Wanted {
        let mut volume = json!({"metadata": {"name": "pv"}, "spec": {
            "csi": {"driver": "d", "volumeHandle": "v", "fsType": "ext4"}, "accessModes": ["ReadWriteOnce"],
        }});
        more.as_object().unwrap().iter().for_each(|(name, value)| volume["spec"][name] = value.clone());
        let volume = serde_json::from_value(volume).unwrap();
        Wanted::of(&Pod::default(), Source::Persistent(&volume, false)).unwrap()
    }

    #[rstest]
    #[case("ReadWriteOnce", false, Mode::SingleNodeWriter)]
    #[case("ReadWriteOnce", true, Mode::SingleNodeMultiWriter)]
    #[case("ReadWriteOncePod", false, Mode::SingleNodeWriter)]
    #[case("ReadWriteOncePod", true, Mode::SingleNodeSingleWriter)]
    #[case("ReadOnlyMany", true, Mode::MultiNodeReaderOnly)]
    #[case("ReadWriteMany", true, Mode::MultiNodeMultiWriter)]
    fn access_modes_are_told_in_the_words_the_driver_knows(
        #[case] mode: &str,
        #[case] knows: bool,
        #[case] expected: Mode,
    ) {
        let capability = persistent(json!({"accessModes": [mode]})).capability(knows, None);
        assert_eq!(capability.access_mode, Some(AccessMode { mode: expected as i32 }));
    }

    #[test]
    fn a_block_volume_has_no_file_system() {
        let block = persistent(json!({"volumeMode": "Block"}));
        assert_eq!(block.capability(false, Some(5)).access_type, Some(AccessType::Block(BlockVolume {})));
        assert!(!block.is_owned_by_group(Some("File")));
    }

    #[rstest]
    #[case::always(json!({"accessModes": ["ReadWriteMany"]}), Some("File"), true)]
    #[case::never(json!({}), Some("None"), false)]
    #[case::by_default(json!({}), None, true)]
    #[case::shared(json!({"accessModes": ["ReadWriteMany"]}), None, false)]
    #[case::no_type(json!({"csi": {"driver": "d", "volumeHandle": "v"}}), None, false)]
    #[case::only_read(json!({"csi": {"driver": "d", "volumeHandle": "v", "readOnly": true}}), Some("File"), false)]
    fn files_are_given_to_the_group_as_the_driver_says(
        #[case] more: Value,
        #[case] policy: Option<&str>,
        #[case] expected: bool,
    ) {
        assert_eq!(persistent(more).is_owned_by_group(policy), expected);
    }

    #[test]
    fn an_inline_volume_is_its_pods_alone() {
        let pod = json!({"metadata": {"name": "p", "namespace": "ns", "uid": "u"}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let inline = json!({"driver": "d", "nodePublishSecretRef": {"name": "s"}});
        let inline = serde_json::from_value(inline).unwrap();
        let wanted = Wanted::of(&pod, Source::Inline("data", &inline)).unwrap();
        assert_eq!(wanted.handle, csi::ephemeral_handle("u", "data"));
        assert_eq!(wanted.publish_secret.clone().unwrap().namespace.as_deref(), Some("ns"));
        assert!(wanted.is_ephemeral() && !wanted.is_owned_by_group(None));
    }
}
