//! Reading and changing objects by dotted paths: `object.text("spec.nodeName")`.
//!
//! Missing fields read as empty, as they do in Kubernetes; paths are constants of this crate, so a name with a dot in
//! it (a label) is never one.

use wherry_schema::{Object, Value};

static NO_ITEMS: &[Value] = &[];

/// Fields of an object at dotted paths.
pub(crate) trait Fields {
    /// The field, unless it is missing or null.
    fn field(&self, path: &str) -> Option<&Value>;
    /// The string, empty if missing.
    fn text(&self, path: &str) -> &str;
    /// The whole number.
    fn int(&self, path: &str) -> Option<i64>;
    /// The truth value, false if missing.
    fn flag(&self, path: &str) -> bool;
    /// The items of a list, none if missing.
    fn items(&self, path: &str) -> &[Value];
    /// The entries of a map.
    fn map(&self, path: &str) -> Option<&Object>;
    /// Whether the field is there.
    fn has(&self, path: &str) -> bool {
        self.field(path).is_some()
    }
    /// Sets the field, making the objects on the way.
    fn put(&mut self, path: &str, value: impl Into<Value>);
    /// Removes the field.
    fn take(&mut self, path: &str) -> Option<Value>;
    /// Makes the field what `value` is: set, or removed.
    fn assign(&mut self, path: &str, value: Option<Value>) {
        match value {
            Some(value) => self.put(path, value),
            None => {
                self.take(path);
            }
        }
    }
    /// The items of a list, to change.
    fn items_mut(&mut self, path: &str) -> &mut [Value];
}

impl Fields for Value {
    fn field(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, name| value.get(name)).filter(|v| !v.is_null())
    }

    fn text(&self, path: &str) -> &str {
        self.field(path).and_then(Value::as_str).unwrap_or_default()
    }

    fn int(&self, path: &str) -> Option<i64> {
        self.field(path).and_then(Value::as_i64)
    }

    fn flag(&self, path: &str) -> bool {
        self.field(path).and_then(Value::as_bool).unwrap_or(false)
    }

    fn items(&self, path: &str) -> &[Value] {
        self.field(path).and_then(Value::as_array).map_or(NO_ITEMS, Vec::as_slice)
    }

    fn map(&self, path: &str) -> Option<&Object> {
        self.field(path).and_then(Value::as_object)
    }

    fn put(&mut self, path: &str, value: impl Into<Value>) {
        let path: Vec<&str> = path.split('.').collect();
        self.set(&path, value);
    }

    fn take(&mut self, path: &str) -> Option<Value> {
        let path: Vec<&str> = path.split('.').collect();
        self.remove(&path)
    }

    fn items_mut(&mut self, path: &str) -> &mut [Value] {
        let path: Vec<&str> = path.split('.').collect();
        self.at_mut(&path).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
    }
}

/// The object's name.
pub(crate) fn name(object: &Value) -> &str {
    object.text("metadata.name")
}

/// What a refusal calls the object: its name, or the start of one that is yet to be made.
pub(crate) fn called(object: &Value) -> &str {
    let names = [name(object), object.text("metadata.generateName"), "Unknown"];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

/// The object's namespace, empty for cluster-scoped ones.
pub(crate) fn namespace(object: &Value) -> &str {
    object.text("metadata.namespace")
}

/// Whether the object has been marked for deletion.
pub(crate) fn terminating(object: &Value) -> bool {
    object.has("metadata.deletionTimestamp")
}

/// The object's finalizers.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    object.items("metadata.finalizers").iter().filter_map(Value::as_str).collect()
}

/// Replaces the finalizers; none removes the field.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    if finalizers.is_empty() {
        object.take("metadata.finalizers");
    } else {
        object.put("metadata.finalizers", finalizers.to_vec());
    }
}

/// Whether two objects agree in a field; missing and null are the same.
pub(crate) fn same(a: &Value, b: &Value, path: &str) -> bool {
    a.field(path) == b.field(path)
}

/// Makes the metadata that users write what it was, where an update is about the status alone.
pub(crate) fn keep_metadata(object: &mut Value, old: &Value) {
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let path = format!("metadata.{field}");
        object.assign(&path, old.field(&path).cloned());
    }
}

/// One more than the object's generation.
pub(crate) fn bump_generation(object: &mut Value) {
    let next = object.int("metadata.generation").unwrap_or(0) + 1;
    object.put("metadata.generation", next);
}
