//! Tests of patches: the documented semantics, what kube-apiserver answers, and laws that hold for every value.

use proptest::prelude::*;
use rstest::rstest;

use super::{PatchError, json_patch, merge_patch, strategic_merge};
use crate::schema::Schemas;
use crate::value::Value;
use crate::value::tests::any_value;

fn value(json: &str) -> Value {
    Value::from_json(json.as_bytes()).unwrap()
}

#[rstest]
#[case("[1,2]", r#"[{"op":"add","path":"/-","value":3}]"#, "[1,2,3]")]
#[case("[1,2]", r#"[{"op":"add","path":"/1","value":3}]"#, "[1,3,2]")]
#[case(r#"{"a":{"l":1}}"#, r#"[{"op":"move","from":"/a/l","path":"/b"}]"#, r#"{"a":{},"b":1}"#)]
#[case(r#"{"a":1}"#, r#"[{"op":"copy","from":"/a","path":"/b~1c"}]"#, r#"{"a":1,"b/c":1}"#)]
#[case(r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":1.0},{"op":"remove","path":"/a"}]"#, "{}")]
#[case(r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":[]}]"#, "[]")]
#[case("{}", r#"[{"op":"test","path":"/a","value":null}]"#, "{}")]
fn json_patches_apply(#[case] target: &str, #[case] patch: &str, #[case] result: &str) {
    let mut target = value(target);
    json_patch(&mut target, &value(patch)).unwrap();
    assert_eq!(target, value(result));
}

#[rstest]
#[case(r#"[{"op":"add","path":"/l/9","value":{}}]"#, 0)]
#[case(r#"[{"op":"add","path":"/n","value":1},{"op":"test","path":"/a","value":2}]"#, 1)]
#[case(r#"[{"op":"bogus","path":"/x"}]"#, 0)]
#[case(r#"[{"path":"/x"}]"#, 0)]
#[case(r#"[{"op":"add","path":"bad","value":1}]"#, 0)]
#[case(r#"[{"op":"replace","path":"/none","value":1}]"#, 0)]
#[case(r#"[{"op":"remove","path":""}]"#, 0)]
#[case(r#"[{"op":"add","path":"/x"}]"#, 0)]
#[case(r#"[{"op":"remove","path":"/l/01"}]"#, 0)]
#[case(r#"[{"op":"move","from":"/l","path":"/l/0"}]"#, 0)]
#[case("[1]", 0)]
fn a_json_patch_that_fails_changes_nothing(#[case] patch: &str, #[case] at: usize) {
    let before = value(r#"{"a":1,"l":[1,2]}"#);
    let mut target = before.clone();
    let error = json_patch(&mut target, &value(patch)).unwrap_err();
    assert!(matches!(error, PatchError::Operation { index, .. } if index == at), "{error}");
    assert_eq!(target, before);
}

#[rstest]
#[case(r#"{"a":"b","c":{"d":"e","f":"g"}}"#, r#"{"a":"z","c":{"f":null}}"#, r#"{"a":"z","c":{"d":"e"}}"#)]
#[case("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#)]
#[case(r#"{"a":[1]}"#, r#"{"a":{"b":1}}"#, r#"{"a":{"b":1}}"#)]
#[case(r#"{"a":{"b":1}}"#, r#"{"a":[null]}"#, r#"{"a":[null]}"#)]
#[case(r#"{"b":1,"d":1}"#, r#"{"a":2,"c":2,"e":2}"#, r#"{"a":2,"b":1,"c":2,"d":1,"e":2}"#)]
fn merge_patches_apply(#[case] target: &str, #[case] patch: &str, #[case] result: &str) {
    let mut target = value(target);
    merge_patch(&mut target, &value(patch)).unwrap();
    assert_eq!(target, value(result));
}

#[test]
fn patches_of_another_shape_are_refused() {
    let mut target = Value::object();
    let message = "json: cannot unmarshal array into Go value of type map[string]interface {}";
    assert_eq!(merge_patch(&mut target, &value("[]")).unwrap_err().to_string(), message);
    let pod = Schemas::builtin().kind("", "v1", "Pod").unwrap();
    assert_eq!(strategic_merge(&mut target, &value("[]"), pod).unwrap_err().to_string(), message);
    assert!(json_patch(&mut target, &value("{}")).is_err());
}

/// The Pod spec that the strategic patches below change.
const SPEC: &str = r#"{
    "containers": [
        {"name":"a","image":"i","env":[{"name":"X","value":"1"},{"name":"Y","value":"2"}],
         "ports":[{"containerPort":80},{"containerPort":81}]},
        {"name":"b","image":"j"}],
    "volumes": [{"name":"v","emptyDir":{}},{"name":"w","configMap":{"name":"c"}}],
    "tolerations": [{"key":"t"}],
    "nodeSelector": {"x":"1","y":"2"}}"#;

fn pod_patched(patch: &str) -> Result<Value, PatchError> {
    let mut pod = Value::object();
    pod.set(&["spec"], value(SPEC));
    pod.set(&["metadata", "finalizers"], vec!["q.w/e", "a.b/c"]);
    let mut wrapped = Value::object();
    wrapped.set(&["spec"], value(patch));
    strategic_merge(&mut pod, &wrapped, Schemas::builtin().kind("", "v1", "Pod").unwrap())?;
    Ok(pod.remove(&["spec"]).unwrap_or_default())
}

/// The spec after the patch, at a pointer.
#[rstest]
// An item the list has not goes first, an item it has is merged where it is.
#[case(
    r#"{"containers":[{"name":"c","image":"k"}]}"#,
    "/containers",
    &["c", "a", "b"]
)]
#[case(r#"{"containers":[{"name":"b","image":"k"},{"name":"c"}]}"#, "/containers", &["a", "b", "c"])]
#[case(r#"{"containers":[{"name":"b"},{"name":"a"}]}"#, "/containers", &["b", "a"])]
#[case(r#"{"$setElementOrder/containers":[{"name":"b"}]}"#, "/containers", &["a", "b"])]
#[case(r#"{"$setElementOrder/volumes":[{"name":"w"},{"name":"v"}]}"#, "/volumes", &["w", "v"])]
#[case(
    r#"{"$setElementOrder/containers":[{"name":"b"},{"name":"c"},{"name":"a"}],"containers":[{"name":"c"}]}"#,
    "/containers",
    &["b", "c", "a"]
)]
#[case(
    r#"{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a","$patch":"delete"}]}"#,
    "/containers",
    &["b"]
)]
#[case(r#"{"containers":[{"$patch":"replace"},{"name":"z"}]}"#, "/containers", &["z"])]
#[case(r#"{"containers":[{"name":"a","$patch":"delete"}]}"#, "/containers", &["b"])]
#[case(
    r#"{"containers":[{"name":"a","env":[{"name":"X","$patch":"delete"},{"name":"Z","value":"3"}]}]}"#,
    "/containers/0/env",
    &["Z", "Y"]
)]
#[case(r#"{"containers":[{"name":"a","env":null}]}"#, "/containers/0/env", &[])]
#[case(r#"{"initContainers":[{"name":"n","$patch":"delete"},{"name":"m"}]}"#, "/initContainers", &["m"])]
fn strategic_patches_order_lists(#[case] patch: &str, #[case] at: &str, #[case] names: &[&str]) {
    let spec = pod_patched(patch).unwrap();
    let items = spec.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    assert_eq!(items.iter().map(|item| item.str_at(&["name"]).unwrap()).collect::<Vec<_>>(), names);
}

#[rstest]
#[case(
    r#"{"containers":[{"name":"a","ports":[{"containerPort":80,"name":"http"}]}]}"#,
    "/containers/0/ports",
    r#"[{"containerPort":80,"name":"http"},{"containerPort":81}]"#
)]
#[case(r#"{"tolerations":[{"key":"u"}]}"#, "/tolerations", r#"[{"key":"u"}]"#)]
#[case(
    r#"{"volumes":[{"name":"v","$retainKeys":["name","hostPath"],"hostPath":{"path":"/x"}}]}"#,
    "/volumes/0",
    r#"{"hostPath":{"path":"/x"},"name":"v"}"#
)]
#[case(r#"{"nodeSelector":{"$patch":"replace","z":"3"}}"#, "/nodeSelector", r#"{"z":"3"}"#)]
#[case(r#"{"nodeSelector":{"$patch":"delete"}}"#, "/nodeSelector", "{}")]
#[case(r#"{"nodeSelector":{"x":null,"z":"3"}}"#, "/nodeSelector", r#"{"y":"2","z":"3"}"#)]
#[case(r#"{"$patch":"replace","containers":[{"name":"o"}]}"#, "", r#"{"containers":[{"name":"o"}]}"#)]
#[case(r#"{"affinity":{"nodeAffinity":null,"podAffinity":{}}}"#, "/affinity", r#"{"podAffinity":{}}"#)]
#[case(
    r#"{"initContainers":[{"name":"n","$retainKeys":["name"],"env":[{"name":"e","value":null}]}]}"#,
    "/initContainers/0",
    r#"{"env":[{"name":"e"}],"name":"n"}"#
)]
fn strategic_patches_apply(#[case] patch: &str, #[case] at: &str, #[case] result: &str) {
    assert_eq!(pod_patched(patch).unwrap().pointer(at), Some(&value(result)));
}

#[rstest]
#[case(
    r#"{"containers":[{"name":"a","$patch":"bogus"}]}"#,
    "unknown patch type: bogus in map: map[$patch:bogus name:a]"
)]
#[case(r#"{"containers":[{"image":"k"}]}"#, "map: map[image:k] does not contain declared merge key: name")]
#[case(
    r#"{"containers":[{"name":"a","$patch":"merge"}]}"#,
    "merging lists cannot yet be specified in the patch"
)]
#[case(
    r#"{"volumes":[{"name":"v","$retainKeys":["name"],"hostPath":{}}]}"#,
    "patch content doesn't match retainKeys list"
)]
#[case(r#"{"volumes":[{"name":"v","$retainKeys":1}]}"#, "invalid patch format of retainKeys")]
#[case(r#"{"$setElementOrder/containers":1}"#, "invalid patch format of setElementOrder list")]
#[case(r#"{"containers":["x"]}"#, "list element types are not identical")]
#[case(
    r#"{"$setElementOrder/containers":[{"name":"b"}],"containers":[{"name":"a"}]}"#,
    "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n"
)]
fn senseless_strategic_patches_are_refused(#[case] patch: &str, #[case] message: &str) {
    assert_eq!(pod_patched(patch).unwrap_err().to_string(), message);
}

#[rstest]
#[case(r#"{"$deleteFromPrimitiveList/finalizers":["q.w/e"]}"#, &["a.b/c"])]
#[case(r#"{"finalizers":["n","a.b/c"]}"#, &["n", "q.w/e", "a.b/c"])]
#[case(r#"{"$setElementOrder/finalizers":["a.b/c","q.w/e"]}"#, &["a.b/c", "q.w/e"])]
#[case(
    r#"{"$deleteFromPrimitiveList/finalizers":["q.w/e"],"$setElementOrder/finalizers":["n","a.b/c"],"finalizers":["n"]}"#,
    &["n", "a.b/c"]
)]
fn lists_of_primitives_merge(#[case] patch: &str, #[case] result: &[&str]) {
    let mut pod = Value::object();
    pod.set(&["metadata", "finalizers"], vec!["q.w/e", "a.b/c"]);
    let mut wrapped = Value::object();
    wrapped.set(&["metadata"], value(patch));
    strategic_merge(&mut pod, &wrapped, Schemas::builtin().kind("", "v1", "Pod").unwrap()).unwrap();
    assert_eq!(pod.at(&["metadata", "finalizers"]), Some(&Value::from(result.to_vec())));
}

#[test]
fn a_strategic_patch_that_fails_changes_nothing() {
    let deployments = Schemas::builtin().kind("apps", "v1", "Deployment").unwrap();
    let before = value(r#"{"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{}}}}"#);
    let mut target = before.clone();
    let patch = value(r#"{"a":1,"spec":{"strategy":{"type":"x","$retainKeys":[]}}}"#);
    assert!(strategic_merge(&mut target, &patch, deployments).is_err());
    assert_eq!(target, before);
    let patch = value(r#"{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}"#);
    strategic_merge(&mut target, &patch, deployments).unwrap();
    assert_eq!(target, value(r#"{"spec":{"strategy":{"type":"Recreate"}}}"#));
}

/// A patch of a few operations at pointers that often exist.
fn operations() -> impl Strategy<Value = Value> {
    let pointer = "(/([a-d]|0|1|-)){0,3}";
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy"]);
    let operation = (op, pointer, pointer, any_value()).prop_map(|(op, path, from, value)| {
        let mut operation = Value::object();
        operation.set(&["op"], op);
        operation.set(&["path"], path);
        operation.set(&["from"], from);
        operation.set(&["value"], value);
        operation
    });
    prop::collection::vec(operation, 1..4).prop_map(Value::Array)
}

/// Whether the oracle is known to see this patch otherwise: it lets the whole document be removed or moved.
fn beyond_the_oracle(patch: &Value) -> bool {
    patch.as_array().unwrap().iter().any(|operation| match operation.str_at(&["op"]) {
        Some("remove") => operation.str_at(&["path"]) == Some(""),
        Some("move") => operation.str_at(&["from"]) == Some(""),
        _ => false,
    })
}

proptest! {
    #[test]
    fn json_patch_agrees_with_another_implementation(target in any_value(), patch in operations()) {
        prop_assume!(!beyond_the_oracle(&patch));
        let mut theirs = serde_json::Value::from(target.clone());
        let parsed: json_patch::Patch = serde_json::from_value(patch.clone().into()).unwrap();
        let accepted = json_patch::patch_unsafe(&mut theirs, &parsed).is_ok();
        let mut ours = target.clone();
        prop_assert_eq!(json_patch(&mut ours, &patch).is_ok(), accepted);
        prop_assert_eq!(ours, if accepted { Value::from(theirs) } else { target });
    }

    #[test]
    fn merge_patch_agrees_with_another_implementation(target in any_value(), patch in any_value()) {
        prop_assume!(patch.as_object().is_some());
        let mut theirs = serde_json::Value::from(target.clone());
        json_patch::merge(&mut theirs, &patch.clone().into());
        let mut ours = target;
        merge_patch(&mut ours, &patch).unwrap();
        prop_assert_eq!(ours, Value::from(theirs));
    }

    #[test]
    fn strategic_merges_never_panic_and_repeat_to_the_same(target in any_value(), patch in any_value()) {
        let pods = Schemas::builtin().kind("", "v1", "Pod").unwrap();
        let mut once = Value::object();
        once.set(&["metadata", "labels"], target);
        let mut wrapped = Value::object();
        wrapped.set(&["metadata", "labels"], patch);
        if strategic_merge(&mut once, &wrapped, pods).is_ok() {
            let mut twice = once.clone();
            strategic_merge(&mut twice, &wrapped, pods).unwrap();
            prop_assert_eq!(twice, once);
        }
    }
}
