//! Single objects among 2,000 ConfigMaps of 256 bytes.

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::lean::Lean;
use crate::report::{figure, float, ms, percentile};
use crate::server::Server;
use crate::timing::Timing;

/// How many there are.
pub(crate) const OBJECTS: usize = 2000;
/// How many ask at a time.
pub(crate) const CLIENTS: usize = 32;
/// Where they are.
pub(crate) const PATH: &str = "/api/v1/namespaces/default/configmaps";

/// One of them, as JSON.
pub(crate) fn object(name: &str, value: char) -> String {
    let data = value.to_string().repeat(256);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"key":"{data}"}}}}"#
    )
}

/// Method, path, body.
type Request = (&'static str, String, String);

/// Measures requests about single objects.
pub(crate) async fn run() {
    let server = Server::start();
    let mut clients = Lean::connect(&server, CLIENTS).await;
    let namespace = r#"{"metadata":{"name":"default"}}"#;
    clients[0].send(&("POST", "/api/v1/namespaces".to_owned(), namespace.to_owned())).await;
    for number in 0..OBJECTS {
        let body = object(&format!("fixed-{number}"), 'x');
        clients[number % CLIENTS].send(&("POST", PATH.to_owned(), body)).await;
    }
    one_client(&mut clients[0]).await;
    many_clients(&server, clients).await;
}

async fn one_client(client: &mut Lean) {
    let mut times: [Vec<f64>; 4] = Default::default();
    for turn in 0..500 {
        let (name, path) = (format!("one-{turn}"), format!("{PATH}/one-{turn}"));
        let requests = [
            ("POST", PATH.to_owned(), object(&name, 'a')),
            ("GET", path.clone(), String::new()),
            ("PUT", path.clone(), object(&name, 'b')),
            ("DELETE", path, String::new()),
        ];
        for (times, request) in times.iter_mut().zip(&requests) {
            let start = Instant::now();
            client.send(request).await;
            times.push(ms(start.elapsed()));
        }
    }
    let names = [("create", "1.16 ms"), ("get", "0.60 ms"), ("update", "none"), ("delete", "none")];
    for (times, (name, baseline)) in times.iter_mut().zip(names) {
        figure(&format!("api_{name}_1_client_p50"), percentile(times, 50), "ms", baseline);
    }
}

async fn many_clients(server: &Server, clients: Vec<Lean>) {
    let fixed = |turn: usize, worker: usize| format!("fixed-{}", (turn * CLIENTS + worker) % OBJECTS);
    let create = |turn: usize, worker: usize| -> Request {
        ("POST", PATH.to_owned(), object(&format!("new-{worker}-{turn}"), 'x'))
    };
    let (clients, created) = measure(server, clients, ("create", "kube-apiserver 2,628 /s"), create).await;
    let get = move |turn: usize, worker: usize| -> Request {
        ("GET", format!("{PATH}/{}", fixed(turn, worker)), String::new())
    };
    let (clients, _) = measure(server, clients, ("get", "kube-apiserver 5,677 /s"), get).await;
    let update = move |turn: usize, worker: usize| -> Request {
        let name = fixed(turn, worker);
        let value = if turn.is_multiple_of(2) { 'y' } else { 'z' };
        ("PUT", format!("{PATH}/{name}"), object(&name, value))
    };
    let (clients, _) = measure(server, clients, ("update", "kube-apiserver 2,300 /s"), update).await;
    let patch = move |turn: usize, worker: usize| -> Request {
        let body = format!(r#"{{"data":{{"turn":"{turn}"}}}}"#);
        ("PATCH", format!("{PATH}/{}", fixed(turn, worker)), body)
    };
    let (clients, _) = measure(server, clients, ("merge_patch", "kube-apiserver 2,005 /s"), patch).await;
    delete(clients, &created).await;
}

async fn delete(clients: Vec<Lean>, created: &[usize]) {
    let begin = Instant::now();
    let mut deleting = JoinSet::new();
    for (worker, (mut client, turns)) in clients.into_iter().zip(created.iter().copied()).enumerate() {
        deleting.spawn_local(async move {
            for turn in 0..turns {
                client.send(&("DELETE", format!("{PATH}/new-{worker}-{turn}"), String::new())).await;
            }
        });
    }
    deleting.join_all().await;
    let rate = float(created.iter().sum()) / begin.elapsed().as_secs_f64();
    figure("api_delete_32_clients", rate, "/s", "kube-apiserver 2,603 /s");
}

/// Prints how often all clients together do something in a second; answers how often each did.
async fn measure(
    server: &Server,
    clients: Vec<Lean>,
    name: (&str, &str),
    request: impl Fn(usize, usize) -> Request + Copy + 'static,
) -> (Vec<Lean>, Vec<usize>) {
    let timing = Timing::begin(server);
    let mut working = JoinSet::new();
    for (worker, mut client) in clients.into_iter().enumerate() {
        working.spawn_local(async move {
            let mut turn = 0;
            while timing.goes_on() {
                client.send(&request(turn, worker)).await;
                turn += 1;
            }
            (worker, client, turn)
        });
    }
    let mut done = working.join_all().await;
    done.sort_unstable_by_key(|(worker, ..)| *worker);
    let (clients, turns): (Vec<Lean>, Vec<usize>) = done.into_iter().map(|(_, c, turns)| (c, turns)).unzip();
    timing.report(server, name, (clients.len(), turns.iter().sum()));
    (clients, turns)
}
