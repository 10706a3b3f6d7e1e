//! What ownership costs a write: settling the owners of new and of changed objects, and applying.

use std::borrow::Cow;

use wherry_schema::managed::{Owners, Set, Versions, Write};
use wherry_schema::{Schema, Schemas, Value};

fn main() {
    divan::main();
}

struct One(&'static Schema);

impl Versions for One {
    fn convert<'v>(&self, object: &'v Value, _: &str) -> Option<(Cow<'v, Value>, &'static Schema)> {
        Some((Cow::Borrowed(object), self.0))
    }
}

const MAP: &str = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m","labels":{"app":"a"}},
  "data":{"a":"1","b":"2","c":"3","d":"4"}}"#;
const POD: &str = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"app":"a"}},"spec":{
  "dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},
  "containers":[{"name":"c","image":"i","env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"resources":{},
  "ports":[{"containerPort":80,"protocol":"TCP"}],"imagePullPolicy":"Always","terminationMessagePolicy":"File"}]}}"#;

fn subject(kind: &str, json: &str) -> (&'static Schema, Value) {
    let schema = Schemas::builtin().kind("", "v1", kind).expect("the kind is built in");
    (schema, Value::from_json(json.as_bytes()).expect("the object is JSON"))
}

fn with_write<R>(schema: &'static Schema, act: impl FnOnce(&Write<'_>) -> R) -> R {
    let ignored = Set::of(&[&["status"]]);
    let (now, versions) = ("2024-01-01T00:00:00Z", &One(schema));
    act(&Write { manager: "m", api_version: "v1", subresource: "", schema, ignored: &ignored, now, versions })
}

fn create(schema: &'static Schema, object: &Value) -> Option<Value> {
    let mut owners = Owners::default();
    with_write(schema, |write| owners.update(schema.empty(), object, write)).expect("it is comparable");
    owners.write()
}

#[divan::bench(args = [("ConfigMap", MAP), ("Pod", POD)])]
fn owners_of_a_new_object(bencher: divan::Bencher<'_, '_>, (kind, json): (&str, &str)) {
    let (schema, object) = subject(kind, json);
    bencher.bench(|| create(schema, &object));
}

#[divan::bench(args = [("ConfigMap", MAP), ("Pod", POD)])]
fn owners_of_a_changed_object(bencher: divan::Bencher<'_, '_>, (kind, json): (&str, &str)) {
    let (schema, mut live) = subject(kind, json);
    let list = create(schema, &live);
    live.set(&["metadata", "creationTimestamp"], "2024-01-01T00:00:00Z");
    let mut changed = live.clone();
    changed.set(&["metadata", "labels", "app"], "b");
    bencher.bench(|| {
        let mut owners = Owners::read(list.as_ref()).expect("it was written so");
        with_write(schema, |write| owners.update(&live, &changed, write)).expect("it is comparable");
        owners.write()
    });
}

#[divan::bench(args = [("ConfigMap", MAP), ("Pod", POD)])]
fn apply_of_a_change(bencher: divan::Bencher<'_, '_>, (kind, json): (&str, &str)) {
    let (schema, config) = subject(kind, json);
    let mut first = Owners::default();
    let live = with_write(schema, |write| first.apply(schema.empty(), &config, false, write));
    let live = live.expect("nobody owns anything").expect("it is new");
    let mut changed = config.clone();
    changed.set(&["metadata", "labels", "app"], "b");
    bencher.bench(|| {
        let mut owners = first.clone();
        with_write(schema, |write| owners.apply(&live, &changed, false, write)).expect("nobody else owns it")
    });
}
