//! What a request is to authorization, read from its method and path alone.
//!
//! A path needs not lead anywhere: who may not ask for it does not learn whether it does.

use http::Method;
use percent_encoding::percent_decode_str;
use wherry_api::selector::{FieldOp, FieldRequirement, FieldSelector};

use super::{Attributes, Object, Resource};
use crate::auth::UserInfo;
use crate::request::query::Query;
use crate::validation::meta;

/// What a request wants to do with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    verb: String,
    path: String,
    resource: Option<Names>,
    /// What the objects of a list, a watch or a deletion of many must be.
    fields: FieldSelector,
    /// What their labels must be.
    labels: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    group: String,
    version: String,
    plural: String,
    part: String,
    namespace: String,
    name: String,
}

impl Wish {
    /// What a request of this method, path and query wants.
    pub(crate) fn of(method: &Method, path: &str, query: &Query) -> Self {
        let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let below = match parts.as_slice() {
            ["api", version, rest @ ..] => Some(("", *version, rest)),
            ["apis", group, version, rest @ ..] => Some((*group, *version, rest)),
            _ => None,
        };
        let Some((group, version, rest)) = below.filter(|(.., rest)| !rest.is_empty()) else {
            let verb = method.as_str().to_ascii_lowercase();
            return Self {
                verb,
                path,
                resource: None,
                fields: FieldSelector::default(),
                labels: String::new(),
            };
        };
        let (verb, rest) = match rest {
            [verb @ ("watch" | "proxy"), rest @ ..] => (*verb, rest),
            _ => (method_verb(method), rest),
        };
        let mut names = Names {
            group: group.to_owned(),
            version: version.to_owned(),
            ..Names::of(rest, verb == "proxy")
        };
        let unnamed = verb == "get" && names.name.is_empty();
        let verb = collection_verb(verb, &names, query);
        let many = matches!(verb, "list" | "watch" | "deletecollection");
        let fields = if many { fields(query) } else { FieldSelector::default() };
        let labels = query.get("labelSelector").filter(|_| many).unwrap_or_default().to_owned();
        if let Some(name) = selected_name(&fields).filter(|_| unnamed) {
            names.name = name;
        }
        Self { verb: verb.to_owned(), resource: Some(names), path, fields, labels }
    }

    /// The same, of a user.
    pub(crate) fn by<'a>(&'a self, user: &'a UserInfo) -> Attributes<'a> {
        let object = match &self.resource {
            None => Object::Path(&self.path),
            Some(names) => Object::Resource(Resource {
                group: &names.group,
                version: &names.version,
                plural: &names.plural,
                part: &names.part,
                namespace: &names.namespace,
                name: &names.name,
                fields: self.fields.requirements(),
                labels: &self.labels,
            }),
        };
        Attributes { user, verb: &self.verb, object }
    }
}

impl Names {
    /// The names in what follows the version: `namespaces/N/R/NAME/PART`, `R/NAME/PART`.
    fn of(parts: &[&str], whole: bool) -> Self {
        let (namespace, parts) = match parts {
            // What is below a Namespace is a resource in it, but for the Namespace's own parts.
            ["namespaces", namespace, plural, ..] if !matches!(*plural, "status" | "finalize") => {
                (*namespace, &parts[2..])
            }
            ["namespaces", namespace, ..] => (*namespace, parts),
            _ => ("", parts),
        };
        let text = |at: usize| parts.get(at).map(|part| (*part).to_owned()).unwrap_or_default();
        let part = if whole { String::new() } else { text(2) };
        Self { plural: text(0), part, namespace: namespace.to_owned(), name: text(1), ..Self::default() }
    }
}

fn method_verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// What getting or deleting means where no object is named. A list of one name is about that object.
fn collection_verb<'a>(verb: &'a str, names: &Names, query: &Query) -> &'a str {
    if !names.name.is_empty() {
        return verb;
    }
    match verb {
        "get" if query.flag("watch") => "watch",
        "get" => "list",
        "delete" => "deletecollection",
        other => other,
    }
}

/// What the query says that fields must be.
fn fields(query: &Query) -> FieldSelector {
    let text = query.get("fieldSelector");
    text.and_then(|text| FieldSelector::parse(text).ok()).unwrap_or_default()
}

/// The one name that a field selector allows.
fn selected_name(selector: &FieldSelector) -> Option<String> {
    let exact = |one: &&FieldRequirement| one.field == "metadata.name" && one.op == FieldOp::Eq;
    let name = selector.requirements().iter().find(exact)?.value.clone();
    (!name.is_empty() && meta::path_segment(&name).is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::request::path::Route;

    /// `verb group/plural/part namespace name`, or `verb path`.
    fn shown(method: &str, uri: &str) -> String {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let wanted = Wish::of(&method.parse().unwrap(), path, &Query::parse(query));
        match wanted.resource {
            None => format!("{} {}", wanted.verb, wanted.path),
            Some(n) => {
                format!("{} {}/{}/{} {} {}", wanted.verb, n.group, n.plural, n.part, n.namespace, n.name)
            }
        }
    }

    #[rstest]
    #[case("GET", "/api", "get /api")]
    #[case("POST", "/apis/apps/v1", "post /apis/apps/v1")]
    #[case("GET", "/api/v1/pods", "list /pods/  ")]
    #[case("HEAD", "/api/v1/namespaces/a/pods/p", "get /pods/ a p")]
    #[case("GET", "/api/v1/namespaces/a/pods?watch=1", "watch /pods/ a ")]
    #[case("GET", "/api/v1/watch/namespaces/a/pods/p", "watch /pods/ a p")]
    #[case("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dp", "list /pods/ a p")]
    #[case("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name!%3Dp", "list /pods/ a ")]
    #[case("DELETE", "/api/v1/namespaces/a/pods", "deletecollection /pods/ a ")]
    #[case("DELETE", "/api/v1/namespaces/a", "delete /namespaces/ a a")]
    #[case("PUT", "/api/v1/namespaces/a/finalize", "update /namespaces/finalize a a")]
    #[case("POST", "/api/v1/namespaces/a/pods/p/eviction", "create /pods/eviction a p")]
    #[case("GET", "/api/v1/namespaces/a/services/s:80/proxy/x/y", "get /services/proxy a s:80")]
    #[case("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "patch apps/deployments/scale a d")]
    #[case("GET", "/apis/nope/v1/things", "list nope/things/  ")]
    #[case("OPTIONS", "/api/v1/pods", " /pods/  ")]
    fn a_request_is_understood(#[case] method: &str, #[case] uri: &str, #[case] expected: &str) {
        assert_eq!(shown(method, uri), expected);
    }

    proptest! {
        #[test]
        fn what_is_authorized_is_what_is_done(
            path in "/(api/v1|apis/apps/v1)(/watch)?(/namespaces/[a-b])?(/(pods|nodes|deployments|namespaces))?(/[a-c%2Fx]{1,4})?(/(status|log|finalize|proxy))?(/|//x|/%2Fproxy)?",
        ) {
            let Ok(Route::Resource(target)) = Route::parse(&path) else { return Ok(()) };
            let wanted = Wish::of(&Method::GET, &path, &Query::parse(""));
            let names = wanted.resource.unwrap();
            prop_assert_eq!(&names.group, target.kind.group);
            prop_assert_eq!(&names.plural, target.kind.plural);
            prop_assert_eq!(&names.part, target.subresource.map_or("", |sub| sub.name));
            prop_assert_eq!(&names.name, target.name.as_deref().unwrap_or_default());
            // A Namespace is authorized as if it were inside itself.
            let inside = target.namespace.or(target.name.filter(|_| names.plural == "namespaces"));
            prop_assert_eq!(&names.namespace, inside.as_deref().unwrap_or_default());
        }
    }
}
