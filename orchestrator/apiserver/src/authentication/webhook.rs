//! A program that is asked about tokens that nobody here knows: it answers TokenReviews.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use wherry_schema::Value;

use super::AuthenticationError;
use crate::auth::{Bearer, Refused, UserInfo};
use crate::object::Fields;
use crate::outbound::kubeconfig::Receiver;
use crate::outbound::{CallError, Endpoint};
use crate::state::State;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked before it counts as silent, and how long the first pause between is.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
/// The most answers that are remembered.
const MOST: usize = 4096;

/// How a token webhook is reached.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The kubeconfig that says where it is.
    pub config_file: PathBuf,
    /// The version of the reviews: `v1` or `v1beta1`.
    pub version: String,
    /// How long its answers count, in seconds.
    pub cache_seconds: i64,
}

/// A program that knows tokens.
pub(super) struct Webhook {
    endpoint: Endpoint,
    version: String,
    lasts: SignedDuration,
    answers: Mutex<HashMap<[u8; 32], Remembered>>,
}

struct Remembered {
    until: Timestamp,
    answer: Answer,
}

/// What it said of a token.
#[derive(Debug, Clone)]
struct Answer {
    user: Result<UserInfo, Refused>,
    audiences: Vec<String>,
}

impl Webhook {
    /// A webhook by its options.
    pub(super) fn open(options: &WebhookOptions) -> Result<Self, AuthenticationError> {
        if !matches!(&*options.version, "v1" | "v1beta1") {
            return Err(AuthenticationError::Version(options.version.clone()));
        }
        let receiver = Receiver::load(&options.config_file)?;
        Ok(Self {
            endpoint: receiver.endpoint(),
            version: options.version.clone(),
            lasts: SignedDuration::from_secs(options.cache_seconds),
            answers: Mutex::default(),
        })
    }

    /// Who has a token, and for which of the audiences it is.
    pub(super) async fn bearer(
        &self,
        state: &State,
        token: &str,
        (asked, own): (&[String], &[String]),
    ) -> Result<Bearer, Refused> {
        let digest = Sha256::digest([token, &asked.join("\0")].join("\0")).into();
        let known = self.remembered(&digest, state.clock.now());
        let Answer { user, audiences } = if let Some(answer) = known {
            answer
        } else {
            let answer = self.ask(state, token, asked).await.map_err(Refused::Told)?;
            self.remember(digest, answer.clone(), state.clock.now());
            answer
        };
        // One that knows nothing of audiences speaks of those of this server.
        let meant = if audiences.is_empty() { own } else { &audiences };
        let audiences: Vec<String> = asked.iter().filter(|one| meant.contains(one)).cloned().collect();
        if audiences.is_empty() && !asked.is_empty() {
            return Err(Refused::Unknown);
        }
        Ok(Bearer::new(user?, audiences))
    }

    fn remembered(&self, digest: &[u8; 32], now: Timestamp) -> Option<Answer> {
        let answers = self.answers.lock();
        answers.get(digest).filter(|known| now < known.until).map(|known| known.answer.clone())
    }

    fn remember(&self, digest: [u8; 32], answer: Answer, now: Timestamp) {
        let Ok(until) = now.checked_add(self.lasts) else { return };
        let mut answers = self.answers.lock();
        if answers.len() >= MOST {
            answers.retain(|_, known| now < known.until);
        }
        if answers.len() < MOST {
            answers.insert(digest, Remembered { until, answer });
        }
    }

    async fn ask(&self, state: &State, token: &str, asked: &[String]) -> Result<Answer, String> {
        let mut spec = json!({ "token": token });
        if !asked.is_empty() {
            spec["audiences"] = json!(asked);
        }
        let api_version = format!("authentication.k8s.io/{}", self.version);
        let review = json!({"kind": "TokenReview", "apiVersion": api_version, "metadata": {}, "spec": spec, "status": {"user": {}}});
        let body = bytes::Bytes::from(review.to_string());
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.endpoint.post(state, body.clone(), PATIENCE).await {
                Ok(answer) => return Answer::parse(&answer, &api_version),
                Err(CallError::Refused(why)) => return Err(why),
                Err(CallError::Unreachable { .. }) => tokio::time::sleep(pause).await,
            }
            pause = pause.mul_f32(1.5);
        }
        let answer = self.endpoint.post(state, body, PATIENCE).await.map_err(|error| error.to_string())?;
        Answer::parse(&answer, &api_version)
    }
}

impl Answer {
    /// Reads a review that was answered.
    fn parse(text: &[u8], api_version: &str) -> Result<Self, String> {
        let review = Value::from_json(text).map_err(|error| error.to_string())?;
        if review.text("kind") != "TokenReview" || review.text("apiVersion") != api_version {
            return Err("the token webhook did not answer with a TokenReview".to_owned());
        }
        let audiences = texts(review.items("status.audiences"));
        let user = match review.text("status.error") {
            _ if review.flag("status.authenticated") => Ok(user(review.field("status.user"))),
            "" => Err(Refused::Unknown),
            why => Err(Refused::Told(why.to_owned())),
        };
        Ok(Self { user, audiences })
    }
}

fn texts(items: &[Value]) -> Vec<String> {
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn user(told: Option<&Value>) -> UserInfo {
    let Some(told) = told else { return UserInfo::default() };
    let mut extra = BTreeMap::new();
    for (key, values) in told.map("extra").into_iter().flat_map(wherry_schema::Object::iter) {
        extra.insert(key.to_string(), texts(values.as_array().map_or(&[], Vec::as_slice)));
    }
    UserInfo {
        name: told.text("username").to_owned(),
        uid: told.text("uid").to_owned(),
        groups: texts(told.items("groups")),
        extra,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(
            text in "\\PC*|\\{\"kind\":\"TokenReview\",\"apiVersion\":\"v\",\"status\":[\\[\\]{}a-z:,\"]{0,30}\\}"
        ) {
            let _ = Answer::parse(text.as_bytes(), "v");
        }
    }
}
