//! Sets a container up on disk: its image's layers, its directory, its OCI bundle.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use oci_spec::image::Config as ImageConfig;
use oci_spec::runtime::Spec;
use wherry_runtime_api::{ContainerId, ContainerSpec, ImageContent, Mount, PodUsers, RuntimeError, User};

use crate::apparmor::Profiles;
use crate::config::Config;
use crate::files::{self, failed};
use crate::host;
use crate::image::root::Root;
use crate::image::{Images, Source};
use crate::spec;
use crate::spec::joined::Joined;
use crate::spec::user::Accounts;
use crate::state::{ContainerDir, Record};

/// Largest account file read from an image.
const MAX_ACCOUNTS: u64 = 1024 * 1024;

/// The image of a container as this runtime takes it.
pub(crate) fn source(image: &ImageContent) -> Result<Source, RuntimeError> {
    match image {
        ImageContent::Oci { digest, config, layers } => {
            Ok(Source { digest: digest.clone(), config: config.clone(), layers: layers.clone() })
        }
        ImageContent::Wasm { digest, .. } => Err(RuntimeError::InvalidImage {
            digest: digest.clone(),
            reason: "a WebAssembly binary cannot run in runc; leave the RuntimeClass out".to_owned(),
        }),
    }
}

/// Creates the container in the directory `dir`; on failure nothing is left.
pub(crate) fn create(
    config: &Config,
    images: &Images,
    dir: &ContainerDir,
    spec: &ContainerSpec,
    joined: &Joined,
) -> Result<Record, RuntimeError> {
    check_id(&spec.id)?;
    files::remove_tree(dir.path())?;
    let created = fill(config, images, dir, spec, joined);
    if created.is_err() {
        // What failed is what the caller must hear.
        files::remove_tree(dir.path()).ok();
    }
    created
}

/// The id becomes a file name, a cgroup and an argument.
fn check_id(id: &ContainerId) -> Result<(), RuntimeError> {
    let word = |text: &str| {
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        text.bytes().all(valid) && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
    };
    if word(&id.sandbox.0) && word(&id.name) {
        return Ok(());
    }
    Err(invalid(id, "the id may hold letters, digits, '-', '_' and '.' only".to_owned()))
}

/// Why a container cannot be made as it was asked for.
pub(crate) fn invalid(id: &ContainerId, reason: String) -> RuntimeError {
    RuntimeError::InvalidSpec { id: id.clone(), reason }
}

fn fill(
    config: &Config,
    images: &Images,
    dir: &ContainerDir,
    spec: &ContainerSpec,
    joined: &Joined,
) -> Result<Record, RuntimeError> {
    let source = source(&spec.image)?;
    let prepared = images.prepare(&source)?;
    let image = prepared.config.config().clone().unwrap_or_default();
    let mut record = record(config, spec, &source.digest, &image, prepared.layers.len())?;
    let accounts = accounts(&prepared.layers);
    let mut oci = spec::build(spec, &image, &accounts, &host::read(), &record.cgroup)
        .map_err(|reason| invalid(&spec.id, reason))?;
    joined.apply(&mut oci).map_err(|error| invalid(&spec.id, error.to_string()))?;
    confine(&mut oci, spec)?;
    if spec.sandbox.users.is_some() {
        dir.mapped(&spec.mounts).for_each(|mount| redirect(&mut oci, mount));
    } else {
        dir.shared(&spec.mounts).for_each(|mount| redirect(&mut oci, mount));
    }
    record.user = oci.process().as_ref().map(|process| user(process.user()));
    files::create_dir(&dir.bundle().join("rootfs"))?;
    files::create_dir(&dir.path().join("work"))?;
    make_upper(&dir.upper(), prepared.layers.last(), spec.sandbox.users.as_ref())?;
    for (index, layer) in prepared.layers.iter().enumerate() {
        let link = dir.path().join(format!("l{index}"));
        symlink(layer, &link).map_err(failed("create", &link))?;
    }
    files::write_json(&dir.config(), &oci)?;
    dir.set_record(&record)?;
    Ok(record)
}

/// Has the kernel hold the container to its AppArmor profile; a privileged one is held to none.
fn confine(oci: &mut Spec, spec: &ContainerSpec) -> Result<(), RuntimeError> {
    if spec.user.privileged {
        return Ok(());
    }
    let profile = Profiles::of_machine().of(&spec.confinement.apparmor);
    let profile = profile.map_err(|error| invalid(&spec.id, error.to_string()))?;
    if let Some(process) = oci.process_mut() {
        process.set_apparmor_profile(profile);
    }
    Ok(())
}

/// Lets the OCI runtime find a mount where the shim puts it.
fn redirect(oci: &mut Spec, (place, mount): (PathBuf, &Mount)) {
    let all = oci.mounts_mut().as_mut().into_iter().flatten();
    for own in all.filter(|own| own.destination() == Path::new(&mount.container_path)) {
        own.set_source(Some(place.clone()));
    }
}

/// The OCI runtime's binary. Without the usual one the start fails, and says how to get it.
fn program(config: &Config, spec: &ContainerSpec) -> Result<PathBuf, RuntimeError> {
    match &spec.program {
        Some(name) => config.find_program(name).ok_or_else(|| RuntimeError::NoProgram(name.clone())),
        None => Ok(config.find_binary().unwrap_or_else(|| config.runtime_binary.clone())),
    }
}

fn record(
    config: &Config,
    spec: &ContainerSpec,
    digest: &str,
    image: &ImageConfig,
    layers: usize,
) -> Result<Record, RuntimeError> {
    if layers == 0 {
        let reason = "the image has no layers".to_owned();
        return Err(RuntimeError::InvalidImage { digest: digest.to_owned(), reason });
    }
    let pod = spec.sandbox.cgroup_parent.trim_end_matches('/');
    if !pod.starts_with('/') || pod.split('/').any(|part| part == "..") {
        return Err(invalid(&spec.id, format!("cgroup parent {pod:?} is not an absolute path")));
    }
    Ok(Record {
        image_digest: digest.to_owned(),
        runtime_binary: program(config, spec)?,
        runtime_root: runtime_root(&config.data_dir),
        user: None,
        layers,
        stop_signal: spec::process::stop_signal(image).map_err(|reason| invalid(&spec.id, reason))?,
        cgroup: format!("{pod}/{}", spec.id),
        shim_cgroup: format!("{}/shim_{}", config.shims_cgroup.trim_end_matches('/'), spec.id),
        spec: spec.clone(),
    })
}

/// Who the program runs as, in the words of the contract.
fn user(of: &oci_spec::runtime::User) -> User {
    let more = of.additional_gids().iter().flatten().copied();
    User { uid: of.uid(), gid: of.gid(), groups: std::iter::once(of.gid()).chain(more).collect() }
}

/// Where the OCI runtime keeps its state.
pub(crate) fn runtime_root(data_dir: &Path) -> PathBuf {
    data_dir.join("runtime")
}

/// The writable layer, whose own attributes are those of the container's root directory. What users of the pod's own write is
/// theirs on the disk, too.
fn make_upper(path: &Path, top: Option<&PathBuf>, users: Option<&PodUsers>) -> Result<(), RuntimeError> {
    files::create_dir(path)?;
    let Some(top) = top else { return Ok(()) };
    let metadata = fs::metadata(top).map_err(failed("read", top))?;
    let on_node = |id: u32| users.map_or(Some(id), |users| users.on_node(id));
    chown(path, on_node(metadata.uid()), on_node(metadata.gid()))
        .map_err(failed("change the owner of", path))?;
    let mode = fs::Permissions::from_mode(metadata.mode() & 0o7777);
    fs::set_permissions(path, mode).map_err(failed("change the mode of", path))
}

/// The account files of the uppermost layers that have them.
fn accounts(layers: &[PathBuf]) -> Accounts {
    let read = |path: &str| {
        let mut found =
            layers.iter().rev().filter_map(|layer| Root::open(layer).ok()?.read(path, MAX_ACCOUNTS).ok()?);
        found.next().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    };
    Accounts { passwd: read("etc/passwd"), group: read("etc/group") }
}
