//! Asks a provider's program.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::config::{PROVIDER_API, Provider, duration};
use crate::tokens::TokenError;

/// How long a program may run.
const PATIENCE: Duration = Duration::from_mins(1);
/// The most bytes of an answer.
const MOST: u64 = 1 << 20;
const REQUEST: &str = "CredentialProviderRequest";
const RESPONSE: &str = "CredentialProviderResponse";

/// Why a provider gave no account.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    /// The program cannot be run.
    #[error("cannot run the program")]
    Run(#[from] io::Error),
    /// It takes too long.
    #[error("the program did not end within {} s", PATIENCE.as_secs())]
    Late,
    /// It failed.
    #[error("the program ended with {0}")]
    Failed(ExitStatus),
    /// It answered something else. What it answered is not told, as it may hold passwords.
    #[error("the program's answer is no {RESPONSE} of {PROVIDER_API}: {0}")]
    Answer(String),
    /// The ServiceAccount cannot be read.
    #[error("cannot read the ServiceAccount {name:?}")]
    Account {
        /// Its name.
        name: String,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// The ServiceAccount has no token for it.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// What a program is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request<'a> {
    api_version: &'static str,
    kind: &'static str,
    image: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account_token: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_account_annotations: &'a BTreeMap<String, String>,
}

impl<'a> Request<'a> {
    pub(super) fn new(
        image: &'a str,
        service_account_token: Option<&'a str>,
        service_account_annotations: &'a BTreeMap<String, String>,
    ) -> Self {
        Self {
            api_version: PROVIDER_API,
            kind: REQUEST,
            image,
            service_account_token,
            service_account_annotations,
        }
    }
}

/// What it answered. There are passwords in it, so it has no words for logs.
pub(super) struct Answer {
    /// Which images it is for.
    pub(super) key: CacheKey,
    /// For how long; as long as the configuration says, if it does not say.
    pub(super) lasts: Option<Duration>,
    /// Pattern, user and password.
    pub(super) accounts: Vec<(String, String, String)>,
}

/// For which images an answer is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum CacheKey {
    /// The one it was asked for.
    Image,
    /// All of the registry.
    Registry,
    /// All.
    Global,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    api_version: String,
    kind: String,
    cache_key_type: CacheKey,
    cache_duration: Option<String>,
    #[serde(default)]
    auth: Option<BTreeMap<String, Login>>,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

/// Runs the program of a provider.
pub(super) async fn run(provider: &Provider, request: &Request<'_>) -> Result<Answer, ProviderError> {
    let child = Command::new(&provider.program)
        .args(&provider.args)
        .envs(provider.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let question = serde_json::to_vec(request).map_err(io::Error::from)?;
    let (status, answer) = tokio::time::timeout(PATIENCE, exchange(child, &question))
        .await
        .map_err(|_| ProviderError::Late)??;
    if !status.success() {
        return Err(ProviderError::Failed(status));
    }
    read(&answer).map_err(ProviderError::Answer)
}

/// Writes while it reads: a program may answer before it has read everything, or read nothing at all.
async fn exchange(mut child: Child, question: &[u8]) -> io::Result<(ExitStatus, Vec<u8>)> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // It need not read its question.
            let _unread = stdin.write_all(question).await;
        }
    };
    let read = async {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(MOST).read_to_end(&mut answer).await?;
        }
        io::Result::Ok(answer)
    };
    let ((), answer) = tokio::join!(write, read);
    Ok((child.wait().await?, answer?))
}

fn read(answer: &[u8]) -> Result<Answer, String> {
    // The words of the parser would tell what stands in the answer.
    let response: Response = serde_json::from_slice(answer)
        .map_err(|error| format!("it does not parse ({:?})", error.classify()))?;
    if (response.api_version.as_str(), response.kind.as_str()) != (PROVIDER_API, RESPONSE) {
        return Err("it has another apiVersion or kind".to_owned());
    }
    let lasts = response.cache_duration.map(|text| duration(&text)).transpose();
    let lasts = lasts.map_err(|why| format!("cacheDuration: {why}"))?;
    let accounts = response.auth.unwrap_or_default().into_iter();
    let accounts = accounts.map(|(pattern, login)| (pattern, login.username, login.password)).collect();
    Ok(Answer { key: response.cache_key_type, lasts, accounts })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read_and_a_bad_one_is_told_without_its_content() {
        let good = r#"{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","kind":"CredentialProviderResponse",
            "cacheKeyType":"Registry","cacheDuration":"6h0m0s","auth":{"*.example.com":{"username":"u","password":"p"}}}"#;
        let answer = read(good.as_bytes()).unwrap();
        assert_eq!((answer.key, answer.lasts), (CacheKey::Registry, Some(Duration::from_hours(6))));
        assert_eq!(answer.accounts, [("*.example.com".to_owned(), "u".to_owned(), "p".to_owned())]);
        for bad in [
            good.replace("/v1", "/v2"),
            good.replace("Registry", "secret"),
            good.replace("6h0m0s", "x"),
            "secret".to_owned(),
        ] {
            let why = read(bad.as_bytes()).err().unwrap();
            assert!(!why.contains("secret"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read(answer: Vec<u8>) {
            prop_assert!(read(&answer).is_err());
        }
    }
}
