//! Volumes that show what is in an image: fetched as a container's would be, its layers mounted as one directory.
//!
//! Which image a volume shows is written down before it is mounted, so that nobody takes it for unused.

use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod};
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::ImageContent;

use super::image_job::Teller;
use super::jobs::{Refusal, VolumeRefusal, uid};
use crate::context::{Context, chain};
use crate::images::{PullPolicy, Selection};
use crate::runtimes::Handler;
use crate::volumes::Volumes;

/// Mounts those of the pod that are not mounted yet, and adds all to its volumes.
pub(super) async fn mount(
    ctx: &Context,
    pod: &Pod,
    volumes: &mut Volumes,
    ending: &CancellationToken,
) -> Result<(), VolumeRefusal> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some(source) = &volume.image else { continue };
        let place = ctx.volumes.image_volume(uid(pod), &volume.name);
        if !place.is_mounted() {
            let failed = |cause: String| {
                let name = &volume.name;
                VolumeRefusal::mount(format!("MountVolume.SetUp failed for volume {name:?}: {cause}"))
            };
            // A pull may take long; a mount under way must not be left alone.
            let fetched = ending.run_until_cancelled(fetch(ctx, pod, source)).await;
            let fetched = fetched.unwrap_or_else(|| Err(Unfetched::Other("the pod is ending".to_owned())));
            let content = fetched.map_err(|why| match why {
                Unfetched::Image(refusal) => VolumeRefusal { refusal, image_of: Some(volume.name.clone()) },
                Unfetched::Other(cause) => failed(cause),
            })?;
            let ImageContent::Oci { digest, .. } = &content else {
                return Err(failed(
                    "the image is a WebAssembly binary, and volumes show OCI images only".to_owned(),
                ));
            };
            place.prepare(digest).map_err(|error| failed(chain(&error)))?;
            let mounted = ctx.runtimes.get(Handler::Runc).mount_image(&content, place.path()).await;
            mounted.map_err(|error| failed(chain(&error)))?;
        }
        volumes.add_image(&volume.name, place.path());
    }
    Ok(())
}

/// Why the image of a volume is not here.
enum Unfetched {
    /// Containers that mount the volume wait as for an image of their own.
    Image(Refusal),
    /// It is something else.
    Other(String),
}

impl From<Refusal> for Unfetched {
    fn from(refusal: Refusal) -> Self {
        Self::Image(refusal)
    }
}

async fn fetch(ctx: &Context, pod: &Pod, source: &ImageVolumeSource) -> Result<ImageContent, Unfetched> {
    let name = source.reference.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(Unfetched::Other("it names no image: set its reference".to_owned()));
    }
    let runtime = ctx.runtimes.get(Handler::Runc);
    runtime.ready().await.map_err(|error| Unfetched::Other(chain(&error)))?;
    let teller = Teller { ctx, pod, field_path: String::new() };
    let reference = teller.reference(name)?;
    let policy = PullPolicy::of(source.pull_policy.as_deref(), &reference);
    let image = teller.fetch(name, &reference, policy, Selection::Native).await?;
    ctx.images.content(&image).map_err(|error| Unfetched::Other(chain(&error)))
}
