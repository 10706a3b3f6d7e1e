//! One request from its first byte to its answer: authenticate, route, authorize, then the verb.
//!
//! What the verbs need of the request is read in `body`; `write` and `subresource` call them.

mod audited;
mod body;
mod subresource;
mod write;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request, StatusCode};

use crate::about;
use crate::admission::policy;
use crate::aggregate::Remote;
use crate::aggregate::forward::forward;
use crate::auth::{Expired, UserInfo, authenticate};
use crate::authorize::{Wish, refusal};
use crate::custom::{self, Served};
use crate::error::Failure;
use crate::flow::{dangling, too_many};
use crate::front::Visit;
use crate::impersonate::impersonate;
use crate::notes::Notes;
use crate::openapi;
use crate::proxy;
use crate::request::negotiate::{Accept, Include};
use crate::request::path::{Route, Target};
use crate::request::query::{ListOptions, Query};
use crate::request::rest::Rest;
use crate::respond;
use crate::state::State;
use crate::status;
use crate::verbs::update::Part;
use crate::verbs::{Cx, components, get, list, watch};

const COMPONENTS_WARNING: &str = "v1 ComponentStatus is deprecated in v1.19+";
const ENDPOINTS_WARNING: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

/// Answers a request.
pub(crate) async fn handle(state: Arc<State>, user: Option<UserInfo>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let (rest, body) = Rest::lend(parts.version, body);
    let connection = user.or_else(|| parts.extensions.get::<UserInfo>().cloned());
    let accept = Accept::parse(&parts.headers, Include::Metadata, false);
    let yaml = accept.is_ok_and(|a| a.yaml);
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let request = Exchange { query, state, parts, notes: Notes::default() };
    let response = match &request.state.audit {
        None => match request.user(connection).await {
            Ok(user) => request.answer_as(user, yaml, body).await,
            Err(failure) => status::response(&failure, yaml),
        },
        Some(audit) => Box::pin(request.audited(audit, connection, yaml, body)).await,
    };
    // Whoever a request was passed on to may still read its body.
    let passed = response.extensions().get::<proxy::Passed>().is_some();
    if !passed {
        rest.discard().await;
    }
    let mut response = respond::finish(response, &request.parts.headers, &request.query).await;
    respond::warn(&mut response, &request.notes.take_warnings());
    if let Some(warning) = deprecated(request.parts.uri.path()).filter(|_| !passed) {
        respond::warn(&mut response, &[warning.to_owned()]);
    }
    respond::stamp(&mut response, &request.parts.headers, || request.id());
    response
}

/// What to say of a resource that should not be used any more.
fn deprecated(path: &str) -> Option<&'static str> {
    let path = path.strip_prefix("/api/v1/")?;
    if path.split('/').next() == Some("componentstatuses") {
        return Some(COMPONENTS_WARNING);
    }
    path.split('/').any(|segment| segment == "endpoints").then_some(ENDPOINTS_WARNING)
}

/// A request being answered.
struct Exchange {
    state: Arc<State>,
    parts: Parts,
    query: Query,
    /// What is said about it besides the answer.
    notes: Notes,
}

/// Who wants what.
struct Entry<'a> {
    route: Result<Route, Failure>,
    verb: Option<&'static str>,
    user: &'a UserInfo,
}

/// The verb of a request on a resource, as authorization names it.
fn verb(method: &Method, target: &Target, watch: bool) -> Option<&'static str> {
    if target.subresource.is_some_and(|sub| sub.name == "proxy") {
        return connecting(method);
    }
    let collection = target.name.is_none();
    if target.watch {
        return (*method == Method::GET).then_some("watch");
    }
    Some(match *method {
        Method::GET if collection && watch => "watch",
        Method::GET if collection => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT if !collection => "update",
        Method::PATCH if !collection => "patch",
        Method::DELETE if collection => "deletecollection",
        Method::DELETE => "delete",
        _ => return None,
    })
}

/// The verb of a request that is passed on. Authorization has no word for asking what can be asked.
fn connecting(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "",
        _ => return None,
    })
}

/// Whether the resource has the verb where the path points.
fn allowed(target: &Target, verb: &str) -> bool {
    if let Some(sub) = target.subresource {
        return sub.verbs.contains(&verb) || (sub.name == "proxy" && verb.is_empty());
    }
    let everywhere = target.kind.namespaced && target.namespace.is_none();
    let fits = match verb {
        "create" => target.name.is_none() && !everywhere,
        "deletecollection" => !everywhere,
        _ => true,
    };
    fits && target.kind.verbs.contains(&verb)
}

impl Exchange {
    /// Who the request is by.
    async fn user(&self, connection: Option<UserInfo>) -> Result<UserInfo, Failure> {
        let headers = &self.parts.headers;
        if self.parts.extensions.get::<Expired>().is_some() && !headers.contains_key(AUTHORIZATION) {
            return Err(Failure::Unauthorized);
        }
        authenticate(&self.state, connection, (&self.parts, &self.notes)).await
    }

    /// Answers the request of a user, or of whom that user names in their place.
    async fn answer_as(&self, user: UserInfo, yaml: bool, body: Body) -> Response {
        match impersonate(&self.state.authorizer, user, &self.parts.headers, self.uri()).await {
            Ok(user) => {
                self.hear_user(&user);
                Box::pin(self.visit(&user, yaml, body)).await
            }
            Err(failure) => status::response(&failure, yaml),
        }
    }

    /// Refuses what the user may not do.
    async fn authorize(&self, user: &UserInfo) -> Result<(), Failure> {
        let wish = Wish::of(&self.parts.method, self.parts.uri.path(), &self.query);
        let attributes = wish.by(user);
        let decision = self.state.authorizer.decide(&attributes).await;
        self.hear_decision(&decision);
        match (decision.allowed, decision.error.as_str()) {
            (true, _) => Ok(()),
            (false, "") => Err(refusal(&attributes, &decision.reason)),
            (false, error) => Err(Failure::Broken(format!("{:?}: {error}", self.uri()))),
        }
    }

    /// The path and the query as they were asked for.
    fn uri(&self) -> &str {
        self.parts.uri.path_and_query().map_or("", |uri| uri.as_str())
    }

    /// The verb of the request; none if the path does not have it.
    fn verb(&self, route: &Route) -> Option<&'static str> {
        let method = &self.parts.method;
        match route {
            Route::Resource(target) => verb(method, target, self.query.flag("watch")),
            Route::Bindings(_) => (*method == Method::POST).then_some("create"),
            Route::Health(..) => Some("get"),
            _ => (*method == Method::GET).then_some("get"),
        }
    }

    /// Lets the request in when its turn comes, answers it, and counts the answer.
    async fn visit(&self, user: &UserInfo, yaml: bool, body: Body) -> Response {
        let started = self.state.clock.now();
        let path = self.parts.uri.path();
        let custom = |failure| custom::route(&self.state.custom, path, failure);
        let route = Route::parse(path).or_else(custom);
        let verb = route.as_ref().ok().and_then(|route| self.verb(route));
        let visit = Visit::new(&self.parts, &route, verb);
        let endless = visit.endless();
        let _under_way = (!endless && !visit.watches()).then(|| self.state.metrics.under_way(visit.writes()));
        let (changes_flow, changes_policies) = (visit.changes_flow(), visit.changes_policies());
        let labels = visit.labels(self.query.get("dryRun").is_some());
        let asked = visit.asked(user);
        let admitted = if endless { None } else { Some(self.state.flow.admit(&asked).await) };
        let mut response = match admitted {
            Some(Err((_, names))) => names.on(too_many()),
            Some(Ok(admitted)) => {
                admitted.labels().on(self.outcome(Entry { route, verb, user }, yaml, body).await)
            }
            None => self.outcome(Entry { route, verb, user }, yaml, body).await,
        };
        if changes_flow {
            self.state.flow.reload(&self.state.store);
            dangling::mark(&self.state).await;
        }
        if changes_policies {
            policy::mark(&self.state).await;
        }
        let lasting = endless || labels.is_watch();
        let duration = (!lasting).then(|| self.state.clock.now().duration_since(started));
        self.state.metrics.answered(labels, response.status().as_u16(), duration);
        if labels.is_watch() && response.status() == StatusCode::OK {
            response = self.state.metrics.watching(labels, response);
        }
        response
    }

    async fn outcome(&self, entry: Entry<'_>, yaml: bool, body: Body) -> Response {
        let answer = self.answer(entry, body).await;
        answer.unwrap_or_else(|failure| status::response(&failure, yaml))
    }

    /// Answers what leads nowhere here: by the server that serves it, if there is one.
    async fn elsewhere(&self, user: &UserInfo, failure: Failure, body: Body) -> Result<Response, Failure> {
        let path = self.parts.uri.path();
        if let Some(remote) = self.state.aggregated.find(path) {
            return Ok(forward(&self.state, &remote, user, (&self.parts, body)).await);
        }
        let group = path.strip_prefix("/apis/").map(|group| group.trim_end_matches('/'));
        let group = group.and_then(|group| self.state.aggregated.group(group)).ok_or(failure)?;
        if self.parts.method != Method::GET {
            return Err(Failure::MethodNotAllowed);
        }
        Ok(respond::json(StatusCode::OK, group.to_json_bytes().into(), self.accept(false)?.yaml))
    }

    async fn answer(&self, entry: Entry<'_>, body: Body) -> Result<Response, Failure> {
        let Entry { route, verb, user } = entry;
        self.authorize(user).await?;
        let route = match route {
            Ok(route) => route,
            Err(failure) => return self.elsewhere(user, failure, body).await,
        };
        let verb = verb.ok_or(Failure::MethodNotAllowed)?;
        match route {
            Route::Resource(target) => {
                if let Some(served) = &target.custom {
                    self.visit_custom(served, &target, verb)?;
                }
                if !allowed(&target, verb) {
                    return Err(Failure::MethodNotAllowed);
                }
                self.resource((&target, verb), user, body).await
            }
            Route::Bindings(namespace) => {
                let pods = wherry_api::kinds::by_kind("", "v1", "Pod").expect("the kinds table has Pod");
                let cx = Cx::new(&self.state, pods, &namespace).asked_by(user, &self.notes);
                self.bind(&cx, None, body).await
            }
            Route::OpenApi(name) => match self.has_document(&name) {
                Some(remote) => Ok(forward(&self.state, &remote, user, (&self.parts, body)).await),
                None => about::answer(&self.state, &self.parts, &self.query, &Route::OpenApi(name)).await,
            },
            other => about::answer(&self.state, &self.parts, &self.query, &other).await,
        }
    }

    /// The server that has an OpenAPI document which is not had here.
    fn has_document(&self, name: &str) -> Option<Arc<Remote>> {
        let definitions = self.state.custom.definitions();
        let elsewhere = || self.state.aggregated.document(name);
        if openapi::is_own(name, definitions.documents()) { None } else { elsewhere() }
    }

    /// What is particular to requests on custom kinds: some paths are not there, and some versions should not be used.
    fn visit_custom(&self, served: &Served, target: &Target, verb: &str) -> Result<(), Failure> {
        if target.kind.namespaced && target.namespace.is_none() && !matches!(verb, "list" | "watch") {
            return Err(Failure::NoSuchPath);
        }
        if let Some(warning) = &served.version().warning {
            self.notes.warn(warning.clone());
        }
        if verb == "create" && served.definition().is_terminating() {
            return Err(Failure::NotWhileTerminating { kind: target.kind, verb: "create" });
        }
        Ok(())
    }

    async fn resource(
        &self,
        (target, verb): (&Target, &str),
        user: &UserInfo,
        body: Body,
    ) -> Result<Response, Failure> {
        let cx = Cx::of(&self.state, target).asked_by(user, &self.notes);
        let name = target.name.as_deref().unwrap_or_default();
        if let Some(sub) = target.subresource.map(|s| s.name)
            && !matches!(sub, "status" | "ephemeralcontainers" | "resize")
        {
            return self.subresource(&cx, name, (sub, verb), body).await;
        }
        if !cx.kind.stored() && verb != "create" {
            return self.components(&cx, name, verb).await;
        }
        let part = match target.subresource.map(|s| s.name) {
            None => Part::Whole,
            Some("ephemeralcontainers") => Part::Ephemeral,
            Some("resize") => Part::Resize,
            Some(_) => Part::Status,
        };
        match verb {
            "get" => get::get(&cx, name, &self.query, self.accept(false)?).await,
            "list" => {
                let accept = self.accept(true)?;
                list::list(&cx, &ListOptions::parse(&self.query, false)?, accept).await
            }
            "watch" => {
                let accept = self.accept(true)?;
                // A path of the older form is a watch whatever the query says.
                let mut options = ListOptions::parse(&self.query, self.query.flag("watch"))?;
                options.watch_only(target.name.as_deref())?;
                watch::watch(&cx, &self.state, &options, accept)
            }
            "create" => self.create(&cx, body).await,
            "update" => self.update(&cx, name, part, body).await,
            "patch" => self.patch(&cx, name, part, body).await,
            "delete" => self.delete(&cx, name, body).await,
            _ => self.delete_collection(&cx, body).await,
        }
    }

    /// Whether parts of the control plane work.
    async fn components(&self, cx: &Cx<'_>, name: &str, verb: &str) -> Result<Response, Failure> {
        if verb == "get" {
            return components::get(cx, name, self.accept(false)?).await;
        }
        let accept = self.accept(true)?;
        components::list(cx, &ListOptions::parse(&self.query, false)?, accept).await
    }
}
