//! What upstream's conformance suite asks of an implementation, by the names of its tests: of the compiled rules, and of what
//! objects are told.

mod filters;
mod gateways;
mod grpc;
mod requests;
mod routes;

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::request::Parts;
use http::{Method, Request};
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::DynamicObject;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use wherry_ingress::{Action, Forward, Redirect, Rule, Table};

use super::{Facts, Kind, Settled, attach};
use crate::ingress::world::World;

/// The world that upstream's tests begin with, in short: namespaces `infra`, `app` and `web`, of which the last two have the
/// label `kind: backend`; in each of them Services `v1`, `v2` and `v3` at port 8080; our class; and Gateways of `infra` at port 80:
/// `same` for routes of its own namespace, `all` for those of all, `backends` for those of namespaces with the label.
struct Suite {
    world: World,
}

impl Suite {
    fn new() -> Self {
        let mut suite = Self { world: World::default() };
        suite.add(Kind::GatewayClass, "", "wherry", json!({"controllerName": "wherry.io/gateway"}));
        for (namespace, third) in [("infra", 1), ("app", 2), ("web", 3)] {
            let labels = if namespace == "infra" { json!({}) } else { json!({"kind": "backend"}) };
            suite.world.record_namespace(&event::<Namespace>(
                json!({"metadata": {"name": namespace, "labels": labels}}),
            ));
            for name in ["v1", "v2", "v3"] {
                suite.serve(namespace, name, third);
            }
        }
        for (name, namespaces) in [
            ("same", json!({"from": "Same"})),
            ("all", json!({"from": "All"})),
            ("backends", json!({"from": "Selector", "selector": {"matchLabels": {"kind": "backend"}}})),
        ] {
            let listener = json!({"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": namespaces}});
            suite.gateway(name, &[listener]);
        }
        suite
    }

    fn serve(&mut self, namespace: &str, name: &str, third: u8) {
        let metadata = |name: &str| json!({"name": name, "namespace": namespace});
        let ports = json!([
            {"name": "web", "port": 8080}, {"name": "h2", "port": 8081, "appProtocol": "kubernetes.io/h2c"},
        ]);
        self.world
            .record_service(&event::<Service>(json!({"metadata": metadata(name), "spec": {"ports": ports}})));
        let mut slice = json!({
            "metadata": metadata(name), "addressType": "IPv4",
            "endpoints": [{"addresses": [format!("10.0.{third}.{}", &name[1..])]}],
            "ports": [{"name": "web", "port": 3000}, {"name": "h2", "port": 3001}],
        });
        slice["metadata"]["labels"] = json!({"kubernetes.io/service-name": name});
        self.world.record_slice(&event::<EndpointSlice>(slice));
    }

    fn gateway(&mut self, name: &str, listeners: &[Value]) {
        self.add(Kind::Gateway, "infra", name, json!({"gatewayClassName": "wherry", "listeners": listeners}));
    }

    fn add(&mut self, kind: Kind, namespace: &str, name: &str, spec: Value) {
        self.add_with(
            kind,
            json!({"name": name, "namespace": namespace, "generation": 3}),
            spec,
            Value::Null,
        );
    }

    fn add_with(&mut self, kind: Kind, mut metadata: Value, spec: Value, status: Value) {
        metadata["resourceVersion"] = json!("7");
        let object = json!({"metadata": metadata, "spec": spec, "status": status});
        self.world.record_gateway(kind, &event::<DynamicObject>(object));
    }

    /// A route of `infra` that belongs to a Gateway.
    fn route(&mut self, name: &str, gateway: &str, rules: Value) {
        self.add(Kind::HttpRoute, "infra", name, json!({"parentRefs": [{"name": gateway}], "rules": rules}));
    }

    fn grant(&mut self, namespace: &str, name: &str, from: Value, to: Value) {
        self.add(Kind::ReferenceGrant, namespace, name, json!({"from": [from], "to": [to]}));
    }

    fn secret(&mut self, namespace: &str, name: &str) {
        let (chain, key) = certificate();
        let data = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.to_owned());
        secret.metadata.namespace = Some(namespace.to_owned());
        secret.data = Some([("tls.crt".to_owned(), data(&chain)), ("tls.key".to_owned(), data(&key))].into());
        self.world.record_secret(&Event::Apply(secret), &rustls::crypto::ring::default_provider());
    }

    fn rules(&self, port: u16) -> Vec<Rule> {
        attach::settle(&self.world).ports.remove(&port).map(|served| served.rules).unwrap_or_default()
    }

    /// What a request at port 80 meets.
    fn met(&self, ask: &str) -> Met {
        self.met_at(80, ask)
    }

    /// What a request at a port meets; `METHOD HOST/PATH`, then lines of headers.
    fn met_at(&self, port: u16, ask: &str) -> Met {
        let (host, head) = request(ask);
        let table = Table::new(self.rules(port));
        match table.find(&host, &head).map(|rule| rule.action.clone()) {
            None => Met::Nothing,
            Some(Action::Answer(status)) => panic!("no route answers {status} by itself"),
            Some(Action::Redirect(redirect)) => Met::Redirect(redirect),
            Some(Action::Forward(forward)) => Met::Forward(Box::new((*forward).clone())),
        }
    }

    /// Who answers a request at port 80.
    fn who(&self, ask: &str) -> String {
        self.met(ask).who()
    }

    /// What objects are told, by kind and name.
    fn told(&self) -> BTreeMap<(String, String), Value> {
        self.told_with(&BTreeMap::new())
    }

    fn told_with(&self, failed: &BTreeMap<u16, String>) -> BTreeMap<(String, String), Value> {
        let addresses: [IpAddr; 1] = ["192.0.2.1".parse().unwrap()];
        let facts = Facts { addresses: &addresses, failed, now: "2026-01-01T00:00:00Z" };
        let writes = Settled::of(&self.world).plan(&facts).into_iter();
        writes.map(|write| ((write.resource.kind.clone(), write.key.name.clone()), write.status)).collect()
    }

    fn told_of(&self, kind: Kind, name: &str) -> Value {
        self.told().remove(&(kind.name().to_owned(), name.to_owned())).unwrap_or_default()
    }
}

/// What a request meets.
#[derive(Debug)]
enum Met {
    Nothing,
    Redirect(Redirect),
    Forward(Box<Forward>),
}

impl Met {
    /// The backends as `namespace/name`, of several with their weights; for one that cannot be, its status.
    fn who(&self) -> String {
        let Self::Forward(forward) = self else { return format!("{self:?}") };
        let name = |backend: &wherry_ingress::Backend| match backend.endpoints.first() {
            Some(_) => backend.name.split(':').next().unwrap().to_owned(),
            None => backend.nowhere.as_str().to_owned(),
        };
        match forward.backends.as_slice() {
            [] => "500".to_owned(),
            [(_, only)] => name(only),
            several => {
                let each = several.iter().map(|(weight, one)| format!("{}*{weight} ", name(one)));
                each.collect::<Vec<_>>().concat()
            }
        }
    }

    fn forward(self) -> Forward {
        match self {
            Self::Forward(forward) => *forward,
            other => panic!("{other:?}"),
        }
    }

    fn redirect(self) -> Redirect {
        match self {
            Self::Redirect(redirect) => redirect,
            other => panic!("{other:?}"),
        }
    }
}

/// The state and the reason of a condition.
fn condition(conditions: &Value, kind: &str) -> (String, String) {
    let conditions = conditions.as_array().expect("there are conditions");
    let found = conditions.iter().find(|one| one["type"] == kind);
    let found = found.unwrap_or_else(|| panic!("{kind} in {conditions:?}"));
    let text = |part: &str| found[part].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn is(status: &str, reason: &str) -> (String, String) {
    (status.to_owned(), reason.to_owned())
}

fn request(ask: &str) -> (String, Parts) {
    let mut lines = ask.lines().map(str::trim);
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let (host, path) = target.split_once('/').unwrap();
    let mut request = Request::builder().method(method.parse::<Method>().unwrap()).uri(format!("/{path}"));
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    (host.to_owned(), request.body(()).unwrap().into_parts().0)
}

fn event<K: serde::de::DeserializeOwned>(value: Value) -> Event<K> {
    Event::Apply(serde_json::from_value(value).unwrap())
}

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// A backend.
fn to(name: &str) -> Value {
    json!({"name": name, "port": 8080})
}

/// A rule about paths that begin so.
fn prefix(path: &str, backend: &str) -> Value {
    json!({"matches": [{"path": {"type": "PathPrefix", "value": path}}], "backendRefs": [to(backend)]})
}
