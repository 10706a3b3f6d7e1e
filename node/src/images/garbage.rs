//! Images that go when the disk gets full or nobody used them for long: kubelet's image garbage collection.
//!
//! # Flow
//! Every five minutes: what containers have is noted as used; images that were unused for longer than the maximum age go;
//! and if the disk is as full as the high threshold says, unused ones go, the least recently used first, until it is below
//! the low one.
//!
//! A node that is short of disk removes all that nothing uses at once ([`reclaim`]).
//!
//! # Guarantees
//! What a container has, what was pinned or imported, and what came less than the minimum age ago stays.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::control::RemovedImage;
use super::reference::ImageReference;
use super::{Keep, NamedImage, StoreError};
use crate::context::{Context, chain};
use crate::events::{Happening, Severity};

const PERIOD: Duration = Duration::from_mins(5);

/// When images go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageLimits {
    high: u8,
    low: u8,
    /// How long an image stays at least.
    minimum_age: Duration,
    /// How long one stays that nothing uses; zero is for ever.
    maximum_age: Duration,
}

/// Limits that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--image-gc-low-threshold {low} must be below --image-gc-high-threshold {high}, and both between 0 and 100"
)]
pub struct GarbageError {
    high: u8,
    low: u8,
}

impl Default for ImageLimits {
    fn default() -> Self {
        Self { high: 85, low: 80, minimum_age: Duration::from_mins(2), maximum_age: Duration::ZERO }
    }
}

impl ImageLimits {
    /// Collects at `high` percent of the disk, down to `low`.
    pub fn new(
        (high, low): (u8, u8),
        minimum_age: Duration,
        maximum_age: Duration,
    ) -> Result<Self, GarbageError> {
        if high > 100 || low >= high {
            return Err(GarbageError { high, low });
        }
        Ok(Self { high, low, minimum_age, maximum_age })
    }

    /// The bytes to free of a disk.
    fn excess(&self, disk: Disk) -> u64 {
        let share = |percent: u8| disk.size / 100 * u64::from(percent);
        let used = disk.size.saturating_sub(disk.available);
        // A threshold of 100 never collects, as with kubelet.
        if self.high == 100 || disk.size == 0 || used < share(self.high) {
            return 0;
        }
        used - share(self.low)
    }
}

/// The disk that images are on.
#[derive(Clone, Copy, Debug)]
struct Disk {
    size: u64,
    available: u64,
}

impl Disk {
    fn of(path: &Path) -> Result<Self, StoreError> {
        let stat = rustix::fs::statvfs(path)
            .map_err(|error| StoreError::io("measure the disk of", path, error.into()))?;
        Ok(Self { size: stat.f_blocks * stat.f_frsize, available: stat.f_bavail * stat.f_frsize })
    }
}

/// Since when an image is known, and when something last used it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    first: Timestamp,
    used: Option<Timestamp>,
}

/// An image that nothing uses.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unused {
    id: String,
    size: u64,
    first: Timestamp,
    used: Option<Timestamp>,
}

/// When images go, and what is remembered of them between two rounds.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    limits: ImageLimits,
    seen: Mutex<HashMap<String, Seen>>,
}

impl Garbage {
    /// Nothing is known of images yet.
    pub(crate) fn new(limits: ImageLimits) -> Self {
        Self { limits, seen: Mutex::default() }
    }
}

/// Removes images as the limits say, until `shutdown`.
pub(crate) async fn collect(ctx: Arc<Context>, root: PathBuf, shutdown: CancellationToken) {
    loop {
        if let Err(error) = round(&ctx, &root).await {
            tracing::warn!(error = %chain(&error), "images cannot be collected");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn round(ctx: &Context, root: &Path) -> Result<(), StoreError> {
    let (now, limits) = (ctx.clock.now(), ctx.garbage.limits);
    let unused = unused(ctx, now);
    let old = too_old(&unused, limits, now);
    let mut freed = remove(ctx, &old).await?;
    let excess = limits.excess(Disk::of(root)?);
    if excess == 0 {
        return Ok(());
    }
    let rest: Vec<Unused> = unused.into_iter().filter(|image| !old.contains(image)).collect();
    freed += remove(ctx, &to_free(rest, limits, now, excess)).await?;
    if freed < excess {
        let message = format!(
            "Failed to garbage collect required amount of images. Attempted to free {excess} bytes, but only found {freed} \
             bytes eligible to free."
        );
        ctx.events.node(&ctx.node_name, Happening::of_pod(Severity::Warning, "FreeDiskSpaceFailed", message));
    }
    Ok(())
}

/// Removes all images that nothing uses and that need not stay, because the node is short of disk; the bytes that this freed.
pub(crate) async fn reclaim(ctx: &Context) -> Result<u64, StoreError> {
    let now = ctx.clock.now();
    remove(ctx, &to_free(unused(ctx, now), ctx.garbage.limits, now, u64::MAX)).await
}

/// Why an image that somebody wanted gone stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoveError {
    /// There is none of this name.
    #[error("there is no image {0:?} on this node")]
    Missing(String),
    /// A container or a volume has it.
    #[error("image {0:?} is in use by Pods of this node: delete them first")]
    InUse(String),
    /// Somebody said that it stays.
    #[error("image {0:?} is pinned: unpin it first, or use --force")]
    Pinned(String),
    /// It could not be removed.
    #[error("cannot remove the image")]
    Store(#[from] StoreError),
}

/// Removes the image of this name or digest, by all its names, if nothing uses it.
pub(super) async fn remove_named(
    ctx: &Context,
    name: &str,
    force: bool,
) -> Result<RemovedImage, RemoveError> {
    let full = ImageReference::parse(name).map(|reference| reference.full_name()).unwrap_or_default();
    let wanted = |named: &NamedImage| named.image.id() == name || named.names.contains(&full);
    let found = ctx.images.all().into_iter().find(wanted);
    let found = found.ok_or_else(|| RemoveError::Missing(name.to_owned()))?;
    if found.image.keep == Keep::Pinned && !force {
        return Err(RemoveError::Pinned(name.to_owned()));
    }
    match remove_unused(ctx, found.image.id()).await? {
        Some(freed) => Ok(RemovedImage { names: found.names.into_iter().collect(), freed }),
        None => Err(RemoveError::InUse(name.to_owned())),
    }
}

/// Removes all images that nothing uses and that need not stay, however new they are.
pub(super) async fn prune(ctx: &Context) -> Result<Vec<RemovedImage>, StoreError> {
    let mut removed = Vec::new();
    for named in ctx.images.all().into_iter().filter(|named| named.image.keep == Keep::No) {
        if let Some(freed) = remove_unused(ctx, named.image.id()).await? {
            removed.push(RemovedImage { names: named.names.into_iter().collect(), freed });
        }
    }
    Ok(removed)
}

/// Notes what is used, and tells what is not: the least recently used first.
fn unused(ctx: &Context, now: Timestamp) -> Vec<Unused> {
    let in_use = in_use(ctx);
    let images = ctx.images.all();
    let mut seen = ctx.garbage.seen.lock();
    seen.retain(|id, _| images.iter().any(|named| named.image.id() == id));
    let mut unused = Vec::new();
    for named in &images {
        let (id, image) = (named.image.id(), &named.image);
        let entry = seen.entry(id.to_owned()).or_insert(Seen { first: now, used: None });
        if in_use.contains(id) {
            entry.used = Some(now);
        } else if image.keep == Keep::No {
            unused.push(Unused { id: id.to_owned(), size: image.size, first: entry.first, used: entry.used });
        }
    }
    unused.sort_by_key(|image| (image.used, image.first));
    unused
}

/// What containers have, and what volumes show.
fn in_use(ctx: &Context) -> BTreeSet<String> {
    let mut images = ctx.containers.images();
    images.append(&mut ctx.volumes.images());
    images
}

fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    now.duration_since(earlier).try_into().unwrap_or_default()
}

fn too_old(unused: &[Unused], limits: ImageLimits, now: Timestamp) -> Vec<Unused> {
    let is_old = |image: &&Unused| since(image.used.unwrap_or(image.first), now) > limits.maximum_age;
    unused.iter().filter(|image| !limits.maximum_age.is_zero() && is_old(image)).cloned().collect()
}

/// Enough of the images to free so much, if there is enough.
fn to_free(unused: Vec<Unused>, limits: ImageLimits, now: Timestamp, excess: u64) -> Vec<Unused> {
    let mut sum = 0;
    let settled = unused.into_iter().filter(|image| since(image.first, now) >= limits.minimum_age);
    let until_enough = settled.take_while(|image| {
        let enough = sum >= excess;
        sum += image.size;
        !enough
    });
    until_enough.collect()
}

/// Removes the images, but for those that came into use meanwhile.
async fn remove(ctx: &Context, images: &[Unused]) -> Result<u64, StoreError> {
    let mut freed = 0;
    for image in images {
        freed += remove_unused(ctx, &image.id).await?.unwrap_or(0);
    }
    Ok(freed)
}

/// Removes the image of this id unless something uses it; the bytes that this freed.
async fn remove_unused(ctx: &Context, id: &str) -> Result<Option<u64>, StoreError> {
    if in_use(ctx).contains(id) {
        return Ok(None);
    }
    for (handler, runtime) in ctx.runtimes.all() {
        if let Err(error) = runtime.forget_image(id).await {
            tracing::warn!(image = id, %handler, error = %chain(&error), "an unpacked image stays");
        }
    }
    let freed = ctx.images.remove(id)?;
    tracing::info!(image = id, freed, "removed an image that nothing uses");
    Ok(Some(freed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn image(id: &str, size: u64, first: i64, used: Option<i64>) -> Unused {
        Unused { id: id.to_owned(), size, first: at(first), used: used.map(at) }
    }

    fn ids(images: &[Unused]) -> Vec<&str> {
        images.iter().map(|image| image.id.as_str()).collect()
    }

    #[test]
    fn thresholds_are_shares_of_the_disk() {
        let excess = |high, low, available| {
            let limits = ImageLimits::new((high, low), Duration::ZERO, Duration::ZERO).unwrap();
            limits.excess(Disk { size: 1000, available })
        };
        assert_eq!([151, 150, 0].map(|available| excess(85, 80, available)), [0, 50, 200]);
        assert_eq!(excess(100, 80, 0), 0);
        let error = ImageLimits::new((80, 80), Duration::ZERO, Duration::ZERO).unwrap_err().to_string();
        assert!(
            error.contains("--image-gc-low-threshold 80 must be below --image-gc-high-threshold 80"),
            "{error}"
        );
    }

    #[test]
    fn enough_goes_and_what_came_lately_stays() {
        let limits = ImageLimits::default();
        let unused =
            vec![image("new", 9, 950, None), image("old", 5, 0, None), image("used", 5, 0, Some(900))];
        let chosen = |excess| to_free(unused.clone(), limits, at(1000), excess);
        assert_eq!(ids(&chosen(5)), ["old"]);
        assert_eq!(ids(&chosen(6)), ["old", "used"]);
        assert_eq!(ids(&chosen(99)), ["old", "used"]);
    }

    #[test]
    fn what_nobody_used_for_long_goes_if_there_is_a_maximum() {
        let unused = [image("a", 1, 0, None), image("b", 1, 0, Some(950))];
        let old = |age| {
            let limits = ImageLimits::new((85, 80), Duration::ZERO, Duration::from_secs(age)).unwrap();
            ids(&too_old(&unused, limits, at(1000))).iter().map(|id| (*id).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(old(100), ["a"]);
        assert_eq!(old(10), ["a", "b"]);
        assert!(old(0).is_empty());
    }
}
