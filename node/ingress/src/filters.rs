//! What a rule changes of requests and answers.

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::headers::is_of_the_hop;
use crate::rule::PathMatch;

/// Headers that are set, added and removed, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl HeaderEdits {
    /// Sets these instead of those of their names, adds these beside those of their names, removes all of these names. A name
    /// that is not for a rule to change is an error: by it, two servers could read one message as two.
    pub fn new(
        set: Vec<(HeaderName, HeaderValue)>,
        add: Vec<(HeaderName, HeaderValue)>,
        remove: Vec<HeaderName>,
    ) -> Result<Self, HeaderName> {
        let mut names = set.iter().chain(&add).map(|(name, _)| name).chain(&remove);
        match names.find(|name| is_of_the_hop(name)) {
            Some(refused) => Err(refused.clone()),
            None => Ok(Self { set, add, remove }),
        }
    }

    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// How many of how many requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    /// So many,
    pub of: u32,
    /// of so many; none of nothing.
    pub all: u32,
}

impl Fraction {
    /// Every one.
    pub const ALL: Self = Self { of: 1, all: 1 };

    /// Whether it is the turn of the request with this number.
    pub(crate) fn takes(self, turn: u64) -> bool {
        spread(turn, u64::from(self.all)).is_some_and(|at| at < u64::from(self.of))
    }
}

/// A number below `all` for each turn: over many turns each as often as the others, and those next to each other far apart.
/// None below nothing.
pub(crate) fn spread(turn: u64, all: u64) -> Option<u64> {
    // The golden ratio's multiples are spread most evenly over a range, wherever one begins and ends.
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let part = u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(all);
    u64::try_from(part >> 64).ok().filter(|_| all > 0)
}

/// Another path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathEdit {
    /// This one.
    Whole(String),
    /// This one instead of the elements that the rule is about.
    Prefix(String),
}

impl PathEdit {
    /// The path that a request to `path`, which met a rule about `matched`, has then.
    pub(crate) fn apply(&self, path: &str, matched: &PathMatch) -> String {
        let edited = match self {
            Self::Whole(whole) => whole.clone(),
            Self::Prefix(prefix) => {
                let elements = match matched {
                    PathMatch::Prefix(elements) => PathMatch::elements(elements),
                    PathMatch::Exactly(path) => path,
                };
                let rest = path.strip_prefix(elements).unwrap_or_default();
                format!("{}{rest}", PathMatch::elements(prefix))
            }
        };
        if edited.starts_with('/') { edited } else { format!("/{edited}") }
    }
}

/// What is asked of an endpoint in the client's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The host.
    pub host: Option<HeaderValue>,
    /// The path.
    pub path: Option<PathEdit>,
}

impl Rewrite {
    /// The target of a request that met a rule about `matched`; none if it cannot be one.
    pub(crate) fn target(&self, target: &PathAndQuery, matched: &PathMatch) -> Option<PathAndQuery> {
        let Some(edit) = &self.path else { return Some(target.clone()) };
        with_query(&edit.apply(target.path(), matched), target).try_into().ok()
    }
}

/// Where a client is to ask instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// By which scheme; that of the request.
    pub scheme: Option<Scheme>,
    /// Of which host; that of the request.
    pub host: Option<String>,
    /// At which port; that of the scheme if there is one, else that of the request.
    pub port: Option<u16>,
    /// At which path; that of the request.
    pub path: Option<PathEdit>,
    /// The port of a request that names none.
    pub came_to: u16,
    /// How it is told.
    pub status: StatusCode,
}

/// What a client asked for.
pub(crate) struct Asked<'r> {
    pub(crate) scheme: &'static str,
    pub(crate) host: &'r str,
    /// If it names one.
    pub(crate) port: Option<u16>,
    pub(crate) target: &'r PathAndQuery,
}

impl Redirect {
    /// Where a request that met a rule about `matched` is to go.
    pub(crate) fn location(&self, asked: &Asked<'_>, matched: &PathMatch) -> String {
        let scheme = self.scheme.as_ref().map_or(asked.scheme, Scheme::as_str);
        let usual = if scheme == "https" { 443 } else { 80 };
        let same = || asked.port.unwrap_or(self.came_to);
        let port = self.port.unwrap_or_else(|| if self.scheme.is_some() { usual } else { same() });
        let host = self.host.as_deref().unwrap_or(asked.host);
        let path = self.path.as_ref().map(|edit| edit.apply(asked.target.path(), matched));
        let path = with_query(path.as_deref().unwrap_or(asked.target.path()), asked.target);
        if port == usual {
            format!("{scheme}://{host}{path}")
        } else {
            format!("{scheme}://{host}:{port}{path}")
        }
    }
}

fn with_query(path: &str, target: &PathAndQuery) -> String {
    target.query().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
}

#[cfg(test)]
mod tests;
