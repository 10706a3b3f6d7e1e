//! What has to change in an object that is there already.

use serde_json::{Map, Value};

use super::AUTO_UPDATE;
use crate::authorize::cover::uncovered;
use crate::authorize::rule::PolicyRule;

/// The object as it should be, if it should be another: with the labels, annotations, rules, selectors and subjects it
/// lacks. What it has besides stays. An object that is not to be updated stays as it is; so does the role of a binding,
/// which cannot change, so that a binding to another role differs from what it should be in just that.
pub fn reconciled(existing: &Value, wanted: &Value) -> Option<Value> {
    if existing["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return None;
    }
    let mut object = existing.clone();
    for list in ["labels", "annotations"] {
        let missing = missing_keys(&existing["metadata"][list], &wanted["metadata"][list]);
        if !missing.is_empty() {
            let fields = entry(&mut object["metadata"], list, || Value::Object(Map::new()));
            fields.as_object_mut()?.extend(missing);
        }
    }
    let owned = rules(existing);
    extend(&mut object, "rules", uncovered(&owned, &rules(wanted)).iter().map(PolicyRule::to_json).collect());
    let selectors = |of: &Value| items(&of["aggregationRule"]["clusterRoleSelectors"]);
    let missing = missing_items(&selectors(existing), &selectors(wanted));
    if !missing.is_empty() {
        let rule = entry(&mut object, "aggregationRule", || Value::Object(Map::new()));
        extend(rule, "clusterRoleSelectors", missing);
    }
    extend(
        &mut object,
        "subjects",
        missing_items(&items(&existing["subjects"]), &items(&wanted["subjects"])),
    );
    (object != *existing || existing["roleRef"] != wanted["roleRef"]).then_some(object)
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    items(&role["rules"]).into_iter().map(|rule| PolicyRule::of(&rule.into())).collect()
}

fn items(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

fn missing_items(existing: &[Value], wanted: &[Value]) -> Vec<Value> {
    wanted.iter().filter(|item| !existing.contains(item)).cloned().collect()
}

fn missing_keys(existing: &Value, wanted: &Value) -> Vec<(String, Value)> {
    let wanted = wanted.as_object().into_iter().flatten();
    wanted.filter(|(key, _)| existing.get(key).is_none()).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn extend(object: &mut Value, list: &str, more: Vec<Value>) {
    if !more.is_empty()
        && let Some(items) = entry(object, list, || Value::Array(Vec::new())).as_array_mut()
    {
        items.extend(more);
    }
}

/// A field, made if it is missing.
fn entry<'a>(object: &'a mut Value, name: &str, make: impl FnOnce() -> Value) -> &'a mut Value {
    let field = &mut object[name];
    if field.is_null() {
        *field = make();
    }
    field
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::authorize::defaults::{cluster_role_bindings, cluster_roles};

    #[test]
    fn what_is_as_it_should_be_stays_as_it_is() {
        for object in cluster_roles().iter().chain(&cluster_role_bindings()) {
            assert_eq!(reconciled(object, object), None);
        }
    }

    #[test]
    fn what_was_taken_away_comes_back_and_what_was_added_stays() {
        let roles = cluster_roles();
        let wanted = roles.iter().find(|role| role["metadata"]["name"] == "system:basic-user").unwrap();
        let mut changed = wanted.clone();
        let own = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
        changed["rules"] = json!([own, wanted["rules"][1]]);
        changed["metadata"]["labels"] = json!({"mine": "yes"});
        let mended = reconciled(&changed, wanted).unwrap();
        assert_eq!(mended["rules"][0], own);
        assert!(uncovered(&rules(&mended), &rules(wanted)).is_empty());
        assert_eq!(mended["metadata"]["labels"].as_object().unwrap().len(), 2);
        assert_eq!(reconciled(&mended, wanted), None);
    }

    #[test]
    fn an_object_that_is_not_to_be_updated_is_left_alone() {
        let bindings = cluster_role_bindings();
        let mut own = bindings[0].clone();
        own["subjects"] = json!([]);
        own["metadata"]["annotations"][AUTO_UPDATE] = "false".into();
        assert_eq!(reconciled(&own, &bindings[0]), None);
        own["metadata"]["annotations"][AUTO_UPDATE] = "true".into();
        assert_eq!(reconciled(&own, &bindings[0]).unwrap()["subjects"], bindings[0]["subjects"]);
    }
}
