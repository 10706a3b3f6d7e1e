//! [`Object`]: fields sorted by name in one vector.
//!
//! Sorted, so that equal objects have equal bytes, look-ups are binary searches and two objects merge in one pass.

use std::cmp::Ordering;

use super::{Str, Value};

/// The fields of a JSON object, sorted by name, each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    fields: Vec<(Str, Value)>,
}

impl Object {
    /// An object without fields.
    pub const fn new() -> Self {
        Self { fields: Vec::new() }
    }

    /// An object of these fields; of those with one name the last wins.
    pub fn from_fields(mut fields: Vec<(Str, Value)>) -> Self {
        let sorted = fields.is_sorted_by(|a, b| a.0 < b.0);
        if !sorted {
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            fields.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self { fields }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.fields.binary_search_by(|(key, _)| order(key, name))
    }

    /// The value of a field.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.find(name).ok().map(|at| &self.fields[at].1)
    }

    /// The value of a field, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.find(name).ok().map(|at| &mut self.fields[at].1)
    }

    /// Whether there is such a field.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Sets a field and returns what it held.
    pub fn insert(&mut self, name: impl Into<Str>, value: impl Into<Value>) -> Option<Value> {
        let (name, value) = (name.into(), value.into());
        match self.find(&name) {
            Ok(at) => Some(std::mem::replace(&mut self.fields[at].1, value)),
            Err(at) => {
                self.fields.insert(at, (name, value));
                None
            }
        }
    }

    /// The field, made by `value` if there was none.
    pub fn or_insert_with(&mut self, name: impl Into<Str>, value: impl FnOnce() -> Value) -> &mut Value {
        let name = name.into();
        let at = match self.find(&name) {
            Ok(at) => at,
            Err(at) => {
                self.fields.insert(at, (name, value()));
                at
            }
        };
        &mut self.fields[at].1
    }

    /// The field as an object, made empty if there was none. Something else than an object is replaced.
    pub fn object_mut(&mut self, name: impl Into<Str>) -> &mut Object {
        self.or_insert_with(name, Value::object).make_object()
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        self.find(name).ok().map(|at| self.fields.remove(at).1)
    }

    /// Keeps the fields that satisfy the predicate.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.fields.retain_mut(|(key, value)| keep(key, value));
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are no fields.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The fields in order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Str, &Value)> + Clone {
        self.fields.iter().map(|(key, value)| (key, value))
    }

    /// The fields in order of their names, with values to change.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Str, &mut Value)> {
        self.fields.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// A field by its place in the order of their names.
    pub fn entry(&self, at: usize) -> Option<(&Str, &Value)> {
        self.fields.get(at).map(|(key, value)| (key, value))
    }

    /// The names in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Str> + Clone {
        self.fields.iter().map(|(key, _)| key)
    }

    /// The values in order of their names.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &Value> + Clone {
        self.fields.iter().map(|(_, value)| value)
    }
}

/// The order of two names. Most differ in their first byte, which takes no call to see.
fn order(a: &str, b: &str) -> Ordering {
    match (a.as_bytes().first(), b.as_bytes().first()) {
        (Some(x), Some(y)) if x != y => x.cmp(y),
        _ => a.cmp(b),
    }
}

impl IntoIterator for Object {
    type Item = (Str, Value);
    type IntoIter = std::vec::IntoIter<(Str, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.fields.into_iter()
    }
}

impl FromIterator<(Str, Value)> for Object {
    fn from_iter<I: IntoIterator<Item = (Str, Value)>>(fields: I) -> Self {
        Self::from_fields(fields.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Object;
    use crate::value::{Str, Value};

    #[test]
    fn fields_are_sorted_and_the_last_of_a_name_wins() {
        let fields = [("b", 1), ("a", 2), ("b", 3), ("b", 4)];
        let object: Object = fields.iter().map(|&(k, v)| (Str::from(k), Value::from(v))).collect();
        assert_eq!(object.keys().map(Str::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(object.get("b"), Some(&Value::Int(4)));
    }

    #[test]
    fn insert_replaces_and_remove_takes() {
        let mut object = Object::new();
        assert_eq!(object.insert("k", 1), None);
        assert_eq!(object.insert("k", "x"), Some(Value::Int(1)));
        assert_eq!(object.remove("k"), Some(Value::from("x")));
        assert!(object.is_empty() && !object.contains("k"));
    }

    #[test]
    fn object_mut_makes_an_object_of_anything() {
        let mut object = Object::new();
        object.insert("k", "x");
        object.object_mut("k").insert("l", true);
        assert_eq!(object.get("k").and_then(|k| k.get("l")), Some(&Value::Bool(true)));
    }
}
