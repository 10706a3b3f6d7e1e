//! Ingress: how requests from outside reach Services.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, ingress};

/// The rules of Ingresses.
pub(crate) struct Ingress;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Class",
        "string",
        "The name of the IngressClass resource that should be used for additional configuration",
    ),
    Column::new(
        "Hosts",
        "string",
        "Hosts that incoming requests are matched against before the ingress rule",
    ),
    Column::new("Address", "string", "Address is a list containing ingress points for the load-balancer"),
    Column::new("Ports", "string", "Ports of TLS configurations that open"),
    table::AGE,
];

impl Rules for Ingress {
    fn generation(&self) -> &'static [&'static str] {
        &["spec"]
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.loadBalancer", Value::object());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        ingress::check(object, errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        ingress::check_class_annotation(object, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        ingress::class_warnings(object)
    }

    fn update_warnings(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        ingress::check_status(object, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let class = object.field("spec.ingressClassName").and_then(Value::as_str).unwrap_or("<none>");
        let ports = if object.items("spec.tls").is_empty() { "80" } else { "80, 443" };
        vec![
            table::name(object),
            class.into(),
            hosts(object.items("spec.rules")).into(),
            addresses(object.items("status.loadBalancer.ingress")).into(),
            ports.into(),
            table::age(object, now),
        ]
    }
}

/// The hosts of the first rules that name one, and how many more rules there are.
fn hosts(rules: &[Value]) -> String {
    let mut shown: Vec<&str> = Vec::new();
    for rule in rules {
        if shown.len() == 3 {
            return format!("{} + {} more...", shown.join(","), rules.len() - 3);
        }
        if !rule.text("host").is_empty() {
            shown.push(rule.text("host"));
        }
    }
    if shown.is_empty() { "*".to_owned() } else { shown.join(",") }
}

/// The addresses of load balancers, sorted, each once.
fn addresses(ingress: &[Value]) -> String {
    let address =
        |i: &'_ Value| if i.text("ip").is_empty() { i.text("hostname") } else { i.text("ip") }.to_owned();
    let mut all: Vec<String> = ingress.iter().map(address).filter(|a| !a.is_empty()).collect();
    all.sort_unstable();
    all.dedup();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hosts_are_shown_and_the_rest_counted() {
        let rules = Value::from_json(br#"[{"host":"a"},{},{"host":"b"},{"host":"c"},{"host":"d"}]"#).unwrap();
        let rules = rules.as_array().unwrap();
        assert_eq!(hosts(rules), "a,b,c + 2 more...");
        assert_eq!(hosts(&rules[..3]), "a,b");
        assert_eq!(hosts(&rules[1..2]), "*");
    }

    #[test]
    fn addresses_are_sorted() {
        let ingress =
            Value::from_json(br#"[{"ip":"2.2.2.2"},{"hostname":"a.b"},{"ip":"1.1.1.1"},{}]"#).unwrap();
        assert_eq!(addresses(ingress.as_array().unwrap()), "1.1.1.1,2.2.2.2,a.b");
    }

    #[test]
    fn the_annotation_that_names_a_class_is_old() {
        for (json, count) in [
            (r#"{"metadata":{"annotations":{"kubernetes.io/ingress.class":"a"}}}"#, 1),
            (
                r#"{"metadata":{"annotations":{"kubernetes.io/ingress.class":"a"}},"spec":{"ingressClassName":"a"}}"#,
                0,
            ),
            ("{}", 0),
        ] {
            let ingress = Value::from_json(json.as_bytes()).unwrap();
            assert_eq!(Ingress.warnings(&ingress).len(), count, "{json}");
            assert!(Ingress.update_warnings(&ingress).is_empty());
        }
    }
}
