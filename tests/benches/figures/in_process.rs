//! What a wasm Pod waits for another of its node: handed over within the process, and over a TCP connection of loopback that is kept.
//! And what clients see of a Service whose endpoints change again and again.
//!
//! `WHERRY_CALLS` says how many requests are asked one after the other, `WHERRY_CHANGES` how often endpoints change and `WHERRY_RATE`
//! how many requests come a second meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use wherry_tests::churn::{self, Server, Size, Target};
use wherry_tests::{Cluster, Options, Registry, http, wait};

use super::wasm::{Driver, SERVICES, ms, pod, service, serving};
use super::{clock, count, figure, float, median, remark};
use crate::api_load::is_ready;

/// So often each way is asked, in turns, so that what disturbs the machine disturbs both alike.
const RUNS: usize = 5;
/// Who asks at once where rates are measured.
const ASKERS: usize = 8;
/// Pods that ask: the second by the network.
const WAYS: [&str; 2] = ["in_process", "tcp"];
/// Pods that answer: the second with instances that are used again.
const SERVERS: [&str; 2] = ["fresh", "reused"];
/// How often endpoints change.
const EVERY: Duration = Duration::from_millis(20);

/// Latency and rate of both ways.
pub(crate) fn calls(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let mut driver = Driver::new(&cluster);
    let annotated = |name: &str, annotation: (&str, &str)| {
        let mut pod = pod(name, &serving("http"));
        pod["metadata"]["annotations"] = json!({ (annotation.0): annotation.1 });
        pod.to_string()
    };
    let pods = [
        pod(SERVERS[0], &serving("http")).to_string(),
        annotated(SERVERS[1], ("run.wherry.dev/instance-reuse", "1000000")),
        annotated("asks-in-process", ("run.wherry.dev/in-process", "true")),
        annotated("asks-tcp", ("run.wherry.dev/in-process", "false")),
    ];
    driver.pods(&pods, is_ready);
    for name in SERVERS {
        driver.create(SERVICES, service(name));
    }
    let askers = ["asks-in-process", "asks-tcp"].map(|name| driver.pod(name));
    for server in SERVERS {
        for asker in askers {
            wait::until("an answer", || match http::get(asker, &format!("/get/{server}/")) {
                Ok(answer) if answer.status == 200 => Ok(()),
                other => Err(format!("{other:?}")),
            });
        }
        compare(server, askers);
    }
}

fn compare(server: &str, askers: [SocketAddr; 2]) {
    let calls = count("WHERRY_CALLS", 5_000);
    let mut found = WAYS.map(|_| [Vec::new(), Vec::new(), Vec::new()]);
    for _ in 0..RUNS {
        for (asker, found) in askers.iter().zip(&mut found) {
            let [p50, p99, _] = timed(*asker, calls, server);
            found[0].push(p50 / 1e3);
            found[1].push(p99 / 1e3);
            found[2].push(rate(*asker, calls, server));
        }
    }
    let found = found.map(|found| found.map(median));
    for (way, [p50, p99, rate]) in WAYS.iter().zip(found) {
        figure(&format!("call_{server}_{way}_p50"), p50, "us");
        figure(&format!("call_{server}_{way}_p99"), p99, "us");
        figure(&format!("call_{server}_{way}_rate"), rate, "requests/s");
    }
    let [[one, ..], [other, ..]] = found;
    figure(&format!("call_{server}_tcp_to_in_process_p50"), other / one, "times");
}

/// What the guest itself measured: median, 99th percentile and sum, in nanoseconds.
fn timed(asker: SocketAddr, calls: usize, server: &str) -> [f64; 3] {
    let answer = http::get(asker, &format!("/timed/{calls}/{server}/")).unwrap();
    let words: Vec<f64> = answer.body.split(' ').map(|word| word.parse().unwrap()).collect();
    words.try_into().unwrap()
}

/// Requests a second of several instances of one Pod.
fn rate(asker: SocketAddr, calls: usize, server: &str) -> f64 {
    let each = calls.div_ceil(ASKERS);
    let began = clock();
    std::thread::scope(|scope| {
        for _ in 0..ASKERS {
            scope.spawn(|| timed(asker, each, server));
        }
    });
    float(each * ASKERS) / began.elapsed().as_secs_f64()
}

/// Failures, and how long endpoints that were taken out are still asked.
pub(crate) fn changes(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let mut driver = Driver::new(&cluster);
    let names = [1, 2, 3, 4].map(|number| format!("server-{number}"));
    let asker = "asker".to_owned();
    let pods: Vec<String> =
        names.iter().chain([&asker]).map(|name| pod(name, &serving("http")).to_string()).collect();
    driver.pods(&pods, is_ready);
    let servers: Vec<Server> =
        names.iter().map(|name| (name.clone(), driver.pod(name).ip().to_string())).collect();
    let by_connection =
        Target { address: churn::service(&cluster, &servers), path: "/env/HOSTNAME".to_owned() };
    let path = format!("/get/{}/env/HOSTNAME", churn::SERVICE);
    let by_guest = Target { address: driver.pod(&asker), path };
    let size = Size {
        changes: u32::try_from(count("WHERRY_CHANGES", 1000)).unwrap(),
        every: EVERY,
        rate: u32::try_from(count("WHERRY_RATE", 1000)).unwrap(),
    };
    for (way, target) in [("tcp", by_connection), ("in_process", by_guest)] {
        wait::until("an answer", || match http::get(target.address, &target.path) {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let report = churn::run(&cluster, &target, &servers, size);
        figure(&format!("changes_{way}_requests_failed"), float(report.failed.len()), "requests");
        figure(
            &format!("changes_{way}_requests_answered"),
            float(report.asked - report.failed.len()),
            "requests",
        );
        figure(&format!("changes_{way}_rate"), report.rate, "requests/s");
        figure(&format!("changes_{way}_stalest"), ms(report.stalest), "ms");
        for failure in report.failed.iter().take(5) {
            remark(failure);
        }
    }
}
