//! Flags that say who may do what, named as upstream's, and the configuration they make.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use wherry_orchestrator::{Authorization, AuthorizationConfiguration, WebhookFlags};

use crate::audit::duration;

/// Who decides where no flag says it.
const DEFAULT: [&str; 2] = ["Node", "RBAC"];

#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "flags are named after their fields, as upstream names them")]
#[command(next_help_heading = "Authorization")]
pub(crate) struct AuthorizationArgs {
    /// Who is asked whether something may be done, in this order: AlwaysAllow, AlwaysDeny, Node, RBAC or Webhook
    /// [default: Node,RBAC].
    #[arg(long, value_delimiter = ',', conflicts_with = "authorization_config")]
    authorization_mode: Vec<String>,
    /// The same as an AuthorizationConfiguration of apiserver.config.k8s.io/v1, which is read again when it changes.
    #[arg(long)]
    authorization_config: Option<PathBuf>,
    /// The webhook of the mode Webhook, as a kubeconfig.
    #[arg(long, conflicts_with = "authorization_config")]
    authorization_webhook_config_file: Option<PathBuf>,
    /// The version of the SubjectAccessReviews it gets: v1 or v1beta1.
    #[arg(long, default_value = "v1beta1")]
    authorization_webhook_version: String,
    /// How long its yes counts.
    #[arg(long, default_value = "5m", value_parser = duration)]
    authorization_webhook_cache_authorized_ttl: Duration,
    /// How long its no counts.
    #[arg(long, default_value = "30s", value_parser = duration)]
    authorization_webhook_cache_unauthorized_ttl: Duration,
}

impl AuthorizationArgs {
    /// What the flags ask for.
    pub(crate) fn config(&self) -> anyhow::Result<Authorization> {
        if let Some(path) = &self.authorization_config {
            return Ok(Authorization::Configured(AuthorizationConfiguration::load(path)?));
        }
        let webhook = self.authorization_webhook_config_file.as_ref().map(|path| WebhookFlags {
            config_file: path.clone(),
            version: self.authorization_webhook_version.clone(),
            authorized_ttl: self.authorization_webhook_cache_authorized_ttl,
            unauthorized_ttl: self.authorization_webhook_cache_unauthorized_ttl,
        });
        let modes = if self.authorization_mode.is_empty() {
            DEFAULT.map(str::to_owned).to_vec()
        } else {
            self.authorization_mode.clone()
        };
        Ok(Authorization::Configured(AuthorizationConfiguration::of_modes(&modes, webhook.as_ref())?))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(flags: &[&str]) -> Result<AuthorizationArgs, String> {
        let words = ["wherry", "apiserver"].iter().chain(flags);
        let parsed = Cli::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Apiserver(args) = parsed.command else { panic!() };
        Ok(args.authorization)
    }

    fn refused(flags: &[&str]) -> String {
        parse(flags).and_then(|args| args.config().map_err(|error| error.to_string())).unwrap_err()
    }

    #[test]
    fn modes_are_given_in_their_order() {
        assert!(parse(&[]).unwrap().config().is_ok());
        let args = parse(&["--authorization-mode=RBAC,Node"]).unwrap();
        assert_eq!(args.authorization_mode, ["RBAC", "Node"]);
        assert_eq!(
            refused(&["--authorization-mode=Nope"]),
            "authorization-mode \"Nope\" is not a valid mode"
        );
        assert_eq!(
            refused(&["--authorization-webhook-config-file=/nowhere/x"]),
            "cannot specify --authorization-webhook-config-file without mode Webhook"
        );
        assert!(
            refused(&["--authorization-mode=RBAC", "--authorization-config=x"]).contains("cannot be used")
        );
        assert_eq!(refused(&["--authorization-config=/nowhere/x"]), "cannot read /nowhere/x");
    }
}
