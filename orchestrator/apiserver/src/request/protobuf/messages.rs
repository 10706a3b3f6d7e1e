//! The messages of Kubernetes: which field of which has which number. Read when the first protobuf body comes.

use std::collections::HashMap;
use std::sync::OnceLock;

/// A row for each field: message, number, name, form.
const TABLE: &str = include_str!("messages.tsv");

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    String,
    Bytes,
    Int,
    Bool,
    Double,
    Time,
    Quantity,
    IntOrString,
    /// JSON in bytes.
    Raw,
    /// A message that holds a list of texts.
    Strings,
    /// A message of alternatives, which are in its first and its second field.
    SchemaOr(Other),
    /// The message at this place in the table.
    Message(u16),
}

/// What may stand where a schema does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Other {
    Bool,
    Array,
    Strings,
}

/// How many values a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    One,
    List,
    Map,
}

/// A field of a message.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// Its name in JSON; none if the fields of its message are its parent's.
    pub(super) name: Option<&'static str>,
    pub(super) form: Form,
    pub(super) count: Count,
}

/// A message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) name: &'static str,
    pub(super) fields: Vec<Field>,
}

/// All messages.
#[derive(Debug)]
pub(super) struct Messages {
    all: Vec<Message>,
    places: HashMap<&'static str, u16>,
}

impl Messages {
    /// The table.
    pub(super) fn get() -> &'static Self {
        static MESSAGES: OnceLock<Messages> = OnceLock::new();
        MESSAGES.get_or_init(Self::read)
    }

    /// The message of a kind.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Option<u16> {
        if kind == "DeleteOptions" {
            return self.named("meta.v1.DeleteOptions");
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
        let group = group.split('.').next().unwrap_or_default();
        self.named(&format!("{group}.{version}.{kind}"))
    }

    /// The message of this name.
    pub(super) fn named(&self, name: &str) -> Option<u16> {
        self.places.get(name).copied()
    }

    /// The message at a place that the table gave.
    pub(super) fn at(&self, place: u16) -> &Message {
        &self.all[usize::from(place)]
    }

    fn read() -> Self {
        let rows = || TABLE.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t'));
        let (mut all, mut places) = (Vec::<Message>::new(), HashMap::new());
        for name in rows().filter_map(|mut row| row.next()) {
            places.entry(name).or_insert_with(|| {
                all.push(Message { name, fields: Vec::new() });
                u16::try_from(all.len() - 1).expect("there are fewer messages than that")
            });
        }
        for row in rows() {
            let [message, number, name, form] = *row.collect::<Vec<_>>() else {
                unreachable!("a row of the table has four columns")
            };
            let number = number.parse().expect("the table numbers its fields");
            if number == 0 {
                continue;
            }
            let (count, form) = counted(form);
            let form = named_form(form).unwrap_or_else(|| Form::Message(places[form]));
            let name = (name != "*").then_some(name);
            all[usize::from(places[message])].fields.push(Field { number, name, form, count });
        }
        Self { all, places }
    }
}

fn counted(form: &str) -> (Count, &str) {
    if let Some(form) = form.strip_prefix("[]") {
        return (Count::List, form);
    }
    form.strip_prefix("{}").map_or((Count::One, form), |form| (Count::Map, form))
}

fn named_form(name: &str) -> Option<Form> {
    Some(match name {
        "string" => Form::String,
        "bytes" => Form::Bytes,
        "int" => Form::Int,
        "bool" => Form::Bool,
        "double" => Form::Double,
        "time" => Form::Time,
        "quantity" => Form::Quantity,
        "intorstring" => Form::IntOrString,
        "raw" => Form::Raw,
        "strings" => Form::Strings,
        "schemaorbool" => Form::SchemaOr(Other::Bool),
        "schemaorarray" => Form::SchemaOr(Other::Array),
        "schemaorstrings" => Form::SchemaOr(Other::Strings),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use wherry_api::kinds::rows;

    use super::*;

    #[test]
    fn every_kind_that_clients_write_has_a_message() {
        let missing: Vec<&str> = rows()
            .filter(|kind| kind.verbs.contains(&"create"))
            .filter(|kind| Messages::get().of_kind(&kind.api_version(), kind.kind).is_none())
            .map(|kind| kind.kind)
            .collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn numbers_and_names_of_a_message_are_its_own() {
        for message in &Messages::get().all {
            for (at, field) in message.fields.iter().enumerate() {
                let same = |other: &&Field| {
                    other.number == field.number || (field.name.is_some() && other.name == field.name)
                };
                assert_eq!(message.fields[..at].iter().find(same).map(|f| f.number), None, "{message:?}");
            }
        }
    }

    #[test]
    fn a_kind_is_found_by_the_first_label_of_its_group() {
        let messages = Messages::get();
        let name = |version: &str, kind: &str| messages.of_kind(version, kind).map(|at| messages.at(at).name);
        assert_eq!(name("v1", "Pod"), Some("core.v1.Pod"));
        assert_eq!(name("rbac.authorization.k8s.io/v1", "Role"), Some("rbac.v1.Role"));
        assert_eq!(name("policy/v1", "DeleteOptions"), Some("meta.v1.DeleteOptions"));
        assert_eq!(name("example.com/v1", "Pod"), None);
    }
}
