//! Devices by their names in files of the Container Device Interface: `vendor/class=name`.
//!
//! The files are read when a container starts that has such a device, as container runtimes do; so what a plugin writes there
//! counts from the next start on. A file in a later directory has a say before one in an earlier.

mod spec;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wherry_runtime_api::{Device, Hook, HookStage, Mount, MountOptions};

use super::Equipment;
use spec::{Edits, HookEntry, MountEntry, Node, Spec};

/// Annotations of a plugin's answer whose values are names of devices.
pub(super) const ANNOTATION: &str = "cdi.k8s.io/";

/// Why a container cannot have such a device.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CdiError {
    /// It is no name.
    #[error("{0:?} is not the name of a CDI device: it must be VENDOR/CLASS=NAME")]
    Name(String),
    /// No file names it.
    #[error("no file in {} describes the CDI device {name}{}", paths(directories), told(broken))]
    Unknown {
        /// The device.
        name: String,
        /// Where files were looked for.
        directories: Vec<PathBuf>,
        /// What is wrong with files that cannot be used.
        broken: Vec<String>,
    },
    /// Several files of one directory name it.
    #[error("{} and {} both describe the CDI device {name}: remove one", first.display(), second.display())]
    Ambiguous {
        /// The device.
        name: String,
        /// A file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// It wants what this node does not do.
    #[error("the CDI device {name} of {} wants {what}", path.display())]
    Unsupported {
        /// The device.
        name: String,
        /// Its file.
        path: PathBuf,
        /// What it wants, and what is there instead.
        what: String,
    },
}

fn paths(directories: &[PathBuf]) -> String {
    let paths: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    paths.join(" or ")
}

fn told(broken: &[String]) -> String {
    if broken.is_empty() { String::new() } else { format!("; {}", broken.join("; ")) }
}

/// The name of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name<'a> {
    kind: &'a str,
    device: &'a str,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (kind, device) = text.split_once('=')?;
        let (vendor, class) = kind.split_once('/')?;
        let is_word = |word: &str, more: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            ends(word.chars().next()) && ends(word.chars().last()) && word.chars().all(inner)
        };
        let fits = is_word(vendor, "_-.") && is_word(class, "_-.") && is_word(device, "_-.:");
        fits.then_some(Self { kind, device })
    }
}

/// A file that can be used.
struct File {
    path: PathBuf,
    /// Which directory it is in.
    rank: usize,
    spec: Spec,
}

/// Adds what these devices need.
pub(super) fn add(
    names: &[String],
    directories: &[PathBuf],
    equipment: &mut Equipment,
) -> Result<(), CdiError> {
    if names.is_empty() {
        return Ok(());
    }
    let (files, broken) = read(directories);
    let mut begun: Vec<&Path> = Vec::new();
    for name in names {
        let parsed = Name::parse(name).ok_or_else(|| CdiError::Name(name.clone()))?;
        let describes = |file: &&File| {
            file.spec.kind == parsed.kind && file.spec.devices.iter().any(|one| one.name == parsed.device)
        };
        let mut found: Vec<&File> = files.iter().filter(describes).collect();
        found.sort_by_key(|file| std::cmp::Reverse(file.rank));
        let file = match found[..] {
            [] => {
                let (directories, broken) = (directories.to_vec(), broken.clone());
                return Err(CdiError::Unknown { name: name.clone(), directories, broken });
            }
            [first, second, ..] if first.rank == second.rank => {
                let (first, second) = (first.path.clone(), second.path.clone());
                return Err(CdiError::Ambiguous { name: name.clone(), first, second });
            }
            [first, ..] => first,
        };
        let of_all = (!begun.contains(&file.path.as_path())).then_some(&file.spec.container_edits);
        begun.push(&file.path);
        let device = file.spec.devices.iter().find(|one| one.name == parsed.device);
        for edits in of_all.into_iter().chain(device.map(|device| &device.container_edits)) {
            let unsupported =
                |what| CdiError::Unsupported { name: name.clone(), path: file.path.clone(), what };
            equipment.edit(edits).map_err(unsupported)?;
        }
    }
    Ok(())
}

/// The files that can be used, and what is wrong with the others.
fn read(directories: &[PathBuf]) -> (Vec<File>, Vec<String>) {
    let (mut files, mut broken) = (Vec::new(), Vec::new());
    for (rank, directory) in directories.iter().enumerate() {
        // A directory that is not there holds no files.
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|it| it == "json" || it == "yaml"));
        paths.sort();
        for path in paths {
            let parsed = fs::read(&path).map_err(|error| error.to_string()).and_then(|text| parse(&text));
            match parsed {
                Ok(spec) => files.push(File { path, rank, spec }),
                Err(error) => broken.push(format!("{} cannot be used: {error}", path.display())),
            }
        }
    }
    (files, broken)
}

/// JSON is YAML, too.
fn parse(text: &[u8]) -> Result<Spec, String> {
    let spec: Spec = serde_saphyr::from_slice(text).map_err(|error| error.to_string())?;
    let is_name = |device: &str| Name::parse(&format!("{}={device}", spec.kind)).is_some();
    match spec.devices.iter().find(|device| !is_name(&device.name)) {
        Some(wrong) => Err(format!("{}={} is not the name of a device", spec.kind, wrong.name)),
        None => Ok(spec),
    }
}

impl Equipment {
    /// Adds what a file says; an error names what cannot be added.
    fn edit(&mut self, edits: &Edits) -> Result<(), String> {
        if edits.intel_rdt.is_some() {
            return Err("intelRdt, which this node does not set up".to_owned());
        }
        if !edits.net_devices.is_empty() {
            return Err("netDevices, which this node does not move into containers".to_owned());
        }
        for variable in &edits.env {
            let (name, value) = variable
                .split_once('=')
                .ok_or_else(|| format!("the variable {variable:?}, which has no ="))?;
            self.env.push((name.to_owned(), value.to_owned()));
        }
        for mount in &edits.mounts {
            self.mounts.push(mounted(mount)?);
        }
        for hook in &edits.hooks {
            self.hooks.push(hooked(hook)?);
        }
        self.devices.extend(edits.device_nodes.iter().map(device));
        self.groups.extend(edits.additional_gids.iter().filter(|group| **group != 0));
        Ok(())
    }
}

fn device(node: &Node) -> Device {
    let or =
        |value: &str, default: &str| if value.is_empty() { default.to_owned() } else { value.to_owned() };
    Device {
        host_path: or(&node.host_path, &node.path).into(),
        container_path: node.path.clone(),
        permissions: or(&node.permissions, "rwm"),
    }
}

fn mounted(mount: &MountEntry) -> Result<Mount, String> {
    if !matches!(mount.kind.as_str(), "" | "none" | "bind") {
        return Err(format!(
            "a mount of type {:?} at {}: only files and directories of the node are mounted",
            mount.kind, mount.container_path
        ));
    }
    let has = |option: &str| mount.options.iter().any(|one| one == option);
    let options = MountOptions { no_exec: has("noexec"), ..MountOptions::default() };
    Ok(Mount { options, ..Mount::new(&mount.host_path, &mount.container_path, has("ro")) })
}

fn hooked(hook: &HookEntry) -> Result<Hook, String> {
    let stage = HookStage::ALL.into_iter().find(|stage| stage.as_str() == hook.hook_name);
    let unknown = || format!("a hook {:?} at no stage of a container's life that there is", hook.hook_name);
    Ok(Hook {
        stage: stage.ok_or_else(unknown)?,
        path: PathBuf::from(&hook.path),
        args: hook.args.clone(),
        env: hook.env.clone(),
        timeout: hook.timeout.map(|seconds| Duration::from_secs(seconds.into())),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("etc")).unwrap();
            fs::create_dir(root.path().join("run")).unwrap();
            Self(root)
        }

        fn write(&self, path: &str, spec: &Value) {
            fs::write(self.0.path().join(path), spec.to_string()).unwrap();
        }

        fn add(&self, names: &[&str]) -> Result<Equipment, String> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let directories = ["etc", "run", "absent"].map(|name| self.0.path().join(name));
            let mut equipment = Equipment::default();
            add(&names, &directories, &mut equipment).map_err(|error| error.to_string())?;
            Ok(equipment)
        }
    }

    fn spec(device: &str, edits: Value) -> Value {
        let device = json!({"name": device, "containerEdits": edits});
        let all = json!({"env": ["KIND=gpu"], "additionalGids": [0, 44]});
        json!({"cdiVersion": "0.7.0", "kind": "example.com/gpu", "devices": [device], "containerEdits": all})
    }

    #[test]
    fn a_device_brings_what_its_file_says() {
        let files = Files::new();
        let hook = json!({"hookName": "createContainer", "path": "/bin/x", "args": ["x", "1"], "timeout": 3});
        let edits = json!({
            "env": ["GPU=0"], "hooks": [hook],
            "deviceNodes": [{"path": "/dev/gpu0"}, {"path": "/dev/ctl", "hostPath": "/dev/null", "permissions": "r"}],
            "mounts": [{"hostPath": "/lib/gpu", "containerPath": "/usr/lib/gpu", "options": ["ro", "nosuid", "bind"]}],
        });
        files.write("etc/gpu.json", &spec("0", edits));
        let found = files.add(&["example.com/gpu=0", "example.com/gpu=0"]).unwrap();
        let variables: Vec<String> =
            found.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(variables, ["KIND=gpu", "GPU=0", "GPU=0"], "what all devices need comes once");
        assert_eq!(
            (found.mounts[0].clone(), found.groups),
            (Mount::new("/lib/gpu", "/usr/lib/gpu", true), vec![44])
        );
        let shown = |device: &Device| {
            format!("{} {} {}", device.host_path.display(), device.container_path, device.permissions)
        };
        let devices: Vec<String> = found.devices.iter().take(2).map(shown).collect();
        assert_eq!(devices, ["/dev/gpu0 /dev/gpu0 rwm", "/dev/null /dev/ctl r"]);
        let hook = found.hooks[0].clone();
        assert_eq!((hook.stage, hook.timeout), (HookStage::CreateContainer, Some(Duration::from_secs(3))));
    }

    #[test]
    fn a_later_directory_has_a_say_first_and_files_of_one_must_agree() {
        let files = Files::new();
        files.write("etc/gpu.json", &spec("0", json!({"env": ["FROM=etc"]})));
        files.write("run/gpu.yaml", &spec("0", json!({"env": ["FROM=run"]})));
        assert_eq!(files.add(&["example.com/gpu=0"]).unwrap().env[1].1, "run");
        files.write("run/more.json", &spec("0", json!({})));
        assert!(files.add(&["example.com/gpu=0"]).unwrap_err().contains("both describe the CDI device"));
    }

    #[test]
    fn what_cannot_be_had_is_named() {
        let files = Files::new();
        files.write("etc/broken.json", &json!({"kind": "example.com/gpu"}));
        let unknown = files.add(&["example.com/gpu=0"]).unwrap_err();
        assert!(
            unknown.contains("describes the CDI device example.com/gpu=0; ")
                && unknown.contains("broken.json cannot be used"),
            "{unknown}"
        );
        assert!(files.add(&["gpu"]).unwrap_err().contains("must be VENDOR/CLASS=NAME"));
        for (edits, expected) in [
            (json!({"intelRdt": {}}), "wants intelRdt"),
            (json!({"netDevices": [{"hostInterfaceName": "eth1"}]}), "wants netDevices"),
            (json!({"env": ["X"]}), "has no ="),
            (
                json!({"mounts": [{"hostPath": "tmpfs", "containerPath": "/t", "type": "tmpfs"}]}),
                "of type \"tmpfs\"",
            ),
            (json!({"hooks": [{"hookName": "later", "path": "/bin/x"}]}), "a hook \"later\""),
        ] {
            files.write("run/gpu.json", &spec("0", edits));
            let refused = files.add(&["example.com/gpu=0"]).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn no_file_does_harm(text in "[-{}\\[\\]:\", a-zA-Z0-9/=\n]{0,80}") {
            if let Ok(spec) = parse(text.as_bytes()) {
                prop_assert!(spec.devices.iter().all(|device| !device.name.is_empty()));
            }
        }

        #[test]
        fn names_are_taken_apart_as_they_are_put_together(kind in "[a-z]{1,3}/[a-z]{1,3}", device in "[a-z0-9:]{1,4}") {
            let text = format!("{kind}={device}");
            if let Some(name) = Name::parse(&text) {
                prop_assert_eq!((name.kind, name.device), (kind.as_str(), device.as_str()));
            } else {
                prop_assert!(device.starts_with(':') || device.ends_with(':'));
            }
        }
    }
}
