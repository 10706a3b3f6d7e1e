//! A rule: which requests it is about, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::backend::Backend;
use crate::filters::{Fraction, HeaderEdits, Redirect, Rewrite};

/// What one rule says.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whose rule it is, for metrics and the log.
    pub name: Arc<str>,
    /// The hosts it is about.
    pub host: Host,
    /// The paths it is about.
    pub path: PathMatch,
    /// What else must hold of a request.
    pub conditions: Conditions,
    /// What becomes of it.
    pub action: Action,
}

/// The hosts a rule is about, in lower case and without a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// This one.
    Exactly(String),
    /// Those that have one label before this domain (`*.DOMAIN` of an Ingress).
    LabelBefore(String),
    /// Those that have labels before this domain (`*.DOMAIN` of the Gateway API).
    Below(String),
    /// All.
    Any,
}

impl Host {
    /// Whether it is one of them.
    pub fn holds(&self, host: &str) -> bool {
        let before = |domain: &str| Some(host.strip_suffix(domain)?.strip_suffix('.')?.to_owned());
        match self {
            Self::Exactly(name) => name == host,
            Self::LabelBefore(domain) => {
                before(domain).is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            Self::Below(domain) => before(domain).is_some_and(|labels| !labels.is_empty()),
            Self::Any => true,
        }
    }
}

/// The paths a rule is about, compared as they were sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathMatch {
    /// This one.
    Exactly(String),
    /// Those that begin with these elements; `/a` and `/a/` both mean `/a`, `/a/` and all below.
    Prefix(String),
}

impl PathMatch {
    /// The elements of a prefix, without the slash behind them.
    pub(crate) fn elements(prefix: &str) -> &str {
        prefix.strip_suffix('/').unwrap_or(prefix)
    }

    /// Whether it is one of them.
    pub fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == path,
            Self::Prefix(prefix) => {
                let rest = path.strip_prefix(Self::elements(prefix));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

/// What must hold of a request besides its host and path. All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its method.
    pub method: Option<Method>,
    /// Headers with exactly these values.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Parameters of the query with exactly these values, as they are sent.
    pub queries: Vec<(String, String)>,
    /// The last element of its path, as calls of gRPC name their methods.
    pub last_element: Option<String>,
}

impl Conditions {
    /// Whether it does.
    pub fn hold(&self, request: &Parts) -> bool {
        let (query, headers) = (request.uri.query(), &request.headers);
        let in_query = |(name, value): &(String, String)| {
            let mut pairs = query.unwrap_or_default().split('&');
            // Of several of one name the first counts.
            let first = pairs.find_map(|pair| pair.split_once('=').filter(|(key, _)| key == name));
            first.is_some_and(|(_, found)| found == value)
        };
        let last = request.uri.path().rsplit('/').next();
        self.method.as_ref().is_none_or(|wanted| wanted == request.method)
            && self.last_element.as_deref().is_none_or(|wanted| last == Some(wanted))
            && self.headers.iter().all(|(name, value)| is_given(headers, name, value))
            && self.queries.iter().all(in_query)
    }
}

/// Several headers of one name are one with commas.
fn is_given(headers: &HeaderMap, name: &HeaderName, value: &HeaderValue) -> bool {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => false,
        (Some(only), None) => only == value,
        (Some(first), Some(second)) => {
            let rest = [first, second].into_iter().chain(all).map(HeaderValue::as_bytes);
            rest.collect::<Vec<_>>().join(&b","[..]) == value.as_bytes()
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Action {
    /// It goes to an endpoint.
    Forward(Arc<Forward>),
    /// It is answered with where to ask instead.
    Redirect(Redirect),
    /// It is answered with this status.
    Answer(StatusCode),
}

/// How a request goes on.
#[derive(Clone, Debug, Default)]
pub struct Forward {
    /// To one of these, each as often as its weight says; to none is answered with 500.
    pub backends: Vec<(u32, Arc<Backend>)>,
    /// What of its target is changed.
    pub rewrite: Rewrite,
    /// What of its headers is changed.
    pub request: HeaderEdits,
    /// What of the headers of an endpoint's answer is changed.
    pub response: HeaderEdits,
    /// Who else gets it, and how often. Nobody waits for what they answer.
    pub mirrors: Vec<(Fraction, Arc<Backend>)>,
    /// How long it may take until its answer begins, however many endpoints are tried.
    pub time: Option<Duration>,
    /// How long one endpoint has for that, from when it has the whole request; else as long as the limits say.
    pub answer_time: Option<Duration>,
}

impl Forward {
    /// All requests go to this one.
    pub fn to(backend: Arc<Backend>) -> Self {
        Self { backends: vec![(1, backend)], ..Self::default() }
    }

    /// All that it leads to.
    pub(crate) fn leads_to(&self) -> impl Iterator<Item = &Arc<Backend>> {
        let backends = self.backends.iter().map(|(_, backend)| backend);
        backends.chain(self.mirrors.iter().map(|(_, backend)| backend))
    }
}
