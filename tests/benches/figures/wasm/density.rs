//! Many idle servers on one node: the memory each adds, what they take of the processors, how soon any of them answers.
//!
//! `WHERRY_PODS` says how many, `WHERRY_SECONDS` for how long they idle.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use wherry_tests::{Registry, http};

use super::{Driver, ms, names, pod, roomy, serving, within};
use crate::api_load::is_ready;
use crate::{clock, count, figure, float, idle_for, processor_ticks, rss_mib};

/// How many of them are asked.
const ASKED: usize = 200;
/// What was begun comes to its end.
const SETTLING: Duration = Duration::from_secs(10);

pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let (many, seconds) = (count("WHERRY_PODS", 10_000), count("WHERRY_SECONDS", 30));
    let cluster = roomy(dir, many + 10);
    let mut driver = Driver::new(&cluster);
    driver.pods(&[pod("first", &serving("hello-wasm")).to_string()], is_ready);
    idle_for(SETTLING);
    let before = rss_mib(cluster.pid());
    let pods: Vec<_> =
        names("idle", many).iter().map(|name| pod(name, &serving("hello-wasm")).to_string()).collect();
    figure(&format!("wasm_idle_{many}_ready"), driver.pods(&pods, is_ready).as_secs_f64(), "s");
    idle_for(SETTLING);
    let added = rss_mib(cluster.pid()) - before;
    figure("wasm_idle_rss_per_pod", added * 1024.0 / float(many), "KiB");
    let ticks = processor_ticks(&[cluster.pid()]);
    idle_for(Duration::from_secs(seconds as u64));
    let ticks = processor_ticks(&[cluster.pid()]) - ticks;
    // A tick is a hundredth of a second, so ticks in a second are hundredths of a core.
    figure(&format!("wasm_idle_{many}_processor"), ticks / float(seconds), "% of a core");
    answers(&driver);
    // The server keeps no connection that says nothing for so long.
    let mut driver = Driver::new(&cluster);
    figure(&format!("wasm_idle_{many}_deleted"), driver.delete_pods().as_secs_f64(), "s");
}

/// Each is asked once, over a connection of its own, after it idled.
fn answers(driver: &Driver) {
    let addresses = driver.words(&["get", "pods", "-o", "jsonpath={.items[*].status.podIP}"]);
    let chosen = addresses.iter().step_by(addresses.len().div_ceil(ASKED));
    let times: Vec<_> = chosen
        .map(|ip| {
            let start = clock();
            let answer = http::get(SocketAddr::new(ip.parse().unwrap(), 8080), "/").unwrap();
            assert_eq!(answer.status, 200);
            ms(start.elapsed())
        })
        .collect();
    figure("wasm_idle_answer_p50", within(&times, 500), "ms");
    figure("wasm_idle_answer_longest", within(&times, 1000), "ms");
}
