//! MutatingAdmissionPolicy: the changes one policy makes.

use wherry_cel::Value as Cel;
use wherry_schema::managed::{atomics, merge, validate};
use wherry_schema::patch::json_patch;
use wherry_schema::{PatchError, Schema, Value};

use super::common::Common;
use super::expression::{Expression, Yields};
use super::input::{BUDGET, Evaluation, Input};
use super::json;
use crate::object::Fields;

/// A policy, compiled.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) common: Common,
    pub(super) mutations: Vec<Mutation>,
    /// Whether it is asked again when somebody later changes the object.
    pub(super) reinvocable: bool,
}

/// One change.
#[derive(Debug)]
pub(super) enum Mutation {
    /// The operations of a JSON patch.
    Patch(Expression),
    /// A configuration that is merged into the object.
    Configuration(Expression),
}

impl Policy {
    /// Compiles a policy.
    pub(super) fn compile(policy: &Value) -> Self {
        let (common, compiler) = Common::compile(policy);
        let mutation = |mutation: &Value| {
            let expression = |path, yields| Expression::new(&compiler, mutation.text(path), yields);
            match mutation.text("patchType") {
                "JSONPatch" => Mutation::Patch(expression("jsonPatch.expression", Yields::Patches)),
                _ => Mutation::Configuration(expression(
                    "applyConfiguration.expression",
                    Yields::Configuration,
                )),
            }
        };
        Self {
            mutations: policy.items("spec.mutations").iter().map(mutation).collect(),
            reinvocable: policy.text("spec.reinvocationPolicy") == "IfNeeded",
            common,
        }
    }

    /// What one of the changes makes of an object of this schema; the error says why it makes nothing.
    pub(super) fn change(
        &self,
        mutation: &Mutation,
        input: Input<'_>,
        (object, schema): (&Value, &Schema),
    ) -> Result<Value, String> {
        let evaluation = Evaluation::new(input, &self.common.variables, BUDGET);
        let (Mutation::Patch(expression) | Mutation::Configuration(expression)) = mutation;
        if let Err(why) = &expression.program {
            return Err(why.clone());
        }
        let made = evaluation.run(expression).map_err(|spent| spent.to_string())??;
        match mutation {
            Mutation::Patch(_) => patched(&made, object),
            Mutation::Configuration(_) => applied(&made, object, schema),
        }
    }
}

/// The object after the operations of a patch.
fn patched(operations: &Cel<'_>, object: &Value) -> Result<Value, String> {
    let Cel::List(list) = operations else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    let mut patch = Vec::with_capacity(list.len());
    for at in 0..list.len() {
        let Some(Ok(Cel::Message(message))) = list.get(at) else {
            let text = "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch";
            return Err(text.to_owned());
        };
        if let Some(value) = message.fields.get("value") {
            let wrong = match value {
                Cel::Message(inner) => json::misnamed(value, &inner.name),
                _ => Vec::new(),
            };
            if !wrong.is_empty() {
                return Err(format!("type mismatch: {}", wrong.join("\n")));
            }
        }
        patch.push(json::of(&Cel::Message(message)).map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })?);
    }
    let mut new = object.clone();
    let patch = Value::Array(patch);
    match json_patch(&mut new, &patch) {
        Ok(()) => Ok(new),
        Err(PatchError::Operation { index, reason }) => {
            let operation = patch.as_array().and_then(|operations| operations.get(index));
            // A test that fails says that the patch is not wanted.
            if operation.is_some_and(|operation| operation.text("op") == "test") {
                return Ok(object.clone());
            }
            Err(format!("JSONPath: {reason}"))
        }
        Err(error) => Err(format!("JSONPath: {error}")),
    }
}

/// The object after a configuration was merged into it.
fn applied(made: &Cel<'_>, object: &Value, schema: &Schema) -> Result<Value, String> {
    let wrong = json::misnamed(made, "Object");
    if !wrong.is_empty() {
        return Err(format!("type mismatch: {}", wrong.join("\n")));
    }
    let mut config = json::of(made)?;
    for field in ["apiVersion", "kind"] {
        config.put(field, object.text(field));
    }
    let refuse = |what: &str, why: String| format!("error applying patch: {what}: {why}");
    validate(&config, schema)
        .map_err(|problems| refuse("failed to convert patch object to typed object", problems.to_string()))?;
    let whole = atomics(&config, schema);
    if !whole.is_empty() {
        let why = format!("may not mutate atomic arrays, maps or structs: {}", whole.join(", "));
        return Err(refuse("invalid ApplyConfiguration", why));
    }
    merge(object, &config, schema).map_err(|problems| refuse("failed to merge patch", problems.to_string()))
}
