//! Figures of Services and of the cluster's names.
//!
//! `WHERRY_SERVICES` says how many Services there are at most, `WHERRY_SECONDS` how long names are asked for.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use tokio::net::UdpSocket;
use tokio::time::timeout;
use wherry_tests::{Cluster, Options, Registry, http, wait};

use super::load::on_this_thread;
use super::wasm::{Driver, SERVICES, ms, pod, serving, within};
use super::{Bench, clock, count, figure, figure_beside, float, idle_for, in_process, remark};
use crate::api_load::is_ready;

/// The parts by their names.
pub(crate) const BENCHES: [(&str, Bench); 4] =
    [("services", services), ("dns", dns), ("calls", in_process::calls), ("changes", in_process::changes)];

/// How many Services there are while others come.
const STEPS: [usize; 3] = [10, 1_000, 10_000];
/// How many Services come at each step.
const TRIES: usize = 50;
/// Between two looks whether there is an answer.
const PAUSE: Duration = Duration::from_micros(200);
/// The first address that is given to none but who asks for it by number, after those of the cluster's own Services.
const OWN_ADDRESSES: usize = 20;

/// Who asks for names at once.
const ASKERS: usize = 32;
const NAME: &str = "server.default.svc.cluster.local";
const CLUSTER_DNS: &str = "10.96.0.10:53";
const DNSMASQ: &str = "127.0.0.1:5353";
/// For how long what was begun is let go before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// A cluster with one Pod that serves.
fn serving_cluster(dir: &Path) -> Cluster {
    let cluster = Cluster::start(dir, Options::default());
    Driver::new(&cluster).pods(&[pod("server", &serving("hello-wasm")).to_string()], is_ready);
    cluster
}

/// A Service of the Pod.
fn service(name: &str, ip: Option<&str>) -> String {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": "server" }, "ports": [{ "port": 80, "targetPort": 8080 }], "clusterIP": ip },
    })
    .to_string()
}

/// From the creation of a Service to its first answer, and how long the node takes for the rules of a change.
fn services(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = serving_cluster(dir);
    let mut driver = Driver::new(&cluster);
    let most = count("WHERRY_SERVICES", STEPS[STEPS.len() - 1]);
    let (mut made, mut own) = (0, OWN_ADDRESSES);
    for step in STEPS.into_iter().filter(|step| *step <= most) {
        let names: Vec<String> = (made..step).map(|number| format!("one-of-many-{number}")).collect();
        let many: Vec<String> = names.iter().map(|name| service(name, None)).collect();
        driver.runtime.block_on(driver.client.create(SERVICES, &many));
        made = step;
        let addresses = driver.services();
        for name in &names {
            wait::until("an answer", || http::get(addresses[name], "/").map_err(|error| error.to_string()));
        }
        let before = syncs(&cluster);
        let mut times = Vec::new();
        for _ in 0..TRIES {
            let ip = format!("10.96.0.{own}");
            let address = SocketAddr::new(ip.parse().unwrap(), 80);
            let object = service(&format!("own-{own}"), Some(&ip));
            let start = clock();
            driver.create(SERVICES, object);
            while !http::get(address, "/").is_ok_and(|answer| answer.status == 200) {
                idle_for(PAUSE);
            }
            times.push(ms(start.elapsed()));
            own += 1;
        }
        let after = syncs(&cluster);
        figure(&format!("service_start_{step}_p50"), within(&times, 500), "ms");
        figure(&format!("service_start_{step}_p99"), within(&times, 990), "ms");
        let mean = 1000.0 * (after.1 - before.1) / (after.0 - before.0);
        figure(&format!("service_sync_{step}_mean"), mean, "ms");
    }
}

/// How many changes of Services the node has brought into force, and the seconds that took.
fn syncs(cluster: &Cluster) -> (f64, f64) {
    let node = cluster.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]);
    let page = cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/metrics")]);
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().parse().unwrap()
    };
    let family = "kubeproxy_sync_proxy_rules_duration_seconds";
    (value(&format!("{family}_count")), value(&format!("{family}_sum")))
}

/// The address of a Service asked for by its name, beside dnsmasq.
fn dns(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = serving_cluster(dir);
    let mut driver = Driver::new(&cluster);
    driver.create(SERVICES, service("server", None));
    let address = driver.service("server").ip();
    let dnsmasq = Dnsmasq::start(&address.to_string());
    let time = Duration::from_secs(count("WHERRY_SECONDS", 5) as u64);
    let asked = |server: &str| {
        let server = server.parse().unwrap();
        wait::until("names are answered", || match asked(server, 1, Duration::ZERO).failed {
            0 => Ok(()),
            _ => Err(format!("{server} knows no {NAME}")),
        });
        asked(server, ASKERS, time)
    };
    let ours = asked(CLUSTER_DNS);
    let other = dnsmasq.as_ref().map(|_| asked(DNSMASQ));
    for (what, unit, value) in [
        ("rate", "queries/s", Answers::rate as fn(&Answers) -> f64),
        ("p99", "ms", |answers| within(&answers.took, 990)),
    ] {
        let name = format!("dns_{what}");
        match &other {
            Some(other) => figure_beside(&name, value(&ours), unit, (value(other), "dnsmasq")),
            None => figure(&name, value(&ours), unit),
        }
    }
    figure("dns_failed", float(ours.failed), "queries");
}

/// What came of questions.
#[derive(Debug, Default)]
struct Answers {
    /// Milliseconds of each answer.
    took: Vec<f64>,
    failed: usize,
    seconds: f64,
}

impl Answers {
    fn rate(&self) -> f64 {
        float(self.took.len()) / self.seconds
    }
}

/// As many questions as are answered in this time, one after the other of each asker; at least one each.
fn asked(server: SocketAddr, askers: usize, time: Duration) -> Answers {
    on_this_thread(async {
        let warm_up = WARM_UP.min(time);
        let began = clock() + warm_up;
        let answers = Rc::new(RefCell::new(Answers { seconds: time.as_secs_f64(), ..Answers::default() }));
        let all = (0..askers).map(|_| {
            let answers = answers.clone();
            async move {
                let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
                socket.connect(server).await.unwrap();
                let mut number = 0_u16;
                loop {
                    number = number.wrapping_add(1);
                    let due = clock();
                    let answered =
                        timeout(Duration::from_secs(1), ask(&socket, number)).await.unwrap_or(false);
                    let mut answers = answers.borrow_mut();
                    match answered {
                        true if due >= began => answers.took.push(ms(due.elapsed())),
                        true => {}
                        false => answers.failed += 1,
                    }
                    if clock() >= began + time {
                        return;
                    }
                }
            }
        });
        futures::future::join_all(all).await;
        answers.take()
    })
}

/// Asks for the address (RFC 1035, section 4.1); whether there is one.
async fn ask(socket: &UdpSocket, number: u16) -> bool {
    let mut message = number.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in NAME.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    let mut answer = [0; 512];
    if socket.send(&message).await.is_err() {
        return false;
    }
    loop {
        let Ok(read) = socket.recv(&mut answer).await else { return false };
        // One to a question that was given up.
        if read < 12 || answer[..2] != number.to_be_bytes() {
            continue;
        }
        let code = answer[3] % 16;
        return code == 0 && answer[6..8] != [0, 0];
    }
}

/// Debian's dnsmasq, which knows the name; ended when dropped.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start(address: &str) -> Option<Self> {
        let server: SocketAddr = DNSMASQ.parse().unwrap();
        let known = format!("--address=/{NAME}/{address}");
        let (port, listen) =
            (format!("--port={}", server.port()), format!("--listen-address={}", server.ip()));
        let flags =
            ["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"];
        let started = Command::new("dnsmasq")
            .args(flags)
            .args([known, port, listen])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if started.is_err() {
            remark("dnsmasq is not installed, nothing is claimed beside it: apt-get install dnsmasq-base");
        }
        started.ok().map(Self)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        // One that ended by itself did not answer, which has failed by then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
