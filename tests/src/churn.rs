//! A Service whose endpoints change again and again while it is asked: which answers came from endpoints that had been taken out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Cluster, Proxy, http};

/// The Service's name.
pub const SERVICE: &str = "churned";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/churned";
/// How many endpoints there are at a time.
const AT_ONCE: usize = 2;
/// Who asks at a time, each once another.
const ASKERS: usize = 8;

/// A Pod that answers with its name, and its address.
pub type Server = (String, String);

/// Someone to be asked by HTTP.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub address: SocketAddr,
    /// What; the answer is the name of the endpoint that it came from.
    pub path: String,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Changes of the endpoints.
    pub changes: u32,
    /// Between two of them.
    pub every: Duration,
    /// Requests a second.
    pub rate: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many requests were sent.
    pub asked: usize,
    /// Why some were not answered.
    pub failed: Vec<String>,
    /// The longest time between the change that took an endpoint out and a later request that it answered.
    pub stalest: Duration,
    /// How many a second were answered.
    pub rate: f64,
}

/// One answer.
struct Asked {
    began: Instant,
    ended: Instant,
    by: Result<String, String>,
}

/// The endpoints that were told, from before they were until after the next were.
struct Told {
    from: Instant,
    until: Option<Instant>,
    names: Vec<String>,
}

/// Makes the Service, which has no selector, with the first endpoints; its address.
pub fn service(cluster: &Cluster, servers: &[Server]) -> SocketAddr {
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": SERVICE },
        "spec": { "ports": [{ "port": 80, "targetPort": 8080 }] } });
    cluster.apply(&service.to_string());
    let slice = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "name": SERVICE, "labels": { "kubernetes.io/service-name": SERVICE } },
        "ports": [{ "port": 8080 }], "endpoints": endpoints(servers, 0).0 });
    cluster.apply(&slice.to_string());
    let ip = cluster.kubectl(&["get", "service", SERVICE, "-o", "jsonpath={.spec.clusterIP}"]);
    SocketAddr::new(ip.parse().expect("an address"), 80)
}

/// The endpoints of this turn, and their names: one goes and one comes with each.
fn endpoints(servers: &[Server], turn: usize) -> (Value, Vec<String>) {
    let chosen: Vec<&Server> = (0..AT_ONCE).map(|at| &servers[(turn + at) % servers.len()]).collect();
    let listed = chosen.iter().map(|(_, ip)| json!({ "addresses": [ip], "conditions": { "ready": true } }));
    (listed.collect(), chosen.iter().map(|(name, _)| name.clone()).collect())
}

/// Changes the endpoints of [`service`] while the target is asked. Answers of before the first change count: an asker may be faster than
/// whoever changes.
pub fn run(cluster: &Cluster, target: &Target, servers: &[Server], size: Size) -> Report {
    let proxy = Proxy::start(&mut cluster.kubectl_command(&["proxy", "--port", "0"]));
    let api: SocketAddr = proxy.place().parse().expect("an address");
    let (stop, next, began) = (AtomicBool::new(false), AtomicU32::new(0), now());
    let ask = || {
        let mut all = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            sleep_until(began + Duration::from_secs(1) * turn / size.rate);
            all.push(asked(target));
        }
        all
    };
    let (told, asked) = std::thread::scope(|scope| {
        let askers: Vec<ScopedJoinHandle<'_, Vec<Asked>>> = (0..ASKERS).map(|_| scope.spawn(ask)).collect();
        let told = change(api, servers, size, began);
        stop.store(true, Ordering::Relaxed);
        let asked: Vec<_> = askers.into_iter().flat_map(|asker| asker.join().expect("no panic")).collect();
        (told, asked)
    });
    report(&told, &asked, began.elapsed())
}

/// Changes the endpoints so often, after the first ones were told. Until then they are what somebody left: they may be any.
fn change(api: SocketAddr, servers: &[Server], size: Size, began: Instant) -> Vec<Told> {
    let any = servers.iter().map(|(name, _)| name.clone()).collect();
    let mut told = vec![Told { from: began, until: None, names: any }];
    for turn in 0..=size.changes {
        sleep_until(began + size.every * turn);
        let (listed, names) = endpoints(servers, turn.try_into().expect("a small number"));
        let from = now();
        let answer = http::patch(api, SLICE, &json!({ "endpoints": listed }).to_string());
        let answer = answer.expect("the API server is there");
        assert_eq!(answer.status, 200, "{answer:?}");
        if let Some(last) = told.last_mut() {
            last.until = Some(now());
        }
        told.push(Told { from, until: None, names });
    }
    told
}

fn asked(target: &Target) -> Asked {
    let began = now();
    let by = match http::get(target.address, &target.path) {
        Ok(answer) if answer.status == 200 => Ok(answer.body),
        Ok(answer) => Err(format!("{}: {}", answer.status, answer.body)),
        Err(error) => Err(error.to_string()),
    };
    Asked { began, ended: now(), by }
}

fn report(told: &[Told], asked: &[Asked], took: Duration) -> Report {
    let mut report = Report { asked: asked.len(), ..Report::default() };
    for asked in asked {
        match &asked.by {
            Ok(name) => report.stalest = report.stalest.max(staleness(told, asked, name)),
            Err(error) => report.failed.push(error.clone()),
        }
    }
    report.rate =
        f64::from(u32::try_from(asked.len() - report.failed.len()).unwrap_or(u32::MAX)) / took.as_secs_f64();
    report
}

/// How long an endpoint had been out when it was asked.
fn staleness(told: &[Told], asked: &Asked, name: &str) -> Duration {
    let was_in =
        told.iter().filter(|told| told.names.iter().any(|one| one == name) && told.from <= asked.ended);
    let out_for = was_in
        .map(|told| told.until.map_or(Duration::ZERO, |until| asked.began.saturating_duration_since(until)));
    out_for.min().unwrap_or_else(|| panic!("{name:?} was never an endpoint"))
}

#[expect(clippy::disallowed_methods, reason = "what clients see is measured by the real clock")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "requests and changes come at their times")]
fn sleep_until(time: Instant) {
    std::thread::sleep(time.saturating_duration_since(now()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_stale_as_its_endpoint_is_out() {
        let start = now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let told = |from, until: Option<u64>, names: &[&str]| Told {
            from: at(from),
            until: until.map(at),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let told =
            [told(0, Some(100), &["a", "b"]), told(90, Some(200), &["b", "c"]), told(190, None, &["c", "a"])];
        let asked =
            |began, ended, by: &str| Asked { began: at(began), ended: at(ended), by: Ok(by.to_owned()) };
        for (began, ended, by, millis) in [
            (50, 60, "a", 0),
            (105, 110, "a", 5),
            (150, 160, "a", 50),
            (191, 195, "a", 0),
            (250, 260, "b", 50),
        ] {
            let report = report(&told, &[asked(began, ended, by)], Duration::from_secs(1));
            assert_eq!(report.stalest, Duration::from_millis(millis), "{by} at {began}");
        }
    }
}
