//! The authorization matrix: everything that is served, by everybody.
//!
//! The rows are what discovery names: each resource and part of one with each of its verbs. The columns are whoever may
//! ask: nobody in particular, somebody without a role, somebody who may do everything in another API group, a
//! ServiceAccount with a role for just that (there, elsewhere, for one name, for something else), a node (`matrix_nodes`: for
//! its own objects, for those of another), and the administrator. Every answer is checked: a refusal by its whole text,
//! anything else by not being one.

use std::io::Write;

use axum::Router;
use axum::body::Body;
use futures::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use wherry_apiserver::UserInfo;

use crate::harness::Api;
use crate::matrix_nodes as nodes;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// One thing that can be done.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) group: String,
    root: String,
    pub(crate) plural: String,
    pub(crate) part: String,
    namespaced: bool,
    pub(crate) verb: String,
}

/// Where it is done: the namespace and the object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) namespace: &'static str,
    pub(crate) name: &'static str,
}

const HERE: Place = Place { namespace: "default", name: "x" };
const ELSEWHERE: Place = Place { namespace: "other", name: "x" };
const LEASE: Place = Place { namespace: "kube-node-lease", name: "x" };
const ANOTHER_LEASE: Place = Place { namespace: "kube-node-lease", name: "y" };
const ANOTHER: Place = Place { namespace: "default", name: "y" };

impl Row {
    pub(crate) fn collection(&self) -> bool {
        self.part.is_empty() && matches!(self.verb.as_str(), "create" | "list" | "watch" | "deletecollection")
    }

    /// The namespace that authorization sees. A Namespace counts as inside itself.
    fn namespace(&self, place: Place) -> &'static str {
        match (self.namespaced, self.plural.as_str(), self.collection()) {
            (true, ..) => place.namespace,
            (false, "namespaces", false) => place.name,
            _ => "",
        }
    }

    fn request(&self, place: Place) -> Request<Body> {
        let mut path = vec![self.root.as_str()];
        if self.namespaced {
            path.extend(["namespaces", place.namespace]);
        }
        path.push(&self.plural);
        if !self.collection() {
            path.push(place.name);
        }
        path.extend(Some(self.part.as_str()).filter(|part| !part.is_empty()));
        let path = path.join("/");
        let (method, query) = match self.verb.as_str() {
            "watch" => ("GET", "?watch=1&timeoutSeconds=1"),
            "get" | "list" => ("GET", ""),
            "create" => ("POST", "?dryRun=All"),
            "update" => ("PUT", "?dryRun=All"),
            "patch" => ("PATCH", "?dryRun=All"),
            _ => ("DELETE", "?dryRun=All"),
        };
        let request = Request::builder().method(method).uri(format!("{path}{query}"));
        request.header("content-type", "application/json").body(Body::from("{}")).unwrap()
    }

    /// What somebody is told who may not do it.
    fn refusal(&self, user: &str, place: Place) -> String {
        let Self { group, plural, part, verb, .. } = self;
        let dotted = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
        let name = if self.collection() { String::new() } else { format!(" {:?}", place.name) };
        let resource = if part.is_empty() { plural.clone() } else { format!("{plural}/{part}") };
        let scope = match self.namespace(place) {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace {namespace:?}"),
        };
        format!(
            "{dotted}{name} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
        )
    }

    /// The rule that allows just this.
    fn rule(&self, name: Option<&str>) -> Value {
        let resource =
            if self.part.is_empty() { self.plural.clone() } else { format!("{}/{}", self.plural, self.part) };
        let names: Vec<&str> = name.into_iter().collect();
        json!({"verbs": [self.verb], "apiGroups": [self.group], "resources": [resource], "resourceNames": names})
    }
}

/// All that is served, as discovery tells it.
async fn rows(api: &Api) -> Vec<Row> {
    let mut roots = vec![(String::new(), "/api/v1".to_owned())];
    for group in api.get("/apis").await.expect(200)["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let root = format!("/apis/{}", version["groupVersion"].as_str().unwrap());
            roots.push((group["name"].as_str().unwrap().to_owned(), root));
        }
    }
    let mut rows = Vec::new();
    for (group, root) in roots {
        let list = api.get(&root).await.expect(200);
        for resource in list["resources"].as_array().unwrap() {
            let name = resource["name"].as_str().unwrap();
            let (plural, part) = name.split_once('/').unwrap_or((name, ""));
            rows.extend(resource["verbs"].as_array().unwrap().iter().map(|verb| Row {
                group: group.clone(),
                root: root.clone(),
                plural: plural.to_owned(),
                part: part.to_owned(),
                namespaced: resource["namespaced"] == true,
                verb: verb.as_str().unwrap().to_owned(),
            }));
        }
    }
    rows
}

/// Gives the ServiceAccount of each row the role for just that, in `default` if it is in namespaces.
async fn grant(api: &Api, rows: &[Row], prefix: &str, name: Option<&str>) {
    let grants = rows.iter().enumerate().map(|(at, row)| async move {
        let id = format!("{prefix}-{at}");
        let subject = json!({"kind": "ServiceAccount", "name": id, "namespace": "default"});
        let (place, kind) = if row.namespaced {
            (format!("{RBAC}/namespaces/default/"), "Role")
        } else {
            (format!("{RBAC}/cluster"), "ClusterRole")
        };
        bind(api, &place, (kind, &id), &row.rule(name), &subject).await;
    });
    join_all(grants).await;
}

/// Makes a role of one rule and binds it to somebody.
async fn bind(api: &Api, place: &str, (kind, id): (&str, &str), rule: &Value, subject: &Value) {
    let role = json!({"metadata": {"name": id}, "rules": [rule]});
    api.post(&format!("{place}roles"), &role).await.expect(201);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": id});
    let binding = json!({"metadata": {"name": id}, "roleRef": role, "subjects": [subject]});
    api.post(&format!("{place}rolebindings"), &binding).await.expect(201);
}

fn account(prefix: &str, at: usize) -> UserInfo {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:default"];
    UserInfo::new(&format!("system:serviceaccount:default:{prefix}-{at}"), &groups)
}

/// The answers that were counted.
#[derive(Default)]
struct Cells {
    right: usize,
    wrong: Vec<String>,
}

impl Cells {
    fn note(&mut self, right: bool, what: impl FnOnce() -> String) {
        if right { self.right += 1 } else { self.wrong.push(what()) }
    }

    async fn refused(&mut self, router: Router, user: &str, row: &Row, place: Place) {
        self.refused_for(router, user, row, (place, "")).await;
    }

    /// The same, with a reason that is told.
    async fn refused_for(&mut self, router: Router, user: &str, row: &Row, (place, why): (Place, &str)) {
        let (code, text) = answer(router, row.request(place)).await;
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        let expected = row.refusal(user, place) + &why;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        let right = code == StatusCode::FORBIDDEN && body["message"] == expected.as_str();
        self.note(right, || format!("{row:?} by {user}: {code} {text}, expected: {expected}"));
    }

    async fn allowed(&mut self, router: Router, user: &str, row: &Row, place: Place) {
        let (code, text) = answer(router, row.request(place)).await;
        let refused = code == StatusCode::UNAUTHORIZED
            || (code == StatusCode::FORBIDDEN && text.contains(&format!("{user:?}")));
        self.note(!refused, || format!("{row:?} by {user}: {code} {text}"));
    }
}

/// Checks what the node `x` may do with its own objects and with those of another node.
async fn check_node(api: &Api, row: &Row, cells: &mut Cells) {
    let leases = row.plural == "leases";
    let places = [HERE, ANOTHER, LEASE, ANOTHER_LEASE];
    for place in places.into_iter().filter(|place| leases || place.namespace == "default") {
        let user = nodes::user("x");
        let (name, router) = (user.name.clone(), api.server.router_as(user));
        match nodes::answer(row, place) {
            Ok(()) => cells.allowed(router, &name, row, place).await,
            Err(why) => cells.refused_for(router, &name, row, (place, &why)).await,
        }
    }
}

/// The status and, unless it is a success that may last, the text.
async fn answer(router: Router, request: Request<Body>) -> (StatusCode, String) {
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = if parts.status.is_success() {
        Vec::new()
    } else {
        body.collect().await.unwrap().to_bytes().to_vec()
    };
    (parts.status, String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn every_verb_on_everything_served_is_answered_rightly_to_everybody() {
    let api = Api::start().await;
    api.namespace("other").await;
    nodes::set_up(&api).await;
    let rows = rows(&api).await;
    grant(&api, &rows, "just", None).await;
    grant(&api, &rows, "named", Some("x")).await;
    let elsewhere = json!({"verbs": ["*"], "apiGroups": ["example.com"], "resources": ["*"]});
    let odd = json!({"kind": "Group", "name": "odd", "apiGroup": "rbac.authorization.k8s.io"});
    bind(&api, &format!("{RBAC}/cluster"), ("ClusterRole", "odd"), &elsewhere, &odd).await;
    let mut cells = Cells::default();
    let as_user = |user: UserInfo| api.server.router_as(user);
    for (at, row) in rows.iter().enumerate() {
        cells.refused(api.server.router(), "system:anonymous", row, HERE).await;
        cells.refused(as_user(UserInfo::new("eve", &["dev"])), "eve", row, HERE).await;
        cells.refused(as_user(UserInfo::new("olga", &["odd"])), "olga", row, HERE).await;
        let (just, named) = (account("just", at), account("named", at));
        let next = &rows[(at + 1) % rows.len()];
        cells.refused(as_user(just.clone()), &just.name, next, HERE).await;
        if row.namespaced {
            cells.refused(as_user(just.clone()), &just.name, row, ELSEWHERE).await;
        }
        // What has no name cannot be allowed by name.
        let place = if row.collection() { HERE } else { ANOTHER };
        cells.refused(as_user(named.clone()), &named.name, row, place).await;
        if !row.collection() {
            cells.allowed(as_user(named.clone()), &named.name, row, HERE).await;
        }
        cells.allowed(as_user(just.clone()), &just.name, row, HERE).await;
        check_node(&api, row, &mut cells).await;
        cells.allowed(as_user(UserInfo::master("root")), "root", row, HERE).await;
    }
    assert!(
        cells.wrong.is_empty(),
        "{} wrong:\n{}",
        cells.wrong.len(),
        cells.wrong[..cells.wrong.len().min(20)].join("\n")
    );
    let counted = format!("{} rows, {} cells, none wrong", rows.len(), cells.right);
    writeln!(std::io::stdout(), "{counted}").unwrap();
    assert!(cells.right > 5_000, "{counted}");
}
