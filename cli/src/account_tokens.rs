//! The flags about the tokens of ServiceAccounts.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use wherry_orchestrator::AccountTokens;

const LONGEST_SECONDS: std::ops::RangeInclusive<i64> = 3600..=1 << 32;

/// The flags about the tokens of ServiceAccounts.
#[derive(Debug, Args)]
#[command(next_help_heading = "ServiceAccount tokens")]
pub(crate) struct AccountTokenArgs {
    /// Name of this cluster as an issuer. The first is in new tokens, tokens with any of them are taken
    /// [default: https://kubernetes.default.svc].
    #[arg(long)]
    service_account_issuer: Vec<String>,
    /// The audiences of tokens for this API [default: the first issuer].
    #[arg(long, value_delimiter = ',')]
    api_audiences: Vec<String>,
    /// File with more keys (PEM), public or private, the tokens of which are taken; may be repeated.
    #[arg(long)]
    service_account_key_file: Vec<PathBuf>,
    /// File with the private key that signs tokens [default: one in the data directory].
    #[arg(long)]
    service_account_signing_key_file: Option<PathBuf>,
    /// Where clients find the keys [default: this server].
    #[arg(long)]
    service_account_jwks_uri: Option<String>,
    /// Let the tokens that Pods get by default live for a year, for programs that read theirs once.
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    service_account_extend_token_expiration: bool,
    /// The longest that a token lives, as in 24h.
    #[arg(long)]
    service_account_max_token_expiration: Option<String>,
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

impl AccountTokenArgs {
    /// What the flags say.
    pub(crate) fn tokens(&self) -> anyhow::Result<AccountTokens> {
        let mut tokens = AccountTokens::default();
        if !self.service_account_issuer.is_empty() {
            tokens.issuers.clone_from(&self.service_account_issuer);
        }
        if tokens.issuers.iter().any(String::is_empty) {
            bail!("service-account-issuer must not be an empty string");
        }
        if let Some(uri) = self.service_account_jwks_uri.as_ref().filter(|uri| !uri.starts_with("https://")) {
            bail!("service-account-jwks-uri requires https scheme, parsed as: {uri}");
        }
        tokens.audiences.clone_from(&self.api_audiences);
        tokens.keys =
            self.service_account_key_file.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
        tokens.signing_key = self.service_account_signing_key_file.as_deref().map(read).transpose()?;
        tokens.jwks_uri.clone_from(&self.service_account_jwks_uri);
        tokens.extend = self.service_account_extend_token_expiration;
        tokens.longest = self.service_account_max_token_expiration.as_deref().map(longest).transpose()?;
        Ok(tokens)
    }
}

fn longest(text: &str) -> anyhow::Result<i64> {
    let longest: jiff::SignedDuration =
        text.parse().with_context(|| format!("{text:?} is no duration; write 24h"))?;
    if !LONGEST_SECONDS.contains(&longest.as_secs()) {
        bail!("the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
    }
    Ok(longest.as_secs())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: AccountTokenArgs,
    }

    fn tokens(flags: &[&str]) -> anyhow::Result<AccountTokens> {
        Cli::try_parse_from([&["wherry"], flags].concat())?.args.tokens()
    }

    #[test]
    fn flags_are_those_of_kube_apiserver() {
        let said = tokens(&[
            "--service-account-issuer=https://a",
            "--service-account-issuer=https://b",
            "--api-audiences=x,y",
            "--service-account-extend-token-expiration=false",
            "--service-account-max-token-expiration=24h",
        ])
        .unwrap();
        assert_eq!(
            (said.issuers, said.audiences),
            (vec!["https://a".into(), "https://b".into()], vec!["x".into(), "y".into()])
        );
        assert_eq!((said.extend, said.longest), (false, Some(86_400)));
        let default = tokens(&[]).unwrap();
        assert_eq!((default.issuers, default.extend), (AccountTokens::default().issuers, true));
        for flag in [
            "--service-account-issuer=",
            "--service-account-jwks-uri=http://x",
            "--service-account-max-token-expiration=1m",
            "--service-account-key-file=/nowhere",
        ] {
            assert!(tokens(&[flag]).is_err(), "{flag}");
        }
    }
}
