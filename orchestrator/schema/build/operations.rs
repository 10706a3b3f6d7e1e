//! What can be done on a path. Part of the crate too, which publishes custom kinds.

use serde_json::{Map, Value, json};

use super::parameters::{self, DELETING, DELETING_COLLECTION, LISTING, PATCHING, WRITING};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PATCH_TYPES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
/// Kinds whose deletion answers with the object; that of others with a Status.
const ANSWERED_WHEN_DELETED: [&str; 16] = [
    "CSIDriver",
    "CSINode",
    "DeviceClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceQuota",
    "ResourceSlice",
    "Service",
    "ServiceAccount",
    "StorageClass",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// One HTTP method on a kind of path.
#[derive(Clone, Copy)]
pub(crate) struct Method {
    http: &'static str,
    pub(crate) verb: &'static str,
    /// The value of `x-kubernetes-action`.
    action: &'static str,
    /// How the operation's id starts.
    id: &'static str,
    /// What it does, if to an object; what comes after names the part and the kind.
    does: &'static str,
    query: &'static [&'static str],
}

const GET: Method = Method { http: "get", verb: "get", action: "get", id: "read", does: "read", query: &[] };
const PUT: Method =
    Method { http: "put", verb: "update", action: "put", id: "replace", does: "replace", query: WRITING };
const PATCH: Method = Method {
    http: "patch",
    verb: "patch",
    action: "patch",
    id: "patch",
    does: "partially update",
    query: PATCHING,
};
const DELETE: Method = Method {
    http: "delete",
    verb: "delete",
    action: "delete",
    id: "delete",
    does: "delete",
    query: DELETING,
};
const CREATE: Method =
    Method { http: "post", verb: "create", action: "post", id: "create", does: "create", query: WRITING };
const LIST: Method =
    Method { http: "get", verb: "list", action: "list", id: "list", does: "list or watch", query: LISTING };
const DELETE_COLLECTION: Method = Method {
    http: "delete",
    verb: "deletecollection",
    action: "deletecollection",
    id: "deleteCollection",
    does: "delete collection of",
    query: DELETING_COLLECTION,
};
pub(crate) const WATCH: Method = Method {
    http: "get",
    verb: "watch",
    action: "watch",
    id: "watch",
    does: "watch changes to an object of kind",
    query: LISTING,
};
pub(crate) const WATCH_LIST: Method =
    Method { action: "watchlist", does: "watch individual changes to a list of", ..WATCH };

pub(crate) static ITEM: [Method; 4] = [GET, PUT, DELETE, PATCH];
pub(crate) static PART: [Method; 4] = [GET, PUT, PATCH, CREATE];
pub(crate) static COLLECTION: [Method; 3] = [LIST, CREATE, DELETE_COLLECTION];

/// What the operations of a path are about.
#[derive(Clone)]
pub(crate) struct Target {
    /// `apps_v1`.
    pub(crate) tag: String,
    /// `AppsV1`.
    pub(crate) group_version: String,
    /// `Namespaced` or nothing.
    pub(crate) scope: &'static str,
    /// The kind the path belongs to.
    pub(crate) owner: &'static str,
    /// The part of the object that the path is about, or nothing.
    pub(crate) part: &'static str,
    /// What the operation's id ends with.
    pub(crate) suffix: String,
    /// Group, version and kind of the objects sent and answered.
    pub(crate) gvk: (&'static str, &'static str, &'static str),
    /// The full name of their schema; none for plain text.
    pub(crate) schema: Option<String>,
    /// Whether the kind is built in, and so has a patch of its own.
    pub(crate) builtin: bool,
}

/// A reference to a component.
pub(crate) fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

impl Target {
    /// An operation with all its parameters but those in the path.
    pub(crate) fn operation(&self, method: &Method) -> (&'static str, Value) {
        let (group, version, kind) = self.gvk;
        let Self { group_version, scope, owner, suffix, .. } = self;
        let id = match method.id.strip_suffix("Collection") {
            Some(id) => format!("{id}{group_version}Collection{scope}{owner}{suffix}"),
            None => format!("{}{group_version}{scope}{owner}{suffix}", method.id),
        };
        let query = if self.part == "log" { parameters::connecting("log") } else { method.query };
        let parameters: Vec<Value> = query.iter().map(|name| parameters::in_query(name)).collect();
        let mut out = json!({
            "tags": [self.tag],
            "description": self.description(method),
            "operationId": id,
            "parameters": parameters,
            "responses": self.responses(method),
            "x-kubernetes-action": method.action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        if let Some(body) = self.body(method) {
            out["requestBody"] = body;
        }
        (method.http, out)
    }

    /// Connecting to a part of an object with an HTTP method.
    pub(crate) fn connect(&self, http: &'static str, with_path: bool) -> (&'static str, Value) {
        let (group, version, kind) = self.gvk;
        let Self { group_version, scope, owner, suffix, part, .. } = self;
        let method = capitalized(http);
        let more = if with_path { "WithPath" } else { "" };
        let query = parameters::connecting(kind);
        let parameters: Vec<Value> = query.iter().map(|name| parameters::in_query(name)).collect();
        let operation = json!({
            "tags": [self.tag],
            "description": format!("connect {} requests to {part} of {owner}", http.to_uppercase()),
            "operationId": format!("connect{group_version}{method}{scope}{owner}{suffix}{more}"),
            "parameters": parameters,
            "responses": {
                "200": {"description": "OK", "content": {"*/*": {"schema": {"type": "string"}}}},
                "401": {"description": "Unauthorized"},
            },
            "x-kubernetes-action": "connect",
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
        });
        (http, operation)
    }

    fn description(&self, method: &Method) -> String {
        let Self { owner, part, .. } = self;
        let Method { does, verb, .. } = method;
        let article = match owner.chars().next() {
            _ if *owner == "Endpoints" => "",
            Some('A' | 'E' | 'I' | 'O' | 'U') => "an ",
            _ => "a ",
        };
        match (*part, *verb) {
            ("", "get" | "update" | "patch") => format!("{does} the specified {owner}"),
            ("", "create" | "delete") => format!("{does} {article}{owner}"),
            ("", "list") => format!("{does} objects of kind {owner}"),
            ("", "watch") => {
                let filter = if method.action == "watch" {
                    ", filtered to a single item with the 'fieldSelector' parameter"
                } else {
                    ""
                };
                format!(
                    "{does} {owner}. deprecated: use the 'watch' parameter with a list operation instead{filter}."
                )
            }
            ("", _) => format!("{does} {owner}"),
            (part, "create") => format!("{does} {part} of {article}{owner}"),
            (part, _) => format!("{does} {part} of the specified {owner}"),
        }
    }

    fn body(&self, method: &Method) -> Option<Value> {
        let delete_options = format!("{META}.DeleteOptions");
        match method.http {
            "post" | "put" => Some(
                json!({"content": {"*/*": {"schema": reference_to(self.schema.as_ref()?)}}, "required": true}),
            ),
            "delete" => Some(json!({"content": {"*/*": {"schema": reference_to(&delete_options)}}})),
            "patch" => {
                let schema = reference_to(&format!("{META}.Patch"));
                let types = PATCH_TYPES.iter().filter(|kind| self.builtin || !kind.contains("strategic"));
                let content: Map<String, Value> =
                    types.map(|kind| ((*kind).to_owned(), json!({"schema": schema}))).collect();
                Some(json!({"content": content, "required": true}))
            }
            _ => None,
        }
    }

    fn responses(&self, method: &Method) -> Value {
        let own = ANSWERED_WHEN_DELETED.contains(&self.owner);
        let schema = match (method.verb, self.schema.as_deref()) {
            ("deletecollection", _) => reference_to(&format!("{META}.Status")),
            ("delete", _) if !own => reference_to(&format!("{META}.Status")),
            ("watch", _) => reference_to(&format!("{META}.WatchEvent")),
            ("list", Some(schema)) => reference_to(&format!("{schema}List")),
            (_, Some(schema)) => reference_to(schema),
            (_, None) => json!({"type": "string"}),
        };
        let media: &[&str] = match (method.verb, self.schema.as_deref()) {
            (_, None) => &["text/plain"],
            ("list" | "watch", _) => {
                &["application/json", "application/json;stream=watch", "application/yaml"]
            }
            _ => &["application/json", "application/yaml"],
        };
        let content: Map<String, Value> =
            media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect();
        let mut responses = json!({"401": {"description": "Unauthorized"}});
        let codes: &[(&str, &str)] = match method.verb {
            "create" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
            "update" | "patch" => &[("200", "OK"), ("201", "Created")],
            "delete" => &[("200", "OK"), ("202", "Accepted")],
            _ => &[("200", "OK")],
        };
        for (code, description) in codes {
            responses[code] = json!({"description": description, "content": content});
        }
        responses
    }
}

/// A word with a capital.
pub(crate) fn capitalized(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
