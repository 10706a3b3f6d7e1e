//! Programs that decide: each question that conditions do not keep from them is sent as a SubjectAccessReview.
//!
//! ```text
//! question -> conditions -> answers that still count -> call, again after a pause where that may help -> decision
//! ```
//!
//! Without an answer the failure policy says whether the question is denied, or left to those who are asked next.

mod cache;
pub(super) mod conditions;
mod review;

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use parking_lot::Mutex;

use super::config::WebhookConfig;
use super::counts::{Counts, Outcome};
use super::{Attributes, Decision};
use crate::outbound::{CallError, Endpoint, LATE, refusal};
use crate::state::State;
use cache::Cache;
use review::Answer;

/// How often a question is sent at most.
const ATTEMPTS: u32 = 5;
/// The first pause between two attempts, and how much longer each is than the one before.
const PAUSE: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.5;

/// A program that decides.
pub(super) struct Webhook {
    config: Arc<WebhookConfig>,
    endpoint: Endpoint,
    answers: Mutex<Cache>,
    counts: Arc<Counts>,
    state: Weak<State>,
}

/// Why there is no answer.
struct Silence {
    why: String,
    outcome: Outcome,
    /// Whether to ask again may help.
    passing: bool,
}

impl Webhook {
    pub(super) fn new(config: Arc<WebhookConfig>, counts: Arc<Counts>, state: Weak<State>) -> Self {
        Self { endpoint: config.receiver.endpoint(), config, answers: Mutex::default(), counts, state }
    }

    /// What the program says.
    pub(super) async fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let Some(state) = self.state.upgrade() else { return self.fail("the server has ended".to_owned()) };
        match self.concerns(&state, attributes) {
            Ok(true) => {}
            Ok(false) => return Decision::default(),
            Err(why) => return self.fail(why),
        }
        let spec = review::spec(attributes);
        let question = spec.to_json_bytes();
        if let Some(known) = self.answers.lock().get(&question, state.clock.now()) {
            return known.decision();
        }
        match self.call(&state, review::request(spec, self.config.beta)).await {
            Ok(answer) => {
                self.keep(&state, attributes, question, &answer);
                answer.decision()
            }
            Err(silence) => {
                tracing::error!(why = %silence.why, name = %self.counts.name, "an authorization webhook gives no answer");
                if !self.config.deny_on_error {
                    self.counts.passed(silence.outcome);
                }
                self.fail(silence.why)
            }
        }
    }

    /// Whether the program is asked at all; the error says why that cannot be told.
    fn concerns(&self, state: &State, attributes: &Attributes<'_>) -> Result<bool, String> {
        if self.config.conditions.is_empty() {
            return Ok(true);
        }
        let started = state.clock.now();
        let holds = self.config.conditions.hold(&review::whole(attributes));
        let took = state.clock.now().duration_since(started);
        self.counts.matched(holds.as_ref().ok().copied(), took);
        holds
    }

    /// Keeps an answer as long as it counts. Questions that somebody made long are not kept.
    fn keep(&self, state: &State, attributes: &Attributes<'_>, question: Vec<u8>, answer: &Answer) {
        let ttl = if answer.allowed { self.config.authorized_ttl } else { self.config.unauthorized_ttl };
        if ttl.is_zero() || !review::is_small(attributes) {
            return;
        }
        if let Ok(until) = state.clock.now().checked_add(ttl) {
            self.answers.lock().put(question, answer.clone(), until);
        }
    }

    /// What follows where nothing is known.
    fn fail(&self, error: String) -> Decision {
        Decision { denied: self.config.deny_on_error, error, ..Decision::default() }
    }

    async fn call(&self, state: &State, body: Bytes) -> Result<Answer, Silence> {
        let mut pause = PAUSE;
        for _ in 1..ATTEMPTS {
            match self.call_once(state, body.clone()).await {
                Err(silence) if silence.passing => {}
                other => return other,
            }
            tokio::time::sleep(pause).await;
            pause = pause.mul_f64(GROWTH);
        }
        self.call_once(state, body).await
    }

    async fn call_once(&self, state: &State, body: Bytes) -> Result<Answer, Silence> {
        let started = state.clock.now();
        let answer = read(self.endpoint.send(state, body, self.config.timeout).await);
        let outcome = answer.as_ref().err().map_or(Outcome::Success, |silence| silence.outcome);
        self.counts.called(outcome, state.clock.now().duration_since(started));
        answer
    }
}

/// What an answer says.
fn read(answer: Result<(StatusCode, Bytes), CallError>) -> Result<Answer, Silence> {
    let silence = |why: String, outcome, passing| Silence { why, outcome, passing };
    match answer {
        Ok((status, body)) if status.is_success() => {
            review::answer(&body).map_err(|why| silence(why, Outcome::Error, false))
        }
        Ok((status, body)) => {
            let passing = matches!(status.as_u16(), 429 | 500 | 504);
            Err(silence(refusal(status, &body), Outcome::Error, passing))
        }
        Err(error) => {
            let late = matches!(&error, CallError::Unreachable { why, .. } if why == LATE);
            let outcome = if late { Outcome::Timeout } else { Outcome::Error };
            Err(silence(error.to_string(), outcome, false))
        }
    }
}
