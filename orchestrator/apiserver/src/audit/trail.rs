//! The events of one request, from when it came to when it is answered.
//!
//! ```text
//! begin -> RequestReceived -> (answering) -> ResponseComplete
//!                                 |      \-> ResponseStarted -> (as long as the client likes) -> ResponseComplete
//!                                 |\-> Panic
//!                                 \-> the client is gone: ResponseComplete
//! ```

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use wherry_schema::Value;

use super::event::{self, Facts, ObjectRef, Outcome, Report};
use super::policy::{Level, Stage, Verdict};
use super::redact::Secrecy;
use super::{Audit, source};
use crate::auth::UserInfo;
use crate::authorize::{Attributes, Object, Wish};
use crate::held::held;
use crate::notes::Notes;
use crate::object::Fields;
use crate::proxy::Passed;
use crate::request::query::Query;
use crate::respond;

/// Parts of objects whose requests last as long as the client likes.
const LASTING: [&str; 5] = ["attach", "exec", "log", "portforward", "proxy"];

/// A request that may have to be recorded.
pub(crate) struct Asked<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) query: &'a Query,
    /// Who asks; none if that is not known.
    pub(crate) user: Option<&'a UserInfo>,
    /// The request's name.
    pub(crate) id: String,
}

/// A request that is recorded.
pub(crate) struct Trail {
    audit: Arc<Audit>,
    facts: Facts,
    verdict: Verdict,
    object: Option<ObjectRef>,
    /// Whether the answer takes as long as the client likes.
    lasting: bool,
    deletes: bool,
}

impl Audit {
    /// The trail of a request; none if it is not recorded.
    pub(crate) fn begin(self: &Arc<Self>, asked: Asked<'_>) -> Option<Trail> {
        let parts = asked.parts;
        let wish = Wish::of(&parts.method, parts.uri.path(), asked.query);
        let nobody = UserInfo::default();
        let attributes = wish.by(asked.user.unwrap_or(&nobody));
        let verdict = self.policy.decide(asked.user, &attributes);
        self.counts.levels[verdict.level as usize].fetch_add(1, Ordering::Relaxed);
        if verdict.level == Level::None {
            return None;
        }
        let object = object(&attributes, parts.uri.path());
        let facts = Facts {
            id: asked.id,
            level: verdict.level,
            uri: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            verb: attributes.verb.to_owned(),
            user: asked.user.cloned().unwrap_or_default(),
            sources: source::addresses(parts),
            agent: source::agent(parts),
            received: self.clock.now(),
        };
        let lasting = object.as_ref().is_some_and(|object| {
            matches!(attributes.verb, "watch" | "proxy") || LASTING.contains(&object.subresource.as_str())
        });
        let deletes = parts.method == Method::DELETE;
        Some(Trail { audit: Arc::clone(self), facts, verdict, object, lasting, deletes })
    }
}

/// The object that a request is about, if it is about one.
fn object(wish: &Attributes<'_>, path: &str) -> Option<ObjectRef> {
    let Object::Resource(resource) = wish.object else { return None };
    Some(ObjectRef {
        resource: resource.plural.to_owned(),
        namespace: resource.namespace.to_owned(),
        name: resource.name.to_owned(),
        api_group: resource.group.to_owned(),
        api_version: version(path).to_owned(),
        subresource: resource.part.to_owned(),
        ..ObjectRef::default()
    })
}

/// The version in a path of a resource.
fn version(path: &str) -> &str {
    let mut parts = path.trim_matches('/').split('/');
    let skipped = usize::from(parts.next() == Some("apis"));
    parts.nth(skipped).unwrap_or_default()
}

impl Trail {
    /// The request's name.
    pub(crate) fn id(&self) -> &str {
        &self.facts.id
    }

    /// What the request asked for.
    pub(crate) fn uri(&self) -> &str {
        &self.facts.uri
    }

    /// Records that the request came; false if it must not go on.
    pub(crate) async fn received(&self) -> bool {
        let report = Report { object: self.object.clone(), ..Report::default() };
        let stored = self.record(Stage::RequestReceived, &report).await;
        if !stored {
            self.audit.counts.rejected.fetch_add(1, Ordering::Relaxed);
        }
        stored
    }

    /// Records that it is not known who asks.
    pub(crate) async fn unknown(self, parts: &Parts) {
        let mut outcome = Outcome::of(StatusCode::UNAUTHORIZED, None);
        "Failure".clone_into(&mut outcome.status);
        "Unauthorized".clone_into(&mut outcome.reason);
        outcome.message = source::attempts(parts);
        let report = Report { object: self.object.clone(), outcome: Some(outcome), ..Report::default() };
        self.record(Stage::ResponseStarted, &report).await;
    }

    /// The event of a stage; none if it is left out.
    fn event(&self, stage: Stage, report: &Report) -> Option<Bytes> {
        if self.verdict.omit.has(stage) {
            return None;
        }
        self.audit.counts.events.fetch_add(1, Ordering::Relaxed);
        let received = stage == Stage::RequestReceived;
        let now = if received { self.facts.received } else { self.audit.clock.now() };
        Some(event::render(&self.facts, stage, report, now))
    }

    async fn record(&self, stage: Stage, report: &Report) -> bool {
        match self.event(stage, report) {
            Some(event) => self.audit.store(stage, &event).await,
            None => true,
        }
    }

    fn record_soon(&self, stage: Stage, report: &Report) {
        if let Some(event) = self.event(stage, report) {
            self.audit.store_soon(&event);
        }
    }

    /// What is known from those who answered the request.
    fn report(&self, notes: &Notes) -> Report {
        let mut report =
            Report { object: self.object.clone(), annotations: notes.annotations(), ..Report::default() };
        let Some(heard) = notes.heard() else { return report };
        report.impersonated = heard.impersonated.get().cloned();
        if let Some(sent) = heard.sent.get() {
            let value = wherry_schema::decode::parse(&sent.bytes, sent.format).ok();
            if let (Some(object), Some(value), true) = (&mut report.object, &value, sent.whole) {
                object.complete(value);
            }
            if self.facts.level >= Level::Request {
                report.sent = value.map(|value| self.shown(value));
            }
        }
        report
    }

    /// An object as the policy wants it shown, without what is secret.
    fn shown(&self, mut value: Value) -> Value {
        Secrecy::of(self.object.as_ref()).redact(&mut value);
        if self.verdict.omit_managed {
            value.take("metadata.managedFields");
            for list in ["items", "rows"] {
                for item in value.items_mut(list) {
                    item.take("metadata.managedFields");
                    item.take("object.metadata.managedFields");
                }
            }
        }
        value
    }

    /// What is recorded of an answer, which stays as it is.
    async fn look_into(&self, response: Response, report: &mut Report) -> Response {
        let code = response.status();
        let whole = self.facts.level == Level::RequestResponse && self.object.is_some() && !self.lasting;
        let wanted = whole || self.deletes || !code.is_success();
        let passed = response.extensions().get::<Passed>().is_some();
        let there = response.body().size_hint().exact().is_some();
        if passed || !wanted || !(there || whole) {
            report.outcome = Some(Outcome::of(code, None));
            return response;
        }
        let (parts, body) = response.into_parts();
        // Bodies that this server makes do not fail.
        let bytes = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let answer = respond::value(&parts.headers, &bytes);
        report.outcome = Some(Outcome::of(code, answer.as_ref()));
        report.answered = answer.filter(|_| whole).map(|answer| self.shown(answer));
        Response::from_parts(parts, Body::from(bytes))
    }
}

/// A request under way. Dropped before it is answered, its client is gone.
pub(crate) struct Unfinished<'a> {
    trail: Option<Trail>,
    notes: &'a Notes,
}

impl<'a> Unfinished<'a> {
    /// A request that is going to be answered.
    pub(crate) fn new(trail: Trail, notes: &'a Notes) -> Self {
        Self { trail: Some(trail), notes }
    }

    /// Records how the request was answered.
    pub(crate) async fn answered(mut self, response: Response) -> Response {
        let Some(trail) = &self.trail else { return response };
        let mut report = trail.report(self.notes);
        let response = trail.look_into(response, &mut report).await;
        let Some(trail) = self.trail.take() else { return response };
        if trail.lasting {
            let end = End { trail, report };
            end.trail.record(Stage::ResponseStarted, &end.report).await;
            return response.map(|body| held(body, end));
        }
        trail.record(Stage::ResponseComplete, &report).await;
        response
    }

    /// Records that the server failed to answer, and gives back why.
    pub(crate) async fn panicked(mut self, panic: Box<dyn Any + Send>) -> Box<dyn Any + Send> {
        let Some(trail) = self.trail.take() else { return panic };
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let mut outcome = Outcome::of(StatusCode::INTERNAL_SERVER_ERROR, None);
        "Failure".clone_into(&mut outcome.status);
        "InternalError".clone_into(&mut outcome.reason);
        outcome.message = format!("APIServer panic'd: {text}");
        let report = Report { outcome: Some(outcome), ..trail.report(self.notes) };
        trail.record(Stage::Panic, &report).await;
        panic
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        let Some(trail) = self.trail.take() else { return };
        let mut outcome = Outcome::of(StatusCode::OK, None);
        "Success".clone_into(&mut outcome.status);
        "Connection closed early".clone_into(&mut outcome.message);
        let report = Report { outcome: Some(outcome), ..trail.report(self.notes) };
        trail.record_soon(Stage::ResponseComplete, &report);
    }
}

/// Records the end of an answer when it is dropped.
struct End {
    trail: Trail,
    report: Report,
}

impl Drop for End {
    fn drop(&mut self) {
        self.trail.record_soon(Stage::ResponseComplete, &self.report);
    }
}
