//! What the server says about itself: its version and the paths that lead somewhere.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use wherry_api::kinds::KINDS;
use wherry_schema::{SyntaxError, Value};

use crate::config::Build;
use crate::error::Failure;
use crate::request::negotiate::{Accept, Include, Shape};
use crate::request::path::Route;
use crate::request::query::Query;
use crate::service_accounts::TokenIssuer;
use crate::state::State;
use crate::status::plain;
use crate::{discovery, health, metrics, openapi, respond};

/// The version that is told: of the API, and of this server after the plus.
pub(crate) const GIT_VERSION: &str = concat!("v1.36.2+wherry.", env!("CARGO_PKG_VERSION"));

/// Answers what is about the server, not about an object.
pub(crate) async fn answer(
    state: &State,
    parts: &Parts,
    query: &Query,
    route: &Route,
) -> Result<Response, Failure> {
    let headers = &parts.headers;
    match route {
        Route::Health(name, check) => return health::answer(state, name, check.as_deref(), query).await,
        Route::Metrics => return Ok(metrics(state)),
        Route::Root => return Ok(paths(state)),
        Route::OpenApiIndex => {
            let elsewhere = state.aggregated.documents.urls(&state.aggregated.remotes());
            return openapi::index(headers, state.custom.definitions().documents(), &elsewhere);
        }
        Route::OpenApi(name) => {
            let definitions = state.custom.definitions();
            return openapi::version_3(name, query, (headers, definitions.documents()), state.clock.now());
        }
        Route::OpenApiV2 => {
            let definitions = state.custom.definitions();
            return openapi::version_2(
                headers,
                definitions.documents(),
                &state.aggregated,
                &state.openapi_protobuf,
            );
        }
        Route::OpenIdConfiguration => return openid(state, TokenIssuer::configuration, "application/json"),
        Route::OpenIdKeys => return openid(state, TokenIssuer::jwks, "application/jwk-set+json"),
        _ => {}
    }
    let accept =
        Accept::parse(headers, Include::Metadata, false).map_err(|_| Failure::NoSuchRepresentation)?;
    match route {
        Route::CoreVersions => Ok(state.documents.core_versions(headers, accept)),
        Route::Groups if !state.aggregated.remotes().is_empty() => aggregated(state, headers, accept).await,
        Route::Groups => Ok(state.documents.groups(state.custom.definitions(), headers, accept)),
        // Only lists of groups have the newer form.
        _ if accept.shape == Shape::Discovery => Err(Failure::NoSuchRepresentation),
        Route::Group(group) => Ok(discovery::group(&state.custom.definitions(), group, accept)),
        Route::Resources(group, version) => {
            Ok(discovery::resources(&state.custom.definitions(), group, version, accept))
        }
        _ => Ok(version(state.build, accept)),
    }
}

/// Answers `/apis` where other servers serve some of the groups.
async fn aggregated(state: &State, headers: &HeaderMap, accept: Accept) -> Result<Response, Failure> {
    // The own part is asked for as by somebody who knows nothing of it yet.
    let own = state.documents.groups(
        state.custom.definitions(),
        &HeaderMap::new(),
        Accept { yaml: false, ..accept },
    );
    let (mut head, body) = own.into_parts();
    let body = body.collect().await.map_err(|error| Failure::Internal(error.to_string()))?.to_bytes();
    let internal = |error: SyntaxError| Failure::Internal(error.to_string());
    if accept.shape != Shape::Discovery {
        let mut all = Value::from_json(&body).map_err(internal)?;
        state.aggregated.add_groups(&mut all);
        return Ok(respond::json(StatusCode::OK, all.to_json_bytes().into(), accept.yaml));
    }
    let (tag, bytes) = state.aggregated.merged_with(body).map_err(internal)?;
    let known = respond::knows(headers, &tag);
    head.headers.insert(ETAG, tag);
    if known {
        head.status = StatusCode::NOT_MODIFIED;
    }
    Ok(Response::from_parts(head, if known { Body::empty() } else { Body::from(bytes) }))
}

/// Answers `/metrics`.
fn metrics(state: &State) -> Response {
    let mut response = plain(StatusCode::OK, &metrics::render(state));
    let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, media);
    response
}

/// Answers `/.well-known/openid-configuration` and `/openid/v1/jwks`.
fn openid(
    state: &State,
    document: fn(&TokenIssuer) -> Vec<u8>,
    media: &'static str,
) -> Result<Response, Failure> {
    let issuer = state.issuer.as_ref().ok_or(Failure::NoSuchPath)?;
    let mut response = Response::new(Body::from(document(issuer)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    Ok(response)
}

/// Answers `/version`.
fn version(build: Build, accept: Accept) -> Response {
    let version = json!({
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": build.commit,
        "gitTreeState": "",
        "buildDate": build.date,
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    respond::json(StatusCode::OK, version.to_string().into(), accept.yaml)
}

/// Answers `/`: the paths that lead somewhere.
fn paths(state: &State) -> Response {
    let mut paths: Vec<String> =
        ["/api", "/api/v1", "/apis", "/apis/", "/metrics", "/openapi/v2", "/openapi/v3", "/version"]
            .map(str::to_owned)
            .into();
    paths.push("/openapi/v3/".to_owned());
    if state.issuer.is_some() {
        paths.extend(["/.well-known/openid-configuration", "/openid/v1/jwks"].map(str::to_owned));
    }
    let definitions = state.custom.definitions();
    for kind in KINDS.iter().chain(definitions.rows()).filter(|kind| !kind.group.is_empty()) {
        paths.push(format!("/apis/{}", kind.group));
        paths.push(format!("/apis/{}", kind.api_version()));
    }
    for endpoint in &health::ENDPOINTS {
        paths.push(format!("/{}", endpoint.name));
        paths.extend(endpoint.checks.iter().map(|check| format!("/{}/{}", endpoint.name, check.name())));
    }
    paths.sort_unstable();
    paths.dedup();
    let text = format!("{:#}", json!({"paths": paths}));
    respond::json(StatusCode::OK, text.into(), false)
}
