//! A server to compare with, for the figures of a whole cluster: `plain_server FILE ADDRESS`.

#![expect(clippy::unwrap_used, reason = "it serves figures and may panic")]

#[path = "../benches/plain/mod.rs"]
mod plain;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (file, address) = (arguments.next().expect("a file"), arguments.next().expect("an address"));
    plain::serve(file.into(), tokio::net::TcpListener::bind(address).await.unwrap()).await;
}
