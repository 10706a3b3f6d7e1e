//! Routes: the first part of an input is rules, the second a request. No panic; the table finds what the rules say when they are read one by one.
#![no_main]

use http::{Request, StatusCode};
use libfuzzer_sys::fuzz_target;
use wherry_fuzz::halves;
use wherry_ingress::{Action, Conditions, Host, PathMatch, Rule, Table, check, host_of};

/// A line is a rule: how its host is meant (`=`, `*` or `+`), the host, how its path is meant (`=` or `/`), the path.
fn rule(line: &str) -> Option<Rule> {
    let (host, path) = line.split_once(' ')?;
    let name = |text: &str| host_of(text);
    let host = match host.split_at_checked(1)? {
        ("=", host) => Host::Exactly(name(host)?),
        ("*", domain) => Host::LabelBefore(name(domain)?),
        ("+", domain) => Host::Below(name(domain)?),
        _ => Host::Any,
    };
    let path = match path.strip_prefix('=') {
        Some(path) => PathMatch::Exactly(path.to_owned()),
        None => PathMatch::Prefix(path.to_owned()),
    };
    let action = Action::Answer(StatusCode::OK);
    Some(Rule { name: line.into(), host, path, conditions: Conditions::default(), action })
}

fn rank(rule: &Rule) -> (u8, usize, bool, bool, usize) {
    let (kind, length, label) = match &rule.host {
        Host::Exactly(_) => (2, 0, false),
        Host::LabelBefore(domain) => (1, domain.len(), true),
        Host::Below(domain) => (1, domain.len(), false),
        Host::Any => (0, 0, false),
    };
    match &rule.path {
        PathMatch::Exactly(_) => (kind, length, label, true, 0),
        PathMatch::Prefix(prefix) => {
            (kind, length, label, false, prefix.strip_suffix('/').unwrap_or(prefix).len())
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((rules, request)) = halves(input) else { return };
    let Ok(rules) = std::str::from_utf8(rules) else { return };
    let Some((host, path)) = std::str::from_utf8(request).ok().and_then(|text| text.split_once(' ')) else { return };
    let Ok(request) = Request::get(path).header("host", host).body(()) else { return };
    let (head, ()) = request.into_parts();
    let Ok(host) = check(&head) else { return };
    let rules: Vec<Rule> = rules.lines().filter_map(rule).collect();
    let holds = |rule: &&Rule| rule.host.holds(&host) && rule.path.holds(head.uri.path());
    let best = rules.iter().filter(holds).map(rank).max();
    let table = Table::new(rules);
    let found = table.find(&host, &head).map(|rule| rank(rule));
    assert_eq!(found, best, "{host} {}", head.uri);
});
