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
mod memory;
mod report;
mod server;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if words.first().is_some_and(|word| word == server::ROLE) {
        return runtime.block_on(server::serve());
    }
    runtime.block_on(run(&words));
}

async fn run(words: &[String]) {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    if wanted("crud") || wanted("list") {
        crud::run(wanted("crud"), wanted("list")).await;
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
