//! AppArmor: which profile a container runs under, and the runtime's own one.
//!
//! # Flow
//! A profile that is named must be in the kernel: whoever wants it has loaded it. The runtime's own, [`NAME`], is loaded by
//! `apparmor_parser` when the first container needs it, and again when somebody removed it.
//!
//! # Guarantees
//! - A container that asks for a profile does not run without it. One that asks for nothing has the runtime's own where the kernel
//!   enforces profiles and the parser is there, as in containerd.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use wherry_runtime_api::AppArmor;

/// The runtime's own profile.
const NAME: &str = "wherry-default";
const DEFAULT: &str = include_str!("default.profile");

/// What the node has of AppArmor.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    /// Says whether the kernel enforces profiles.
    enabled: PathBuf,
    /// Lists those in the kernel.
    loaded: PathBuf,
    /// Puts them there, the first of these that exists.
    parsers: Vec<PathBuf>,
}

/// A profile that a container cannot have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProfileError {
    /// The kernel enforces none.
    #[error("AppArmor is not enabled on the host")]
    NotEnabled,
    /// Nobody loaded it.
    #[error("the AppArmor profile {0:?} is not loaded into the node's kernel")]
    NotLoaded(String),
    /// There is nothing to load one with.
    #[error(
        "the runtime's AppArmor profile cannot be loaded: apparmor_parser is not installed (Debian's package apparmor)"
    )]
    NoParser,
    /// The parser cannot be run.
    #[error("cannot run {}", parser.display())]
    Run {
        /// Which.
        parser: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The kernel or its parser did not want it.
    #[error("the runtime's AppArmor profile cannot be loaded: {0}")]
    Refused(String),
}

impl Profiles {
    /// Those of this machine.
    pub(crate) fn of_machine() -> Self {
        Self {
            enabled: "/sys/module/apparmor/parameters/enabled".into(),
            loaded: "/sys/kernel/security/apparmor/profiles".into(),
            parsers: ["/sbin", "/usr/sbin"].map(|dir| PathBuf::from(dir).join("apparmor_parser")).to_vec(),
        }
    }

    /// The profile of a container that wants this, which is in the kernel then; `None` for none.
    pub(crate) fn of(&self, wanted: &AppArmor) -> Result<Option<String>, ProfileError> {
        let enabled = fs::read_to_string(&self.enabled).is_ok_and(|said| said.starts_with('Y'));
        match wanted {
            AppArmor::Unconfined => Ok(None),
            AppArmor::Unset if !enabled || self.parser().is_none() => Ok(None),
            _ if !enabled => Err(ProfileError::NotEnabled),
            AppArmor::Unset | AppArmor::RuntimeDefault => self.load().map(|()| Some(NAME.to_owned())),
            AppArmor::Profile(name) if self.is_loaded(name) => Ok(Some(name.clone())),
            AppArmor::Profile(name) => Err(ProfileError::NotLoaded(name.clone())),
        }
    }

    fn parser(&self) -> Option<&PathBuf> {
        self.parsers.iter().find(|parser| parser.exists())
    }

    /// The kernel lists `NAME (MODE)`, one a line.
    fn is_loaded(&self, name: &str) -> bool {
        let listed = fs::read_to_string(&self.loaded).unwrap_or_default();
        listed.lines().any(|line| line.rsplit_once(" (").is_some_and(|(listed, _)| listed == name))
    }

    fn load(&self) -> Result<(), ProfileError> {
        if self.is_loaded(NAME) {
            return Ok(());
        }
        let parser = self.parser().ok_or(ProfileError::NoParser)?;
        let failed = |source| ProfileError::Run { parser: parser.clone(), source };
        // It replaces one that somebody loaded meanwhile, and leaves no cache.
        let child = Command::new(parser)
            .args(["--skip-cache", "--replace"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(failed)?;
        // One that does not read says why.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(DEFAULT.as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(ProfileError::Refused(format!("{}: {said}", output.status)));
        }
        written.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    /// A kernel that lists what is in a file, and a parser that does what a script says.
    fn profiles(dir: &Path, enabled: &str, loaded: &str, parser: Option<&str>) -> Profiles {
        let place = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let script = parser.map(|script| {
            let path = place("parser", &format!("#!/bin/sh\n{script}\n"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        });
        let parsers = std::iter::once(dir.join("none")).chain(script).collect();
        Profiles { enabled: place("enabled", enabled), loaded: place("loaded", loaded), parsers }
    }

    fn profile(profiles: &Profiles, wanted: &AppArmor) -> Result<Option<String>, String> {
        profiles.of(wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_kernel_without_it_gives_none_to_who_asks_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let profiles = profiles(dir.path(), "N\n", "", Some("exit 1"));
        assert_eq!(profile(&profiles, &AppArmor::Unset), Ok(None));
        assert_eq!(profile(&profiles, &AppArmor::Unconfined), Ok(None));
        for wanted in [AppArmor::RuntimeDefault, AppArmor::Profile("strict".to_owned())] {
            assert_eq!(profile(&profiles, &wanted), Err("AppArmor is not enabled on the host".to_owned()));
        }
    }

    #[test]
    fn a_named_profile_has_to_be_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let profiles = profiles(dir.path(), "Y\n", "strict (enforce)\n/usr/bin/man (2) (complain)\n", None);
        for name in ["strict", "/usr/bin/man (2)"] {
            assert_eq!(profile(&profiles, &AppArmor::Profile(name.to_owned())), Ok(Some(name.to_owned())));
        }
        let missing = profile(&profiles, &AppArmor::Profile("stric".to_owned())).unwrap_err();
        assert_eq!(missing, "the AppArmor profile \"stric\" is not loaded into the node's kernel");
        assert_eq!(profile(&profiles, &AppArmor::Unset), Ok(None), "it cannot be loaded, and nobody asked");
        let missing = profile(&profiles, &AppArmor::RuntimeDefault).unwrap_err();
        assert!(missing.contains("apparmor_parser is not installed"), "{missing}");
    }

    #[test]
    fn the_runtimes_own_is_loaded_once_as_long_as_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (loaded, runs) = (dir.path().join("loaded"), dir.path().join("runs"));
        let script = format!(
            "[ \"$*\" = '--skip-cache --replace' ] || exit 2; sed -n 's/^profile \\([^ ]*\\) .*/\\1 (enforce)/p' > {}; echo run >> {}",
            loaded.display(),
            runs.display()
        );
        let profiles = profiles(dir.path(), "Y\n", "", Some(&script));
        for wanted in [AppArmor::RuntimeDefault, AppArmor::Unset, AppArmor::RuntimeDefault] {
            assert_eq!(profile(&profiles, &wanted), Ok(Some(NAME.to_owned())));
        }
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\n");
        fs::write(&loaded, "").unwrap();
        profile(&profiles, &AppArmor::Unset).unwrap();
        assert_eq!(fs::read_to_string(&runs).unwrap(), "run\nrun\n", "somebody had removed it");
    }

    #[test]
    fn what_the_parser_says_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let profiles = profiles(dir.path(), "Y\n", "", Some("echo 'no such rule' >&2; exit 1"));
        let told = profile(&profiles, &AppArmor::Unset).unwrap_err();
        assert!(told.ends_with("exit status: 1: no such rule"), "{told}");
    }

    /// Compiled by AppArmor's own parser, which needs no kernel for that.
    #[test]
    fn the_profile_compiles() {
        let parser =
            Profiles::of_machine().parser().cloned().expect("apparmor is missing: run scripts/setup --test");
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("profile");
        fs::write(&file, DEFAULT).unwrap();
        let run = |args: &[&str]| {
            let output = Command::new(&parser).args(args).arg(&file).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            output.stdout
        };
        assert_eq!(String::from_utf8(run(&["--names"])).unwrap().trim(), NAME);
        assert!(!run(&["--skip-kernel-load", "--stdout"]).is_empty());
    }

    #[test]
    fn the_profile_keeps_the_kernels_files_from_containers() {
        for rule in [
            "deny mount,",
            "deny /proc/* w,",
            "sysrq-trigger",
            "deny /sys/fs/",
            "kernel/security",
            "peer=wherry-default",
        ] {
            assert!(DEFAULT.contains(rule), "{rule}");
        }
    }
}
