//! Tests of owners: each rule of server-side apply on small objects, and its laws on many.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::schema::{Schema, Schemas};
use crate::value::Value;
use crate::value::tests::any_value;

/// Objects of these tests are served in one version.
struct V1(&'static Schema);

impl Versions for V1 {
    fn convert<'v>(&self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'static Schema)> {
        (api_version == "v1").then_some((Cow::Borrowed(object), self.0))
    }
}

/// An object and who owns what of it.
#[derive(Clone, Debug)]
struct Object {
    schema: &'static Schema,
    value: Value,
    owners: Owners,
    clock: u32,
}

fn json(text: &str) -> Value {
    Value::from_json(text.as_bytes()).unwrap()
}

impl Object {
    fn new(kind: &str) -> Self {
        let schema = Schemas::builtin().kind("", "v1", kind).unwrap();
        // As an object that has been decoded, it is without the nulls of what was never set.
        let (value, _) =
            crate::decode::conform(schema.empty(), schema, crate::FieldValidation::Ignore).unwrap();
        Self { schema, value, owners: Owners::default(), clock: 0 }
    }

    fn with_write<R>(&mut self, manager: &str, act: impl FnOnce(&mut Owners, &Value, &Write<'_>) -> R) -> R {
        self.clock += 1;
        let now = format!("2024-01-01T00:00:{:02}Z", self.clock);
        let write = Write {
            manager,
            api_version: "v1",
            subresource: "",
            schema: self.schema,
            ignored: &Set::of(&[&["status"]]),
            now: &now,
            versions: &V1(self.schema),
        };
        act(&mut self.owners, &self.value, &write)
    }

    fn update(&mut self, manager: &str, new: &Value) {
        self.with_write(manager, |owners, live, write| owners.update(live, new, write)).unwrap();
        self.value = new.clone();
        self.value.set(&["metadata", "creationTimestamp"], "2024-01-01T00:00:00Z");
    }

    /// Applies, as the API server does: what became empty is left out.
    fn apply(&mut self, manager: &str, config: &Value, force: bool) -> Result<bool, ApplyError> {
        let result =
            self.with_write(manager, |owners, live, write| owners.apply(live, config, force, write))?;
        let changed = result.is_some();
        if let Some(new) = result {
            let ignore = crate::FieldValidation::Ignore;
            self.value = crate::decode::conform(&new, self.schema, ignore).unwrap().0;
        }
        self.value.set(&["metadata", "creationTimestamp"], "2024-01-01T00:00:00Z");
        Ok(changed)
    }

    /// What a manager owns, as FieldsV1.
    fn owned(&self, manager: &str) -> String {
        let found = self.owners.entries().iter().find(|entry| entry.manager == manager);
        found.map(|entry| entry.fields.to_fields().to_string()).unwrap_or_default()
    }
}

fn conflicts(result: Result<bool, ApplyError>) -> String {
    match result {
        Err(ApplyError::Conflicts(conflicts)) => conflicts.to_string(),
        other => panic!("expected conflicts, got {other:?}"),
    }
}

#[test]
fn a_new_object_belongs_to_its_creator() {
    let mut map = Object::new("ConfigMap");
    map.update("golden", &json(r#"{"metadata":{"name":"m","labels":{"a":"b"}},"data":{"x":"1"}}"#));
    assert_eq!(
        map.owned("golden"),
        r#"{"f:data":{".":{},"f:x":{}},"f:metadata":{"f:labels":{".":{},"f:a":{}}}}"#
    );
}

#[test]
fn what_another_changes_changes_hands_and_what_goes_is_owned_by_nobody() {
    let mut map = Object::new("ConfigMap");
    map.update("a", &json(r#"{"metadata":{},"data":{"x":"1","y":"1","z":"1"}}"#));
    map.update("b", &json(r#"{"metadata":{},"data":{"x":"1","y":"2"}}"#));
    assert_eq!(map.owned("a"), r#"{"f:data":{".":{},"f:x":{}}}"#);
    assert_eq!(map.owned("b"), r#"{"f:data":{"f:y":{}}}"#);
}

#[test]
fn an_update_of_an_object_without_owners_gives_it_none() {
    let mut map = Object::new("ConfigMap");
    map.update("a", &json(r#"{"metadata":{},"data":{"x":"1"}}"#));
    map.owners = Owners::default();
    map.update("b", &json(r#"{"metadata":{},"data":{"x":"2"}}"#));
    assert!(map.owners.is_empty());
    let refused = conflicts(map.apply("c", &json(r#"{"data":{"x":"3"}}"#), false));
    assert_eq!(
        refused,
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x"
    );
}

#[test]
fn applying_the_same_is_shared_and_something_else_a_conflict() {
    let mut map = Object::new("ConfigMap");
    map.apply("a", &json(r#"{"data":{"x":"1","y":"1"}}"#), false).unwrap();
    map.apply("b", &json(r#"{"data":{"x":"1"}}"#), false).unwrap();
    assert_eq!((map.owned("a"), map.owned("b")).1, r#"{"f:data":{"f:x":{}}}"#);
    let both = conflicts(map.apply("c", &json(r#"{"data":{"x":"2","y":"2"}}"#), false));
    assert_eq!(
        both,
        "Apply failed with 3 conflicts: conflicts with \"a\":\n- .data.x\n- .data.y\nconflicts with \"b\":\n- .data.x"
    );
    map.apply("c", &json(r#"{"data":{"x":"2"}}"#), true).unwrap();
    assert_eq!(map.owned("a"), r#"{"f:data":{"f:y":{}}}"#);
    assert_eq!(map.owned("b"), "");
}

#[test]
fn what_is_applied_no_more_goes_unless_another_owns_it() {
    let mut map = Object::new("ConfigMap");
    map.apply("a", &json(r#"{"data":{"x":"1","y":"1","z":"1"}}"#), false).unwrap();
    map.apply("b", &json(r#"{"data":{"y":"1"}}"#), false).unwrap();
    map.apply("a", &json(r#"{"data":{"z":"1"}}"#), false).unwrap();
    assert_eq!(map.value.get("data").unwrap(), &json(r#"{"y":"1","z":"1"}"#));
    map.apply("a", &json("{}"), false).unwrap();
    map.apply("b", &json("{}"), false).unwrap();
    assert_eq!(map.value.get("data"), None);
    assert!(map.owners.is_empty());
}

#[test]
fn items_come_and_go_by_their_keys() {
    let mut pod = Object::new("Pod");
    let one = r#"{"spec":{"containers":[{"name":"a","image":"i","ports":[{"containerPort":80}]}]}}"#;
    pod.apply("one", &json(one), false).unwrap();
    let two =
        r#"{"spec":{"containers":[{"name":"b","image":"j"},{"name":"a","ports":[{"containerPort":81}]}]}}"#;
    pod.apply("two", &json(two), false).unwrap();
    assert_eq!(
        pod.owned("two"),
        r#"{"f:spec":{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:ports":{"k:{\"containerPort\":81,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}},"k:{\"name\":\"b\"}":{".":{},"f:image":{},"f:name":{}}}}}"#
    );
    let names: Vec<_> = pod.value.pointer("/spec/containers").unwrap().as_array().unwrap().clone();
    assert_eq!(names.iter().map(|c| c.str_at(&["name"]).unwrap()).collect::<Vec<_>>(), ["b", "a"]);
    pod.apply("two", &json(r#"{"spec":{}}"#), false).unwrap();
    assert_eq!(
        pod.value.at(&["spec", "containers"]).unwrap(),
        &json(r#"[{"name":"a","image":"i","ports":[{"containerPort":80}]}]"#)
    );
}

#[test]
fn members_of_sets_and_atomic_parts_are_owned_as_such() {
    let mut pod = Object::new("Pod");
    let one =
        r#"{"metadata":{"finalizers":["a/x","a/y"]},"spec":{"containers":[],"nodeSelector":{"k":"v"}}}"#;
    pod.apply("one", &json(one), false).unwrap();
    assert_eq!(
        pod.owned("one"),
        r#"{"f:metadata":{"f:finalizers":{"v:\"a/x\"":{},"v:\"a/y\"":{}}},"f:spec":{"f:nodeSelector":{}}}"#
    );
    pod.apply("two", &json(r#"{"metadata":{"finalizers":["a/z"]}}"#), false).unwrap();
    let refused = conflicts(pod.apply("two", &json(r#"{"spec":{"nodeSelector":{"l":"w"}}}"#), false));
    assert_eq!(refused, "Apply failed with 1 conflict: conflict with \"one\": .spec.nodeSelector");
    pod.apply("one", &json(r#"{"metadata":{"finalizers":["a/y"]}}"#), false).unwrap();
    assert_eq!(pod.value.at(&["metadata", "finalizers"]).unwrap(), &json(r#"["a/y","a/z"]"#));
}

#[test]
fn configurations_that_do_not_fit_are_refused_in_the_words_of_upstream() {
    let mut pod = Object::new("Pod");
    let mut refusal = |config: &str| match pod.apply("a", &json(config), false) {
        Err(ApplyError::Config(problems)) => problems.to_string(),
        other => panic!("{config}: {other:?}"),
    };
    let twice = r#"{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}"#;
    assert_eq!(refusal(twice), r#".spec.containers: duplicate entries for key [name="a"]"#);
    assert_eq!(refusal(r#"{"spec":{"nope":1}}"#), ".spec.nope: field not declared in schema");
    assert_eq!(
        refusal(r#"{"spec":{"priority":"x","nodeName":1}}"#),
        "errors:\n  .spec.nodeName: expected string, got &value.valueUnstructured{Value:1}\n  .spec.priority: \
         expected numeric (int or float), got string"
    );
    assert_eq!(refusal(r#"{"spec":[1]}"#), ".spec: expected map, got &{[1]}");
    let unkeyed = r#"{"metadata":{"ownerReferences":[1]}}"#;
    assert_eq!(
        refusal(unkeyed),
        ".metadata.ownerReferences: element 0: associative list with keys may not have non-map elements"
    );
}

#[test]
fn an_apply_that_changes_nothing_keeps_its_time() {
    let mut map = Object::new("ConfigMap");
    map.update("a", &json(r#"{"metadata":{},"data":{"x":"1"}}"#));
    assert!(!map.apply("b", &json(r#"{"data":{"x":"1"}}"#), false).unwrap());
    let time = |map: &Object| map.owners.entries().iter().find(|e| e.manager == "b").unwrap().time.clone();
    assert_eq!(time(&map), None);
    assert!(map.apply("b", &json(r#"{"data":{"x":"2"}}"#), true).unwrap());
    let first = time(&map);
    assert!(first.is_some() && !map.apply("b", &json(r#"{"data":{"x":"2"}}"#), false).unwrap());
    assert_eq!(time(&map), first);
}

#[test]
fn the_eleventh_updater_makes_the_oldest_ancient() {
    let mut map = Object::new("ConfigMap");
    let mut data = json(r#"{"metadata":{},"data":{}}"#);
    for number in 0..12 {
        data.set(&["data", &format!("k{number:02}")], "v");
        map.update(&format!("m{number:02}"), &data);
    }
    assert_eq!(map.owners.entries().len(), 10);
    assert_eq!(map.owned("ancient-changes"), r#"{"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{}}}"#);
}

#[test]
fn kubectl_goes_from_client_side_to_server_side_apply_without_conflicts() {
    let mut map = Object::new("ConfigMap");
    let annotated = r#"{"metadata":{"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"apiVersion\":\"v1\",\"data\":{\"x\":\"1\"}}\n"}},"data":{"x":"1","y":"1"}}"#;
    map.update("kubectl-client-side-apply", &json(annotated));
    let mine = json(r#"{"apiVersion":"v1","data":{"x":"2"}}"#);
    assert!(conflicts(map.clone().apply("other", &mine, false)).ends_with(": .data.x"));
    let both = json(r#"{"apiVersion":"v1","data":{"x":"2","y":"2"}}"#);
    assert!(conflicts(map.clone().apply("kubectl", &both, false)).ends_with(": .data.y"));
    map.apply("kubectl", &mine, false).unwrap();
    assert_eq!(map.value.str_at(&["data", "x"]), Some("2"));
    let annotation = map.value.at(&["metadata", "annotations"]).unwrap().as_object().unwrap().values().next();
    assert_eq!(annotation.unwrap().as_str(), Some("{\"apiVersion\":\"v1\",\"data\":{\"x\":\"2\"}}\n"));
}

#[test]
fn the_list_of_entries_is_read_ordered_and_reset() {
    let entry = r#"{"manager":"m","operation":"Update","apiVersion":"v1","time":"2024-01-02T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}"#;
    let applied = entry.replace("Update", "Apply").replace("01-02", "01-03");
    let older = entry.replace("\"m\"", "\"z\"").replace("01-02", "01-01");
    let owners = Owners::read(Some(&json(&format!("[{entry},{applied},{older}]")))).unwrap();
    let list = owners.write().unwrap();
    let managers: Vec<_> = list.as_array().unwrap().iter().map(|e| e.str_at(&["manager"]).unwrap()).collect();
    assert_eq!(managers, ["m", "z", "m"]);
    let refused = |from: &str, to: &str| {
        Owners::read(Some(&json(&format!("[{}]", entry.replace(from, to))))).unwrap_err().to_string()
    };
    assert_eq!(refused("Update", "Merge"), "operation must be `Apply` or `Update`");
    assert_eq!(refused("\"v1\"", "\"\""), "apiVersion must not be empty");
    assert_eq!(refused("FieldsV1", "V2"), "invalid fieldsType \"V2\" in managed fields entry 0");
    for reset in ["[]", "[{}]"] {
        assert!(Owners::of_write(Some(&list), Some(&json(reset)), "").is_empty());
        assert_eq!(Owners::of_write(Some(&list), Some(&json(reset)), "status").write(), Some(list.clone()));
    }
    let broken = json(r#"[{"manager":"x"}]"#);
    assert_eq!(Owners::of_write(Some(&list), Some(&broken), "").write(), Some(list));
}

#[test]
fn owners_of_replicas_are_owners_of_the_scale() {
    let list = r#"[{"manager":"a","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{},"f:selector":{}}}},{"manager":"b","operation":"Apply","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:replicas":{}}}}]"#;
    let owners = Owners::read(Some(&json(list))).unwrap();
    let mut scale = owners.of_scale(&["spec", "replicas"]);
    assert_eq!(scale.entries().len(), 2);
    scale.entries.retain(|entry| entry.manager == "b");
    let after = owners.with_scale(&scale, ("v1", &["spec", "replicas"]));
    let fields = |manager: &str| {
        let entry = after.entries().iter().find(|entry| entry.manager == manager).unwrap();
        entry.fields.to_fields().to_string()
    };
    assert_eq!(fields("a"), r#"{"f:spec":{"f:selector":{}}}"#);
    assert_eq!(fields("b"), r#"{"f:spec":{"f:replicas":{}}}"#);
}

/// Configurations of a ConfigMap or a Pod's metadata and containers, small enough to collide.
fn any_config() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![Just("1"), Just("2")];
    let data = prop::collection::btree_map("[a-c]", text(), 0..3);
    let container = ("[a-b]", prop::option::of(text()), prop::collection::btree_set(80..82_i64, 0..2));
    let containers = prop::collection::btree_map("[a-b]", container, 0..3);
    let finalizers = prop::collection::btree_set("[x-z]", 0..3);
    (data, containers, finalizers, prop::option::of(text())).prop_map(
        |(labels, containers, finalizers, host)| {
            let mut config = Value::object();
            for (name, value) in labels {
                config.set(&["metadata", "labels", &name], value);
            }
            if !finalizers.is_empty() {
                config.set(&["metadata", "finalizers"], finalizers.into_iter().collect::<Vec<_>>());
            }
            if let Some(host) = host {
                config.set(&["spec", "nodeSelector", "host"], host);
            }
            let containers: Vec<Value> = containers
                .into_iter()
                .map(|(name, (_, image, ports))| {
                    let mut container = Value::object();
                    container.set(&["name"], name);
                    if let Some(image) = image {
                        container.set(&["image"], image);
                    }
                    if !ports.is_empty() {
                        let port = |port: i64| {
                            let mut item = Value::object();
                            item.set(&["containerPort"], port);
                            item
                        };
                        container.set(&["ports"], ports.into_iter().map(port).collect::<Vec<_>>());
                    }
                    container
                })
                .collect();
            if !containers.is_empty() {
                config.set(&["spec", "containers"], containers);
            }
            config
        },
    )
}

fn any_fields() -> impl Strategy<Value = Set> {
    any_config().prop_map(|config| fields_of(&config, Schemas::builtin().kind("", "v1", "Pod").unwrap()))
}

/// Every field of the applied configurations is owned by somebody, and nobody owns what is not there.
fn check_partition(pod: &Object) -> Result<(), TestCaseError> {
    let mut there = fields_of(&pod.value, pod.schema);
    there.union(compare(pod.schema.empty(), &pod.value, pod.schema).unwrap().added);
    for entry in pod.owners.entries() {
        let mut stray = entry.fields.clone();
        stray.subtract(&there);
        prop_assert!(stray.is_empty(), "{} owns what is not there: {}", entry.manager, stray.to_fields());
    }
    Ok(())
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(before in any_config(), config in any_config()) {
        let mut pod = Object::new("Pod");
        pod.apply("a", &before, true).unwrap();
        pod.apply("b", &config, true).unwrap();
        let (value, owners) = (pod.value.clone(), pod.owners.clone());
        prop_assert!(!pod.apply("b", &config, false).unwrap());
        prop_assert_eq!((pod.value, pod.owners), (value, owners));
    }

    #[test]
    fn owners_own_what_is_there_and_the_applier_all_it_says(
        steps in prop::collection::vec((0..3_usize, any_config(), any::<bool>()), 1..8),
    ) {
        let mut pod = Object::new("Pod");
        for (manager, config, force) in steps {
            let name = ["a", "b", "c"][manager];
            let before = pod.clone();
            if pod.apply(name, &config, force).is_err() {
                prop_assert!(!force, "force has no conflicts");
                pod.owners = before.owners;
                continue;
            }
            let mut said = fields_of(&config, pod.schema);
            if let Some(entry) = pod.owners.entries().iter().find(|entry| entry.manager == name) {
                said.subtract(&entry.fields);
            }
            prop_assert!(said.is_empty(), "not owned: {}", said.to_fields());
            check_partition(&pod)?;
        }
    }

    #[test]
    fn force_takes_only_what_it_changes(first in any_config(), second in any_config()) {
        let mut pod = Object::new("Pod");
        pod.apply("a", &first, false).unwrap();
        let before = pod.clone();
        let refused = pod.apply("b", &second, false);
        let forced = { let mut forced = before.clone(); forced.apply("b", &second, true).unwrap(); forced };
        let mut lost = Set::default();
        before.owners.entries().iter().for_each(|entry| lost.union(entry.fields.clone()));
        let kept = forced.owners.entries().iter().find(|entry| entry.manager == "a");
        lost.subtract(&kept.map(|entry| entry.fields.clone()).unwrap_or_default());
        let named: Vec<String> = match &refused {
            Err(ApplyError::Conflicts(conflicts)) => conflicts.iter().map(Conflict::field).collect(),
            _ => Vec::new(),
        };
        let lost: Vec<String> =
            lost.paths().iter().map(|path| path.iter().map(Element::to_string).collect()).collect();
        prop_assert_eq!(lost, named);
    }

    #[test]
    fn removal_is_exact(first in any_config(), second in any_config(), third in any_config()) {
        let mut pod = Object::new("Pod");
        pod.apply("a", &first, true).unwrap();
        pod.apply("b", &second, true).unwrap();
        let before = fields_of(&pod.value, pod.schema);
        let owned = |pod: &Object, manager: &str| {
            let entry = pod.owners.entries().iter().find(|entry| entry.manager == manager);
            entry.map(|entry| entry.fields.clone()).unwrap_or_default()
        };
        let (mine, theirs) = (owned(&pod, "b"), owned(&pod, "a"));
        pod.apply("b", &third, true).unwrap();
        let after = fields_of(&pod.value, pod.schema);
        let mut gone = before;
        gone.subtract(&after);
        let mut unexpected = gone.clone();
        unexpected.subtract(&mine);
        // Atomic parts and items go whole; what goes was applied before or lies in what was.
        let filled = |path: &[Element]| after.paths().iter().any(|other| other.starts_with(path));
        for path in unexpected.paths().into_iter().filter(|path| !filled(path)) {
            let within = (1..path.len()).any(|end| mine.contains(&path[..end]));
            prop_assert!(within, "removed but never applied: {path:?}");
        }
        gone.intersect(&theirs);
        prop_assert!(gone.is_empty(), "removed though owned: {}", gone.to_fields());
    }

    #[test]
    fn sets_keep_their_algebra(a in any_fields(), b in any_fields()) {
        let mut both = a.clone();
        both.union(b.clone());
        let mut common = a.clone();
        common.intersect(&b);
        let mut only = a.clone();
        only.subtract(&b);
        prop_assert_eq!(both.len() + common.len(), a.len() + b.len());
        prop_assert_eq!(only.len() + common.len(), a.len());
        let mut joined = only;
        joined.union(common);
        prop_assert_eq!(&joined, &a);
        prop_assert!(both.paths().iter().all(|path| a.contains(path) || b.contains(path)));
    }

    #[test]
    fn fields_read_back_as_they_were_written(set in any_fields()) {
        prop_assert_eq!(Set::from_fields(&set.to_fields()).unwrap(), set);
    }

    #[test]
    fn any_value_is_read_as_fields_or_refused(value in any_value(), text in "[fkvi.]:?\\PC{0,12}") {
        let _ = Set::from_fields(&value);
        let _ = Owners::read(Some(&value));
        let mut fields = Value::object();
        fields.set(&[&text], Value::object());
        if let Ok(set) = Set::from_fields(&fields) {
            prop_assert_eq!(Set::from_fields(&set.to_fields()).unwrap(), set);
        }
    }

    #[test]
    fn any_two_values_are_compared_merged_and_cut_without_panic(a in any_value(), b in any_value()) {
        let schema = Schemas::builtin().kind("", "v1", "Pod").unwrap();
        let _ = validate(&a, schema);
        let _ = compare(&a, &b, schema);
        let _ = merge(&a, &b, schema);
        let _ = remove(&a, &fields_of(&b, schema), schema);
    }
}
