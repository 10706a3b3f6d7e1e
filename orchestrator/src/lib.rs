//! The control plane: store, API server, controllers and scheduler joined in one process.
//!
//! Reading order: [`ControlPlane`] (what runs and in which order it starts and stops), [`pki`] (who trusts whom),
//! [`kubeconfig`] (how a user gets in), [`bootstrap`] (the objects every cluster begins with), [`secrets`] (how Secrets are sealed on disk),
//! [`encryption`] (the file that says otherwise), [`usage`] (how metrics.k8s.io is reached).

mod account_tokens;
pub mod bootstrap;
mod certificates;
mod control_plane;
mod election;
mod encryption;
mod gateway_api;
pub mod kubeconfig;
mod optional_apis;
pub mod pki;
mod policy;
mod scheduler;
pub mod secrets;
mod usage;

pub use account_tokens::AccountTokens;
pub use certificates::CertificatesInUse;
pub use control_plane::{Config, ControlPlane, ControllerOptions, StartError};
pub use election::LeaderElection;
pub use encryption::EncryptionFile;
pub use scheduler::{SchedulerConfigError, scheduler_configuration};
pub use wherry_apiserver::{
    Authentication, AuthenticationError, AuthenticationOptions, Authorization, AuthorizationConfiguration,
    Build, OidcFlags, RequestHeaders, TokenFileError, Tokens, UserInfo, WebhookFlags, WebhookOptions, audit,
};
pub use wherry_controllers::{Autoscaling, NodeRange, NodeRangeError, NodeRanges};
pub use wherry_scheduler::Configuration as SchedulerConfiguration;
