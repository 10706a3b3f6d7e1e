//! Label and field selectors, names and quantities: no panic; a quantity survives printing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wherry_api::names;
use wherry_api::quantity::Quantity;
use wherry_api::selector::{FieldSelector, LabelSelector};

fuzz_target!(|text: &str| {
    if let Ok(selector) = LabelSelector::parse(text) {
        let _ = (selector.matches(|_| None), selector.matches(|_| Some("a")));
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        let _ = (selector.matches(|_| None), selector.matches(|_| Some("a")));
    }
    if let Ok(quantity) = text.parse::<Quantity>() {
        let printed = quantity.to_string();
        let again: Quantity = printed.parse().unwrap_or_else(|e| panic!("{text} prints {printed}: {e}"));
        assert_eq!(again.to_string(), printed);
        assert_eq!((again.value(), again.as_milli()), (quantity.value(), quantity.as_milli()), "{text} {printed}");
    }
    for check in [names::dns1123_label, names::dns1123_subdomain, names::dns1035_label, names::label_key] {
        let _ = check(text);
    }
    for check in [names::label_value, names::env_var_name, names::config_key] {
        let _ = check(text);
    }
});
