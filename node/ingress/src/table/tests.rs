//! Upstream's table of path matches, and any tables against a reading of the rules one by one.

use std::cmp::Reverse;

use http::{HeaderMap, Method, Request, StatusCode};
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::rule::{Action, Conditions};

fn rule(name: &str, host: Host, path: PathMatch) -> Rule {
    let action = Action::Answer(StatusCode::OK);
    Rule { name: name.into(), host, path, conditions: Conditions::default(), action }
}

fn request(method: &Method, uri: &str, headers: HeaderMap) -> Parts {
    let (mut head, ()) = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts();
    head.headers = headers;
    head
}

fn found(table: &Table, host: &str, path: &str) -> Option<String> {
    let rule = table.find(host, &request(&Method::GET, path, HeaderMap::new()));
    rule.map(|rule| rule.name.to_string())
}

/// The examples of upstream's page on Ingresses.
#[rstest]
#[case(&["p:/"], "/any/path", Some("p:/"))]
#[case(&["e:/foo"], "/foo", Some("e:/foo"))]
#[case(&["e:/foo"], "/bar", None)]
#[case(&["e:/foo"], "/foo/", None)]
#[case(&["e:/foo/"], "/foo", None)]
#[case(&["p:/foo"], "/foo", Some("p:/foo"))]
#[case(&["p:/foo"], "/foo/", Some("p:/foo"))]
#[case(&["p:/foo/"], "/foo", Some("p:/foo/"))]
#[case(&["p:/foo/"], "/foo/", Some("p:/foo/"))]
#[case(&["p:/aaa/bb"], "/aaa/bbb", None)]
#[case(&["p:/aaa/bbb"], "/aaa/bbb", Some("p:/aaa/bbb"))]
#[case(&["p:/aaa/bbb/"], "/aaa/bbb", Some("p:/aaa/bbb/"))]
#[case(&["p:/aaa/bbb"], "/aaa/bbb/", Some("p:/aaa/bbb"))]
#[case(&["p:/aaa/bbb"], "/aaa/bbb/ccc", Some("p:/aaa/bbb"))]
#[case(&["p:/aaa/bbb"], "/aaa/bbbxyz", None)]
#[case(&["p:/", "p:/aaa"], "/aaa/ccc", Some("p:/aaa"))]
#[case(&["p:/", "p:/aaa", "p:/aaa/bbb"], "/aaa/bbb", Some("p:/aaa/bbb"))]
#[case(&["p:/", "p:/aaa", "p:/aaa/bbb"], "/ccc", Some("p:/"))]
#[case(&["p:/aaa"], "/ccc", None)]
#[case(&["p:/foo", "e:/foo"], "/foo", Some("e:/foo"))]
fn paths_match_as_upstream(#[case] rules: &[&str], #[case] path: &str, #[case] expected: Option<&str>) {
    let parse = |text: &&str| match text.split_at(2) {
        ("e:", path) => rule(text, Host::Any, PathMatch::Exactly(path.to_owned())),
        (_, path) => rule(text, Host::Any, PathMatch::Prefix(path.to_owned())),
    };
    let table = Table::new(rules.iter().map(parse));
    assert_eq!(found(&table, "a.example", path).as_deref(), expected);
}

#[rstest]
#[case("foo.bar.com", Some("bar"))]
#[case("bar.foo.com", Some("*.foo"))]
#[case("baz.bar.foo.com", Some("any"))]
#[case("foo.com", Some("any"))]
#[case("a.b.deep.org", Some("below deep"))]
#[case("deep.org", Some("any"))]
#[case(".foo.com", Some("any"))]
fn hosts_match_as_upstream(#[case] host: &str, #[case] expected: Option<&str>) {
    let all = || PathMatch::Prefix("/".to_owned());
    let table = Table::new([
        rule("any", Host::Any, all()),
        rule("*.foo", Host::LabelBefore("foo.com".to_owned()), all()),
        rule("below deep", Host::Below("deep.org".to_owned()), all()),
        rule("bar", Host::Exactly("foo.bar.com".to_owned()), all()),
    ]);
    assert_eq!(found(&table, host, "/x").as_deref(), expected);
}

fn hosts() -> impl Strategy<Value = Host> {
    let domain = prop_oneof![Just("b.c"), Just("c"), Just("a.b.c")].prop_map(str::to_owned);
    (0..4, domain).prop_map(|(kind, domain)| match kind {
        0 => Host::Exactly(domain),
        1 => Host::LabelBefore(domain),
        2 => Host::Below(domain),
        _ => Host::Any,
    })
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let method = proptest::option::of(prop_oneof![Just(Method::GET), Just(Method::POST)]);
    let headers = proptest::collection::vec((0..2_i32, 0..2_i32), 0..3);
    let queries = proptest::collection::vec((0..2_i32, 0..2_i32), 0..3);
    let last_element = proptest::option::weighted(0.2, "[ab]");
    (method, headers, queries, last_element).prop_map(|(method, headers, queries, last_element)| Conditions {
        method,
        headers: headers.into_iter().map(|(name, value)| header(name, value)).collect(),
        queries: queries.into_iter().map(|(key, value)| (format!("q{key}"), value.to_string())).collect(),
        last_element,
    })
}

fn header(name: i32, value: i32) -> (http::HeaderName, http::HeaderValue) {
    (format!("x-{name}").parse().unwrap(), value.to_string().parse().unwrap())
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let path = ("(/[ab]{0,1}){1,3}", any::<bool>())
        .prop_map(|(path, exact)| if exact { PathMatch::Exactly(path) } else { PathMatch::Prefix(path) });
    let one = (hosts(), path, conditions()).prop_map(|(host, path, conditions)| {
        let action = Action::Answer(StatusCode::OK);
        Rule { name: "".into(), host, path, conditions, action }
    });
    proptest::collection::vec(one, 0..12).prop_map(|mut rules| {
        for (at, rule) in rules.iter_mut().enumerate() {
            rule.name = at.to_string().into();
        }
        rules
    })
}

/// What the rules say, read one by one; the greatest counts, of equal ones the first.
fn naive<'r>(rules: &'r [Rule], host: &str, request: &Parts) -> Option<&'r str> {
    let holds = |rule: &&Rule| {
        rule.host.holds(host) && rule.path.holds(request.uri.path()) && rule.conditions.hold(request)
    };
    let rank = |rule: &Rule| {
        let host = match &rule.host {
            Host::Exactly(_) => (3, 0, 0),
            Host::LabelBefore(domain) => (2, domain.len(), 1),
            Host::Below(domain) => (2, domain.len(), 0),
            Host::Any => (1, 0, 0),
        };
        let path = match &rule.path {
            PathMatch::Exactly(_) => (1, 0),
            PathMatch::Prefix(prefix) => (0, prefix.strip_suffix('/').unwrap_or(prefix).len()),
        };
        let Conditions { method, headers, queries, last_element } = &rule.conditions;
        (host, path, last_element.is_some(), method.is_some(), headers.len(), queries.len())
    };
    let ranked = rules.iter().filter(holds).enumerate();
    ranked.max_by_key(|(at, rule)| (rank(rule), Reverse(*at))).map(|(_, rule)| &*rule.name)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, fork: false, ..ProptestConfig::default() })]

    #[test]
    fn a_table_finds_what_its_rules_say(
        rules in rules(),
        host in "([a-c]\\.){0,3}[bc]",
        path in "(/[ab]{0,1}){1,4}",
        query in "(q[01]=[01]&){0,3}",
        headers in proptest::collection::vec((0..2, 0..2), 0..3),
        post in any::<bool>(),
    ) {
        let method = if post { Method::POST } else { Method::GET };
        let headers = headers.into_iter().map(|(name, value)| header(name, value)).collect();
        let request = request(&method, &format!("{path}?{query}"), headers);
        let expected = naive(&rules, &host, &request).map(str::to_owned);
        let table = Table::new(rules);
        let found = table.find(&host, &request).map(|rule| rule.name.to_string());
        prop_assert_eq!(found, expected);
    }
}
