//! Tests of values: printing, paths, pointers and conversions.

use proptest::prelude::*;

use super::{Object, Value};

/// Any JSON value, a few levels deep.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        any::<i32>().prop_map(|number| Value::Float(f64::from(number) + 0.25)),
        "\\PC{0,8}|[a-c]".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec(("[a-d~/\"\\\\]{1,2}", inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(k, v)| (k.into(), v)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same_value(value in any_value()) {
        let bytes = value.to_json_bytes();
        prop_assert_eq!(&Value::from_json(&bytes).unwrap(), &value);
        prop_assert_eq!(&serde_json::from_slice::<Value>(&bytes).unwrap(), &value);
        prop_assert_eq!(&Value::from(serde_json::Value::from(value.clone())), &value);
        prop_assert_eq!(serde_json::to_vec(&value).unwrap(), bytes);
    }

    #[test]
    fn strings_print_as_serde_json_prints_them(text in any::<String>()) {
        prop_assert_eq!(Value::from(text.as_str()).to_json_bytes(), serde_json::to_vec(&text).unwrap());
    }
}

#[test]
fn pointers_reach_fields_items_and_escaped_names() {
    let value = Value::from_json(br#"{"a":[{"b/c":1},{"~d":2}]}"#).unwrap();
    assert_eq!(value.pointer("/a/0/b~1c"), Some(&Value::Int(1)));
    assert_eq!(value.pointer("/a/1/~0d"), Some(&Value::Int(2)));
    assert_eq!(value.pointer(""), Some(&value));
    for absent in ["/a/01", "/a/2", "/a/-1", "/a/x", "a", "/b", "/a/0/b~1c/d"] {
        assert_eq!(value.pointer(absent), None, "{absent}");
    }
}

#[test]
fn set_makes_the_way_and_remove_takes_only_the_end() {
    let mut value = Value::Null;
    value.set(&["metadata", "labels", "app"], "a");
    value.set(&["metadata", "name"], "n");
    assert_eq!(value.str_at(&["metadata", "labels", "app"]), Some("a"));
    assert_eq!(value.remove(&["metadata", "labels", "app"]), Some(Value::from("a")));
    assert_eq!(value.at(&["metadata", "labels"]), Some(&Value::Object(Object::new())));
    assert_eq!(value.remove(&["metadata", "none", "x"]), None);
}

#[test]
fn a_value_is_four_words() {
    assert!(size_of::<Value>() <= 4 * size_of::<usize>(), "{}", size_of::<Value>());
}
