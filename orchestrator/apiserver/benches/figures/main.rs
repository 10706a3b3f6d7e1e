//! The API server's figures over HTTP/2 and TLS: `cargo bench -p wherry-apiserver --bench figures [-- crud list fanout
//! memory commits]`. The server is a process of its own, the load comes from this one, both on the same cores.
//!
//! Prints `figure: name = value unit, baseline ...`. The baselines of requests are those of kube-apiserver 1.36.2 with
//! etcd on a machine of two cores; the baseline of commits is etcd in the same run, if it is installed.

mod client;
mod commits;
mod crud;
mod fan_out;
mod identity;
mod lean;
mod lists;
mod memory;
mod report;
mod server;
mod timing;

use tokio::runtime::Builder;
use tokio::task::LocalSet;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if words.first().is_some_and(|word| word == server::ROLE) {
        return runtime.block_on(server::serve());
    }
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if wanted("crud") {
        // One thread makes the load, which leaves the server at least the other core.
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(LocalSet::new().run_until(crud::run()));
    }
    runtime.block_on(run(wanted));
}

async fn run(wanted: impl Fn(&str) -> bool) {
    if wanted("list") {
        lists::run().await;
    }
    if wanted("fanout") {
        fan_out::run().await;
    }
    if wanted("memory") {
        memory::run().await;
    }
    if wanted("commits") {
        commits::run().await;
    }
}
