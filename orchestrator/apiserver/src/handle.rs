//! One request from its first byte to its answer: authenticate, route, authorize, then the verb.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::USER_AGENT;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use parking_lot::Mutex;
use wherry_schema::{Format, Value};

use crate::about;
use crate::admission;
use crate::auth::{UserInfo, authenticate};
use crate::authorize::{Wish, refusal};
use crate::error::Failure;
use crate::flow::{dangling, too_many};
use crate::front::Visit;
use crate::impersonate::impersonate;
use crate::object;
use crate::proxy;
use crate::request::body;
use crate::request::negotiate::{Accept, BodyFormat, Include, Shape, is_apply, patch_type};
use crate::request::path::{Route, Target};
use crate::request::query::{ListOptions, Query, WriteOptions, manager_of};
use crate::request::rest::Rest;
use crate::respond;
use crate::state::State;
use crate::status;
use crate::verbs::delete::Deleted;
use crate::verbs::delete_options::DeleteOptions;
use crate::verbs::update::{Part, Wanted, update};
use crate::verbs::{
    Cx, apply, bind, components, create, delete, delete_collection, evict, get, incoming, list, log, patch,
    review, scale, show, streams, token, watch,
};

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
    let request = Exchange { query, state, parts, warnings: Mutex::default() };
    let response = match request.user(connection) {
        Ok(user) => Box::pin(request.visit(&user, yaml, body)).await,
        Err(failure) => status::response(&failure, yaml),
    };
    // Whoever a request was passed on to may still read its body.
    let passed = response.extensions().get::<proxy::Passed>().is_some();
    if !passed {
        rest.discard().await;
    }
    let mut response = respond::finish(response, &request.parts.headers, &request.query).await;
    respond::warn(&mut response, &request.warnings.into_inner());
    if let Some(warning) = deprecated(request.parts.uri.path()).filter(|_| !passed) {
        respond::warn(&mut response, &[warning.to_owned()]);
    }
    respond::stamp(&mut response, &request.parts.headers, || request.state.new_uid());
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
    /// What the client should know whether the request works or not.
    warnings: Mutex<Vec<String>>,
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
    /// Who the request is by, or in the name of.
    fn user(&self, connection: Option<UserInfo>) -> Result<UserInfo, Failure> {
        let (state, headers) = (&self.state, &self.parts.headers);
        let user = authenticate(state, connection, headers)?;
        let uri = self.parts.uri.path_and_query().map_or("", |uri| uri.as_str());
        impersonate(&state.authorizer, user, headers, uri)
    }

    /// Refuses what the user may not do.
    fn authorize(&self, user: &UserInfo) -> Result<(), Failure> {
        let wish = Wish::of(&self.parts.method, self.parts.uri.path(), &self.query);
        let attributes = wish.by(user);
        let decision = self.state.authorizer.decide(&attributes);
        if decision.allowed { Ok(()) } else { Err(refusal(&attributes, &decision.reason)) }
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
        let route = Route::parse(self.parts.uri.path());
        let verb = route.as_ref().ok().and_then(|route| self.verb(route));
        let visit = Visit::new(&self.parts, &route, verb);
        let endless = visit.endless();
        let _under_way = (!endless && !visit.watches()).then(|| self.state.metrics.under_way(visit.writes()));
        let changes_flow = visit.changes_flow();
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

    async fn answer(&self, entry: Entry<'_>, body: Body) -> Result<Response, Failure> {
        let Entry { route, verb, user } = entry;
        self.authorize(user)?;
        let route = route?;
        let verb = verb.ok_or(Failure::MethodNotAllowed)?;
        match route {
            Route::Resource(target) => {
                if !allowed(&target, verb) {
                    return Err(Failure::MethodNotAllowed);
                }
                self.resource((&target, verb), user, body).await
            }
            Route::Bindings(namespace) => {
                let pods = wherry_api::kinds::by_kind("", "v1", "Pod").expect("the kinds table has Pod");
                let cx = Cx::new(&self.state, pods, &namespace);
                self.bind(&cx, None, body).await
            }
            other => about::answer(&self.state, &self.parts, &self.query, &other).await,
        }
    }

    fn accept(&self, collection: bool) -> Result<Accept, Failure> {
        let asked = self.query.get("includeObject").unwrap_or_default();
        let include = Include::parse(asked);
        let accept = Accept::parse(&self.parts.headers, include.unwrap_or(Include::Metadata), collection)?;
        if include.is_none() && matches!(accept.shape, Shape::Table(..)) {
            return Err(Failure::BadRequest(format!(
                "Unable to convert to Table as requested: includeObject: Unsupported value: {asked:?}: supported values: \
                 \"Metadata\", \"Object\", \"None\", \"\""
            )));
        }
        Ok(accept)
    }

    fn write_options(&self, kind: &str) -> Result<WriteOptions, Failure> {
        WriteOptions::parse(&self.query, kind).map(|options| self.with_manager(options))
    }

    fn patch_options(&self, apply: bool) -> Result<WriteOptions, Failure> {
        WriteOptions::parse_patch(&self.query, apply).map(|options| self.with_manager(options))
    }

    /// Options in which somebody owns what is written.
    fn with_manager(&self, mut options: WriteOptions) -> WriteOptions {
        if options.manager.is_empty() {
            let agent = self.parts.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
            options.manager = manager_of(agent.unwrap_or_default());
        }
        options
    }

    async fn read(&self, body: Body) -> Result<Bytes, Failure> {
        body::read(body, self.state.max_body_bytes).await
    }

    /// Reads a body that holds an object, as text.
    async fn read_object(&self, body: Body) -> Result<(Bytes, Format), Failure> {
        let format = BodyFormat::of(&self.parts.headers)?;
        format.text(self.read(body).await?)
    }

    async fn resource(
        &self,
        (target, verb): (&Target, &str),
        user: &UserInfo,
        body: Body,
    ) -> Result<Response, Failure> {
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let cx = Cx::new(&self.state, target.kind, namespace).asked_by(Some(user));
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
            "get" => get::get(&cx, name, &self.query, self.accept(false)?),
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
            _ => {
                let which = ListOptions::parse(&self.query, false)?;
                let bytes = self.read(body).await?;
                let options = self.delete_options(&cx, bytes)?;
                delete_collection::delete_collection(&cx, &which, &options, self.accept(true)?).await
            }
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

    async fn create(&self, cx: &Cx<'_>, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        if !cx.kind.stored() {
            review::check_shape(accept)?;
        }
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let cx = &cx.sent(&bytes, format);
        let (object, mut warnings) = incoming::object(cx, &bytes, format, options.validation)?;
        if !cx.kind.stored() {
            let mut response = review::answer(cx, object, &options, accept)?;
            respond::warn(&mut response, &warnings);
            return Ok(response);
        }
        warnings.extend(cx.rules.warnings(&object));
        warnings.extend(admission::warnings(cx, &object));
        let stored = create::create(cx, object, &options).await?;
        let mut response = show::object(cx, StatusCode::CREATED, &stored, accept)?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn update(&self, cx: &Cx<'_>, name: &str, part: Part, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let options = self.write_options("UpdateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let cx = &cx.sent(&bytes, format);
        let (object, mut warnings) = incoming::object(cx, &bytes, format, options.validation)?;
        warnings.extend(part.warnings(cx, &object));
        let missing = self.state.store.get(&cx.key(name)).is_none();
        let (code, stored) = if missing && part == Part::Whole && cx.rules.create_on_update() {
            if object::name(&object) != name {
                let given = object::name(&object);
                let text =
                    format!("the name of the object ({given}) does not match the name on the URL ({name})");
                return Err(Failure::BadRequest(text));
            }
            (StatusCode::CREATED, create::create(cx, object, &options).await?)
        } else {
            let change = &mut |_: &Value| Ok(Wanted::Put(object.clone()));
            (StatusCode::OK, update(cx, name, part, &options, change).await?)
        };
        let mut response = show::object(cx, code, &stored, accept)?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn patch(&self, cx: &Cx<'_>, name: &str, part: Part, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let mut warnings = Vec::new();
        let (code, stored) = if is_apply(&self.parts.headers) {
            let (config, options) = self.config(body).await?;
            apply::apply(cx, (name, part), &config, &options, &mut warnings).await?
        } else {
            let kind = patch_type(&self.parts.headers)?;
            let options = self.patch_options(false)?;
            let patch = patch::Patch::parse(kind, &self.read(body).await?)?;
            let change = &mut |old: &Value| {
                let object = patch.apply(cx, old, &options, &mut warnings)?;
                warnings.extend(part.warnings(cx, &object));
                Ok(Wanted::Patched(object))
            };
            (StatusCode::OK, update(cx, name, part, &options, change).await?)
        };
        let mut response = show::object(cx, code, &stored, accept)?;
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    /// Reads a configuration for server-side apply.
    async fn config(&self, body: Body) -> Result<(apply::Config, WriteOptions), Failure> {
        let options = self.patch_options(true)?;
        let config = apply::Config::parse(&self.read(body).await?, &options)?;
        Ok((config, options))
    }

    async fn delete(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let bytes = self.read(body).await?;
        let options = self.delete_options(cx, bytes)?;
        match delete::delete(cx, name, &options).await? {
            Deleted::Object(stored) => show::object(cx, StatusCode::OK, &stored, accept),
            Deleted::Marked(stored) => {
                let code = if options.orphan == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
                show::object(cx, code, &stored, accept)
            }
            Deleted::Status(status) => Ok(respond::json(StatusCode::OK, status.into(), accept.yaml)),
        }
    }

    fn delete_options(&self, cx: &Cx<'_>, body: Bytes) -> Result<DeleteOptions, Failure> {
        let options = DeleteOptions::parse(body, &self.parts.headers, &self.query)?;
        self.warnings.lock().extend(delete::warning(cx, &options).map(str::to_owned));
        Ok(options)
    }

    async fn subresource(
        &self,
        cx: &Cx<'_>,
        name: &str,
        (sub, verb): (&str, &str),
        body: Body,
    ) -> Result<Response, Failure> {
        match sub {
            "log" => log::log(cx, name, &self.query).await,
            "attach" | "exec" | "portforward" => {
                Err(streams::refuse(cx, name, sub, (&self.query, &self.parts.headers)))
            }
            "proxy" => proxy::proxy(cx, name, &self.parts, body).await,
            "binding" => self.bind(cx, Some(name), body).await,
            "eviction" => self.evict(cx, name, body).await,
            "finalize" => self.update(cx, name, Part::Finalize, body).await,
            "approval" => self.approval(cx, name, verb, body).await,
            "token" => self.token(cx, name, body).await,
            "scale" => self.scale(cx, name, verb, body).await,
            _ => Err(Failure::NoSuchResource),
        }
    }

    /// Whether a request for a certificate is granted.
    async fn approval(&self, cx: &Cx<'_>, name: &str, verb: &str, body: Body) -> Result<Response, Failure> {
        match verb {
            "get" => get::get(cx, name, &self.query, self.accept(false)?),
            "patch" => self.patch(cx, name, Part::Approval, body).await,
            _ => self.update(cx, name, Part::Approval, body).await,
        }
    }

    async fn bind(&self, cx: &Cx<'_>, name: Option<&str>, body: Body) -> Result<Response, Failure> {
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let (binding, warnings) = bind::parse(&bytes, format, options.validation)?;
        let name = name.unwrap_or_else(|| object::name(&binding));
        let status = bind::bind(cx, name, &binding, &options).await?;
        let mut response = respond::json(StatusCode::CREATED, status.into(), false);
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn evict(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let eviction = evict::parse(&bytes, format)?;
        let status = evict::evict(cx, name, &eviction, options.dry_run).await?;
        Ok(respond::json(StatusCode::CREATED, status.into(), false))
    }

    async fn token(&self, cx: &Cx<'_>, name: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        let options = self.write_options("CreateOptions")?;
        let (bytes, format) = self.read_object(body).await?;
        let (request, warnings) = token::parse(&bytes, format, options.validation)?;
        let answer = token::issue(cx, name, request, &options.manager)?;
        let mut response = respond::json(StatusCode::CREATED, answer, accept.yaml);
        respond::warn(&mut response, &warnings);
        Ok(response)
    }

    async fn scale(&self, cx: &Cx<'_>, name: &str, verb: &str, body: Body) -> Result<Response, Failure> {
        let accept = self.accept(false)?;
        if verb == "get" {
            let entry = self.state.store.get(&cx.key(name)).ok_or_else(|| cx.not_found(name))?;
            return scale::answer(cx, StatusCode::OK, &entry.value, accept);
        }
        let headers = &self.parts.headers;
        let (wanted, options) = if verb != "patch" {
            let options = self.write_options("UpdateOptions")?;
            let (bytes, format) = self.read_object(body).await?;
            (scale::Wanted::put(name, &bytes, format, &options)?, options)
        } else if is_apply(headers) {
            let (config, options) = self.config(body).await?;
            (scale::Wanted::Apply(config), options)
        } else {
            let kind = patch_type(headers)?;
            let options = self.patch_options(false)?;
            (scale::Wanted::patch(kind, &self.read(body).await?)?, options)
        };
        let stored = scale::scale(cx, name, &wanted, &options).await?;
        scale::answer(cx, StatusCode::OK, &stored, accept)
    }
}
