//! The paths of a kind and what can be done on them.

use serde_json::{Map, Value, json};
use wherry_api::kinds::{Kind, Subresource};

use crate::collect::ROOTS;
use crate::components::reference_to;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PATCH_TYPES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Adds the paths of a kind below the root of its group and version.
pub(crate) fn add_paths(root: &str, kind: &Kind, paths: &mut Map<String, Value>) {
    let target = Target::of(kind);
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{}", kind.plural);
    paths.insert(format!("{collection}/{{name}}"), target.path(kind.namespaced, true, &ITEM, kind.verbs));
    for sub in kind.subresources {
        let path = format!("{collection}/{{name}}/{}", sub.name);
        paths
            .insert(path, target.subresource(kind, sub).path(kind.namespaced, true, &SUBRESOURCE, sub.verbs));
    }
    paths.insert(collection, target.path(kind.namespaced, false, &COLLECTION, kind.verbs));
    if kind.namespaced {
        let everywhere = Target { suffix: "ForAllNamespaces".to_owned(), scope: "", ..target };
        let path = format!("{root}/{}", kind.plural);
        paths.insert(path, everywhere.path(false, false, &COLLECTION[..1], kind.verbs));
    }
}

/// One HTTP method on a kind of path.
struct Method {
    http: &'static str,
    verb: &'static str,
    /// The value of `x-kubernetes-action`.
    action: &'static str,
    /// How the operation's id starts.
    id: &'static str,
    does: &'static str,
    query: &'static [&'static str],
}

const LISTING: &[&str] = &[
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
];
const WRITING: &[&str] = &["dryRun", "fieldManager", "fieldValidation"];
const PATCHING: &[&str] = &["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETING: &[&str] = &["dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy"];

const GET: Method =
    Method { http: "get", verb: "get", action: "get", id: "read", does: "read the specified", query: &[] };
const PUT: Method = Method {
    http: "put",
    verb: "update",
    action: "put",
    id: "replace",
    does: "replace the specified",
    query: WRITING,
};
const PATCH: Method = Method {
    http: "patch",
    verb: "patch",
    action: "patch",
    id: "patch",
    does: "partially update the specified",
    query: PATCHING,
};
const DELETE: Method = Method {
    http: "delete",
    verb: "delete",
    action: "delete",
    id: "delete",
    does: "delete a",
    query: DELETING,
};
const CREATE: Method =
    Method { http: "post", verb: "create", action: "post", id: "create", does: "create a", query: WRITING };
const LIST: Method = Method {
    http: "get",
    verb: "list",
    action: "list",
    id: "list",
    does: "list or watch objects of kind",
    query: LISTING,
};
const DELETE_COLLECTION: Method = Method {
    http: "delete",
    verb: "deletecollection",
    action: "deletecollection",
    id: "deleteCollection",
    does: "delete collection of",
    query: DELETING,
};

static ITEM: [Method; 4] = [GET, PUT, PATCH, DELETE];
static SUBRESOURCE: [Method; 4] = [GET, PUT, PATCH, CREATE];
static COLLECTION: [Method; 3] = [LIST, CREATE, DELETE_COLLECTION];

/// What the operations of a path are about.
struct Target {
    /// `apps_v1`.
    tag: String,
    /// `AppsV1`.
    group_version: String,
    /// `Namespaced` or nothing.
    scope: &'static str,
    /// The kind the path belongs to.
    owner: &'static str,
    /// What the operation's id ends with.
    suffix: String,
    /// Group, version and kind of the objects sent and answered.
    gvk: (&'static str, &'static str, &'static str),
    /// The full name of their schema; none for plain text.
    schema: Option<&'static str>,
}

impl Target {
    fn of(kind: &Kind) -> Self {
        let group = if kind.group.is_empty() { "core" } else { kind.group };
        let group = group.split('.').next().unwrap_or(group);
        Self {
            tag: format!("{group}_{}", kind.version),
            group_version: capitalized(group) + &capitalized(kind.version),
            scope: if kind.namespaced { "Namespaced" } else { "" },
            owner: kind.kind,
            suffix: String::new(),
            gvk: (kind.group, kind.version, kind.kind),
            schema: schema_of(kind.group, kind.version, kind.kind),
        }
    }

    fn subresource(&self, kind: &Kind, sub: &Subresource) -> Self {
        let own = !sub.version.is_empty();
        let gvk = if own { (sub.group, sub.version, sub.kind) } else { (kind.group, kind.version, sub.kind) };
        Self {
            tag: self.tag.clone(),
            group_version: self.group_version.clone(),
            scope: self.scope,
            owner: self.owner,
            suffix: capitalized(sub.name),
            gvk,
            schema: if sub.name == "log" { None } else { schema_of(gvk.0, gvk.1, gvk.2) },
        }
    }

    fn path(&self, namespaced: bool, named: bool, methods: &[Method], verbs: &[&str]) -> Value {
        let mut out: Map<String, Value> = methods
            .iter()
            .filter(|method| verbs.contains(&method.verb))
            .map(|method| (method.http.to_owned(), self.operation(method)))
            .collect();
        let mut parameters = Vec::new();
        if named {
            parameters.push(path_parameter("name", &format!("name of the {}", self.owner)));
        }
        if namespaced {
            parameters.push(path_parameter(
                "namespace",
                "object name and auth scope, such as for teams and projects",
            ));
        }
        parameters.push(query_parameter("pretty"));
        out.insert("parameters".to_owned(), parameters.into());
        out.into()
    }

    fn operation(&self, method: &Method) -> Value {
        let (group, version, kind) = self.gvk;
        let Self { group_version, scope, owner, suffix, .. } = self;
        let id = match method.id.strip_suffix("Collection") {
            Some(id) => format!("{id}{group_version}Collection{scope}{owner}{suffix}"),
            None => format!("{}{group_version}{scope}{owner}{suffix}", method.id),
        };
        let mut out = json!({
            "tags": [self.tag],
            "description": format!("{} {owner}", method.does),
            "operationId": id,
            "responses": self.responses(method),
            "x-kubernetes-action": method.action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        if !method.query.is_empty() {
            let parameters: Vec<Value> = method.query.iter().map(|name| query_parameter(name)).collect();
            out["parameters"] = parameters.into();
        }
        if let Some(body) = self.body(method) {
            out["requestBody"] = body;
        }
        out
    }

    fn body(&self, method: &Method) -> Option<Value> {
        let delete_options = format!("{META}.DeleteOptions");
        let (schema, required) = match method.http {
            "post" | "put" => (self.schema?, true),
            "delete" => (delete_options.as_str(), false),
            "patch" => {
                let schema = reference_to(&format!("{META}.Patch"));
                let content: Map<String, Value> =
                    PATCH_TYPES.iter().map(|kind| ((*kind).to_owned(), json!({"schema": schema}))).collect();
                return Some(json!({"content": content, "required": true}));
            }
            _ => return None,
        };
        Some(json!({"content": {"*/*": {"schema": reference_to(schema)}}, "required": required}))
    }

    fn responses(&self, method: &Method) -> Value {
        let schema = match (method.verb, self.schema) {
            ("delete" | "deletecollection", _) => reference_to(&format!("{META}.Status")),
            ("list", Some(schema)) => reference_to(&format!("{schema}List")),
            (_, Some(schema)) => reference_to(schema),
            (_, None) => json!({"type": "string"}),
        };
        let content = match self.schema {
            Some(_) => {
                json!({"application/json": {"schema": schema}, "application/yaml": {"schema": schema}})
            }
            None => json!({"text/plain": {"schema": schema}}),
        };
        let mut responses = json!({
            "200": {"description": "OK", "content": content},
            "401": {"description": "Unauthorized"},
        });
        if matches!(method.http, "post" | "put" | "patch") {
            responses["201"] = json!({"description": "Created", "content": content});
        }
        responses
    }
}

fn schema_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    ROOTS.iter().find(|root| (root.0, root.1, root.2) == (group, version, kind)).map(|root| root.3)
}

fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn path_parameter(name: &str, description: &str) -> Value {
    let schema = json!({"type": "string", "uniqueItems": true});
    json!({"name": name, "in": "path", "description": description, "required": true, "schema": schema})
}

fn query_parameter(name: &str) -> Value {
    let (kind, description) = match name {
        "allowWatchBookmarks" => ("boolean", "Allow BOOKMARK events in a watch."),
        "continue" => ("string", "The token of the list's previous part."),
        "dryRun" => ("string", "With `All`, every step is processed and nothing is stored."),
        "fieldManager" => ("string", "The name of the actor that makes these changes."),
        "fieldSelector" => ("string", "Restricts the objects by their fields."),
        "fieldValidation" => {
            ("string", "What to do about unknown and duplicate fields: Ignore, Warn (the default) or Strict.")
        }
        "force" => ("boolean", "Takes over fields of other managers; only for apply requests."),
        "gracePeriodSeconds" => ("integer", "Seconds before the object is deleted; zero means now."),
        "labelSelector" => ("string", "Restricts the objects by their labels."),
        "limit" => ("integer", "The most objects to answer; the rest follows by `continue`."),
        "orphanDependents" => ("boolean", "Deprecated: use propagationPolicy."),
        "pretty" => ("string", "If 'true', then the output is pretty printed."),
        "propagationPolicy" => ("string", "Whether and how dependents go: Orphan, Background or Foreground."),
        "resourceVersion" => ("string", "The version to list or to watch from."),
        "resourceVersionMatch" => {
            ("string", "How resourceVersion is meant in a list: Exact or NotOlderThan.")
        }
        "sendInitialEvents" => ("boolean", "Whether a watch starts with the objects that exist."),
        "timeoutSeconds" => ("integer", "How long the call may take."),
        "watch" => ("boolean", "Watch for changes instead of listing."),
        _ => unreachable!("{name} is not described"),
    };
    let schema = json!({"type": kind, "uniqueItems": true});
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}
