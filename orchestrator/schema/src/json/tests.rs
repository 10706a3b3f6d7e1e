//! Tests of the JSON parser against the words of Go's and against `serde_json`.

use proptest::prelude::*;
use rstest::rstest;

use super::parse;
use crate::value::Value;

#[rstest]
#[case("", "unexpected end of JSON input")]
#[case("  ", "unexpected end of JSON input")]
#[case("{", "unexpected end of JSON input")]
#[case(r#"{"a":"b"#, "unexpected end of JSON input")]
#[case("{nope}", "invalid character 'n' looking for beginning of object key string")]
#[case("apiVersion: v1", "invalid character 'a' looking for beginning of value")]
#[case(r#"{"a" 1}"#, "invalid character '1' after object key")]
#[case(r#"{"a":1 2}"#, "invalid character '2' after object key:value pair")]
#[case(r#"{"a":1,}"#, "invalid character '}' looking for beginning of object key string")]
#[case("[1 2]", "invalid character '2' after array element")]
#[case("[1,]", "invalid character ']' looking for beginning of value")]
#[case("{} {}", "invalid character '{' after top-level value")]
#[case("trux", "invalid character 'x' in literal true (expecting 'e')")]
#[case("nul", "unexpected end of JSON input")]
#[case("\"a\nb\"", r"invalid character '\n' in string literal")]
#[case(r#""\x""#, "invalid character 'x' in string escape code")]
#[case(r#""\u12g4""#, "invalid character 'g' in \\u hexadecimal character escape")]
#[case("01", "invalid character '1' after top-level value")]
#[case("-x", "invalid character 'x' in numeric literal")]
#[case("1.x", "invalid character 'x' after decimal point in numeric literal")]
#[case("1ex", "invalid character 'x' in exponent of numeric literal")]
#[case("'", r"invalid character '\'' looking for beginning of value")]
fn errors_read_as_those_of_go(#[case] text: &str, #[case] message: &str) {
    assert_eq!(parse(text.as_bytes()).unwrap_err().to_string(), message);
}

#[test]
fn nesting_is_bounded() {
    let deep = |n: usize| ["[".repeat(n), "]".repeat(n)].concat();
    assert!(parse(deep(200).as_bytes()).is_ok());
    assert_eq!(parse(deep(201).as_bytes()).unwrap_err().to_string(), "exceeded max depth");
    assert_eq!(parse("[".repeat(1_000_000).as_bytes()).unwrap_err().to_string(), "exceeded max depth");
}

#[test]
fn numbers_keep_what_fits() {
    let parsed = |text: &str| parse(text.as_bytes()).unwrap();
    assert_eq!(parsed("9223372036854775807"), Value::Int(i64::MAX));
    assert_eq!(parsed("9223372036854775808"), Value::Float(9_223_372_036_854_775_808.0));
    assert_eq!(parsed("1e400"), Value::Float(f64::MAX));
    assert_eq!(parsed("-0"), Value::Int(0));
}

#[test]
fn half_a_surrogate_pair_and_bad_utf8_become_replacement_characters() {
    assert_eq!(parse(br#""\ud83d\ude00""#).unwrap(), Value::from("😀"));
    assert_eq!(parse(br#""\ud83dx\udc00""#).unwrap(), Value::from("\u{fffd}x\u{fffd}"));
    assert_eq!(parse(br#""\ud83d\u0041""#).unwrap(), Value::from("\u{fffd}A"));
    assert_eq!(parse(b"\"\xff\"").unwrap(), Value::from("\u{fffd}"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn what_serde_json_accepts_is_accepted_and_the_same(text in r#"[\[\]{},:"a\\u0-9.eE+\- tfnrlsu]{0,24}"#) {
        let ours = parse(text.as_bytes());
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(theirs) => prop_assert_eq!(ours.unwrap(), Value::from(theirs)),
            // It refuses halves of surrogate pairs and numbers beyond the floats, which Go replaces.
            Err(_) => prop_assert!(ours.is_err() || text.contains("\\u") || text.contains(['e', 'E'])),
        }
    }
}
