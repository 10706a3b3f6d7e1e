//! Which changes a webhook or a policy wants to see.

use wherry_api::kinds::Kind;
use wherry_api::selector::LabelSelector;
use wherry_schema::{Object, Value};

use super::attributes::{GroupResource, Write};
use crate::error::Failure;
use crate::object::Fields;
use crate::validation::template::parse_selector;

/// Whether rules are also meant for other versions of what they name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Exact,
    Equivalent,
}

/// Which changes are wanted: a compiled `matchConstraints`, or the like fields of a webhook.
#[derive(Debug)]
pub(crate) struct Matcher {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    policy: Policy,
    namespaces: LabelSelector,
    objects: LabelSelector,
}

/// Resources and what is done with them.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resources and their parts.
    resources: Vec<(String, String)>,
    scope: Scope,
    /// The names of objects; none for all of them.
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Namespaced,
    Cluster,
}

impl Matcher {
    /// Reads a webhook.
    pub(crate) fn of_webhook(webhook: &Value) -> Self {
        Self::read(webhook, webhook.items("rules"), &[])
    }

    /// Reads the `matchConstraints` of a policy or the `matchResources` of a binding.
    pub(crate) fn of_policy(constraints: &Value) -> Self {
        Self::read(constraints, constraints.items("resourceRules"), constraints.items("excludeResourceRules"))
    }

    fn read(from: &Value, rules: &[Value], excluded: &[Value]) -> Self {
        let selector = |field| from.field(field).map(parse_selector).unwrap_or_default();
        Self {
            rules: rules.iter().map(Rule::read).collect(),
            excluded: excluded.iter().map(Rule::read).collect(),
            policy: if from.text("matchPolicy") == "Exact" { Policy::Exact } else { Policy::Equivalent },
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// Whether the selectors of namespaces and objects select the change, whatever the rules say.
    pub(crate) fn selects(&self, write: &Write<'_>) -> Result<bool, Failure> {
        // A failure to find the namespace counts only if all else fits, as upstream has it.
        match self.selects_namespace(write) {
            Ok(selected) => Ok(selected && self.selects_object(write)),
            Err(_) if !self.selects_object(write) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether the change is wanted, and as which row of the kinds table it is wanted.
    pub(crate) fn matches(&self, write: &Write<'_>) -> Result<Option<&'static Kind>, Failure> {
        let Some(row) = self.row(write) else { return Ok(None) };
        Ok(self.selects(write)?.then_some(row))
    }

    /// Whether a binding that says so is about the change; without rules it is about all that its policy wants.
    pub(crate) fn covers(&self, write: &Write<'_>) -> Result<bool, Failure> {
        let named = if self.rules.is_empty() {
            self.first(&self.excluded, write).is_none()
        } else {
            self.row(write).is_some()
        };
        Ok(named && self.selects(write)?)
    }

    /// Which row the rules name.
    fn row(&self, write: &Write<'_>) -> Option<&'static Kind> {
        if self.first(&self.excluded, write).is_some() {
            return None;
        }
        self.first(&self.rules, write)
    }

    fn first(&self, rules: &[Rule], write: &Write<'_>) -> Option<&'static Kind> {
        if rules.iter().any(|rule| rule.matches(write, write.resource())) {
            return Some(write.row);
        }
        if self.policy == Policy::Exact || rules.is_empty() {
            return None;
        }
        let others = write.equivalents();
        let named = |rule: &Rule| others.iter().find(|row| rule.matches(write, GroupResource::of(row)));
        rules.iter().find_map(named).copied()
    }

    /// Whether the labels of the namespace are right. Outside of namespaces they are.
    fn selects_namespace(&self, write: &Write<'_>) -> Result<bool, Failure> {
        if self.namespaces.is_empty() || (write.namespace.is_empty() && !write.is_namespace()) {
            return Ok(true);
        }
        let own = write.is_namespace() && write.part.is_empty();
        if let Some(namespace) = write.object.as_deref().filter(|_| own) {
            return Ok(has_labels(&self.namespaces, namespace));
        }
        if let Some(namespace) = write.namespace_object() {
            return Ok(has_labels(&self.namespaces, namespace));
        }
        let kind = wherry_api::kinds::by_kind("", "v1", "Namespace").ok_or(Failure::NoSuchResource)?;
        Err(Failure::NotFound { kind, name: write.namespace.clone().into_owned() })
    }

    /// Whether the labels of the object, as it is or as it is to be, are right.
    fn selects_object(&self, write: &Write<'_>) -> bool {
        let objects = [write.object.as_deref(), write.old.as_deref()];
        self.objects.is_empty()
            || objects.into_iter().flatten().any(|object| has_labels(&self.objects, object))
    }
}

/// Whether an object has the labels that are selected.
fn has_labels(selector: &LabelSelector, object: &Value) -> bool {
    let labels: Option<&Object> = object.map("metadata.labels");
    selector.matches(|key| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str))
}

fn texts(object: &Value, path: &str) -> Vec<String> {
    object.items(path).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let split = |text: &String| match text.split_once('/') {
            Some((resource, part)) => (resource.to_owned(), part.to_owned()),
            None => (text.clone(), String::new()),
        };
        Self {
            operations: texts(rule, "operations"),
            groups: texts(rule, "apiGroups"),
            versions: texts(rule, "apiVersions"),
            resources: texts(rule, "resources").iter().map(split).collect(),
            scope: match rule.text("scope") {
                "Namespaced" => Scope::Namespaced,
                "Cluster" => Scope::Cluster,
                _ => Scope::All,
            },
            names: texts(rule, "resourceNames"),
        }
    }

    fn matches(&self, write: &Write<'_>, resource: GroupResource<'_>) -> bool {
        self.has_scope(write)
            && has(&self.operations, write.operation.name())
            && has(&self.groups, resource.group)
            && has(&self.versions, resource.version)
            && self.has_resource(resource.resource, write.part)
            && (self.names.is_empty() || self.names.iter().any(|name| *name == write.name))
    }

    fn has_scope(&self, write: &Write<'_>) -> bool {
        let outside = write.is_namespace() || write.namespace.is_empty();
        match self.scope {
            Scope::All => true,
            Scope::Namespaced => !outside,
            Scope::Cluster => outside,
        }
    }

    fn has_resource(&self, plural: &str, part: &str) -> bool {
        let is = |wanted: &str, found: &str| wanted == "*" || wanted == found;
        self.resources.iter().any(|(resource, of_it)| is(resource, plural) && is(of_it, part))
    }
}
