//! Interfaces beyond those of WASI 0.2 that components can import. None of them reaches anybody else, so none needs leave.
//!
//! Each file links one, and holds what that keeps for a container or its Pod.

pub(crate) mod config;
pub(crate) mod keyvalue;
mod logging;

use wasmtime::component::Linker;

use crate::guest::Guest;

/// Adds them all.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    config::link(linker)?;
    keyvalue::link(linker)?;
    logging::link(linker)
}
