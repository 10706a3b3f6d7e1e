//! The entries of `metadata.managedFields`, read and written.

use super::fields::FieldsError;
use super::owners::Owners;
use super::set::Set;
use crate::value::{Object, Value};

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// By server-side apply.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    fn text(self) -> &'static &'static str {
        match self {
            Self::Apply => &"Apply",
            Self::Update => &"Update",
        }
    }
}

/// What one manager owns by one kind of operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Who.
    pub manager: String,
    /// By what.
    pub operation: Operation,
    /// The version whose fields these are.
    pub api_version: String,
    /// The subresource written to, empty for the object.
    pub subresource: String,
    /// When the fields were last changed, in RFC 3339.
    pub time: Option<String>,
    /// Which fields.
    pub fields: Set,
}

/// A list of managed fields that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntriesError {
    /// It is no list of objects.
    #[error("managedFields is not a list of entries")]
    Shape,
    /// Neither `Apply` nor `Update`.
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    /// No version.
    #[error("apiVersion must not be empty")]
    ApiVersion,
    /// No type of fields.
    #[error("missing fieldsType in managed fields entry {0}")]
    NoFieldsType(usize),
    /// Another type of fields than FieldsV1.
    #[error("invalid fieldsType {1:?} in managed fields entry {0}")]
    FieldsType(usize, String),
    /// Fields that are no FieldsV1.
    #[error("error decoding set")]
    Fields(#[from] FieldsError),
}

impl Entry {
    fn read(index: usize, entry: &Value) -> Result<Self, EntriesError> {
        let entry = entry.as_object().ok_or(EntriesError::Shape)?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let operation = match text("operation") {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err(EntriesError::Operation),
        };
        if text("apiVersion").is_empty() {
            return Err(EntriesError::ApiVersion);
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(EntriesError::NoFieldsType(index)),
            other => return Err(EntriesError::FieldsType(index, other.to_owned())),
        }
        let fields = entry.get("fieldsV1").map(Set::from_fields).transpose()?.unwrap_or_default();
        Ok(Self {
            manager: text("manager").to_owned(),
            operation,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
            fields,
        })
    }

    fn write(&self) -> Value {
        let mut entry = Object::new();
        entry.insert("apiVersion", self.api_version.as_str());
        entry.insert("fieldsType", Value::fixed(&"FieldsV1"));
        entry.insert("fieldsV1", self.fields.to_fields());
        if !self.manager.is_empty() {
            entry.insert("manager", self.manager.as_str());
        }
        entry.insert("operation", Value::fixed(self.operation.text()));
        if !self.subresource.is_empty() {
            entry.insert("subresource", self.subresource.as_str());
        }
        if let Some(time) = &self.time {
            entry.insert("time", time.as_str());
        }
        Value::Object(entry)
    }

    /// Whether both entries are of the same manager: an applier has one entry whatever version it speaks.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        let same_version = self.operation == Operation::Apply || self.api_version == other.api_version;
        self.operation == other.operation
            && same_version
            && self.manager == other.manager
            && self.subresource == other.subresource
    }
}

impl Owners {
    /// Reads the list in an object's metadata. Of one manager the last entry counts.
    pub fn read(list: Option<&Value>) -> Result<Self, EntriesError> {
        let mut owners = Self::default();
        let list = match list {
            None | Some(Value::Null) => return Ok(owners),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(EntriesError::Shape),
        };
        for (index, entry) in list.iter().enumerate() {
            let entry = Entry::read(index, entry)?;
            match owners.entries.iter_mut().find(|known| known.is_of(&entry)) {
                Some(known) => *known = entry,
                None => owners.entries.push(entry),
            }
        }
        Ok(owners)
    }

    /// The list for an object's metadata, none if nobody owns anything: appliers first, then by time and name.
    pub fn write(&self) -> Option<Value> {
        let mut sorted: Vec<&Entry> = self.entries.iter().collect();
        sorted.sort_by(|a, b| {
            let key = |e: &Entry| (e.operation, e.time.clone());
            let name = |e: &Entry| (e.manager.clone(), e.api_version.clone(), e.subresource.clone());
            key(a).cmp(&key(b)).then_with(|| name(a).cmp(&name(b)))
        });
        (!sorted.is_empty()).then(|| Value::Array(sorted.into_iter().map(Entry::write).collect()))
    }
}

/// Whether a client's list asks to forget all owners: an empty list, or one empty entry.
pub(super) fn is_reset(list: Option<&Value>) -> bool {
    match list {
        Some(Value::Array(entries)) => match entries.as_slice() {
            [] => true,
            [Value::Object(entry)] => entry.is_empty(),
            _ => false,
        },
        _ => false,
    }
}
