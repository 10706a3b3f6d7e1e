//! The flags that say how users are known.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use wherry_orchestrator::{Authentication, AuthenticationOptions, OidcFlags, WebhookOptions};

/// The flags that say how users are known, besides by certificates.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
pub(crate) struct AuthenticationArgs {
    /// File with an AuthenticationConfiguration (apiserver.config.k8s.io/v1); read again when it changes.
    #[arg(long)]
    authentication_config: Option<PathBuf>,
    /// Whether those may ask who do not say who they are [default: true].
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    anonymous_auth: Option<bool>,
    /// Take tokens of Secrets of type bootstrap.kubernetes.io/token in kube-system, by which nodes join.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    enable_bootstrap_token_auth: bool,
    #[command(flatten)]
    oidc: OidcArgs,
    #[command(flatten)]
    webhook: WebhookArgs,
}

/// The flags that know one issuer.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
struct OidcArgs {
    /// Issuer of OpenID Connect tokens that are taken; its URL, which is one of HTTPS.
    #[arg(long = "oidc-issuer-url")]
    issuer_url: Option<String>,
    /// The audience that such tokens have.
    #[arg(long = "oidc-client-id")]
    client_id: Option<String>,
    /// The claim with the user's name [default: sub].
    #[arg(long = "oidc-username-claim")]
    username_claim: Option<String>,
    /// What is put before the name; `-` for nothing [default: the issuer, unless the name is an email address].
    #[arg(long = "oidc-username-prefix", allow_hyphen_values = true)]
    username_prefix: Option<String>,
    /// The claim with the user's groups.
    #[arg(long = "oidc-groups-claim")]
    groups_claim: Option<String>,
    /// What is put before each group.
    #[arg(long = "oidc-groups-prefix")]
    groups_prefix: Option<String>,
    /// A claim that tokens must have, as key=value; may be repeated.
    #[arg(long = "oidc-required-claim")]
    required_claim: Vec<String>,
    /// How tokens may be signed [default: RS256].
    #[arg(long = "oidc-signing-algs", value_delimiter = ',')]
    signing_algs: Vec<String>,
    /// Who vouches for the issuer's certificate [default: the system's authorities].
    #[arg(long = "oidc-ca-file")]
    ca_file: Option<PathBuf>,
}

/// The flags about a program that knows tokens.
#[derive(Debug, Args)]
#[command(next_help_heading = "Authentication")]
struct WebhookArgs {
    /// Kubeconfig of a program that is asked, by TokenReview, about tokens that nobody here knows.
    #[arg(long = "authentication-token-webhook-config-file")]
    kubeconfig: Option<PathBuf>,
    /// Version of these reviews: v1 or v1beta1.
    #[arg(long = "authentication-token-webhook-version", default_value = "v1beta1")]
    review_version: String,
    /// For how long an answer counts, as in 2m0s or 30s.
    #[arg(long = "authentication-token-webhook-cache-ttl", default_value = "2m0s")]
    cache_ttl: String,
}

impl AuthenticationArgs {
    /// Who vouches for users; nobody may claim to be one of these issuers.
    pub(crate) fn open(&self, own: Vec<String>) -> anyhow::Result<Authentication> {
        let options = AuthenticationOptions {
            file: self.authentication_config.clone(),
            oidc: self.oidc.flags()?,
            anonymous: self.anonymous_auth,
            webhook: self.webhook.options()?,
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            disallowed: own,
        };
        Ok(Authentication::open(options)?)
    }
}

impl OidcArgs {
    fn flags(&self) -> anyhow::Result<Option<OidcFlags>> {
        let certificate_authority = match &self.ca_file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
            }
            None => String::new(),
        };
        let mut flags = OidcFlags { certificate_authority, ..OidcFlags::default() };
        for (from, to) in [
            (&self.issuer_url, &mut flags.issuer_url),
            (&self.client_id, &mut flags.client_id),
            (&self.username_claim, &mut flags.username_claim),
            (&self.username_prefix, &mut flags.username_prefix),
            (&self.groups_claim, &mut flags.groups_claim),
            (&self.groups_prefix, &mut flags.groups_prefix),
        ] {
            to.clone_from(from.as_ref().unwrap_or(&String::new()));
        }
        flags.signing_algs.clone_from(&self.signing_algs);
        for claim in &self.required_claim {
            let Some((claim, value)) = claim.split_once('=') else {
                bail!("malformed pair, expect key=value: {claim:?} (--oidc-required-claim)");
            };
            flags.required_claims.insert(claim.trim().to_owned(), value.trim().to_owned());
        }
        Ok((flags != OidcFlags::default()).then_some(flags))
    }
}

impl WebhookArgs {
    fn options(&self) -> anyhow::Result<Option<WebhookOptions>> {
        let Some(config_file) = self.kubeconfig.clone() else {
            return Ok(None);
        };
        let text = &self.cache_ttl;
        let lasts: jiff::SignedDuration =
            text.parse().with_context(|| format!("{text:?} is no duration; write 2m0s or 30s"))?;
        let version = self.review_version.clone();
        Ok(Some(WebhookOptions { config_file, version, cache_seconds: lasts.as_secs() }))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AuthenticationArgs,
    }

    fn open(flags: &[&str]) -> anyhow::Result<Authentication> {
        let cli = Cli::try_parse_from([&["wherry"], flags].concat())?;
        cli.args.open(vec!["https://own".to_owned()])
    }

    fn told(flags: &[&str]) -> String {
        format!("{:#}", open(flags).err().expect("it is refused"))
    }

    #[test]
    fn flags_are_those_of_kube_apiserver() {
        let issuer = ["--oidc-issuer-url", "https://x", "--oidc-client-id", "me"];
        let more = [
            "--oidc-username-prefix",
            "-",
            "--oidc-required-claim",
            "hd=x=y",
            "--oidc-signing-algs",
            "RS256,ES256",
            "--anonymous-auth=false",
            "--enable-bootstrap-token-auth=false",
        ];
        assert!(open(&[&issuer[..], &more].concat()).is_ok());
        assert!(open(&[]).is_ok());
        assert!(told(&issuer[..2]).contains("must be specified together"));
        assert!(told(&["--oidc-issuer-url", "https://own", "--oidc-client-id", "x"]).contains("disallowed"));
        assert!(told(&["--oidc-required-claim", "x"]).contains("expect key=value"));
        assert!(told(&["--authentication-config", "/nowhere"]).contains("cannot read /nowhere"));
    }
}
