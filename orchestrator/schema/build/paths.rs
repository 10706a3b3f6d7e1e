//! The paths of the kinds served, of groups and of the server's version. Part of the crate too, which publishes custom
//! kinds.

use serde_json::{Map, Value, json};
use wherry_api::kinds::{Kind, Subresource};

use super::operations::{COLLECTION, ITEM, PART, Target, WATCH, WATCH_LIST, capitalized, reference_to};
use super::parameters::{in_path, in_query};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// HTTP methods that a proxy passes on.
const PASSED: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// The full name of the schema of a group, version and kind.
pub(crate) type Schemas<'s> = &'s dyn Fn(&str, &str, &str) -> Option<String>;

/// Adds the paths of a kind below the root of its group and version. The older paths of watches are only for built-in
/// kinds.
pub(crate) fn add(
    root: &str,
    kind: &Kind,
    (schema_of, builtin): (Schemas<'_>, bool),
    paths: &mut Map<String, Value>,
) {
    let target = target(kind, schema_of, builtin);
    let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let resource = format!("{scope}/{}", kind.plural);
    let mut put =
        |path: String, operations: Vec<(&'static str, Value)>, in_path: Vec<Value>, pretty: bool| {
            if !operations.is_empty() {
                paths.insert(format!("{root}{path}"), shared(operations, &in_path, pretty));
            }
        };
    let methods = |methods: &'static [super::operations::Method], target: &Target, verbs: &[&str]| {
        let served = methods.iter().filter(|method| verbs.contains(&method.verb));
        served.map(|method| target.operation(method)).collect::<Vec<_>>()
    };
    put(resource.clone(), methods(&COLLECTION, &target, kind.verbs), collection(kind), true);
    let item = format!("{resource}/{{name}}");
    put(item.clone(), methods(&ITEM, &target, kind.verbs), named(kind, kind.kind), true);
    for sub in kind.subresources {
        let part = part(&target, kind, sub, schema_of);
        let path = format!("{item}/{}", sub.name);
        if !sub.kind.ends_with("Options") {
            put(path, methods(&PART, &part, sub.verbs), named(kind, part.gvk.2), true);
            continue;
        }
        let passed: &[&str] = if sub.name == "proxy" { &PASSED } else { &["get", "post"] };
        let connect = |more| passed.iter().map(|http| part.connect(http, more)).collect::<Vec<_>>();
        put(path.clone(), connect(false), named(kind, sub.kind), false);
        if sub.name == "proxy" {
            let mut in_paths = named(kind, sub.kind);
            in_paths.push(in_path("path", "path to the resource"));
            put(format!("{path}/{{path}}"), connect(true), in_paths, false);
        }
    }
    let everywhere = Target { suffix: "ForAllNamespaces".to_owned(), scope: "", ..target.clone() };
    if kind.namespaced {
        put(
            format!("/{}", kind.plural),
            methods(&COLLECTION[..1], &everywhere, kind.verbs),
            Vec::new(),
            true,
        );
    }
    if builtin && kind.verbs.contains(&"watch") {
        let of = |target: &Target, method| vec![target.operation(method)];
        let list = Target { suffix: "List".to_owned(), ..target.clone() };
        put(format!("/watch{resource}"), of(&list, &WATCH_LIST), collection(kind), true);
        put(format!("/watch{item}"), of(&target, &WATCH), named(kind, kind.kind), true);
        if kind.namespaced {
            let list = Target { suffix: "ListForAllNamespaces".to_owned(), ..everywhere };
            put(format!("/watch/{}", kind.plural), of(&list, &WATCH_LIST), Vec::new(), true);
        }
    }
}

/// The one path that tells the resources of a version, the versions of a group, or the groups.
pub(crate) fn discovery(path: &str, group: Option<&str>, version: &str) -> (String, Value) {
    let (tag, id) = group.map_or_else(Default::default, names);
    let capital = capitalized(&id);
    let (tag, description, id, answer) = match (group, version) {
        (None, _) => {
            ("apis".to_owned(), "get available API versions", "getAPIVersions".to_owned(), "APIGroupList")
        }
        (Some(""), "") => (tag, "get available API versions", "getCoreAPIVersions".to_owned(), "APIVersions"),
        (Some(_), "") => (tag, "get information of a group", format!("get{capital}APIGroup"), "APIGroup"),
        (Some(_), version) => {
            let id = format!("get{capital}{}APIResources", capitalized(version));
            (format!("{tag}_{version}"), "get available resources", id, "APIResourceList")
        }
    };
    let schema = json!({"schema": reference_to(&format!("{META}.{answer}"))});
    let content = json!({"application/json": schema, "application/yaml": schema});
    (format!("{path}/"), json!({"get": plain(&tag, description, &id, &content)}))
}

/// The path of the server's version.
pub(crate) fn version() -> (String, Value) {
    let schema = json!({"schema": reference_to("io.k8s.apimachinery.pkg.version.Info")});
    let description = "get the version information for this server";
    let get = plain("version", description, "getCodeVersion", &json!({"application/json": schema}));
    ("/version/".to_owned(), json!({"get": get}))
}

/// The paths of who issues tokens, and of the keys they are signed with.
pub(crate) fn openid() -> [(String, Value); 2] {
    let path = |path: &str, tag: &str, (description, id): (&str, &str), media: &str| {
        let content = json!({media: {"schema": {"type": "string"}}});
        (format!("/{path}/"), json!({"get": plain(tag, description, id, &content)}))
    };
    let configuration = (
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        "getServiceAccountIssuerOpenIDConfiguration",
    );
    let keys = (
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        "getServiceAccountIssuerOpenIDKeyset",
    );
    [
        path(".well-known/openid-configuration", "WellKnown", configuration, "application/json"),
        path("openid/v1/jwks", "openid", keys, "application/jwk-set+json"),
    ]
}

fn plain(tag: &str, description: &str, id: &str, content: &Value) -> Value {
    json!({
        "tags": [tag],
        "description": description,
        "operationId": id,
        "responses": {
            "200": {"description": "OK", "content": content},
            "401": {"description": "Unauthorized"},
        },
    })
}

/// A group as tags name it and as ids do: `flowcontrol.apiserver.k8s.io` is `flowcontrolApiserver`.
fn names(group: &str) -> (String, String) {
    if group.is_empty() {
        return ("core".to_owned(), "core".to_owned());
    }
    let mut words = group.strip_suffix(".k8s.io").unwrap_or(group).split('.');
    let first = words.next().unwrap_or_default().to_owned();
    let name = words.fold(first, |name, word| name + &capitalized(word));
    (name.clone(), name)
}

fn target(kind: &Kind, schema_of: Schemas<'_>, builtin: bool) -> Target {
    let (tag, id) = names(kind.group);
    Target {
        tag: format!("{tag}_{}", kind.version),
        group_version: capitalized(&id) + &capitalized(kind.version),
        scope: if kind.namespaced { "Namespaced" } else { "" },
        owner: kind.kind,
        part: "",
        suffix: String::new(),
        gvk: (kind.group, kind.version, kind.kind),
        schema: schema_of(kind.group, kind.version, kind.kind),
        builtin,
    }
}

fn part(target: &Target, kind: &Kind, sub: &'static Subresource, schema_of: Schemas<'_>) -> Target {
    let own = !sub.version.is_empty();
    let gvk = if own { (sub.group, sub.version, sub.kind) } else { (kind.group, kind.version, sub.kind) };
    let schema = if sub.name == "log" { None } else { schema_of(gvk.0, gvk.1, gvk.2) };
    Target { part: sub.name, suffix: capitalized(sub.name), gvk, schema, ..target.clone() }
}

fn collection(kind: &Kind) -> Vec<Value> {
    let namespace = || in_path("namespace", "object name and auth scope, such as for teams and projects");
    kind.namespaced.then(namespace).into_iter().collect()
}

fn named(kind: &Kind, of: &str) -> Vec<Value> {
    let name = in_path("name", &format!("name of the {of}"));
    [name].into_iter().chain(collection(kind)).collect()
}

/// The operations of a path. What all of them take is said once.
fn shared(mut operations: Vec<(&'static str, Value)>, in_path: &[Value], pretty: bool) -> Value {
    let of = |operation: &Value| operation["parameters"].as_array().cloned().unwrap_or_default();
    let mut common = of(&operations[0].1);
    common.retain(|parameter| operations.iter().all(|(_, other)| of(other).contains(parameter)));
    for (_, operation) in &mut operations {
        let mut own = of(operation);
        own.retain(|parameter| !common.contains(parameter));
        operation["parameters"] = own.into();
        if let Some(fields) = operation.as_object_mut() {
            fields.retain(|name, value| {
                name != "parameters" || value.as_array().is_some_and(|p| !p.is_empty())
            });
        }
    }
    common.extend(in_path.iter().cloned());
    common.extend(pretty.then(|| in_query("pretty")));
    let order = |parameter: &Value| ["name", "in"].map(|key| parameter[key].as_str().map(str::to_owned));
    common.sort_by_key(order);
    let mut out: Map<String, Value> =
        operations.into_iter().map(|(http, operation)| (http.to_owned(), operation)).collect();
    if !common.is_empty() {
        out.insert("parameters".to_owned(), common.into());
    }
    out.into()
}
