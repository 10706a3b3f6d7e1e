//! Secret: typed data, with the keys some types require.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use wherry_schema::{Object, Value};

use super::config_map::{MAX_BYTES, check_immutable, check_keys};
use super::{Rules, Selectable};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, Path};

/// The rules of Secrets.
pub(crate) struct Secret;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Type", "string", "core.v1.Secret.type"),
    Column::of("Data", "string", "core.v1.Secret.data"),
    table::AGE,
];

/// The annotation that names whose token it is.
const ACCOUNT: &str = "kubernetes.io/service-account.name";

static FIELDS: &[Selectable] = &[Selectable { name: "type", attribute: "=type" }];

/// Keys that a type of Secret must have.
static REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

impl Rules for Secret {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn prepare_create(&self, object: &mut Value) {
        merge_string_data(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        merge_string_data(object);
        if object.text("type").is_empty() {
            object.assign("type", old.field("type").cloned());
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let data = object.map("data");
        check_keys(data, "data", errors);
        let decoded = |v: &Value| v.as_str().map_or(0, |text| text.len() / 4 * 3);
        if data.map_or(0, |d| d.values().map(decoded).sum()) > MAX_BYTES {
            errors.too_long(&Path::new("data"), MAX_BYTES);
        }
        check_type(object, data, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if object.field("type") != old.field("type") {
            errors.invalid(&Path::new("type"), object.text("type"), "field is immutable");
        }
        check_immutable(object, old, &["data"], errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let keys = object.map("data").map_or(0, Object::len);
        vec![table::name(object), object.text("type").into(), table::count(keys), table::age(object, now)]
    }
}

/// Moves `stringData`, which is only ever written, into `data`.
fn merge_string_data(object: &mut Value) {
    let Some(Value::Object(plain)) = object.take("stringData") else { return };
    for (key, value) in plain {
        let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
        object.set(&["data", &key], encoded);
    }
}

fn check_type(object: &Value, data: Option<&Object>, errors: &mut Errors) {
    let kind = object.text("type");
    let has = |key: &str| data.is_some_and(|d| d.contains(key));
    if let Some((_, keys)) = REQUIRED.iter().find(|(t, _)| *t == kind) {
        for key in keys.iter().filter(|key| !has(key)) {
            errors.required(&Path::new("data").key(key), "");
        }
    }
    match kind {
        "kubernetes.io/ssh-auth" => {
            let key = data.and_then(|data| data.get("ssh-privatekey")).and_then(Value::as_str);
            if key.is_none_or(str::is_empty) {
                errors.required(&Path::new("data").key("ssh-privatekey"), "");
            }
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.required(&Path::new("data").key("username"), "");
            errors.required(&Path::new("data").key("password"), "");
        }
        "kubernetes.io/service-account-token"
            if object.str_at(&["metadata", "annotations", ACCOUNT]).is_none_or(str::is_empty) =>
        {
            let path = Path::new("metadata.annotations").key(ACCOUNT);
            errors.required(&path, "");
        }
        "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg" => check_docker(kind, data, errors),
        _ => {}
    }
}

fn check_docker(kind: &str, data: Option<&Object>, errors: &mut Errors) {
    let key = if kind.ends_with("json") { ".dockerconfigjson" } else { ".dockercfg" };
    let Some(text) = data.and_then(|d| d.get(key)).and_then(Value::as_str) else { return };
    let bytes = STANDARD.decode(text).unwrap_or_default();
    let problem = match Value::from_json(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return,
        Ok(other) => {
            let found = wherry_schema::decode::kind_of(&other);
            format!("json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
        }
        Err(problem) => problem.to_string(),
    };
    let shown = crate::validation::Shown::raw("\"<secret contents redacted>\"");
    errors.invalid(&Path::new("data").key(key), shown, &problem);
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use crate::kinds::told;

    #[rstest]
    #[case("{}", "")]
    #[case("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}")]
    #[case("x", "invalid character 'x' looking for beginning of value")]
    #[case("", "unexpected end of JSON input")]
    fn the_configuration_of_docker_is_json(#[case] text: &str, #[case] problem: &str) {
        let secret =
            json!({"type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": text}});
        let told = told::of_new("secrets", secret);
        let shown = "data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": ";
        assert_eq!(told.strip_prefix(shown).unwrap_or(&told), problem);
    }
}
