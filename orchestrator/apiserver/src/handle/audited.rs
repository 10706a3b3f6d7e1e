//! Requests that are recorded, and what the record hears of them.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use wherry_schema::Format;

use super::{Exchange, deprecated};
use crate::audit::{Asked, Audit, Unfinished};
use crate::auth::UserInfo;
use crate::authorize::Decision;
use crate::error::Failure;
use crate::notes::Sent;
use crate::request::negotiate::{BodyFormat, is_apply};
use crate::{respond, status};

const DECISION: &str = "authorization.k8s.io/decision";
const REASON: &str = "authorization.k8s.io/reason";
const DEPRECATED: &str = "k8s.io/deprecated";

impl Exchange {
    /// Answers, and records what the policy wants recorded.
    pub(super) async fn audited(
        &self,
        audit: &Arc<Audit>,
        connection: Option<UserInfo>,
        yaml: bool,
        body: Body,
    ) -> Response {
        let user = self.user(connection).await;
        let asked = Asked {
            parts: &self.parts,
            query: &self.query,
            user: user.as_ref().ok(),
            id: self.given_or_new_id(),
        };
        let trail = audit.begin(asked);
        let (user, trail) = match (user, trail) {
            (Ok(user), Some(trail)) => (user, trail),
            (Ok(user), None) => return self.answer_as(user, yaml, body).await,
            (Err(failure), trail) => {
                if let Some(trail) = trail {
                    self.notes.listen(trail.id());
                    trail.unknown(&self.parts).await;
                }
                return status::response(&failure, yaml);
            }
        };
        self.notes.listen(trail.id());
        if !trail.received().await {
            let why = format!("{:?}: failed to store audit event", trail.uri());
            return status::response(&Failure::Broken(why), yaml);
        }
        let unfinished = Unfinished::new(trail, &self.notes);
        match AssertUnwindSafe(self.answer_as(user, yaml, body)).catch_unwind().await {
            Ok(response) => unfinished.answered(response).await,
            Err(panic) => resume_unwind(unfinished.panicked(panic).await),
        }
    }

    fn given_or_new_id(&self) -> String {
        let given = respond::given_id(&self.parts.headers).and_then(|id| id.to_str().ok());
        given.map_or_else(|| self.state.new_uid(), str::to_owned)
    }

    /// What names the request where its client does not.
    pub(super) fn id(&self) -> String {
        self.notes.heard().map_or_else(|| self.state.new_uid(), |heard| heard.id.clone())
    }

    /// Says who the request counts as, if that is somebody else than who sent it.
    pub(super) fn hear_user(&self, user: &UserInfo) {
        let Some(heard) = self.notes.heard() else { return };
        let named = self.parts.headers.get("impersonate-user");
        if named.is_some_and(|name| !name.is_empty()) {
            // There is one user, so nothing was heard of another.
            let _ = heard.impersonated.set(user.clone());
        }
        if deprecated(self.parts.uri.path()).is_some() {
            self.notes.annotate(DEPRECATED.to_owned(), "true".to_owned());
        }
    }

    /// Says whether the request is allowed, and why.
    pub(super) fn hear_decision(&self, decision: &Decision) {
        let word = if decision.allowed { "allow" } else { "forbid" };
        self.notes.annotate_heard(DECISION, || word.to_owned());
        self.notes.annotate_heard(REASON, || decision.reason.clone());
    }

    /// Says which object was sent.
    pub(super) fn hear_object(&self, bytes: &Bytes, format: Format) {
        self.hear(|| Sent { bytes: bytes.clone(), format, whole: true });
    }

    /// Says which change of an object was sent, or how to delete one.
    pub(super) fn hear_change(&self, bytes: &Bytes) {
        self.hear(|| {
            let text = BodyFormat::of(&self.parts.headers).and_then(|format| format.text(bytes.clone()));
            let format = if is_apply(&self.parts.headers) { Format::Yaml } else { Format::Json };
            let (bytes, format) = text.unwrap_or_else(|_| (bytes.clone(), format));
            Sent { bytes, format, whole: false }
        });
    }

    fn hear(&self, sent: impl FnOnce() -> Sent) {
        if let Some(heard) = self.notes.heard() {
            heard.sent.get_or_init(sent);
        }
    }
}
