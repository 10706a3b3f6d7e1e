//! `wasi:cli/environment`, told from what all instances of a container have in common: one that does not ask costs nothing, however
//! many variables there are.

use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::guest::Guest;

/// The interfaces as `wasmtime_wasi` names them, with the one function that has another name in each; guests of any 0.2 are linked to the first.
const ENVIRONMENT: (&str, &str) = ("wasi:cli/environment@0.2.12", "initial-cwd");
const ENVIRONMENT_P3: (&str, &str) = ("wasi:cli/environment@0.3.0", "get-initial-cwd");

/// Replaces the interface in `linker`.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    replace(linker, ENVIRONMENT)
}

/// Replaces that of WASI 0.3.
pub(crate) fn link_p3(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    replace(linker, ENVIRONMENT_P3)
}

fn replace(linker: &mut Linker<Guest>, (interface, cwd): (&str, &str)) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut environment = linker.instance(interface)?;
    environment.func_wrap("get-environment", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Arc::clone(store.data().environment.variables.all()),))
    })?;
    environment.func_wrap("get-arguments", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Arc::clone(&store.data().arguments),))
    })?;
    environment.func_wrap(cwd, |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((store.data().environment.working_dir.clone(),))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
