//! Storage: which volume a claim gets, what becomes of both, and volumes that are directories of nodes.
//!
//! Reading order: [`facts`] (what claims and volumes say), [`matching`] (which volume fits a claim), [`binder`] (binds,
//! provisions, reclaims), [`attach`] (volumes of drivers to nodes), [`local_path`] (the built-in provisioner), [`expansion`], [`ephemeral`] (claims that live with
//! their Pod), `protection` (finalizers: what is used stays).

pub(crate) mod attach;
pub(crate) mod binder;
pub(crate) mod ephemeral;
pub(crate) mod expansion;
mod facts;
pub(crate) mod local_path;
mod matching;
pub(crate) mod protection;
mod told;
