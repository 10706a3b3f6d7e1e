//! Pod networks by plugins of the Container Network Interface, of the versions 0.3.0 to 1.1.0.
//!
//! Reading order: [`NetworkList`] is what the operator configured, `plugin` calls one program, [`Outcome`] is what a list of them
//! answered, [`Plugins`] goes through a list for an [`Attachment`] and keeps on disk what is needed to undo it.
//!
//! The crate knows neither Kubernetes nor namespaces: who calls makes these, and says what plugins are told.

mod attachment;
mod config;
mod kept;
mod outcome;
mod plugin;
mod plugins;

pub use attachment::Attachment;
pub use config::{ConfigError, NetworkList, Version};
pub use kept::KeptError;
pub use outcome::{Outcome, OutcomeError};
pub use plugin::PluginError;
pub use plugins::{CniError, Plugins};
