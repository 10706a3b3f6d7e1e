//! Single objects and whole lists: 2,000 ConfigMaps of 256 bytes.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::report::{figure, float, ms, percentile};
use crate::server::Server;

const OBJECTS: usize = 2000;
const CLIENTS: usize = 32;
const ROUND: Duration = Duration::from_secs(2);
const PATH: &str = "/api/v1/namespaces/default/configmaps";

fn object(name: &str, value: char) -> String {
    let data = value.to_string().repeat(256);
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"key":"{data}"}}}}"#
    )
}

/// Measures requests about single objects, lists, or both.
pub(crate) async fn run(crud: bool, list: bool) {
    let server = Server::start();
    let tasks = TaskTracker::new();
    let mut clients = Client::connect(&server, CLIENTS, &tasks).await;
    clients[0].send("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"default"}}"#).await;
    fill(&clients).await;
    if crud {
        one_client(&mut clients[0]).await;
        many_clients(&server, &clients).await;
    }
    if list {
        lists(&server, &clients).await;
    }
}

async fn fill(clients: &[Client]) {
    let mut filling = JoinSet::new();
    for (start, mut client) in clients.iter().cloned().enumerate() {
        filling.spawn(async move {
            for number in (start..OBJECTS).step_by(CLIENTS) {
                client.send("POST", PATH, &object(&format!("fixed-{number}"), 'x')).await;
            }
        });
    }
    filling.join_all().await;
}

async fn one_client(client: &mut Client) {
    let mut times: [Vec<f64>; 4] = Default::default();
    for turn in 0..500 {
        let (name, path) = (format!("one-{turn}"), format!("{PATH}/one-{turn}"));
        let requests = [
            ("POST", PATH, object(&name, 'a')),
            ("GET", &path, String::new()),
            ("PUT", &path, object(&name, 'b')),
            ("DELETE", &path, String::new()),
        ];
        for (times, (method, path, body)) in times.iter_mut().zip(&requests) {
            let start = Instant::now();
            client.send(method, path, body).await;
            times.push(ms(start.elapsed()));
        }
    }
    let names = [("create", "1.16 ms"), ("get", "0.60 ms"), ("update", "none"), ("delete", "none")];
    for (times, (name, baseline)) in times.iter_mut().zip(names) {
        figure(&format!("api_{name}_1_client_p50"), percentile(times, 50), "ms", baseline);
    }
}

async fn many_clients(server: &Server, clients: &[Client]) {
    let create = async |mut client: Client, turn: usize, worker: usize| {
        client.send("POST", PATH, &object(&format!("new-{worker}-{turn}"), 'x')).await;
    };
    let created = measure(server, clients, ("create", "kube-apiserver 2,628 /s"), create).await;
    let get = async |mut client: Client, turn: usize, worker: usize| {
        client.send("GET", &format!("{PATH}/fixed-{}", (turn * CLIENTS + worker) % OBJECTS), "").await;
    };
    measure(server, clients, ("get", "kube-apiserver 5,677 /s"), get).await;
    let update = async |mut client: Client, turn: usize, worker: usize| {
        let name = format!("fixed-{}", (turn * CLIENTS + worker) % OBJECTS);
        let value = if turn.is_multiple_of(2) { 'y' } else { 'z' };
        client.send("PUT", &format!("{PATH}/{name}"), &object(&name, value)).await;
    };
    measure(server, clients, ("update", "kube-apiserver 2,300 /s"), update).await;
    let patch = async |mut client: Client, turn: usize, worker: usize| {
        let name = format!("fixed-{}", (turn * CLIENTS + worker) % OBJECTS);
        let body = format!(r#"{{"data":{{"turn":"{turn}"}}}}"#);
        client.send("PATCH", &format!("{PATH}/{name}"), &body).await;
    };
    measure(server, clients, ("merge_patch", "kube-apiserver 2,005 /s"), patch).await;
    let begin = Instant::now();
    let mut deleting = JoinSet::new();
    for (worker, mut client) in clients.iter().cloned().enumerate() {
        let turns = created[worker];
        deleting.spawn(async move {
            for turn in 0..turns {
                client.send("DELETE", &format!("{PATH}/new-{worker}-{turn}"), "").await;
            }
        });
    }
    deleting.join_all().await;
    let rate = float(created.iter().sum()) / begin.elapsed().as_secs_f64();
    figure("api_delete_32_clients", rate, "/s", "kube-apiserver 2,603 /s");
}

/// Prints how often all clients together do something in a second; answers how often each did.
async fn measure<F: Future<Output = ()> + Send>(
    server: &Server,
    clients: &[Client],
    (name, baseline): (&str, &str),
    act: impl Fn(Client, usize, usize) -> F + Copy + Send + Sync + 'static,
) -> Vec<usize> {
    let (begin, busy) = (Instant::now(), server.busy());
    let mut working = JoinSet::new();
    for (worker, client) in clients.iter().cloned().enumerate() {
        working.spawn(async move {
            let mut turn = 0;
            while begin.elapsed() < ROUND {
                act(client.clone(), turn, worker).await;
                turn += 1;
            }
            (worker, turn)
        });
    }
    let mut turns = working.join_all().await;
    turns.sort_unstable();
    let turns: Vec<usize> = turns.into_iter().map(|(_, turns)| turns).collect();
    let (seconds, sum) = (begin.elapsed().as_secs_f64(), float(turns.iter().sum()));
    let cost = (server.busy() - busy) / sum * 1e6;
    figure(&format!("api_{name}_{}_clients", clients.len()), sum / seconds, "/s", baseline);
    figure(&format!("api_{name}_processor_time"), cost, "us of the server each", "none");
    turns
}

async fn lists(server: &Server, clients: &[Client]) {
    let size = clients[0].clone().send("GET", PATH, "").await;
    figure("api_list_2000_size", float(size) / 1024.0, "KiB", "none");
    let list = async |mut client: Client, _: usize, _: usize| {
        client.send("GET", PATH, "").await;
    };
    measure(server, clients, ("list_2000", "kube-apiserver 102 /s"), list).await;
    let gzip = async |mut client: Client, _: usize, _: usize| {
        client.send_gzip(PATH).await;
    };
    measure(server, clients, ("list_2000_gzip", "none"), gzip).await;
    measure(server, &clients[..1], ("list_2000_alone", "none"), list).await;
}
