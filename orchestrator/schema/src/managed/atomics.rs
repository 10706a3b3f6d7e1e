//! Which parts of a configuration are owned as a whole: merging it would replace what others wrote there.

use super::types::{Atom, Type};
use crate::schema::Schema;
use crate::value::Value;

/// The places of lists, maps and structs of a configuration that are owned as a whole: `.spec.selector`.
pub fn atomics(config: &Value, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    visit(config, Type::root(schema), "", &mut found);
    found
}

fn visit(value: &Value, of: Type<'_>, path: &str, found: &mut Vec<String>) {
    let atom = of.atom([Some(value), None]);
    let compound = matches!(value, Value::Object(_) | Value::Array(_));
    if compound && !matches!(atom, Atom::Scalar(_)) && atom.is_whole() {
        found.push(path.to_owned());
    }
    match (atom, value) {
        (Atom::List { element, .. }, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                visit(item, element, &format!("{path}[{index}]"), found);
            }
        }
        (atom, Value::Object(object)) => {
            for (name, field) in object.iter() {
                if let Some((of, _)) = atom.child(name) {
                    visit(field, of, &format!("{path}.{name}"), found);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::atomics;
    use crate::schema::Schemas;
    use crate::value::Value;

    #[test]
    fn parts_owned_as_a_whole_are_found() {
        let schema = Schemas::builtin().kind("apps", "v1", "Deployment").expect("there is such a kind");
        let config = br#"{"metadata":{"labels":{"a":"b"}},"spec":{"selector":{"matchLabels":{"a":"b"}},"replicas":1,
            "template":{"spec":{"containers":[{"name":"c","command":["x"],"ports":[{"containerPort":80}]}]}}}}"#;
        let config = Value::from_json(config).expect("it is JSON");
        assert_eq!(atomics(&config, schema), [".spec.selector", ".spec.template.spec.containers[0].command"]);
    }
}
