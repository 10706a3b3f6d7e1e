//! Routes of both kinds, read once when an object arrives: what their rules are about, and what they do.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize as _;
use serde_json::Value;
use wherry_ingress::{
    Action, Backend, Conditions, Forward, Fraction, HeaderEdits, Host, PathMatch, Redirect, Rewrite, Rule,
};

use super::duration;
use super::filters::{self, header};
use super::objects::Reference;
use super::written::{self, GrpcMatch, HttpMatch, Text};

/// A route.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ingress) struct Route {
    /// What it wants to belong to, as it was written, for the status.
    parents: Vec<Value>,
    pub(super) hostnames: Vec<String>,
    /// What it does; or what of it is not built.
    pub(super) rules: Result<Vec<RouteRule>, String>,
}

/// A rule of it, but for its hosts and endpoints.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RouteRule {
    matches: Vec<(PathMatch, Conditions)>,
    pub(super) filters: Filters,
    pub(super) backends: Vec<End>,
    time: Option<Duration>,
    answer_time: Option<Duration>,
}

/// What a rule changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Filters {
    pub(super) redirect: Option<Redirect>,
    pub(super) rewrite: Rewrite,
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
    pub(super) mirrors: Vec<(Fraction, Reference)>,
}

/// A backend that a rule names, and what is changed of requests that go there and of its answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct End {
    pub(super) to: Reference,
    pub(super) request: HeaderEdits,
    pub(super) response: HeaderEdits,
}

/// Where the requests of a rule go.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    pub(super) backends: Vec<(u32, Arc<Backend>)>,
    pub(super) mirrors: Vec<(Fraction, Arc<Backend>)>,
}

impl Route {
    pub(super) fn http(written: written::Route<HttpMatch>) -> Self {
        Self::read(written, http_match)
    }

    pub(super) fn grpc(written: written::Route<GrpcMatch>) -> Self {
        Self::read(written, grpc_match)
    }

    fn read<M: Default>(
        written: written::Route<M>,
        matched: fn(&M) -> Result<(PathMatch, Conditions), String>,
    ) -> Self {
        let written::Route { parent_refs, hostnames, rules } = written;
        let rules = rules.iter().map(|rule| RouteRule::read(rule, matched)).collect();
        Self { parents: parent_refs, hostnames, rules }
    }

    /// What it wants to belong to, with how that was written.
    pub(super) fn parents(&self) -> impl Iterator<Item = (&Value, Reference)> {
        self.parents.iter().filter_map(|value| Some((value, Reference::deserialize(value).ok()?)))
    }
}

impl RouteRule {
    fn read<M: Default>(
        rule: &written::Rule<M>,
        matched: fn(&M) -> Result<(PathMatch, Conditions), String>,
    ) -> Result<Self, String> {
        if rule.retry.is_some() || rule.session_persistence.is_some() {
            return Err("retry and sessionPersistence of rules are not built".to_owned());
        }
        let mut matches = rule.matches.iter().map(matched).collect::<Result<Vec<_>, _>>()?;
        if matches.is_empty() {
            matches.push(matched(&M::default())?);
        }
        let given = rule.timeouts.as_ref();
        let time = time_of(given.and_then(|times| times.request.as_ref()))?;
        Ok(Self {
            matches,
            filters: filters::read(&rule.filters)?,
            backends: rule.backend_refs.iter().map(filters::end).collect::<Result<_, _>>()?,
            // An attempt has the time of the request unless it has one of its own.
            answer_time: time_of(given.and_then(|times| times.backend_request.as_ref()))?.or(time),
            time,
        })
    }

    /// The rules of a table for these hosts, behind a listener at this port.
    pub(super) fn compile(&self, name: &Arc<str>, hosts: &[Host], port: u16, ends: &Ends) -> Vec<Rule> {
        let Filters { redirect, rewrite, request, response, .. } = self.filters.clone();
        let action = match redirect {
            Some(redirect) => Action::Redirect(Redirect { came_to: port, ..redirect }),
            None => Action::Forward(Arc::new(Forward {
                backends: ends.backends.clone(),
                mirrors: ends.mirrors.clone(),
                rewrite,
                request,
                response,
                time: self.time,
                answer_time: self.answer_time,
            })),
        };
        let pairs = hosts.iter().flat_map(|host| self.matches.iter().map(move |matched| (host, matched)));
        let rule = |(host, (path, conditions)): (&Host, &(PathMatch, Conditions))| Rule {
            name: name.clone(),
            host: host.clone(),
            path: path.clone(),
            conditions: conditions.clone(),
            action: action.clone(),
        };
        pairs.map(rule).collect()
    }
}

/// Nothing is no limit.
fn time_of(text: Option<&String>) -> Result<Option<Duration>, String> {
    let read = |text: &String| duration::parse(text).ok_or_else(|| format!("{text:?} is no duration"));
    let time = text.map(read).transpose()?;
    Ok(time.map(|time| if time.is_zero() { Duration::MAX } else { time }))
}

fn http_match(one: &HttpMatch) -> Result<(PathMatch, Conditions), String> {
    let path = one.path.as_ref();
    let value = path.and_then(|path| path.value.clone()).unwrap_or_else(|| "/".to_owned());
    let path = match path.and_then(|path| path.how.as_deref()) {
        None | Some("PathPrefix") => PathMatch::Prefix(value),
        Some("Exact") => PathMatch::Exactly(value),
        Some(other) => return Err(format!("path matches of type {other} are not built")),
    };
    let mut conditions = by_headers(&one.headers)?;
    one.query_params.iter().try_for_each(|text| exact(text.how.as_deref()))?;
    for text in &one.query_params {
        // Of several of one name only the first counts.
        if conditions.queries.iter().all(|(known, _)| *known != text.name) {
            conditions.queries.push((text.name.clone(), text.value.clone().unwrap_or_default()));
        }
    }
    let method = one.method.as_ref().map(|name| Method::from_bytes(name.as_bytes()));
    conditions.method = method.transpose().map_err(|_| "the method of a match is none".to_owned())?;
    Ok((path, conditions))
}

fn grpc_match(one: &GrpcMatch) -> Result<(PathMatch, Conditions), String> {
    let mut conditions = by_headers(&one.headers)?;
    let method = one.method.as_ref();
    exact(method.and_then(|method| method.how.as_deref()))?;
    let part = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    let service = part(method.and_then(|method| method.service.as_ref()));
    let path = match (service, part(method.and_then(|method| method.method.as_ref()))) {
        (Some(service), Some(method)) => PathMatch::Exactly(format!("/{service}/{method}")),
        (Some(service), None) => PathMatch::Prefix(format!("/{service}")),
        (None, method) => {
            conditions.last_element = method;
            PathMatch::Prefix("/".to_owned())
        }
    };
    Ok((path, conditions))
}

fn by_headers(texts: &[Text]) -> Result<Conditions, String> {
    texts.iter().try_for_each(|text| exact(text.how.as_deref()))?;
    let mut conditions = Conditions::default();
    for text in texts {
        let (name, value) = header(text)?;
        // Of several of one name only the first counts.
        if conditions.headers.iter().all(|(known, _)| *known != name) {
            conditions.headers.push((name, value));
        }
    }
    Ok(conditions)
}

fn exact(how: Option<&str>) -> Result<(), String> {
    match how {
        None | Some("Exact") => Ok(()),
        Some(other) => Err(format!("matches of type {other} are not built")),
    }
}
