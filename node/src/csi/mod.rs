//! Volumes of CSI drivers: programs beside the node that mount what it knows nothing about.
//!
//! ```text
//! wanted -> in use (told) -> attached -> staged -> published      set_up, for each pod
//! published -> unpublished -> unstaged (by the last pod) -> not in use     tear_down
//! ```
//! # Guarantees
//! - Every step may be repeated, by this agent or by the next: a driver is asked only after what it is asked was written down
//!   ([`records`]), and nothing is forgotten before it was undone.
//! - Two pods never stage or unstage one volume at a time.
//! - A volume that has to be attached is touched only while the Node names it as in use ([`InUse`]).
//!
//! Reading order: [`source`] (what a pod wants), [`driver`] (who gives it), [`records`], `volume_context`, `attachment`, `expansion`, `stats`,
//! [`node_object`] (what others read of this node's drivers).

mod attachment;
mod driver;
mod expansion;
mod in_use;
mod locks;
mod node_object;
mod records;
mod source;
mod stats;
#[cfg(test)]
mod tests;
mod volume_context;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Pod, Secret, SecretReference};
use k8s_openapi::api::storage::v1::{CSIDriver, CSIDriverSpec};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::Clock;
use wherry_api::csi;
use wherry_plugin_api::csi::{
    Capability, CapacityRange, ExpandRequest, PublishRequest, StageRequest, UnpublishRequest, UnstageRequest,
};

use crate::tokens::{TokenError, Tokens};
use crate::volumes::{GroupChange, WriteError, give_to_group, group_change};
pub(crate) use driver::{Driver, DriverError};
use expansion::Claim;
pub(crate) use in_use::InUse;
use locks::Locks;
use node_object::NodeObject;
use records::{Record, Records};
pub(crate) use source::Source;
use source::Wanted;
pub(crate) use stats::Fullness;

/// How often volumes are looked at again that may have grown, or whose driver wants to be asked again.
const AGAIN: Duration = Duration::from_mins(1);
/// How long the Node may take to name a volume before the pod is told what it waits for.
const TELLING: Duration = Duration::from_secs(10);

/// Why a volume of a driver cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CsiError {
    /// Nobody of this name has registered.
    #[error("driver name {0} not found in the list of registered CSI drivers")]
    NoDriver(String),
    /// The PersistentVolume is none of a driver.
    #[error("the PersistentVolume is not of a CSI driver")]
    NoSource,
    /// The driver says that it does not make such volumes.
    #[error("volume mode {mode:?} not supported by driver {driver} ({why})")]
    Lifecycle {
        /// `Ephemeral` or `Persistent`.
        mode: &'static str,
        /// The driver.
        driver: String,
        /// Where that is said.
        why: &'static str,
    },
    /// The Node does not name it yet.
    #[error("volume {0} is not yet named by the node's status.volumesInUse")]
    NotTold(String),
    /// Nobody has attached it yet.
    #[error("volume attachment {attachment} is not attached yet{}", told(reason))]
    NotAttached {
        /// The VolumeAttachment.
        attachment: String,
        /// What the driver said.
        reason: String,
    },
    /// Its pod ends before.
    #[error("the pod ends before volume {0} is attached")]
    Ending(String),
    /// An object cannot be read or written.
    #[error("cannot read or write {what}")]
    Api {
        /// Which one.
        what: String,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// The driver refused.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A token cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A file operation failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

fn told(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// What a pod asks for.
pub(crate) struct Asked<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// What it names.
    pub(crate) source: Source<'a>,
    /// The group that the volume's files are to belong to.
    pub(crate) group: Option<u32>,
    /// Whether it was given the volume before, by this agent.
    pub(crate) again: bool,
    /// Cancelled when the pod ends: it no longer waits for what others have to do.
    pub(crate) ending: &'a CancellationToken,
}

/// What it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// Where the volume is.
    pub(crate) path: PathBuf,
    /// Whether that is a device.
    pub(crate) is_block: bool,
    /// Whether nobody may write to it.
    pub(crate) read_only: bool,
    /// When it is to be looked at again, though nothing changed.
    pub(crate) again_at: Option<Timestamp>,
}

/// The drivers of this node, and what pods have of them.
pub(crate) struct Csi {
    client: Client,
    clock: Arc<dyn Clock>,
    node: String,
    object: NodeObject,
    records: Records,
    drivers: Mutex<BTreeMap<String, Driver>>,
    /// Where this agent had volumes staged. One that was before it is staged again, which changes nothing.
    staged: Mutex<BTreeSet<PathBuf>>,
    in_use: InUse,
    locks: Locks,
}

impl Csi {
    /// Of the node of this name, whose directory is `root`.
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>, node: &str, root: &Path) -> Self {
        let records = Records::new(root);
        let attached = records.all().into_iter().filter(|(_, record)| record.attachment.is_some());
        let in_use = attached.map(|(_, record)| csi::unique_name(&record.driver_name, &record.volume_handle));
        Self {
            object: NodeObject::new(client.clone(), node),
            in_use: InUse::new(in_use.collect()),
            client,
            clock,
            node: node.to_owned(),
            records,
            drivers: Mutex::default(),
            staged: Mutex::default(),
            locks: Locks::default(),
        }
    }

    /// Volumes that must stay attached.
    pub(crate) fn in_use(&self) -> &InUse {
        &self.in_use
    }

    /// Makes the node's CSINode, which is there whether or not there are drivers.
    pub(crate) async fn announce(&self) -> Result<(), kube::Error> {
        self.object.make().await
    }

    /// Takes a driver that has registered.
    pub(crate) async fn register(&self, name: &str, socket: &Path) -> Result<(), CsiError> {
        let (driver, info) = Driver::meet(name, socket).await?;
        let written = self.object.add(name, &info).await;
        written.map_err(|source| CsiError::Api {
            what: "the node's CSINode".to_owned(),
            source: source.into(),
        })?;
        self.drivers.lock().insert(name.to_owned(), driver);
        Ok(())
    }

    /// Forgets a driver that has gone.
    pub(crate) async fn unregister(&self, name: &str) -> Result<(), kube::Error> {
        self.drivers.lock().remove(name);
        self.object.remove(name).await
    }

    fn driver(&self, name: &str) -> Result<Driver, CsiError> {
        self.drivers.lock().get(name).cloned().ok_or_else(|| CsiError::NoDriver(name.to_owned()))
    }

    /// Gives the pod its volume, or looks again at one it has.
    pub(crate) async fn set_up(&self, tokens: &Tokens, asked: &Asked<'_>) -> Result<Given, CsiError> {
        let wanted = Wanted::of(asked.pod, asked.source).ok_or(CsiError::NoSource)?;
        let object = self.driver_object(&wanted).await?;
        let driver = self.driver(&wanted.driver)?;
        let uid = asked.pod.metadata.uid.as_deref().unwrap_or_default();
        let grows = wanted.persistent.is_some() && driver.can(Capability::ExpandVolume);
        let republish = object.requires_republish == Some(true);
        let given = Given {
            path: self.records.target(uid, &wanted.name, wanted.is_block),
            is_block: wanted.is_block,
            read_only: wanted.read_only,
            again_at: (grows || republish).then(|| self.clock.now() + AGAIN),
        };
        let _alone = self.locks.lock(&csi::unique_name(&wanted.driver, &wanted.handle)).await;
        if !asked.again || republish {
            self.give(&driver, &object, &wanted, (asked, tokens)).await?;
        }
        if grows {
            self.expand(&driver, &wanted, &given.path).await?;
        }
        Ok(given)
    }

    /// What the driver's object says, if it makes such volumes.
    async fn driver_object(&self, wanted: &Wanted) -> Result<CSIDriverSpec, CsiError> {
        let api: Api<CSIDriver> = Api::all(self.client.clone());
        let failed =
            |source| CsiError::Api { what: format!("CSIDriver {}", wanted.driver), source: Box::new(source) };
        let found = api.get_opt(&wanted.driver).await.map_err(failed)?;
        let mode = if wanted.is_ephemeral() { "Ephemeral" } else { "Persistent" };
        let refuse = |why| CsiError::Lifecycle { mode, driver: wanted.driver.clone(), why };
        let Some(found) = found else {
            let unknown = CSIDriverSpec::default();
            return if wanted.is_ephemeral() { Err(refuse("no CSIDriver object")) } else { Ok(unknown) };
        };
        let modes = found.spec.volume_lifecycle_modes.as_deref().unwrap_or_default();
        let fits = if modes.is_empty() { mode == "Persistent" } else { modes.iter().any(|one| one == mode) };
        if fits { Ok(found.spec) } else { Err(refuse("only supports others, as its CSIDriver says")) }
    }

    /// Attaches, stages and publishes the volume.
    async fn give(
        &self,
        driver: &Driver,
        object: &CSIDriverSpec,
        wanted: &Wanted,
        (asked, tokens): (&Asked<'_>, &Tokens),
    ) -> Result<(), CsiError> {
        let uid = asked.pod.metadata.uid.as_deref().unwrap_or_default();
        let stages = !wanted.is_ephemeral() && driver.can(Capability::StageUnstageVolume);
        let is_attached = !wanted.is_ephemeral() && object.attach_required != Some(false);
        let record = Record {
            driver_name: wanted.driver.clone(),
            volume_handle: wanted.handle.clone(),
            name: wanted.name.clone(),
            attachment: is_attached.then(|| csi::attachment_name(&wanted.driver, &wanted.handle, &self.node)),
            staging: stages.then(|| self.records.staging(wanted)),
            is_block: wanted.is_block,
            claim: wanted.persistent.as_ref().and_then(|(claim, _)| claim.name.clone()),
        };
        // From here on the pod has to give something back, were it that the volume stays attached.
        self.records.write(uid, &record)?;
        let publish_context = match &record.attachment {
            Some(attachment) => {
                let attached = asked.ending.run_until_cancelled(self.attached(&record, attachment));
                attached.await.unwrap_or_else(|| Err(CsiError::Ending(wanted.name.clone())))?
            }
            None => BTreeMap::new(),
        };
        let group = asked.group.filter(|_| driver.can(Capability::VolumeMountGroup));
        let capability = wanted.capability(driver.can(Capability::SingleNodeMultiWriter), group);
        if let Some(staging) =
            record.staging.as_ref().filter(|staging| !self.staged.lock().contains(*staging))
        {
            records::make(staging)?;
            let request = StageRequest {
                volume_id: wanted.handle.clone(),
                publish_context: publish_context.clone(),
                staging_target_path: text(staging),
                volume_capability: Some(capability.clone()),
                secrets: self.secret(wanted.stage_secret.as_ref()).await?,
                volume_context: wanted.attributes.clone(),
            };
            driver.stage(&request).await?;
            self.staged.lock().insert(staging.clone());
        }
        let target = self.records.target(uid, &wanted.name, wanted.is_block);
        // The driver makes the target itself, in a directory that is there.
        target.parent().map_or(Ok(()), records::make)?;
        let mut request = PublishRequest {
            volume_id: wanted.handle.clone(),
            publish_context,
            staging_target_path: record.staging.as_deref().map(text).unwrap_or_default(),
            target_path: text(&target),
            volume_capability: Some(capability),
            readonly: wanted.read_only,
            secrets: self.secret(wanted.publish_secret.as_ref()).await?,
            volume_context: wanted.attributes.clone(),
        };
        if object.pod_info_on_mount == Some(true) {
            request.volume_context.extend(volume_context::of_pod(asked.pod, wanted.is_ephemeral()));
        }
        let tokens = volume_context::tokens(asked.pod, object, tokens).await?;
        if object.service_account_token_in_secrets == Some(true) {
            request.secrets.extend(tokens);
        } else {
            request.volume_context.extend(tokens);
        }
        driver.publish(&request).await?;
        let owner = asked.group.filter(|_| group.is_none());
        if owner.is_some() && wanted.is_owned_by_group(object.fs_group_policy.as_deref()) {
            // What was given once is the pod's own to change.
            let when = if asked.again { GroupChange::OnRootMismatch } else { group_change(asked.pod) };
            give_to_group(target, owner, when).await?;
        }
        Ok(())
    }

    /// Has the volume named as in use, and waits until it is attached; what its driver told about that.
    async fn attached(
        &self,
        record: &Record,
        attachment: &str,
    ) -> Result<BTreeMap<String, String>, CsiError> {
        let volume = csi::unique_name(&record.driver_name, &record.volume_handle);
        self.in_use.add(&volume);
        if tokio::time::timeout(TELLING, self.in_use.told(&volume)).await.is_err() {
            return Err(CsiError::NotTold(volume));
        }
        attachment::wait(&self.client, attachment).await
    }

    async fn secret(&self, name: Option<&SecretReference>) -> Result<BTreeMap<String, String>, CsiError> {
        let Some(SecretReference { name: Some(name), namespace }) = name else { return Ok(BTreeMap::new()) };
        let namespace = namespace.as_deref().unwrap_or_default();
        let failed =
            |source| CsiError::Api { what: format!("Secret {namespace}/{name}"), source: Box::new(source) };
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let data = api.get(name).await.map_err(failed)?.data.unwrap_or_default();
        let text = |ByteString(bytes)| String::from_utf8_lossy(&bytes).into_owned();
        Ok(data.into_iter().map(|(key, value)| (key, text(value))).collect())
    }

    /// Lets the file system on the volume grow, if its claim waits for that.
    async fn expand(&self, driver: &Driver, wanted: &Wanted, path: &Path) -> Result<(), CsiError> {
        let Some((claim, size)) = &wanted.persistent else { return Ok(()) };
        let (namespace, name) = (claim.namespace.as_deref(), claim.name.as_deref());
        let claim =
            Claim::read(&self.client, namespace.unwrap_or_default(), name.unwrap_or_default()).await?;
        if !claim.is_to_grow(*size) || wanted.read_only {
            return Ok(());
        }
        let bytes = i64::try_from(size.value()).unwrap_or(i64::MAX);
        let staging = driver.can(Capability::StageUnstageVolume).then(|| self.records.staging(wanted));
        let request = ExpandRequest {
            volume_id: wanted.handle.clone(),
            volume_path: text(path),
            capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            staging_target_path: staging.as_deref().map(text).unwrap_or_default(),
            volume_capability: Some(wanted.capability(driver.can(Capability::SingleNodeMultiWriter), None)),
            secrets: self.secret(wanted.expand_secret.as_ref()).await?,
        };
        driver.expand(&request).await?;
        claim.has_grown(*size).await
    }

    /// Takes all volumes of drivers from the pod.
    pub(crate) async fn tear_down(&self, uid: &str) -> Result<(), CsiError> {
        for record in self.records.of_pod(uid)? {
            let volume = csi::unique_name(&record.driver_name, &record.volume_handle);
            let _alone = self.locks.lock(&volume).await;
            let driver = self.driver(&record.driver_name)?;
            let target = self.records.target(uid, &record.name, record.is_block);
            let request =
                UnpublishRequest { volume_id: record.volume_handle.clone(), target_path: text(&target) };
            driver.unpublish(&request).await?;
            let users = self.records.users(&record.driver_name, &record.volume_handle);
            if users.iter().all(|user| user == uid) {
                self.let_go(&driver, &record).await?;
                self.in_use.remove(&volume);
            }
            self.records.forget(uid, &record)?;
        }
        Ok(())
    }

    /// Undoes what was done for all pods of the node.
    async fn let_go(&self, driver: &Driver, record: &Record) -> Result<(), CsiError> {
        let Some(staging) = &record.staging else { return Ok(()) };
        self.staged.lock().remove(staging);
        let request =
            UnstageRequest { volume_id: record.volume_handle.clone(), staging_target_path: text(staging) };
        driver.unstage(&request).await?;
        Ok(self.records.remove_staging(staging)?)
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
