//! What expressions about writes may name, and the types of it.
//!
//! Objects and parameters are of any type where policies are decided by: what is known of their kinds is only used to
//! warn.

use std::sync::Arc;

use wherry_cel::{Env, Type, Types, unescape};
use wherry_schema::Schemas;
use wherry_schema::schema::Declared as Known;

/// The type of `variables`, the fields of which are those of a policy.
const VARIABLES: &str = "kubernetes.variables";
/// The type of an operation of a JSON patch.
const JSON_PATCH: &str = "JSONPatch";
/// The type of an object that is applied. What it holds is of types named by their fields: `Object.spec`.
const OBJECT: &str = "Object";

/// How the names of the types of built-in kinds begin.
const BUILTIN: &str = "io.k8s.";

/// The variables of a policy that compiled so far, by name.
pub(super) type Declared = Vec<(String, Type)>;

/// What expressions may name beside the request and its namespace.
#[derive(Clone)]
pub(super) struct Extras {
    /// The type of `object` and `oldObject`.
    pub(super) object: Type,
    /// `params`, if there are any, and their type.
    pub(super) params: Option<Type>,
    /// The types of custom kinds that are known.
    pub(super) custom: Vec<Arc<dyn Types>>,
    /// `authorizer`.
    pub(super) authorizer: bool,
    /// The types of changes.
    pub(super) changes: bool,
}

/// The environment of expressions; `declared` are the variables of their policy, where they may name any.
pub(super) fn env(extras: &Extras, declared: Option<&Declared>) -> Env {
    let mut env = if extras.changes { Env::mutations() } else { Env::kubernetes() }
        .variable("object", extras.object.clone())
        .variable("oldObject", extras.object.clone())
        .variable("request", Type::object("kubernetes.AdmissionRequest"))
        .variable("namespaceObject", Type::object("kubernetes.Namespace"));
    if let Some(params) = &extras.params {
        env = env.variable("params", params.clone());
    }
    if extras.authorizer {
        env = env
            .variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"))
            .variable("authorizer.requestResource", Type::opaque("kubernetes.authorization.ResourceCheck"));
    }
    if declared.is_some() {
        env = env.variable("variables", Type::object(VARIABLES));
    }
    let types =
        Objects { changes: extras.changes, declared: declared.cloned(), custom: extras.custom.clone() };
    env.types(Arc::new(types))
}

/// The types of patches: a list of operations.
pub(super) fn patches() -> Type {
    Type::list(Type::object(JSON_PATCH))
}

/// The type of configurations that are applied.
pub(super) fn configuration() -> Type {
    Type::object(OBJECT)
}

/// The type that the field of a variable has, given what its expression evaluates to.
pub(super) fn of_variable(result: &Type) -> Type {
    match result {
        Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => result.clone(),
        Type::List(item) => Type::list(of_variable(item)),
        Type::Map(entry) => Type::map(of_variable(&entry.0), of_variable(&entry.1)),
        _ => Type::Dyn,
    }
}

/// The type of a place in an object of a built-in kind.
fn of_known(known: &Known) -> Type {
    match known {
        Known::Text => Type::String,
        Known::Int => Type::Int,
        Known::Float => Type::Double,
        Known::Flag => Type::Bool,
        Known::Bytes => Type::Bytes,
        Known::Time => Type::Timestamp,
        Known::Any => Type::Dyn,
        Known::Object(name) => Type::object(name),
        Known::Map(value) => Type::map(Type::String, of_known(value)),
        Known::List(item) => Type::list(of_known(item)),
    }
}

/// The object types of one environment.
struct Objects {
    changes: bool,
    declared: Option<Declared>,
    custom: Vec<Arc<dyn Types>>,
}

impl Objects {
    /// The types of the custom kind that has a type of this name.
    fn custom(&self, name: &str) -> Option<&Arc<dyn Types>> {
        self.custom.iter().find(|types| types.contains(name))
    }
}

impl Types for Objects {
    fn contains(&self, name: &str) -> bool {
        match name {
            _ if self.custom(name).is_some() => true,
            VARIABLES => self.declared.is_some(),
            JSON_PATCH | OBJECT => self.changes,
            _ if name.starts_with("Object.") => self.changes,
            _ if name.starts_with(BUILTIN) => Schemas::builtin().has_type(name),
            _ => !fields(name).is_empty(),
        }
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        if let Some(types) = self.custom(name) {
            return types.field(name, field);
        }
        match name {
            VARIABLES => {
                let declared = self.declared.as_ref()?;
                declared.iter().rev().find(|(known, _)| known == field).map(|(_, of)| of.clone())
            }
            JSON_PATCH => match field {
                "op" | "path" | "from" => Some(Type::String),
                "value" => Some(Type::Dyn),
                _ => None,
            },
            _ if name == OBJECT || name.starts_with("Object.") => Some(Type::Dyn),
            _ if name.starts_with(BUILTIN) => {
                let field = unescape(field).map_or(field.into(), |field| field);
                Schemas::builtin().field_of(name, &field).map(|known| of_known(&known))
            }
            _ => fields(name).iter().find(|(known, _)| *known == field).map(|(_, of)| of.of()),
        }
    }
}

/// The type of a field of a request or a namespace.
#[derive(Debug, Clone, Copy)]
enum Field {
    Text,
    Texts,
    TextMap,
    Extra,
    Flag,
    Number,
    Time,
    Any,
    Object(&'static str),
    Objects(&'static str),
}

impl Field {
    fn of(self) -> Type {
        match self {
            Self::Text => Type::String,
            Self::Texts => Type::list(Type::String),
            Self::TextMap => Type::map(Type::String, Type::String),
            Self::Extra => Type::map(Type::String, Type::list(Type::String)),
            Self::Flag => Type::Bool,
            Self::Number => Type::Int,
            Self::Time => Type::Timestamp,
            Self::Any => Type::Dyn,
            Self::Object(name) => Type::object(name),
            Self::Objects(name) => Type::list(Type::object(name)),
        }
    }
}

/// The fields of the types of a request and of a namespace; none of any other.
fn fields(name: &str) -> &'static [(&'static str, Field)] {
    match name.strip_prefix("kubernetes.") {
        Some("AdmissionRequest") => &[
            ("kind", Field::Object("kubernetes.GroupVersionKind")),
            ("resource", Field::Object("kubernetes.GroupVersionResource")),
            ("subResource", Field::Text),
            ("requestKind", Field::Object("kubernetes.GroupVersionKind")),
            ("requestResource", Field::Object("kubernetes.GroupVersionResource")),
            ("requestSubResource", Field::Text),
            ("name", Field::Text),
            ("namespace", Field::Text),
            ("operation", Field::Text),
            ("userInfo", Field::Object("kubernetes.UserInfo")),
            ("dryRun", Field::Flag),
            ("options", Field::Any),
        ],
        Some("GroupVersionKind") => {
            &[("group", Field::Text), ("version", Field::Text), ("kind", Field::Text)]
        }
        Some("GroupVersionResource") => {
            &[("group", Field::Text), ("version", Field::Text), ("resource", Field::Text)]
        }
        Some("UserInfo") => &[
            ("username", Field::Text),
            ("uid", Field::Text),
            ("groups", Field::Texts),
            ("extra", Field::Extra),
        ],
        Some("Namespace") => &[
            ("metadata", Field::Object("kubernetes.NamespaceMetadata")),
            ("spec", Field::Object("kubernetes.NamespaceSpec")),
            ("status", Field::Object("kubernetes.NamespaceStatus")),
        ],
        Some("NamespaceSpec") => &[("finalizers", Field::Texts)],
        Some("NamespaceStatus") => {
            &[("conditions", Field::Objects("kubernetes.NamespaceCondition")), ("phase", Field::Text)]
        }
        Some("NamespaceCondition") => &[
            ("status", Field::Text),
            ("type", Field::Text),
            ("lastTransitionTime", Field::Time),
            ("message", Field::Text),
            ("reason", Field::Text),
        ],
        Some("NamespaceMetadata") => &[
            ("name", Field::Text),
            ("generateName", Field::Text),
            ("namespace", Field::Text),
            ("labels", Field::TextMap),
            ("annotations", Field::TextMap),
            ("UID", Field::Text),
            ("creationTimestamp", Field::Time),
            ("deletionGracePeriodSeconds", Field::Number),
            ("deletionTimestamp", Field::Time),
            ("generation", Field::Number),
            ("resourceVersion", Field::Text),
            ("finalizers", Field::Texts),
        ],
        _ => &[],
    }
}
