//! What Go's writer of YAML makes of values.

use proptest::prelude::*;
use rstest::rstest;

use super::order::sorted;
use super::to_yaml;
use crate::decode::{Format, parse};
use crate::value::Value;
use crate::value::tests::any_value;

fn yaml(json: &str) -> String {
    to_yaml(&Value::from_json(json.as_bytes()).unwrap())
}

#[test]
fn blocks_are_as_deep_as_they_must_be() {
    let json = r#"{"b":{"f:spec":{".":{},"f:x":{}}},"a":[{"k":"v","l":[1,[2,3]]},[],"x",{}],"empty":{}}"#;
    let text = "a:\n- k: v\n  l:\n  - 1\n  - - 2\n    - 3\n- []\n- x\n- {}\nb:\n  f:spec:\n    .: {}\n    f:x: {}\nempty: {}\n";
    assert_eq!(yaml(json), text);
    assert_eq!(yaml("{}"), "{}\n");
    assert_eq!(yaml("null"), "null\n");
}

#[rstest]
#[case("plain text", "plain text")]
#[case("", "\"\"")]
#[case("true", "\"true\"")]
#[case("y", "\"y\"")]
#[case("null", "\"null\"")]
#[case("12", "\"12\"")]
#[case("0x1f", "\"0x1f\"")]
#[case("089", "\"089\"")]
#[case("1_000", "\"1_000\"")]
#[case("1e3", "\"1e3\"")]
#[case("0.", "\"0.\"")]
#[case("1.e", "1.e")]
#[case("1e+3", "\"1e+3\"")]
#[case("1.5", "\"1.5\"")]
#[case(".5", "\".5\"")]
#[case("-", "'-'")]
#[case("- a", "'- a'")]
#[case("-a", "-a")]
#[case("1.2.3.4", "1.2.3.4")]
#[case("10.0.0.0/8", "10.0.0.0/8")]
#[case("1:30", "\"1:30\"")]
#[case("127.0.0.1:80", "127.0.0.1:80")]
#[case("2025-05-06T07:08:09Z", "\"2025-05-06T07:08:09Z\"")]
#[case("2025-05-06", "\"2025-05-06\"")]
#[case("2025-13-06", "2025-13-06")]
#[case("a: b", "'a: b'")]
#[case("a:b", "a:b")]
#[case("a:", "'a:'")]
#[case("a #b", "'a #b'")]
#[case("a#b", "a#b")]
#[case("it's", "it's")]
#[case("'a'", "'''a'''")]
#[case(" a", "' a'")]
#[case("{a}", "'{a}'")]
#[case("a\tb", "\"a\\tb\"")]
#[case("é", "é")]
#[case("😀", "\"\\U0001F600\"")]
#[case("a\nb", "|-\n  a\n  b")]
#[case("a\nb\n", "|\n  a\n  b")]
#[case("a\n\n", "|+\n  a\n")]
#[case(" a\nb", "|2-\n   a\n  b")]
#[case("a \nb", "\"a \\nb\"")]
fn texts_are_quoted_if_they_must_be(#[case] text: &str, #[case] written: &str) {
    assert_eq!(to_yaml(&Value::from(text)), format!("{written}\n"));
}

#[rstest]
#[case(1.5, "1.5")]
#[case(100_000.5, "100000.5")]
#[case(1_000_000.5, "1.0000005e+06")]
#[case(0.0001, "0.0001")]
#[case(0.00001, "1e-05")]
#[case(-2.0, "-2")]
fn numbers_are_as_short_as_they_can_be(#[case] number: f64, #[case] written: &str) {
    assert_eq!(to_yaml(&Value::Float(number)), format!("{written}\n"));
}

#[test]
fn long_texts_are_folded_at_spaces() {
    let words = ["word"; 40].join(" ");
    let lines: Vec<String> =
        yaml(&format!(r#"{{"a":{{"b":"{words}"}}}}"#)).lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "a:");
    assert!(lines[1].starts_with("  b: word ") && lines[2].starts_with("    word"), "{lines:?}");
    assert!(lines[1].len() > 80 && lines[1].len() < 90, "{lines:?}");
}

#[test]
fn long_keys_are_blocks_of_their_own() {
    let key = "k".repeat(129);
    assert_eq!(yaml(&format!(r#"{{"{key}":{{"a":1}}}}"#)), format!("? {key}\n: a: 1\n"));
}

#[test]
fn numbers_in_keys_count_as_numbers() {
    let keys = ["b", "a10", "a2", "a", "a-1", "A", "1", "10", "2", "a100", "a1b"];
    let fields = keys.iter().map(|key| ((*key).into(), Value::Null)).collect();
    let keys: Vec<&str> = sorted(&fields).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["1", "2", "10", "A", "a", "a-1", "a1b", "a2", "a10", "a100", "b"]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(value in any_value()) {
        let text = to_yaml(&value);
        let read = parse(text.as_bytes(), Format::Yaml);
        prop_assert_eq!(read.ok(), Some(value), "{}", text);
    }

    #[test]
    fn texts_are_read_again(text in "[a-z0-9:#'\"\\-?!&*|>%@`{}\\[\\], \n.~_+eEx]{0,30}|(word ){20,40}x") {
        let value = Value::from(text.as_str());
        let written = to_yaml(&value);
        let read = parse(written.as_bytes(), Format::Yaml);
        prop_assert_eq!(read.ok(), Some(value), "{}", written);
    }
}
