//! What becomes of paths, locations and headers, by upstream's tables.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

/// Upstream's table of prefixes that are replaced.
#[rstest]
#[case("/foo", "/xyz", "/foo/bar", "/xyz/bar")]
#[case("/foo", "/xyz/", "/foo/bar", "/xyz/bar")]
#[case("/foo/", "/xyz", "/foo/bar", "/xyz/bar")]
#[case("/foo/", "/xyz/", "/foo/bar", "/xyz/bar")]
#[case("/foo", "/xyz", "/foo", "/xyz")]
#[case("/foo", "/xyz", "/foo/", "/xyz/")]
#[case("/foo", "", "/foo/bar", "/bar")]
#[case("/foo", "", "/foo/", "/")]
#[case("/foo", "", "/foo", "/")]
#[case("/foo", "/", "/foo/", "/")]
#[case("/foo", "/", "/foo", "/")]
#[case("/", "/xyz", "/foo", "/xyz/foo")]
fn prefixes_are_replaced_by_element(
    #[case] matched: &str,
    #[case] by: &str,
    #[case] path: &str,
    #[case] expected: &str,
) {
    let matched = PathMatch::Prefix(matched.to_owned());
    assert_eq!(PathEdit::Prefix(by.to_owned()).apply(path, &matched), expected);
    assert_eq!(PathEdit::Whole("/z".to_owned()).apply(path, &matched), "/z");
}

#[rstest]
#[case(None, None, None, Some(8080), "http://a.example:8080/x?q=1")]
#[case(None, None, None, None, "http://a.example:8000/x?q=1")]
#[case(Some("https"), None, None, Some(8080), "https://a.example/x?q=1")]
#[case(Some("http"), None, None, Some(8080), "http://a.example/x?q=1")]
#[case(None, Some("b.example"), None, Some(8080), "http://b.example:8080/x?q=1")]
#[case(None, Some("b.example"), Some(80), Some(8080), "http://b.example/x?q=1")]
#[case(Some("https"), None, Some(8443), None, "https://a.example:8443/x?q=1")]
fn locations_leave_out_usual_ports(
    #[case] scheme: Option<&str>,
    #[case] host: Option<&str>,
    #[case] port: Option<u16>,
    #[case] asked_for: Option<u16>,
    #[case] expected: &str,
) {
    let redirect = Redirect {
        scheme: scheme.map(|scheme| scheme.parse().unwrap()),
        host: host.map(str::to_owned),
        port,
        path: None,
        came_to: 8000,
        status: StatusCode::FOUND,
    };
    let target = PathAndQuery::from_static("/x?q=1");
    let asked = Asked { scheme: "http", host: "a.example", port: asked_for, target: &target };
    assert_eq!(redirect.location(&asked, &PathMatch::Prefix("/".to_owned())), expected);
}

fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static(name), HeaderValue::from_static(value))
}

#[test]
fn headers_are_set_then_added_then_removed() {
    let mut headers = HeaderMap::from_iter([header("a", "1"), header("b", "1"), header("c", "1")]);
    let removed = HeaderName::from_static("c");
    let edits = HeaderEdits::new(vec![header("a", "2")], vec![header("b", "2")], vec![removed]).unwrap();
    edits.apply(&mut headers);
    let mut all: Vec<_> =
        headers.iter().map(|(name, value)| format!("{name}:{}", value.to_str().unwrap())).collect();
    all.sort_unstable();
    assert_eq!(all, ["a:2", "b:1", "b:2"]);
}

#[rstest]
#[case("transfer-encoding")]
#[case("content-length")]
#[case("connection")]
#[case("host")]
#[case("upgrade")]
fn no_rule_changes_how_a_message_is_framed(#[case] name: &'static str) {
    let refused = HeaderName::from_static(name);
    assert_eq!(HeaderEdits::new(vec![header(name, "x")], vec![], vec![]), Err(refused.clone()));
    assert_eq!(HeaderEdits::new(vec![], vec![header(name, "x")], vec![]), Err(refused.clone()));
    assert_eq!(HeaderEdits::new(vec![], vec![], vec![refused.clone()]), Err(refused));
}

#[test]
fn a_fraction_of_nothing_takes_nobody() {
    assert!(!Fraction { of: 1, all: 0 }.takes(7) && !Fraction { of: 0, all: 5 }.takes(7));
    assert!((0..100).all(|turn| Fraction::ALL.takes(turn)));
}

proptest! {
    /// Of any hundred requests on end, a fraction takes as many as it says, but for a few.
    #[test]
    fn turns_are_spread_evenly(of in 0..=100_u32, first in 0..u64::MAX - 100) {
        let taken = (first..first + 100).filter(|turn| Fraction { of, all: 100 }.takes(*turn)).count();
        prop_assert!(taken.abs_diff(usize::try_from(of).unwrap()) <= 3, "{taken} of {of}");
    }

    #[test]
    fn an_edited_path_is_one(matched in "(/[a-c]{0,2}){1,3}/?", by in "[/a-c]{0,6}", rest in "(/[a-c]{0,2}){0,3}") {
        let rule = PathMatch::Prefix(matched.clone());
        let path = format!("{}{rest}", PathMatch::elements(&matched));
        let edited = PathEdit::Prefix(by).apply(&path, &rule);
        prop_assert!(edited.starts_with('/') && edited.ends_with(&rest));
    }
}
