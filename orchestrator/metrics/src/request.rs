//! What a request asks for.

use http::header::ACCEPT;
use http::{Method, Request};
use kube::api::ListParams;

use crate::server::{GROUP, VERSION};

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) target: Target,
    /// Whether it wants the answer as rows.
    pub(crate) table: bool,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Which resources there are.
    Resources,
    /// One node.
    Node(String),
    /// Nodes that selectors choose.
    Nodes(Selectors),
    /// One Pod, by namespace and name.
    Pod(String, String),
    /// Pods of a namespace, or of all, that selectors choose.
    Pods(Option<String>, Selectors),
}

/// Selectors as they were sent: the API server that lists the objects judges them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selectors {
    pub(crate) labels: Option<String>,
    pub(crate) fields: Option<String>,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoQuestion {
    /// Nothing is at its path.
    NotFound,
    /// It wants to do more than read, or to watch.
    MethodNotAllowed,
}

impl Question {
    /// Reads a request.
    pub(crate) fn of(request: &Request<()>) -> Result<Self, NoQuestion> {
        let (mut selectors, mut watch) = (Selectors::default(), false);
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match name.as_ref() {
                "labelSelector" => selectors.labels = Some(value),
                "fieldSelector" => selectors.fields = Some(value),
                "watch" => watch = matches!(value.as_str(), "" | "true" | "1"),
                _ => {}
            }
        }
        let target = target(request.uri().path(), selectors).ok_or(NoQuestion::NotFound)?;
        if request.method() != Method::GET || watch {
            return Err(NoQuestion::MethodNotAllowed);
        }
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        // A client takes rows first or not at all.
        let first = accept.and_then(|accept| accept.split(',').next()).unwrap_or_default();
        let says = |wanted| first.split(';').any(|part| part.trim() == wanted);
        Ok(Self { target, table: says("as=Table") && says("v=v1") })
    }
}

fn target(path: &str, selectors: Selectors) -> Option<Target> {
    let mut steps = path.trim_matches('/').split('/');
    if (steps.next()?, steps.next()?, steps.next()?) != ("apis", GROUP, VERSION) {
        return None;
    }
    let steps: Vec<&str> = steps.collect();
    let own = str::to_owned;
    Some(match steps.as_slice() {
        [] => Target::Resources,
        ["nodes"] => Target::Nodes(selectors),
        ["nodes", name] => Target::Node(own(name)),
        ["pods"] => Target::Pods(None, selectors),
        ["namespaces", namespace, "pods"] => Target::Pods(Some(own(namespace)), selectors),
        ["namespaces", namespace, "pods", name] => Target::Pod(own(namespace), own(name)),
        _ => return None,
    })
}

impl Selectors {
    /// How objects are listed that they choose.
    pub(crate) fn params(self) -> ListParams {
        ListParams { label_selector: self.labels, field_selector: self.fields, ..ListParams::default() }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

    fn asked(method: &str, path: &str, accept: &str) -> Result<Question, NoQuestion> {
        let uri = format!("/apis/metrics.k8s.io/{path}");
        let request = Request::builder().method(method).uri(uri).header(ACCEPT, accept).body(()).unwrap();
        Question::of(&request)
    }

    fn chosen(labels: Option<&str>, fields: Option<&str>) -> Selectors {
        Selectors { labels: labels.map(str::to_owned), fields: fields.map(str::to_owned) }
    }

    #[rstest]
    #[case("v1beta1", Target::Resources)]
    #[case("v1beta1/nodes", Target::Nodes(Selectors::default()))]
    #[case("v1beta1/nodes/n?timeout=3s", Target::Node("n".into()))]
    #[case("v1beta1/pods?watch=false&limit=500", Target::Pods(None, Selectors::default()))]
    #[case("v1beta1/namespaces/a/pods?labelSelector=app%3Dx", Target::Pods(Some("a".into()), chosen(Some("app=x"), None)))]
    #[case(
        "v1beta1/pods?fieldSelector=metadata.name%3Dx",
        Target::Pods(None, chosen(None, Some("metadata.name=x")))
    )]
    #[case("v1beta1/namespaces/a/pods/p", Target::Pod("a".into(), "p".into()))]
    fn paths_lead_to_what_they_name(#[case] path: &str, #[case] target: Target) {
        assert_eq!(asked("GET", path, "application/json").map(|question| question.target), Ok(target));
    }

    #[rstest]
    #[case("GET", "v1", NoQuestion::NotFound)]
    #[case("GET", "v1beta1/things", NoQuestion::NotFound)]
    #[case("GET", "v1beta1/namespaces/a", NoQuestion::NotFound)]
    #[case("DELETE", "v1beta1/things", NoQuestion::NotFound)]
    #[case("POST", "v1beta1/nodes", NoQuestion::MethodNotAllowed)]
    #[case("GET", "v1beta1/pods?watch=true", NoQuestion::MethodNotAllowed)]
    #[case("GET", "v1beta1/pods?watch", NoQuestion::MethodNotAllowed)]
    fn only_what_is_there_can_be_read(#[case] method: &str, #[case] path: &str, #[case] refused: NoQuestion) {
        assert_eq!(asked(method, path, "application/json"), Err(refused));
    }

    #[test]
    fn rows_are_for_those_who_want_them_first() {
        let table = |accept| asked("GET", "v1beta1/nodes", accept).unwrap().table;
        assert!(table(TABLE));
        assert!(!table("application/json") && !table("*/*"));
        assert!(!table("application/json, application/json;as=Table;v=v1;g=meta.k8s.io"));
    }
}
