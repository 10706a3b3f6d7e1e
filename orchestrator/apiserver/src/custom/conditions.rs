//! What a definition says of itself: which of its names are accepted, whether it is established, whether it may be in
//! its group.
//!
//! ```text
//! (new) --names are free--> NamesAccepted, Established --deleted--> Terminating --no objects left--> (gone)
//!   \--names are taken--> not accepted --they become free--> NamesAccepted, Established
//! ```
//!
//! Once established, a definition stays it; names that it asks for later and cannot have are not accepted, and it goes
//! on with those it has.

use std::collections::HashSet;

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::checks::texts;

/// A condition, without its time.
pub(super) struct Condition {
    pub(super) kind: &'static str,
    pub(super) status: &'static str,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// Whether a condition of the definition is true.
pub(super) fn holds(definition: &Value, kind: &str) -> bool {
    find(definition, kind).is_some_and(|condition| condition.text("status") == "True")
}

/// Whether objects of the definition are served.
pub(super) fn is_served(definition: &Value) -> bool {
    holds(definition, "Established")
}

fn find<'d>(definition: &'d Value, kind: &str) -> Option<&'d Value> {
    definition.items("status.conditions").iter().find(|condition| condition.text("type") == kind)
}

/// Sets a condition; its time changes with its status.
pub(super) fn set(definition: &mut Value, condition: Condition, now: &str) {
    let Condition { kind, status, reason, message } = condition;
    let before = find(definition, kind);
    let same = before.filter(|before| before.text("status") == status && before.has("lastTransitionTime"));
    let time = same.map_or(now, |before| before.text("lastTransitionTime")).to_owned();
    let mut new = Value::object();
    let fields =
        [("type", kind.into()), ("status", status.into()), ("reason", reason.into()), ("message", message)];
    for (field, text) in fields {
        let text: String = text;
        new.put(field, text);
    }
    new.put("lastTransitionTime", time);
    let mut conditions = definition.items("status.conditions").to_vec();
    match conditions.iter_mut().find(|condition| condition.text("type") == kind) {
        Some(place) => *place = new,
        None => conditions.push(new),
    }
    definition.put("status.conditions", conditions);
}

/// Says of a definition what is true of it, given all definitions.
pub(super) fn settle(definition: &mut Value, all: &[&Value], now: &str) {
    if definition.field("spec.names") != definition.field("status.acceptedNames") {
        settle_names(definition, all, now);
    } else if !holds(definition, "Established") && holds(definition, "NamesAccepted") {
        set(definition, established(), now);
    }
    if let Some(condition) = approval(definition) {
        set(definition, condition, now);
    }
}

fn established() -> Condition {
    let message = "the initial names have been accepted".to_owned();
    Condition { kind: "Established", status: "True", reason: "InitialNamesAccepted", message }
}

/// Accepts the names that no other definition of the group has.
fn settle_names(definition: &mut Value, all: &[&Value], now: &str) {
    let group = definition.text("spec.group").to_owned();
    let others = all.iter().filter(|other| other.text("spec.group") == group);
    let (mut resources, mut kinds) = (HashSet::new(), HashSet::new());
    for other in others {
        let name = |field: &str| other.text(&format!("status.acceptedNames.{field}"));
        resources.extend([name("plural"), name("singular")]);
        resources.extend(texts(other, "status.acceptedNames.shortNames"));
        kinds.extend([name("kind"), name("listKind")]);
    }
    let mut problem = None;
    for (field, taken, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        match free(definition, field, taken) {
            Ok(()) => accept(definition, field),
            Err(message) => problem = Some((reason, message)),
        }
    }
    accept(definition, "categories");
    let accepted = problem.is_none();
    let (status, (reason, message)) = match problem {
        Some(problem) => ("False", problem),
        None => ("True", ("NoConflicts", "no conflicts found".to_owned())),
    };
    set(definition, Condition { kind: "NamesAccepted", status, reason, message }, now);
    if accepted {
        set(definition, established(), now);
    } else if find(definition, "Established").is_none() {
        let message = "not all names are accepted".to_owned();
        set(
            definition,
            Condition { kind: "Established", status: "False", reason: "NotAccepted", message },
            now,
        );
    }
}

/// Whether no other definition has what this one asks for.
fn free(definition: &Value, field: &str, taken: &HashSet<&str>) -> Result<(), String> {
    let at = |of: &str| format!("{of}.{field}");
    let one = |path: &str| vec![definition.text(path)];
    let list = |path: &str| texts(definition, path);
    let names = |path: &str| if field == "shortNames" { list(path) } else { one(path) };
    let (wanted, own) = (names(&at("spec.names")), names(&at("status.acceptedNames")));
    let conflicts: Vec<String> = wanted
        .into_iter()
        .filter(|name| !own.contains(name) && taken.contains(name))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match conflicts.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

fn accept(definition: &mut Value, field: &str) {
    let wanted = definition.field(&format!("spec.names.{field}")).cloned();
    definition.assign(&format!("status.acceptedNames.{field}"), wanted);
}

/// What is to be said of a definition in one of the groups of Kubernetes' own domains.
fn approval(definition: &Value) -> Option<Condition> {
    use crate::kinds::custom_resource_definition::{Approval, approval};
    let (status, reason, message) = match approval(definition)? {
        Approval::Missing(why) => ("False", "MissingAnnotation", why),
        Approval::Invalid(why) => ("False", "InvalidAnnotation", why),
        Approval::Unapproved(text) => ("False", "UnapprovedAnnotation", format!("not approved: {text:?}")),
        Approval::Approved(text) => ("True", "ApprovedAnnotation", format!("approved in {text}")),
    };
    Some(Condition { kind: "KubernetesAPIApprovalPolicyConformant", status, reason, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(plural: &str, kind: &str, short: &str) -> Value {
        let json = format!(
            r#"{{"metadata":{{"name":"{plural}.example.com"}},"spec":{{"group":"example.com","names":{{"plural":"{plural}",
            "singular":"{}","kind":"{kind}","listKind":"{kind}List","shortNames":["{short}"]}}}},"status":{{}}}}"#,
            kind.to_lowercase()
        );
        Value::from_json(json.as_bytes()).unwrap()
    }

    fn said(definition: &Value, kind: &str) -> String {
        let condition = find(definition, kind).unwrap();
        ["status", "reason", "message", "lastTransitionTime"].map(|field| condition.text(field)).join(" ")
    }

    #[test]
    fn names_that_are_free_establish_a_definition() {
        let mut first = definition("firsts", "First", "f");
        settle(&mut first, &[], "t1");
        assert_eq!(said(&first, "NamesAccepted"), "True NoConflicts no conflicts found t1");
        assert_eq!(
            said(&first, "Established"),
            "True InitialNamesAccepted the initial names have been accepted t1"
        );
        let before = first.clone();
        settle(&mut first, &[&before], "t2");
        assert_eq!(first, before);
    }

    #[test]
    fn names_that_are_taken_are_not_accepted_until_they_are_free() {
        let mut first = definition("firsts", "First", "f");
        settle(&mut first, &[], "t1");
        let mut second = definition("seconds", "First", "f");
        settle(&mut second, &[&first], "t2");
        assert_eq!(
            said(&second, "NamesAccepted"),
            r#"False ListKindConflict "FirstList" is already in use t2"#
        );
        assert_eq!(said(&second, "Established"), "False NotAccepted not all names are accepted t2");
        assert_eq!(second.text("status.acceptedNames.plural"), "seconds");
        assert_eq!(second.text("status.acceptedNames.kind"), "");
        let own = second.clone();
        settle(&mut second, &[&own], "t3");
        assert_eq!(
            said(&second, "Established"),
            "True InitialNamesAccepted the initial names have been accepted t3"
        );
        assert_eq!(second.text("status.acceptedNames.kind"), "First");
    }

    #[test]
    fn an_established_definition_stays_it_when_it_asks_for_what_it_cannot_have() {
        let (mut first, mut second) =
            (definition("firsts", "First", "f"), definition("seconds", "Second", "s"));
        settle(&mut first, &[], "t1");
        settle(&mut second, &[&first], "t1");
        second.put("spec.names.shortNames", vec!["s", "f", "first"]);
        let own = second.clone();
        settle(&mut second, &[&first, &own], "t2");
        let message = r#"False ShortNamesConflict ["f" is already in use, "first" is already in use] t2"#;
        assert_eq!(said(&second, "NamesAccepted"), message);
        assert!(is_served(&second));
        assert_eq!(texts(&second, "status.acceptedNames.shortNames"), ["s"]);
    }
}
