//! The same documents in one of the older form, Swagger 2.0. Part of the crate too, which publishes custom kinds.

use serde_json::{Map, Value, json};

/// The document of these paths and schemas.
pub(crate) fn document(paths: &Map<String, Value>, schemas: &Map<String, Value>) -> Value {
    let paths = self::paths(paths);
    let definitions: Map<String, Value> =
        schemas.iter().map(|(name, schema)| (name.clone(), definition(schema))).collect();
    let token = json!({
        "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey",
    });
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {"BearerToken": token},
        "security": [{"BearerToken": []}],
    })
}

/// Paths in the older form.
pub(crate) fn paths(paths: &Map<String, Value>) -> Map<String, Value> {
    paths.iter().map(|(path, item)| (path.clone(), path_item(item))).collect()
}

fn path_item(item: &Value) -> Value {
    let fields = item.as_object().into_iter().flatten();
    let out: Map<String, Value> = fields
        .map(|(name, value)| match name.as_str() {
            "parameters" => (name.clone(), value.as_array().into_iter().flatten().map(parameter).collect()),
            _ => (name.clone(), operation(value)),
        })
        .collect();
    out.into()
}

fn operation(operation: &Value) -> Value {
    let mut out = operation.as_object().cloned().unwrap_or_default();
    let body = out.remove("requestBody");
    let mut parameters: Vec<Value> = out
        .remove("parameters")
        .as_ref()
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(parameter)
        .collect();
    parameters.extend(body.as_ref().map(body_parameter));
    if !parameters.is_empty() {
        out.insert("parameters".to_owned(), parameters.into());
    }
    let consumes = body.as_ref().map_or_else(|| vec!["*/*".to_owned()], |body| media(&body["content"]));
    out.insert("consumes".to_owned(), consumes.into());
    out.insert("produces".to_owned(), media(&operation["responses"]["200"]["content"]).into());
    out.insert("schemes".to_owned(), json!(["https"]));
    let responses = operation["responses"].as_object().into_iter().flatten();
    let responses: Map<String, Value> = responses.map(|(code, of)| (code.clone(), response(of))).collect();
    out.insert("responses".to_owned(), responses.into());
    out.into()
}

fn media(content: &Value) -> Vec<String> {
    content.as_object().into_iter().flat_map(Map::keys).cloned().collect()
}

/// The schema of a body; whatever its media type, it is the same.
fn schema(content: &Value) -> Option<Value> {
    let first = content.as_object()?.values().next()?;
    Some(definition(&first["schema"]))
}

fn body_parameter(body: &Value) -> Value {
    let mut out = json!({"name": "body", "in": "body", "schema": schema(&body["content"])});
    if body["required"] == true {
        out["required"] = true.into();
    }
    out
}

fn response(response: &Value) -> Value {
    let mut out = json!({"description": response["description"]});
    if let Some(schema) = schema(&response["content"]) {
        out["schema"] = schema;
    }
    out
}

fn parameter(parameter: &Value) -> Value {
    let mut out = parameter.as_object().cloned().unwrap_or_default();
    if let Some(Value::Object(schema)) = out.remove("schema") {
        out.extend(schema);
    }
    out.into()
}

/// A schema without what the older form cannot say: alternatives and references with something beside them.
pub(crate) fn definition(schema: &Value) -> Value {
    match schema {
        Value::Array(items) => items.iter().map(definition).collect(),
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                match (name.as_str(), value) {
                    // Names of fields, not words of the language.
                    ("properties", Value::Object(fields)) => {
                        let fields = fields.iter().map(|(name, field)| (name.clone(), definition(field)));
                        out.insert(name.clone(), fields.collect::<Map<_, _>>().into());
                    }
                    ("allOf", _) => {
                        out.extend(definition(&value[0]).as_object().cloned().unwrap_or_default());
                    }
                    ("oneOf", _) => {
                        out.insert("type".to_owned(), "string".into());
                    }
                    ("$ref", Value::String(target)) => {
                        let target = target.replace("#/components/schemas/", "#/definitions/");
                        out.insert(name.clone(), target.into());
                    }
                    _ => {
                        out.insert(name.clone(), definition(value));
                    }
                }
            }
            out.into()
        }
        other => other.clone(),
    }
}
