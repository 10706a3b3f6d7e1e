//! Volumes that show what is in an image: fetched as a container's would be, its layers mounted as one directory.
//!
//! Which image a volume shows is written down before it is mounted, so that nobody takes it for unused.

use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod};
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::ImageContent;

use super::image_job::Teller;
use super::jobs::uid;
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
) -> Result<(), String> {
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let Some(source) = &volume.image else { continue };
        let place = ctx.volumes.image_volume(uid(pod), &volume.name);
        if !place.is_mounted() {
            let failed =
                |cause: String| format!("MountVolume.SetUp failed for volume {:?}: {cause}", volume.name);
            // A pull may take long; a mount under way must not be left alone.
            let fetched = ending.run_until_cancelled(fetch(ctx, pod, source)).await;
            let content = fetched.unwrap_or_else(|| Err("the pod is ending".to_owned())).map_err(failed)?;
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

async fn fetch(ctx: &Context, pod: &Pod, source: &ImageVolumeSource) -> Result<ImageContent, String> {
    let name = source.reference.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err("it names no image: set its reference".to_owned());
    }
    let runtime = ctx.runtimes.get(Handler::Runc);
    runtime.ready().await.map_err(|error| chain(&error))?;
    let teller = Teller { ctx, pod, field_path: String::new() };
    let refused = |(reason, message)| format!("{reason}: {message}");
    let reference = teller.reference(name).map_err(refused)?;
    let policy = PullPolicy::of(source.pull_policy.as_deref(), &reference);
    let image = teller.fetch(name, &reference, policy, Selection::Native).await.map_err(refused)?;
    ctx.images.content(&image).map_err(|error| chain(&error))
}
