//! Whether the expressions of a ValidatingAdmissionPolicy fit the kinds that it is about. What does not fit is only told
//! of, in the policy's status: expressions are decided by as if nothing was known of the kinds.

use std::collections::BTreeSet;
use std::sync::Arc;

use wherry_api::kinds::{self, Kind};
use wherry_cel::{Type, Types};
use wherry_schema::{Schemas, Value};

use super::expression::Compiler;
use super::params::ParamKind;
use crate::custom::Definitions;
use crate::custom::rules::types_of;
use crate::object::Fields;

/// No more kinds than this are looked at.
const MAX_KINDS: usize = 10;
/// The type of the metadata of every object.
const METADATA: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The `expressionWarnings` of a policy.
pub(super) fn warnings(policy: &Value, definitions: &Definitions) -> Vec<Value> {
    let kinds = kinds_of(policy, definitions);
    let compilers: Vec<(&Kind, Compiler)> =
        kinds.into_iter().filter_map(|kind| Some((kind, compiler(policy, kind, definitions)?))).collect();
    let mut warnings = Vec::new();
    for (index, validation) in policy.items("spec.validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let found = found(&compilers, validation.text(field));
            if !found.is_empty() {
                let mut warning = Value::object();
                warning.put("fieldRef", format!("spec.validations[{index}].{field}"));
                warning.put("warning", found);
                warnings.push(warning);
            }
        }
    }
    warnings
}

/// What is wrong with an expression, kind by kind.
fn found(compilers: &[(&Kind, Compiler)], text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let told = compilers.iter().filter_map(|(kind, compiler)| {
        let issues = compiler.issues(text)?;
        Some(format!("{}/{}, Kind={}: {issues}\n", kind.group, kind.version, kind.kind))
    });
    told.collect::<Vec<_>>().join("\n")
}

/// What compiles the expressions of a policy for one kind; none if nothing is known of the kind.
fn compiler(policy: &Value, kind: &Kind, definitions: &Definitions) -> Option<Compiler> {
    let spec = policy.field("spec")?;
    let (object, custom) = type_of(kind, definitions)?;
    let params = ParamKind::of(spec).map(|kind| {
        let known = kind.find(definitions).and_then(|kind| type_of(kind, definitions));
        known.unwrap_or((Type::Dyn, None))
    });
    let (params, of_params) = params.map_or((None, None), |(params, custom)| (Some(params), custom));
    let custom = custom.into_iter().chain(of_params).collect();
    let mut compiler = Compiler::typed(object, params, custom);
    for variable in spec.items("variables") {
        // A variable that does not fit is of any type to what names it.
        drop(compiler.declare(variable.text("name"), variable.text("expression")));
    }
    Some(compiler)
}

/// The type of the objects of a kind; with all types in it, if it is a custom one.
fn type_of(kind: &Kind, definitions: &Definitions) -> Option<(Type, Option<Arc<dyn Types>>)> {
    if let Some(schema) = Schemas::builtin().kind(kind.group, kind.version, kind.kind) {
        return Some((Type::object(schema.name()?), None));
    }
    let served = definitions.find(kind.group, kind.version, kind.plural)?;
    let name = format!("{}.{}.{}", kind.group, kind.version, kind.kind);
    let (object, types) = types_of(&served.version().structural, &name, &Type::object(METADATA))?;
    Some((object, Some(types)))
}

/// The kinds that a policy names without a wildcard, in the order of their names.
fn kinds_of(policy: &Value, definitions: &Definitions) -> Vec<&'static Kind> {
    let mut names = BTreeSet::new();
    for rule in policy.items("spec.matchConstraints.resourceRules") {
        let texts = |field| rule.items(field).iter().filter_map(Value::as_str);
        if ["apiGroups", "apiVersions"].iter().any(|field| texts(field).any(|text| text.contains('*'))) {
            continue;
        }
        for group in texts("apiGroups") {
            for version in texts("apiVersions") {
                let resources = texts("resources").filter(|name| !name.contains(['*', '/']));
                names.extend(resources.map(|resource| (group, version, resource)));
            }
        }
    }
    let kind = |(group, version, name)| {
        let custom = || definitions.find(group, version, name).map(|found| found.version().kind);
        kinds::by_plural(group, version, name).or_else(custom)
    };
    let kinds = names.into_iter().filter_map(kind);
    let mut kinds: Vec<&Kind> = kinds.take(MAX_KINDS).collect();
    kinds.sort_by_key(|kind| (kind.group, kind.version, kind.kind));
    kinds
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wherry_schema::Value;

    use super::{Definitions, warnings};
    use crate::object::Fields;

    fn told(validations: &serde_json::Value) -> Vec<(String, String)> {
        let policy = json!({"spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["replicasets", "deployments", "deployments/scale"]},
                {"apiGroups": ["*"], "apiVersions": ["v1"], "resources": ["pods"]},
            ]},
            "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
            "validations": validations,
        }});
        let policy = Value::from_json(policy.to_string().as_bytes()).expect("it is JSON");
        let told = warnings(&policy, &Definitions::default());
        told.iter().map(|w| (w.text("fieldRef").to_owned(), w.text("warning").to_owned())).collect()
    }

    #[test]
    fn what_does_not_fit_a_kind_is_told() {
        let text = "ERROR: <input>:1:12: undefined field 'strategy'\n | object.spec.strategy.type == 'Recreate'\n | ...........^";
        assert_eq!(
            told(
                &json!([{"expression": "object.spec.replicas > 1"}, {"expression": "object.spec.strategy.type == 'Recreate'"}])
            ),
            [("spec.validations[1].expression".to_owned(), format!("apps/v1, Kind=ReplicaSet: {text}\n"))]
        );
        let found = told(&json!([{"expression": "true", "messageExpression": "object.nope"}]));
        assert_eq!(found[0].0, "spec.validations[0].messageExpression");
        assert!(
            found[0].1.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'nope'\n")
        );
        assert!(found[0].1.contains("^\n\napps/v1, Kind=ReplicaSet: ERROR"), "{}", found[0].1);
    }

    #[test]
    fn variables_and_parameters_have_types_too() {
        for (expression, issue) in [
            ("variables.replicas == 'x'", "no matching overload for '_==_' applied to '(int, string)'"),
            ("params.data.a > 1", "no matching overload for '_>_' applied to '(string, int)'"),
            ("oldObject.metadata.creationTimestamp == ''", "applied to '(timestamp, string)'"),
        ] {
            let found = told(&json!([{"expression": expression}]));
            assert!(
                found.first().is_some_and(|(_, warning)| warning.contains(issue)),
                "{expression}: {found:?}"
            );
        }
        let fitting = "object.metadata.labels['a'] == params.data.b && object.metadata.namespace == '' && \
                       object.spec.template.spec.containers.all(c, c.resources.limits['cpu'] == '1')";
        assert_eq!(told(&json!([{"expression": fitting}])), []);
    }
}
