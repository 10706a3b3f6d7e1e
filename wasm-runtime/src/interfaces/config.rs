//! `wasi:config/store`: the container's environment variables, which Pods fill from ConfigMaps and Secrets.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Linker, Lower};

use crate::guest::Guest;

const STORE: &str = "wasi:config/store@0.2.0-rc.1";

#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface has failures that variables cannot have")]
enum Failure {
    #[component(name = "upstream")]
    Upstream(String),
    #[component(name = "io")]
    Io(String),
}

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    let mut store = linker.instance(STORE)?;
    store.func_wrap("get", |store: StoreContextMut<'_, Guest>, (key,): (String,)| {
        Ok((Ok::<_, Failure>(store.data().environment.variables.get(&key).cloned()),))
    })?;
    store.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (): ()| {
        Ok((Ok::<_, Failure>(store.data().environment.variables.all().clone()),))
    })
}
