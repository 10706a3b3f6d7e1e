//! The OpenAPI documents of built-in resources that are switched on, without those of their versions that are not.

use std::collections::BTreeSet;

use wherry_api::kinds::{OPTIONAL, SwitchedOn};
use wherry_schema::Value;
use wherry_schema::openapi::optional;

/// The names of the documents: `apis/certificates.k8s.io/v1beta1`.
pub(super) fn documents(on: &SwitchedOn) -> BTreeSet<String> {
    on.rows().map(|row| format!("apis/{}", row.api_version())).collect()
}

/// Changes with what a document says.
pub(super) fn hash(on: &SwitchedOn, name: &str) -> String {
    let whole = optional(name).map_or("", |optional| optional.document.hash);
    let rows = on.rows().filter(|row| format!("apis/{}", row.api_version()) == name);
    let mut hash = whole.to_owned();
    // The place of a resource in the table tells it from its neighbours.
    hash.extend(
        rows.filter_map(|row| OPTIONAL.iter().position(|other| other == row)).map(|at| format!("{at:X}")),
    );
    hash
}

/// A document without the paths of what is not switched on.
pub(super) fn only(on: &SwitchedOn, json: &[u8]) -> Vec<u8> {
    let Ok(mut document) = Value::from_json(json) else { return json.to_vec() };
    let off: Vec<&str> = OPTIONAL
        .iter()
        .filter(|row| on.by_plural(row.group, row.version, row.plural).is_none())
        .map(|row| row.plural)
        .collect();
    let names = |path: &str| path.split('/').any(|segment| off.contains(&segment));
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        let dropped: Vec<String> =
            paths.keys().map(|path| path.as_str().to_owned()).filter(|path| names(path)).collect();
        for path in dropped {
            paths.remove(&path);
        }
    }
    document.to_json_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_tells_of_what_is_switched_on() {
        let settings = "certificates.k8s.io/v1beta1/clustertrustbundles=true";
        let one = SwitchedOn::parse(settings).unwrap();
        let names = documents(&one);
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["apis/certificates.k8s.io/v1beta1"]
        );
        let name = names.first().unwrap();
        let document = &optional(name).unwrap().document;
        let text = String::from_utf8(only(&one, &document.json())).unwrap();
        assert!(text.contains("v1beta1/clustertrustbundles/{name}"));
        assert!(!text.contains("v1beta1/namespaces/{namespace}/podcertificaterequests"));
        assert_ne!(hash(&one, name), hash(&SwitchedOn::all(), name));
    }
}
