//! Interfaces that components can import beside those that `wasmtime_wasi` brings, or in place of them. None of them reaches anybody
//! else, so none needs leave.
//!
//! Each file links one, and holds what that keeps for a container or its Pod.

pub(crate) mod blobs;
pub(crate) mod config;
pub(crate) mod environment;
mod journal;
pub(crate) mod keyvalue;
mod logging;
pub(crate) mod stores;

use wasmtime::component::Linker;

use crate::guest::Guest;

/// Adds them all.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    blobs::link(linker)?;
    config::link(linker)?;
    environment::link(linker)?;
    keyvalue::link(linker)?;
    logging::link(linker)
}
