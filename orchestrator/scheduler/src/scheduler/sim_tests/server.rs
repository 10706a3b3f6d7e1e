//! An API server of a few nodes and Pods that loses what the test wants lost, and a kubelet that ends Pods when told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::{Input, Object};
use crate::io::random::Random;

/// One Pod as the server has it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) uid: usize,
    pub(super) priority: i32,
    pub(super) cpu: i64,
    pub(super) node: Option<String>,
    pub(super) nominated: Option<String>,
    pub(super) is_ending: bool,
    pub(super) is_preempted: bool,
    pub(super) has_failed: bool,
}

/// What was done that tests look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Bound { uid: usize, priority: i32, node: String },
    Evicted { uid: usize, priority: i32, node: Option<String> },
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) pods: BTreeMap<String, Known>,
    pub(super) nodes: BTreeMap<String, i64>,
    pub(super) deeds: Vec<Deed>,
    /// Why Pods have no node, as they were told: the reason and the message.
    pub(super) told: Vec<(String, String)>,
    /// Whether Pods that do not fit are refused by their node, instead of being a fault of the scheduler.
    pub(super) nodes_refuse: bool,
    /// What a scheduler must not do.
    pub(super) faults: Vec<String>,
    watchers: Vec<mpsc::Sender<Input>>,
    uids: usize,
    /// Of ten requests, how many are lost; half of these after they were done.
    pub(super) lost: usize,
    random: Option<Random>,
}

/// See the module's documentation.
#[derive(Clone, Default)]
pub(super) struct Server(pub(super) Arc<Mutex<Model>>);

impl Known {
    fn object(&self, name: &str) -> Value {
        let mut conditions = Vec::new();
        if self.is_preempted {
            conditions.push(
                json!({"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}),
            );
        }
        let requests = json!({"requests": {"cpu": self.cpu.to_string()}});
        json!({
            "metadata": {
                "name": name, "namespace": "ns", "uid": format!("uid-{}", self.uid),
                "deletionTimestamp": self.is_ending.then_some("2026-01-01T00:00:00Z"),
            },
            "spec": {
                "priority": self.priority, "nodeName": self.node, "schedulerName": "default-scheduler",
                "containers": [{"name": "c", "resources": requests}],
            },
            "status": {
                "phase": if self.has_failed { "Failed" } else { "Pending" },
                "nominatedNodeName": self.nominated, "conditions": conditions,
            },
        })
    }

    /// Whether it takes room on its node.
    fn counts(&self) -> bool {
        !self.has_failed
    }
}

/// Empty lists of all other objects.
fn nothing_else() -> impl Iterator<Item = Object> {
    macro_rules! empty {
        ($($kind:ident),*) => { [$(Object::$kind(Box::new(Event::Init)), Object::$kind(Box::new(Event::InitDone))),*] };
    }
    let storage = empty![Claim, Volume, Class, CsiNode, Capacity, Driver];
    let selecting = empty![Service, ReplicationController, ReplicaSet, StatefulSet];
    let devices = empty![DeviceClaim, Slice, DeviceClass];
    storage.into_iter().chain(selecting).chain(devices)
}

fn node_object(name: &str, cpu: i64) -> Value {
    json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": cpu.to_string(), "pods": "50"}}})
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl Model {
    pub(super) fn free(&self, node: &str) -> i64 {
        let here = self.pods.values().filter(|pod| pod.node.as_deref() == Some(node) && pod.counts());
        self.nodes[node] - here.map(|pod| pod.cpu).sum::<i64>()
    }

    fn tell(&mut self, input: impl Fn() -> Input) {
        self.watchers.retain(|watcher| watcher.try_send(input()).is_ok());
    }

    pub(super) fn tell_pod(&mut self, name: &str) {
        let object = self.pods[name].object(name);
        self.tell(|| Input::Pod(Box::new(Event::Apply(read(object.clone())))));
    }

    pub(super) fn create(&mut self, name: &str, priority: i32, cpu: i64) {
        self.uids += 1;
        let pod = Known {
            uid: self.uids,
            priority,
            cpu,
            node: None,
            nominated: None,
            is_ending: false,
            is_preempted: false,
            has_failed: false,
        };
        self.pods.insert(name.to_owned(), pod);
        self.tell_pod(name);
    }

    pub(super) fn set_node(&mut self, name: &str, cpu: i64) {
        self.nodes.insert(name.to_owned(), cpu);
        self.tell(|| Input::Node(Box::new(Event::Apply(read(node_object(name, cpu))))));
    }

    /// Ends a Pod for good.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(pod) = self.pods.remove(name) {
            let object = pod.object(name);
            self.tell(|| Input::Pod(Box::new(Event::Delete(read(object.clone())))));
        }
    }

    /// What the kubelet does with Pods that are to end.
    pub(super) fn end_those_who_must(&mut self) {
        let ending = self.pods.iter().filter(|(_, pod)| pod.is_ending).map(|(name, _)| name.clone());
        for name in ending.collect::<Vec<_>>() {
            self.remove(&name);
        }
    }

    fn draw(&mut self, bound: usize) -> usize {
        self.random.get_or_insert_with(|| Random::new(1)).below(bound)
    }

    pub(super) fn bind(&mut self, name: &str, body: &Value) -> Response<Body> {
        let Some(pod) =
            self.pods.get(name).filter(|pod| body["metadata"]["uid"] == format!("uid-{}", pod.uid))
        else {
            return status(404, "not found");
        };
        if pod.node.is_some() || pod.is_ending {
            return status(409, "already assigned");
        }
        let (uid, priority, cpu) = (pod.uid, pod.priority, pod.cpu);
        let node = body["target"]["name"].as_str().unwrap().to_owned();
        let fits = self.free(&node) >= cpu;
        if !fits && !self.nodes_refuse {
            self.faults.push(format!("{node} is over-committed by {name}"));
        }
        let pod = self.pods.get_mut(name).unwrap();
        pod.node = Some(node.clone());
        pod.has_failed = !fits;
        pod.nominated = None;
        self.deeds.push(Deed::Bound { uid, priority, node });
        self.tell_pod(name);
        status(201, "")
    }

    fn patch(&mut self, name: &str, body: &Value) -> Response<Body> {
        let Some(pod) =
            self.pods.get_mut(name).filter(|pod| body["metadata"]["uid"] == format!("uid-{}", pod.uid))
        else {
            return status(404, "not found");
        };
        if let Some(nominated) = body["status"].get("nominatedNodeName") {
            pod.nominated = nominated.as_str().map(str::to_owned);
        }
        let conditions = body["status"]["conditions"].as_array().cloned().unwrap_or_default();
        pod.is_preempted |= conditions.iter().any(|condition| condition["type"] == "DisruptionTarget");
        let object = pod.object(name);
        for condition in conditions.iter().filter(|condition| condition["type"] == "PodScheduled") {
            let text = |field: &str| condition[field].as_str().unwrap().to_owned();
            self.told.push((text("reason"), text("message")));
        }
        self.tell_pod(name);
        reply(200, &object)
    }

    fn delete(&mut self, name: &str) -> Response<Body> {
        let Some(pod) = self.pods.get_mut(name) else { return status(404, "not found") };
        pod.is_ending = true;
        let (uid, priority, node) = (pod.uid, pod.priority, pod.node.clone());
        let object = pod.object(name);
        self.deeds.push(Deed::Evicted { uid, priority, node });
        self.tell_pod(name);
        reply(200, &object)
    }

    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> Response<Body> {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        match (method, &parts[..]) {
            (&Method::POST, ["api", "v1", _, _, "pods", name, "binding"]) => self.bind(name, body),
            (&Method::PATCH, ["api", "v1", _, _, "pods", name, "status"]) => self.patch(name, body),
            (&Method::DELETE, ["api", "v1", _, _, "pods", name]) => self.delete(name),
            (&Method::GET, ["api", "v1", _, _, "pods", name]) => match self.pods.get(*name) {
                Some(pod) => reply(200, &pod.object(name)),
                None => status(404, "not found"),
            },
            (_, ["apis", "events.k8s.io", ..]) => reply(201, &json!({"metadata": {}})),
            other => panic!("{other:?}"),
        }
    }
}

fn reply(code: u16, body: &Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body).unwrap()
}

fn status(code: u16, message: &str) -> Response<Body> {
    let status = if code < 400 { "Success" } else { "Failure" };
    reply(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": status, "message": message, "code": code}),
    )
}

impl Server {
    pub(super) fn client(&self) -> kube::Client {
        let server = self.clone();
        let service =
            tower::service_fn(move |request: Request<Body>| -> BoxFuture<'static, Result<_, Infallible>> {
                let server = server.clone();
                Box::pin(async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    let body = serde_json::from_slice(&body).unwrap_or_default();
                    // The network takes its time.
                    let wait = server.0.lock().draw(20) as u64;
                    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
                    let mut model = server.0.lock();
                    let fate = model.draw(10);
                    if fate < model.lost / 2 {
                        return Ok(status(503, "the request is lost"));
                    }
                    let answer = model.answer(&parts.method, parts.uri.path(), &body);
                    Ok(if fate < model.lost { status(504, "the answer is lost") } else { answer })
                })
            });
        kube::Client::new(service, "default")
    }

    /// A watch of everything, from a list on.
    pub(super) fn watch(&self, seed: u64) -> mpsc::Receiver<Input> {
        let (sender, receiver) = mpsc::channel(1 << 16);
        let mut model = self.0.lock();
        model.random.get_or_insert_with(|| Random::new(seed));
        let send = |input| assert!(sender.try_send(input).is_ok(), "there is room");
        send(Input::Pod(Box::new(Event::Init)));
        for (name, pod) in &model.pods {
            send(Input::Pod(Box::new(Event::InitApply(read(pod.object(name))))));
        }
        send(Input::Pod(Box::new(Event::InitDone)));
        send(Input::Node(Box::new(Event::Init)));
        for (name, cpu) in &model.nodes {
            send(Input::Node(Box::new(Event::InitApply(read(node_object(name, *cpu))))));
        }
        send(Input::Node(Box::new(Event::InitDone)));
        for input in [Event::Init, Event::InitDone] {
            send(Input::Namespace(Box::new(input)));
        }
        for input in [Event::Init, Event::InitDone] {
            send(Input::Budget(Box::new(input)));
        }
        for object in nothing_else() {
            send(Input::Object(object));
        }
        model.watchers.push(sender);
        receiver
    }
}
