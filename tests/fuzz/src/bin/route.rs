//! Routes: the first part of an input is rules, the second a request. No panic; the table finds what the rules say when they are read one by one.
#![no_main]

use http::{Method, Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use wherry_fuzz::{halves, host};
use wherry_ingress::{Action, Conditions, Host, PathMatch, Rule, Table, check};

/// A line is a rule: how its host is meant (`=`, `*` or `+`), the host, how its path is meant (`=` or `/`), the path, and what else
/// must hold: `!METHOD`, `?NAME=VALUE` of the query, `NAME:VALUE` of the headers, or `.ELEMENT` at the end of the path.
fn rule(line: &str) -> Option<Rule> {
    let mut words = line.split(' ');
    let host = host(words.next()?)?;
    let path = words.next()?;
    let path = match path.strip_prefix('=') {
        Some(path) => PathMatch::Exactly(path.to_owned()),
        None => PathMatch::Prefix(path.to_owned()),
    };
    let mut conditions = Conditions::default();
    for word in words {
        if let Some(method) = word.strip_prefix('!') {
            conditions.method = Some(Method::from_bytes(method.as_bytes()).ok()?);
        } else if let Some((name, value)) = word.strip_prefix('?').and_then(|word| word.split_once('=')) {
            conditions.queries.push((name.to_owned(), value.to_owned()));
        } else if let Some(element) = word.strip_prefix('.') {
            conditions.last_element = Some(element.to_owned());
        } else if let Some((name, value)) = word.split_once(':') {
            conditions.headers.push((name.parse().ok()?, value.parse().ok()?));
        }
    }
    Some(Rule { name: line.into(), host, path, conditions, action: Action::Answer(StatusCode::OK) })
}

type Rank = (u8, usize, bool, bool, usize, (bool, bool, usize, usize));

fn rank(rule: &Rule) -> Rank {
    let (kind, length, label) = match &rule.host {
        Host::Exactly(_) => (2, 0, false),
        Host::LabelBefore(domain) => (1, domain.len(), true),
        Host::Below(domain) => (1, domain.len(), false),
        Host::Any => (0, 0, false),
    };
    let Conditions { method, headers, queries, last_element } = &rule.conditions;
    let more = (last_element.is_some(), method.is_some(), headers.len(), queries.len());
    match &rule.path {
        PathMatch::Exactly(_) => (kind, length, label, true, 0, more),
        PathMatch::Prefix(prefix) => {
            (kind, length, label, false, prefix.strip_suffix('/').unwrap_or(prefix).len(), more)
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((rules, request)) = halves(input) else { return };
    let (Ok(rules), Ok(request)) = (std::str::from_utf8(rules), std::str::from_utf8(request)) else { return };
    // HOST PATH METHOD, and a line for each header.
    let mut lines = request.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (host, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::builder().method(words.next().unwrap_or("GET")).uri(path).header("host", host);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else { return };
    let (head, ()) = request.into_parts();
    let Ok(host) = check(&head) else { return };
    let rules: Vec<Rule> = rules.lines().filter_map(rule).collect();
    let holds = |rule: &&Rule| {
        rule.host.holds(&host) && rule.path.holds(head.uri.path()) && rule.conditions.hold(&head)
    };
    let best = rules.iter().filter(holds).map(rank).max();
    let table = Table::new(rules);
    let found = table.find(&host, &head).map(|rule| rank(rule));
    assert_eq!(found, best, "{host} {}", head.uri);
});
