//! Field errors: what rule a field of an object breaks, in Kubernetes' words.
//!
//! A [`Path`] names a field (`spec.containers[0].name`); [`Errors`] collects the broken rules in the order they were
//! found, because clients show all of them at once.

use std::fmt;

use wherry_schema::Value;

/// Where in an object a field is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    /// Whether this is the object itself.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The field of this name at the top of the object; dots separate levels.
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A field below this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self::new(name) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// An item of this list.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One broken rule as a `Status` carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// The machine-readable reason: `FieldValueInvalid`.
    pub(crate) reason: &'static str,
    /// The rule in words, without the field.
    pub(crate) message: String,
    /// The field.
    pub(crate) field: String,
}

/// The rules an object breaks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors(Vec<Cause>);

impl Errors {
    /// Whether nothing was broken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is of no use to evaluate expressions, as upstream decides it.
    pub(crate) fn are_blocking(&self) -> bool {
        let blocking = |cause: &Cause| {
            let reason = cause.reason.strip_prefix("FieldValue").unwrap_or_default();
            matches!(reason, "NotSupported" | "Required" | "TooLong" | "TooMany" | "TypeInvalid")
        };
        self.0.iter().any(blocking)
    }

    /// The causes, in the order found.
    pub(crate) fn causes(&self) -> &[Cause] {
        &self.0
    }

    /// The causes in the order of their texts.
    pub(crate) fn sorted(mut self) -> Self {
        self.0.sort_by_cached_key(|cause| format!("{}: {}", cause.field, cause.message));
        self
    }

    /// Adds the rules that were found broken elsewhere.
    pub(crate) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn push(&mut self, reason: &'static str, path: &Path, message: String) {
        self.0.push(Cause { reason, message, field: path.to_string() });
    }

    /// A field that must be there.
    pub(crate) fn required(&mut self, path: &Path, detail: &str) {
        let message =
            if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        self.push("FieldValueRequired", path, message);
    }

    /// A value that breaks a rule.
    pub(crate) fn invalid(&mut self, path: &Path, value: impl Into<Shown>, detail: &str) {
        let value = value.into();
        let message = if detail.is_empty() {
            format!("Invalid value: {value}")
        } else {
            format!("Invalid value: {value}: {detail}")
        };
        self.push("FieldValueInvalid", path, message);
    }

    /// A value that breaks a rule and is not worth showing.
    pub(crate) fn invalid_without_value(&mut self, path: &Path, detail: &str) {
        self.push("FieldValueInvalid", path, format!("Invalid value: {detail}"));
    }

    /// A value of another type than the one asked for.
    pub(crate) fn wrong_type(&mut self, path: &Path, value: impl Into<Shown>, detail: &str) {
        self.push("FieldValueTypeInvalid", path, format!("Invalid value: {}: {detail}", value.into()));
    }

    /// A value that does not exist.
    pub(crate) fn not_found(&mut self, path: &Path, value: impl Into<Shown>) {
        self.push("FieldValueNotFound", path, format!("Not found: {}", value.into()));
    }

    /// A value that does not exist, and where it should.
    pub(crate) fn not_found_in(&mut self, path: &Path, value: impl Into<Shown>, detail: &str) {
        self.push("FieldValueNotFound", path, format!("Not found: {}: {detail}", value.into()));
    }

    /// A list of more items than allowed.
    pub(crate) fn too_many(&mut self, path: &Path, count: usize, max: usize) {
        self.push("FieldValueTooMany", path, format!("Too many: {count}: must have at most {max} items"));
    }

    /// A value that occurs twice.
    pub(crate) fn duplicate(&mut self, path: &Path, value: impl Into<Shown>) {
        self.push("FieldValueDuplicate", path, format!("Duplicate value: {}", value.into()));
    }

    /// A value that occurs twice and is not worth showing.
    pub(crate) fn duplicate_without_value(&mut self, path: &Path) {
        self.push("FieldValueDuplicate", path, "Duplicate value".to_owned());
    }

    /// A rule that could not be checked.
    pub(crate) fn internal(&mut self, path: &Path, detail: &str) {
        self.push("InternalError", path, format!("Internal error: {detail}"));
    }

    /// A value outside an enumeration.
    pub(crate) fn unsupported(&mut self, path: &Path, value: impl Into<Shown>, supported: &[&str]) {
        let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.push(
            "FieldValueNotSupported",
            path,
            format!("Unsupported value: {}: supported values: {}", value.into(), supported.join(", ")),
        );
    }

    /// A field that may not be set, or changed, here.
    pub(crate) fn forbidden(&mut self, path: &Path, detail: &str) {
        self.push("FieldValueForbidden", path, format!("Forbidden: {detail}"));
    }

    /// A value of more bytes than allowed.
    pub(crate) fn too_long(&mut self, path: &Path, max: usize) {
        self.push("FieldValueTooLong", path, format!("Too long: may not be more than {max} bytes"));
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = Vec::with_capacity(self.0.len());
        for cause in &self.0 {
            let text = if cause.field.is_empty() {
                cause.message.clone()
            } else {
                format!("{}: {}", cause.field, cause.message)
            };
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        match texts.as_slice() {
            [one] => f.write_str(one),
            many => write!(f, "[{}]", many.join(", ")),
        }
    }
}

/// A value as an error text shows it: strings quoted, the rest as JSON.
#[derive(Debug, Clone)]
pub(crate) struct Shown(String);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Shown {
    /// Text that is shown as it is.
    pub(crate) fn raw(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self(format!("{text:?}"))
    }
}

impl From<&String> for Shown {
    fn from(text: &String) -> Self {
        Self(format!("{text:?}"))
    }
}

impl From<i64> for Shown {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<bool> for Shown {
    fn from(truth: bool) -> Self {
        Self(truth.to_string())
    }
}

impl From<wherry_api::quantity::Quantity> for Shown {
    fn from(amount: wherry_api::quantity::Quantity) -> Self {
        Self(format!("\"{amount}\""))
    }
}

impl From<&Value> for Shown {
    fn from(value: &Value) -> Self {
        Self(String::from_utf8_lossy(&value.to_json_bytes()).into_owned())
    }
}
