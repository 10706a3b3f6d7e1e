//! Lists of 2,000 ConfigMaps of 256 bytes.

use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::client::Client;
use crate::crud::{CLIENTS, OBJECTS, PATH, object};
use crate::report::{figure, float};
use crate::server::Server;
use crate::timing::Timing;

/// Measures lists: plain, compressed, and asked for by one client.
pub(crate) async fn run() {
    let server = &Server::start();
    let tasks = TaskTracker::new();
    let mut clients = Client::connect(server, CLIENTS, &tasks).await;
    clients[0].send("POST", "/api/v1/namespaces", r#"{"metadata":{"name":"default"}}"#).await;
    for number in 0..OBJECTS {
        clients[number % CLIENTS].send("POST", PATH, &object(&format!("fixed-{number}"), 'x')).await;
    }
    let size = clients[0].send("GET", PATH, "").await;
    figure("api_list_2000_size", float(size) / 1024.0, "KiB", "none");
    measure(server, &clients, false, ("list_2000", "kube-apiserver 102 /s")).await;
    measure(server, &clients, true, ("list_2000_gzip", "none")).await;
    measure(server, &clients[..1], false, ("list_2000_alone", "none")).await;
}

async fn measure(server: &Server, clients: &[Client], gzip: bool, name: (&str, &str)) {
    let timing = Timing::begin(server);
    let mut working = JoinSet::new();
    for mut client in clients.iter().cloned() {
        working.spawn(async move {
            let mut turns = 0_usize;
            while timing.goes_on() {
                if gzip {
                    client.send_gzip(PATH).await
                } else {
                    client.send("GET", PATH, "").await
                };
                turns += 1;
            }
            turns
        });
    }
    let requests = working.join_all().await.into_iter().sum();
    timing.report(server, name, (clients.len(), requests));
}
