//! Makes the image of a container ready: decides by policy, pulls, chooses the runtime, lets it prepare.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::jobs::{Refusal, forced_handler, namespace, uid};
use super::memory::PreparedImage;
use super::specs::field_path;
use crate::context::{Context, chain};
use crate::events::{Happening, Severity};
use crate::images::providers::Asker;
use crate::images::{
    Account, Image, ImageReference, PullDecision, PullError, PullPolicy, Rejected, Selection, credentials,
    should_pull,
};
use crate::runtimes::{Forced, Handler};

pub(super) const PULL_FAILED: &str = "ErrImagePull";
/// Nobody who is trusted signed the image.
pub(super) const UNSIGNED: &str = "SignatureValidationFailed";
const CREATE_FAILED: &str = "CreateContainerError";
/// Bytes of imports that a message lists; events have at most 1024, with the image's name.
const MOST_SAID: usize = 800;

/// Makes the image of the container ready.
pub(super) async fn run(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
) -> Result<Arc<PreparedImage>, Refusal> {
    let teller = Teller { ctx, pod, field_path: field_path(pod, &container.name) };
    let forced = forced_handler(ctx, pod).await.map_err(|cause| no_sandbox(ctx, pod, &cause))?;
    let name = container.image.as_deref().unwrap_or_default();
    let reference = teller.reference(name)?;
    let policy = PullPolicy::of(container.image_pull_policy.as_deref(), &reference);
    let image = teller.fetch(name, &reference, policy, selection(ctx, forced)).await?;
    let content = ctx.images.content(&image).map_err(|error| (CREATE_FAILED, chain(&error)))?;
    let handler = Handler::of(&content);
    if let Some(Forced { handler: forced, .. }) = forced.filter(|forced| forced.handler != handler) {
        let message = format!(
            "the RuntimeClass asks for {forced}, but image {name:?} is for {handler}: use an image for {forced} or another RuntimeClass",
        );
        return Err(teller.refuse(CREATE_FAILED, message));
    }
    let program = forced.and_then(|forced| forced.program);
    check_runtime(ctx, pod, handler, program).await?;
    let runtime = ctx.runtimes.get(handler);
    let prepared = runtime.prepare_image(&content).await;
    prepared.map_err(|error| teller.refuse(CREATE_FAILED, chain(&error)))?;
    let imports =
        runtime.imports(&content).await.map_err(|error| teller.refuse(CREATE_FAILED, chain(&error)))?;
    if !imports.is_empty() {
        teller.tell(Severity::Normal, "Inspected", imported(name, &imports));
    }
    Ok(Arc::new(PreparedImage {
        content,
        handler,
        program,
        image_id: image.repo_digest.clone(),
        default_args: image.default_args.clone(),
    }))
}

/// What an image imports; as much of it as an event can say.
fn imported(image: &str, imports: &[String]) -> String {
    let mut said = 0;
    let fits = |import: &&String| {
        said += import.len() + ", ".len();
        said <= MOST_SAID
    };
    let listed = imports.iter().take_while(fits).count();
    let names = imports[..listed].join(", ");
    match imports.len() - listed {
        0 => format!("Image {image:?} imports {names}"),
        more => format!("Image {image:?} imports {names} and {more} more"),
    }
}

/// Whether such containers can run on this node at all.
async fn check_runtime(
    ctx: &Context,
    pod: &Pod,
    handler: Handler,
    program: Option<&str>,
) -> Result<(), Refusal> {
    let cause = if handler == Handler::Runc && !ctx.has_namespaces {
        "this node runs only WebAssembly: its pods have loopback addresses and no network namespaces; \
         start it as root with --network bridge to run OCI images"
            .to_owned()
    } else {
        let runtime = ctx.runtimes.get(handler);
        let ready = match program {
            Some(program) => runtime.ready_with(program).await,
            None => runtime.ready().await,
        };
        match ready {
            Ok(()) => return Ok(()),
            Err(error) => chain(&error),
        }
    };
    Err(no_sandbox(ctx, pod, &cause))
}

/// Tells the pod that there is nothing its containers could run in.
fn no_sandbox(ctx: &Context, pod: &Pod, cause: &str) -> Refusal {
    let message = format!("Failed to create pod sandbox: {cause}");
    ctx.events.pod(pod, Happening::of_pod(Severity::Warning, "FailedCreatePodSandBox", message.clone()));
    (CREATE_FAILED, message)
}

/// Which image of an index fits here.
fn selection(ctx: &Context, forced: Option<Forced>) -> Selection {
    match forced.map(|forced| forced.handler) {
        Some(Handler::Wasmtime) => Selection::Wasm,
        Some(Handler::Runc) => Selection::Native,
        None if ctx.has_namespaces => Selection::NativeFirst,
        None => Selection::WasmFirst,
    }
}

/// Fetches images for a pod, and tells it what becomes of that.
pub(super) struct Teller<'a> {
    pub(super) ctx: &'a Context,
    pub(super) pod: &'a Pod,
    /// What of the pod it is about.
    pub(super) field_path: String,
}

impl Teller<'_> {
    fn tell(&self, severity: Severity, reason: &'static str, message: String) {
        let field_path = self.field_path.clone();
        self.ctx.events.pod(self.pod, Happening { field_path, severity, reason, message });
    }

    fn refuse(&self, reason: &'static str, message: String) -> Refusal {
        self.tell(Severity::Warning, "Failed", format!("Error: {message}"));
        (reason, message)
    }

    /// The name of an image, made complete.
    pub(super) fn reference(&self, name: &str) -> Result<ImageReference, Refusal> {
        ImageReference::parse(name).map_err(|error| {
            self.tell(Severity::Warning, "InspectFailed", error.to_string());
            self.tell(Severity::Warning, "Failed", "Error: InvalidImageName".to_owned());
            ("InvalidImageName", error.to_string())
        })
    }

    /// The image, from the disk or from its registry as the policy says.
    pub(super) async fn fetch(
        &self,
        name: &str,
        reference: &ImageReference,
        policy: PullPolicy,
        selection: Selection,
    ) -> Result<Arc<Image>, Refusal> {
        let present = self.ctx.images.lookup(reference, selection);
        let rejected = present.as_ref().and_then(|image| self.ctx.images.check(reference, image).err());
        // Its signatures may be where it came from.
        let present = present.filter(|_| rejected.is_none());
        match (should_pull(policy, present.is_some()), present) {
            (PullDecision::Use, Some(image)) => {
                let message = format!("Container image {name:?} already present on machine");
                self.tell(Severity::Normal, "Pulled", message);
                Ok(image)
            }
            (PullDecision::Refuse, _) | (PullDecision::Use, None) => {
                if let Some(rejected) = rejected {
                    return Err(self.unsigned(name, &rejected));
                }
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                self.tell(Severity::Warning, "ErrImageNeverPull", message.clone());
                self.tell(Severity::Warning, "Failed", "Error: ErrImageNeverPull".to_owned());
                Err(("ErrImageNeverPull", message))
            }
            (PullDecision::Pull, _) => self.pull(name, reference, selection).await,
        }
    }

    async fn pull(
        &self,
        name: &str,
        reference: &ImageReference,
        selection: Selection,
    ) -> Result<Arc<Image>, Refusal> {
        self.tell(Severity::Normal, "Pulling", format!("Pulling image {name:?}"));
        let began = self.ctx.clock.now();
        let auth = self.auth(reference).await;
        match self.ctx.images.pull(reference, selection, auth).await {
            Ok(image) => {
                let took = shown(began, self.ctx.clock.now());
                let message = format!(
                    "Successfully pulled image {name:?} in {took} ({took} including waiting). Image size: {} bytes.",
                    image.size
                );
                self.tell(Severity::Normal, "Pulled", message);
                Ok(image)
            }
            Err(error) => {
                if let PullError::Signature(rejected) = &*error {
                    return Err(self.unsigned(name, rejected));
                }
                let message = chain(&*error);
                self.tell(Severity::Warning, "Failed", format!("Failed to pull image {name:?}: {message}"));
                self.tell(Severity::Warning, "Failed", format!("Error: {PULL_FAILED}"));
                Err((PULL_FAILED, message))
            }
        }
    }

    /// The image may not run, in kubelet's words.
    fn unsigned(&self, name: &str, rejected: &Rejected) -> Refusal {
        let message =
            format!("image pull failed for {name} because the signature validation failed: {rejected}");
        let told = format!("Failed to pull image {name:?}: {UNSIGNED}: {rejected}");
        self.tell(Severity::Warning, "Failed", told);
        self.tell(Severity::Warning, "Failed", format!("Error: {UNSIGNED}"));
        (UNSIGNED, message)
    }

    /// The first credentials of the pod's pull secrets that are for the registry, else those that a plugin knows.
    async fn auth(&self, reference: &ImageReference) -> Account {
        let secrets = self.pod.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
        for secret in secrets.into_iter().flatten() {
            let object = self.ctx.objects.secret(uid(self.pod), namespace(self.pod), &secret.name).await;
            if let Ok(Some(object)) = object {
                if let Some(auth) = credentials(&object, reference.registry()) {
                    return auth;
                }
            } else {
                let message = format!(
                    "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                    secret.name
                );
                let happening =
                    Happening::of_pod(Severity::Warning, "FailedToRetrieveImagePullSecret", message);
                self.ctx.events.pod(self.pod, happening);
            }
        }
        let image = format!("{}/{}", reference.registry(), reference.repository());
        let asker = Asker { pod: self.pod, tokens: &self.ctx.tokens, clock: &*self.ctx.clock };
        let known = self.ctx.credential_providers.account(&image, &asker).await;
        known.unwrap_or(Account::Nobody)
    }
}

/// `12ms`, `3.204s`, as Go prints durations rounded to milliseconds.
fn shown(began: Timestamp, ended: Timestamp) -> String {
    let took: Duration = ended.duration_since(began).unsigned_abs();
    let millis = took.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
    format!("{}s", seconds.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_listed_as_far_as_an_event_can_say_them() {
        let names = |count: usize| {
            (0..count).map(|n| format!("wasi:some/interface-{n:02}@0.2.0")).collect::<Vec<_>>()
        };
        assert_eq!(imported("a", &names(1)), "Image \"a\" imports wasi:some/interface-00@0.2.0");
        let many = imported("a", &names(99));
        assert!(many.len() <= 1024 && many.ends_with(" more"), "{many}");
        let listed = many.matches("wasi:").count();
        assert!(many.ends_with(&format!(" and {} more", 99 - listed)), "{many}");
    }

    #[test]
    fn durations_are_shown_as_go_shows_them() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let cases = [(0, "0ms"), (12, "12ms"), (1000, "1s"), (3204, "3.204s"), (61_500, "61.5s")];
        for (millis, expected) in cases {
            assert_eq!(shown(at(0), at(millis)), expected);
        }
    }
}
