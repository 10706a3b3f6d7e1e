//! Manifests behind a URL: what it answers is asked for again and again, because nobody tells that it changed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use http::header::InvalidHeaderValue;
use http::{HeaderMap, HeaderName, HeaderValue};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_api::clock::Clock;

use super::manifest::{self, Found, ManifestError, Origin};
use super::{MOST, StaticPods, kept, name, uids};
use crate::context::chain;

/// How long an answer may take, as kubelet has it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a URL of manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestUrlError {
    /// It is none.
    #[error("{0:?} is no URL of manifests: it must begin with http:// or https://")]
    Url(String),
    /// A header is none.
    #[error("{0:?} is no header: it must look like NAME:VALUE")]
    Header(String),
    /// What a header says cannot be sent.
    #[error("the value of header {name:?} cannot be sent")]
    Value {
        /// The header.
        name: String,
        /// The cause.
        source: InvalidHeaderValue,
    },
}

/// Where manifests are asked for.
#[derive(Clone, Debug)]
pub struct ManifestUrl {
    url: String,
    headers: HeaderMap,
    every: Duration,
}

impl ManifestUrl {
    /// This URL, asked `every` so often with `headers` of the form `NAME:VALUE`.
    pub fn new(url: &str, headers: &[String], every: Duration) -> Result<Self, ManifestUrlError> {
        if !url.parse::<http::Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
            return Err(ManifestUrlError::Url(url.to_owned()));
        }
        let headers = headers.iter().map(|header| header_of(header)).collect::<Result<_, _>>()?;
        Ok(Self { url: url.to_owned(), headers, every })
    }
}

fn header_of(header: &str) -> Result<(HeaderName, HeaderValue), ManifestUrlError> {
    let none = || ManifestUrlError::Header(header.to_owned());
    let (name, value) = header.split_once(':').ok_or_else(none)?;
    let parsed: HeaderName = name.trim().parse().map_err(|_| none())?;
    let value = HeaderValue::from_str(value.trim());
    Ok((parsed, value.map_err(|source| ManifestUrlError::Value { name: name.to_owned(), source })?))
}

/// Why an answer is not used.
#[derive(Debug, thiserror::Error)]
enum AnswerError {
    /// There is none.
    #[error("the URL does not answer")]
    Request(#[source] reqwest::Error),
    /// It is refused.
    #[error("the URL answers {0}")]
    Status(reqwest::StatusCode),
    /// There is nothing in it.
    #[error("the answer is empty")]
    Empty,
    /// It is no manifest.
    #[error("the answer has more than {MOST} bytes")]
    Size,
    /// It is none that can be used.
    #[error("the answer cannot be used")]
    Manifest(#[source] ManifestError),
    /// It names a Pod twice.
    #[error("the answer names the Pod {0} twice")]
    Twice(String),
}

/// Asks a URL.
pub(crate) struct Asker {
    at: ManifestUrl,
    node: String,
    clock: Arc<dyn Clock>,
    told: Option<String>,
    pods: watch::Sender<StaticPods>,
}

impl Asker {
    /// Whoever asks, and what was answered.
    pub(crate) fn new(
        at: ManifestUrl,
        node: &str,
        clock: Arc<dyn Clock>,
    ) -> (Self, watch::Receiver<StaticPods>) {
        let (pods, receiver) = watch::channel(Vec::new());
        (Self { at, node: node.to_owned(), clock, told: None, pods }, receiver)
    }

    /// Asks until `shutdown`.
    pub(crate) async fn follow(mut self, shutdown: CancellationToken) {
        // The client asks for the process's default TLS provider; whoever set one before has set the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).build();
        let client = match client {
            Ok(client) => client,
            Err(error) => {
                warn!(url = self.at.url, error = chain(&error), "nobody can ask for manifests");
                return;
            }
        };
        loop {
            let asked = shutdown.run_until_cancelled(self.ask(&client)).await;
            match asked {
                None => return,
                Some(Ok(pods)) => self.take(pods),
                Some(Err(error)) => self.tell(&error),
            }
            let next = tokio::time::sleep(self.at.every);
            if shutdown.run_until_cancelled(next).await.is_none() {
                return;
            }
        }
    }

    async fn ask(&self, client: &reqwest::Client) -> Result<Vec<Pod>, AnswerError> {
        let request = client.get(&self.at.url).headers(self.at.headers.clone());
        let answer = request.send().await.map_err(AnswerError::Request)?;
        if !answer.status().is_success() {
            return Err(AnswerError::Status(answer.status()));
        }
        let (mut text, mut stream) = (Vec::new(), answer.bytes_stream());
        while let Some(chunk) = stream.next().await {
            text.extend(chunk.map_err(AnswerError::Request)?);
            if u64::try_from(text.len()).is_ok_and(|length| length > MOST) {
                return Err(AnswerError::Size);
            }
        }
        if text.is_empty() {
            return Err(AnswerError::Empty);
        }
        let found = Found { node: &self.node, origin: Origin::Url(&self.at.url), at: self.clock.now() };
        let pods = manifest::parse_all(&text, &found).map_err(AnswerError::Manifest)?;
        let mut taken = BTreeSet::new();
        match pods.iter().map(name).find(|name| !taken.insert(name.clone())) {
            Some(twice) => Err(AnswerError::Twice(twice)),
            None => Ok(pods),
        }
    }

    fn take(&mut self, answered: Vec<Pod>) {
        self.told = None;
        let before = self.pods.borrow().clone();
        let same = |pod: &Pod| before.iter().find(|before| name(before) == name(pod)).cloned();
        let pods: StaticPods = answered.into_iter().map(|pod| kept(same(&pod), pod)).collect();
        if uids(&pods) != uids(&before) {
            info!(count = pods.len(), url = self.at.url, "static Pods changed");
            self.pods.send_replace(pods);
        }
    }

    /// Says what is wrong, once.
    fn tell(&mut self, error: &AnswerError) {
        let error = chain(error);
        if self.told.as_ref() != Some(&error) {
            warn!(url = self.at.url, error, "no manifests were had; the Pods that were named before go on");
            self.told = Some(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::extract::State;
    use axum::routing::get;
    use http::StatusCode;
    use parking_lot::Mutex;
    use rstest::rstest;
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use wherry_api::clock::SystemClock;

    use super::*;

    /// What is answered, and how often it was.
    type Answer = Arc<Mutex<(StatusCode, String, u32)>>;

    fn pod(name: &str) -> serde_json::Value {
        serde_json::json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "a", "image": "i" }] } })
    }

    async fn answer(State(answer): State<Answer>, headers: HeaderMap) -> (StatusCode, String) {
        if headers.get("x-token").is_none_or(|token| token != "secret") {
            return (StatusCode::FORBIDDEN, String::new());
        }
        let mut answer = answer.lock();
        answer.2 += 1;
        (answer.0, answer.1.clone())
    }

    #[tokio::test]
    async fn what_a_url_answers_is_run_until_it_answers_something_else() {
        let list =
            serde_json::json!({ "apiVersion": "v1", "kind": "PodList", "items": [pod("web"), pod("db")] });
        let content: Answer = Arc::new(Mutex::new((StatusCode::OK, list.to_string(), 0)));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}/manifests", listener.local_addr().unwrap());
        let router = Router::new().route("/manifests", get(answer)).with_state(content.clone());
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let headers = ["X-Token: secret".to_owned()];
        let at = ManifestUrl::new(&url, &headers, Duration::from_millis(5)).unwrap();
        let (asker, mut pods) = Asker::new(at, "n", Arc::new(SystemClock));
        tasks.spawn(asker.follow(stop.clone()));
        let names = |pods: &StaticPods| pods.iter().map(|pod| name(pod)).collect::<Vec<_>>();
        let mut until = async |expected: &[&str]| {
            let seen = pods.wait_for(|pods| names(pods) == expected);
            let seen = tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap().unwrap().clone();
            assert!(seen.iter().all(|pod| super::super::is_static(pod)));
            seen
        };
        let before = until(&["default/web-n", "default/db-n"]).await;
        for broken in [(StatusCode::NOT_FOUND, "{}"), (StatusCode::OK, ""), (StatusCode::OK, "kind: [")] {
            *content.lock() = (broken.0, broken.1.to_owned(), 0);
            // Who asks again has dealt with the first answer.
            while content.lock().2 < 2 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(uids(&until(&["default/web-n", "default/db-n"]).await), uids(&before));
        let mut one = pod("web");
        (one["apiVersion"], one["kind"]) = ("v1".into(), "Pod".into());
        *content.lock() = (StatusCode::OK, one.to_string(), 0);
        let after = until(&["default/web-n"]).await;
        assert_eq!(after[0].metadata.uid, before[0].metadata.uid, "it is the same Pod");
        stop.cancel();
    }

    #[rstest]
    #[case("ftp://x/y", &[], "no URL of manifests")]
    #[case("/etc/manifests", &[], "no URL of manifests")]
    #[case("http://x", &["Token"], "no header: it must look like NAME:VALUE")]
    #[case("http://x", &["A B: c"], "no header")]
    #[case("http://x", &["A: \n"], "ok")]
    #[case("http://x", &["A: b\nc"], "the value of header \"A\" cannot be sent")]
    fn what_cannot_be_asked_is_refused(#[case] url: &str, #[case] headers: &[&str], #[case] expected: &str) {
        let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
        let found = ManifestUrl::new(url, &headers, Duration::from_secs(20));
        let said = found.map_or_else(|error| error.to_string(), |_| "ok".to_owned());
        assert!(said.contains(expected), "{said}");
    }
}
