//! `wasi:cli/environment`, told from what all instances of a container have in common: one that does not ask costs nothing, however
//! many variables there are.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::guest::Guest;

/// The interface as `wasmtime_wasi` names it; guests of any 0.2 are linked to it.
const ENVIRONMENT: &str = "wasi:cli/environment@0.2.12";

/// Replaces the interface in `linker`.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut environment = linker.instance(ENVIRONMENT)?;
    environment.func_wrap("get-environment", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Arc::clone(&store.data().variables),))
    })?;
    environment.func_wrap("get-arguments", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Arc::clone(&store.data().arguments),))
    })?;
    environment.func_wrap("initial-cwd", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((store.data().working_dir.clone(),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
