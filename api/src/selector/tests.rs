//! What selectors select, and how bad ones are told.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn labels(key: &str) -> Option<&'static str> {
    [("app", "web"), ("tier", "front"), ("n", "5"), ("empty", "")]
        .into_iter()
        .find(|(k, _)| *k == key)
        .map(|(_, v)| v)
}

#[rstest]
#[case("", true)]
#[case("app", true)]
#[case("!app", false)]
#[case("app=web", true)]
#[case("app == web , tier!=back", true)]
#[case("app in (web, api)", true)]
#[case("app notin (web)", false)]
#[case("missing notin (x)", true)]
#[case("missing!=x", true)]
#[case("missing", false)]
#[case("n>4,n<6", true)]
#[case("n>5", false)]
#[case("empty=", true)]
#[case("empty in ()", true)]
#[case("app.kubernetes.io/name", false)]
fn label_selectors(#[case] text: &str, #[case] expected: bool) {
    assert_eq!(LabelSelector::parse(text).unwrap().matches(labels), expected);
}

#[rstest]
#[case("a b")]
#[case("a in b")]
#[case("a in (b")]
#[case("=x")]
#[case("a,")]
#[case("a>x")]
#[case("a=b=c")]
#[case("-a=b")]
#[case("a=-b")]
#[case("!a=b")]
#[case(",")]
#[case("a,,b")]
#[case("a>")]
fn bad_label_selectors_are_refused(#[case] text: &str) {
    assert!(LabelSelector::parse(text).is_err());
}

#[rstest]
#[case(",", "found ',', expected: !, identifier, or 'end of string'")]
#[case("a,", "found '', expected: identifier after ','")]
#[case("a=b=c", "found '=', expected: ',' or 'end of string'")]
#[case("!x=y", "found '=', expected: ',' or 'end of string'")]
#[case("a===", "unable to parse requirement: found '=', expected: identifier")]
#[case("!", "unable to parse requirement: found '', expected: identifier")]
#[case("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt")]
#[case("a in b", "unable to parse requirement: found 'b' expected: '('")]
#[case("a in (b", "unable to parse requirement: found '', expected: ',' or ')'")]
#[case("a in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier")]
#[case(
    "a>x",
    "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"
)]
fn a_bad_label_selector_is_told_in_upstreams_words(#[case] text: &str, #[case] message: &str) {
    assert_eq!(LabelSelector::parse(text).unwrap_err().to_string(), message);
}

#[rstest]
#[case(r"a=b\c", r"invalid field selector: invalid escape sequence: \c")]
#[case("a=b=c", "invalid field selector: unescaped character in value: 61")]
#[case("b,a", "invalid selector: 'b,a'; can't understand 'a'")]
fn a_bad_field_selector_is_told_in_upstreams_words(#[case] text: &str, #[case] message: &str) {
    assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), message);
}

#[rstest]
#[case("metadata.name=a", true)]
#[case("metadata.name==a,spec.nodeName!=n1", true)]
#[case("spec.nodeName=", true)]
#[case("metadata.name!=a", false)]
fn field_selectors(#[case] text: &str, #[case] expected: bool) {
    let field = |f: &str| (f == "metadata.name").then_some("a");
    assert_eq!(FieldSelector::parse(text).unwrap().matches(field), expected);
}

#[test]
fn field_values_can_be_escaped() {
    let selector = FieldSelector::parse(r"a=x\,y\=z\\").unwrap();
    assert_eq!(selector.requirements()[0].value, r"x,y=z\");
}

#[test]
fn bad_field_selectors_are_refused() {
    let error = FieldSelector::parse("metadata.name").unwrap_err();
    assert_eq!(error.to_string(), "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
    assert!(FieldSelector::parse("a=b=c").is_err());
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_without_panic(text in "\\PC{0,60}") {
        let _ = LabelSelector::parse(&text);
        let _ = FieldSelector::parse(&text);
    }

    #[test]
    fn what_is_understood_reads_back_as_the_same_from_its_own_form(text in "[ab !=,()<>1]{0,16}|a (in|notin) \\([a-c,]{0,6}\\)") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn fields_that_are_understood_read_back_as_the_same(text in r"[ab!=,\\ ]{0,16}") {
        if let Ok(selector) = FieldSelector::parse(&text) {
            let again = FieldSelector::parse(&selector.to_string()).unwrap();
            let sorted = |s: &FieldSelector| {
                let mut clauses: Vec<String> = s.requirements().iter().map(|r| format!("{r:?}")).collect();
                clauses.sort();
                clauses
            };
            prop_assert_eq!(sorted(&again), sorted(&selector));
        }
    }
}
