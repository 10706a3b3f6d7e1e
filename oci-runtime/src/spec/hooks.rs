//! Programs of the node that the OCI runtime runs at stages of a container's life.

use oci_spec::OciSpecError;
use oci_spec::runtime::{self, HookBuilder, Hooks, HooksBuilder};
use wherry_runtime_api::{Hook, HookStage};

/// All of them, by stage; `None` if there are none.
pub(super) fn of(hooks: &[Hook]) -> Result<Option<Hooks>, OciSpecError> {
    if hooks.is_empty() {
        return Ok(None);
    }
    let at = |stages: &[HookStage]| -> Result<Vec<runtime::Hook>, OciSpecError> {
        hooks.iter().filter(|hook| stages.contains(&hook.stage)).map(written).collect()
    };
    let all = HooksBuilder::default()
        // The specification has one moment for both.
        .create_runtime(at(&[HookStage::Prestart, HookStage::CreateRuntime])?)
        .create_container(at(&[HookStage::CreateContainer])?)
        .start_container(at(&[HookStage::StartContainer])?)
        .poststart(at(&[HookStage::Poststart])?)
        .poststop(at(&[HookStage::Poststop])?)
        .build()?;
    Ok(Some(all))
}

fn written(hook: &Hook) -> Result<runtime::Hook, OciSpecError> {
    let mut written =
        HookBuilder::default().path(&hook.path).args(hook.args.clone()).env(hook.env.clone()).build()?;
    written.set_timeout(hook.timeout.and_then(|timeout| i64::try_from(timeout.as_secs()).ok()));
    Ok(written)
}
