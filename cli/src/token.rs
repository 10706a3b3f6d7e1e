//! `wherry token`: what lets nodes join.

use std::io::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};
use tracing::warn;
use wherry_api::clock::{Clock as _, SystemClock};

use crate::args::DataDirArgs;

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Bytes from here on would make some letters more likely than others.
const FAIR: u8 = 252;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a bootstrap token and print a kubeconfig with it, for `wherry agent --bootstrap-kubeconfig`.
    Create(CreateTokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CreateTokenArgs {
    /// How long nodes may join with it, as in 30m; 0s lets them until its Secret in kube-system is deleted.
    #[arg(long, default_value = "24h", value_parser = crate::audit::duration)]
    ttl: Duration,
    /// Where nodes find the API server, as in https://10.0.0.1:6443 [default: where this machine finds it].
    #[arg(long)]
    server: Option<String>,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

/// Makes a token in the running cluster, and prints what an agent needs.
pub(crate) async fn create(args: CreateTokenArgs) -> anyhow::Result<()> {
    let path = args.data_dir.open()?.join("kubeconfig");
    let kubeconfig = Kubeconfig::read_from(&path).context("there is no cluster")?;
    let cluster = kubeconfig.clusters.first().and_then(|named| named.cluster.as_ref());
    let mut cluster = serde_json::to_value(cluster)?;
    if let Some(server) = args.server {
        ensure!(server.starts_with("https://"), "--server {server:?}: begin it with https://");
        cluster["server"] = server.into();
    }
    let server = cluster["server"].as_str().unwrap_or_default();
    if is_local(server) {
        warn!(
            "other machines do not find {server}: start the cluster with --listen, and say its address with --server"
        );
    }
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let token = Token::new()?;
    let secret = token.secret(SystemClock.now(), args.ttl)?;
    let secrets = Api::<Secret>::namespaced(Client::try_from(config)?, "kube-system");
    secrets
        .create(&PostParams::default(), &secret)
        .await
        .context("cannot make the token: does the cluster run?")?;
    let told = format!("{:#}\n", token.kubeconfig(&cluster));
    Ok(std::io::stdout().lock().write_all(told.as_bytes())?)
}

/// Whether only this machine finds the server of a URL.
fn is_local(server: &str) -> bool {
    let authority = server.split("://").last().unwrap_or_default().split('/').next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// A bootstrap token: what names it and what proves it.
struct Token {
    id: String,
    secret: String,
}

impl Token {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { id: letters(6)?, secret: letters(16)? })
    }

    /// The Secret that makes it count.
    fn secret(&self, now: Timestamp, ttl: Duration) -> anyhow::Result<Secret> {
        let mut data = vec![
            ("token-id", self.id.clone()),
            ("token-secret", self.secret.clone()),
            ("usage-bootstrap-authentication", "true".to_owned()),
            ("usage-bootstrap-signing", "true".to_owned()),
        ];
        if !ttl.is_zero() {
            let ends = SignedDuration::try_from(ttl).ok().and_then(|ttl| now.checked_add(ttl).ok());
            let ends = ends.context("--ttl is too long; 0s is for ever")?;
            data.push(("expiration", ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        }
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(format!("bootstrap-token-{}", self.id)),
                ..ObjectMeta::default()
            },
            type_: Some("bootstrap.kubernetes.io/token".to_owned()),
            string_data: Some(data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
            ..Secret::default()
        })
    }

    /// What an agent joins a cluster with.
    fn kubeconfig(&self, cluster: &Value) -> Value {
        let token = format!("{}.{}", self.id, self.secret);
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "wherry", "cluster": cluster }],
            "users": [{ "name": "bootstrap", "user": { "token": token } }],
            "contexts": [{ "name": "bootstrap", "context": { "cluster": "wherry", "user": "bootstrap" } }],
            "current-context": "bootstrap",
        })
    }
}

/// So many letters and digits that nobody can guess.
fn letters(count: usize) -> anyhow::Result<String> {
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0];
        random.fill(&mut byte).ok().context("the machine has no random numbers")?;
        if byte[0] < FAIR {
            text.push(char::from(ALPHABET[usize::from(byte[0]) % ALPHABET.len()]));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_until_it_ends_or_for_ever() {
        let token = Token { id: "abcdef".to_owned(), secret: "0123456789abcdef".to_owned() };
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let expiration = |ttl| {
            let secret = token.secret(now, ttl).unwrap();
            assert_eq!(secret.metadata.name.as_deref(), Some("bootstrap-token-abcdef"));
            secret.string_data.unwrap().get("expiration").cloned()
        };
        assert_eq!(expiration(Duration::from_hours(24)).as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(expiration(Duration::ZERO), None);
        assert!(token.secret(now, Duration::MAX).is_err());
    }

    #[test]
    fn tokens_have_the_form_that_servers_read() {
        let (one, other) = (Token::new().unwrap(), Token::new().unwrap());
        assert_eq!((one.id.len(), one.secret.len()), (6, 16));
        assert!(one.secret.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
        assert_ne!(one.secret, other.secret);
        let kubeconfig = one.kubeconfig(&json!({ "server": "https://10.0.0.1:6443" }));
        let read: Kubeconfig = serde_json::from_value(kubeconfig).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("bootstrap"));
    }

    #[test]
    fn servers_of_this_machine_alone_are_told_from_others() {
        for (server, local) in [
            ("https://127.0.0.1:6443", true),
            ("https://localhost:6443/", true),
            ("https://[::1]:6443", true),
            ("https://10.0.0.1:6443", false),
            ("https://wherry.example", false),
        ] {
            assert_eq!(is_local(server), local, "{server}");
        }
    }
}
