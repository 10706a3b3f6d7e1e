//! Pods that start behind policies, while others try to reach them, and they others, from before they have their addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{http, wait};

use super::{Field, KINDS, containers, list, namespace, pod};

const FENCED: &str = "fenced";
/// A namespace without policies, whose Pods show that who tries gets through.
const OPEN: &str = "blue";
/// How many Pods of each kind start.
const EACH: usize = 4;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long all of them may take to start.
const LONG: Duration = Duration::from_mins(5);
/// Files of the Pod that asks: who answered, and that it is to end.
const ANSWERED: &str = "/tmp/answered";
const ENOUGH: &str = "/tmp/enough";

/// The addresses that Pods get next, with and without network namespaces, so many of each: they are given out in turn.
fn next_addresses(field: &Field<'_>, count: u8) -> [Vec<IpAddr>; 2] {
    let last = |has_namespace: bool| {
        let of = field.pods.iter().filter(|pod| (pod.kind != "wasm") == has_namespace);
        let last = of.map(|pod| pod.ips[0]).max().expect("there are Pods of each kind");
        let IpAddr::V4(last) = last else { panic!("{last} is of the other family") };
        (1..=count)
            .map(|number| IpAddr::from(last.to_bits().wrapping_add(number.into()).to_be_bytes()))
            .collect()
    };
    [last(true), last(false)]
}

/// A Pod asks whoever is behind these addresses again and again, and writes down who answers, until it has had enough.
fn trying(field: &Field<'_>, addresses: &[IpAddr]) {
    let ask = |ip: &IpAddr| {
        let once = format!(
            "a=$(timeout 1 wget -q -O- http://{ip}:8080/env/WHO 2>/dev/null) && echo \"$a\" >> {ANSWERED}"
        );
        format!("(until [ -e {ENOUGH} ]; do {once}; sleep 0.02; done) & ")
    };
    let script = format!("{}wait", addresses.iter().map(ask).collect::<String>());
    field.cluster.kubectl(&["exec", "red-oci", "-n", "red", "--", "sh", "-c", &script]);
}

/// At which of these addresses guests let the node see what they fetched, asked again and again, and once more at the end.
fn fetching(addresses: &[IpAddr], target: SocketAddr, enough: &AtomicBool) -> BTreeSet<IpAddr> {
    let path = format!("/get/{target}/env/WHO");
    let fetch = |ip: IpAddr| {
        let mut any = false;
        let ended = wait::within(LONG, || {
            let is_last = enough.load(Ordering::Relaxed);
            let answer = http::get_within(SocketAddr::new(ip, 8080), &path, PATIENCE);
            any |= answer.is_ok_and(|answer| answer.body == "red-oci");
            if is_last { Ok(()) } else { Err("Pods start") }
        });
        ended.map(|()| any)
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = addresses.iter().map(|ip| (*ip, scope.spawn(|| fetch(*ip)))).collect();
        let is_reached = |(ip, asking): (IpAddr, ScopedJoinHandle<'_, Result<bool, &str>>)| {
            asking.join().expect("it does not fail").expect("the Pods have started").then_some(ip)
        };
        asking.into_iter().filter_map(is_reached).collect()
    })
}

/// A Pod that tries to reach another as the first thing that it does, where it has a shell.
fn starting(namespace: &str, name: &str, kind: &str, target: SocketAddr) -> Value {
    let mut containers = containers(name, kind);
    let first =
        format!("timeout 1 wget -q -O- http://{target}/env/WHO >/dev/null 2>&1 && echo leaked || echo kept");
    if kind == "oci" {
        let script = format!(
            "{first}; mkdir -p /tmp/env; printf {name} > /tmp/env/WHO; httpd -p 8080 -h /tmp; {IDLE}"
        );
        containers = json!([shell("oci", &script)]);
    } else if kind == "mixed" {
        containers[1] = shell("oci", &format!("{first}; {IDLE}"));
    }
    pod(namespace, name, &containers)
}

/// From the first moment of a Pod on nothing comes in or goes out that its policies deny.
pub(super) fn nothing_denied_passes_while_pods_start(field: &Field<'_>) {
    let cluster = field.cluster;
    let deny = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "namespace": FENCED, "name": "deny" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress", "Egress"] } });
    cluster.apply(&list(&[namespace(FENCED), deny]));
    let target = SocketAddr::new(field.pods[0].ips[0], 8080);
    let names: Vec<(String, &str)> = KINDS
        .into_iter()
        .flat_map(|kind| (0..EACH).map(move |number| (format!("{FENCED}-{number}-{kind}"), kind)))
        .collect();
    let fenced = names.iter().map(|(name, kind)| starting(FENCED, name, kind, target));
    let open = KINDS.map(|kind| starting(OPEN, &format!("{OPEN}-new-{kind}"), kind, target));
    let all: Vec<Value> = fenced.chain(open).collect();
    let [namespaced, local] = next_addresses(field, 12);
    let tried = [&namespaced[..], &local].concat();

    let enough = AtomicBool::new(false);
    let in_red =
        |command: &str| cluster.kubectl(&["exec", "red-oci", "-n", "red", "--", "sh", "-c", command]);
    let new = KINDS.map(|kind| format!("{OPEN}-new-{kind}"));
    let fetched = std::thread::scope(|scope| {
        let asking = scope.spawn(|| trying(field, &tried));
        let fetched = scope.spawn(|| fetching(&local, target, &enough));
        cluster.apply(&list(&all));
        for namespace in [FENCED, OPEN] {
            cluster.wait_for("condition=Ready", &["pods", "--all", "-n", namespace]);
        }
        wait::until("those without policies to answer", || {
            let told = in_red(&format!("cat {ANSWERED} || true"));
            if new.iter().all(|name| told.contains(name)) { Ok(()) } else { Err(told) }
        });
        enough.store(true, Ordering::Relaxed);
        in_red(&format!("touch {ENOUGH}"));
        asking.join().expect("it does not fail");
        fetched.join().expect("it does not fail")
    });

    let answered: BTreeSet<String> = in_red(&format!("cat {ANSWERED}")).lines().map(str::to_owned).collect();
    let ip = |namespace: &str, name: &str| -> IpAddr {
        let told = cluster.kubectl(&["get", "pod", name, "-n", namespace, "-o", "jsonpath={.status.podIP}"]);
        told.parse().expect("an address")
    };
    for (name, _) in &names {
        assert!(tried.contains(&ip(FENCED, name)), "{name} was not tried: {tried:?}");
    }
    assert_eq!(answered, BTreeSet::from(new.clone()), "who answered a Pod");
    assert_eq!(fetched, BTreeSet::from([ip(OPEN, &new[1])]), "whose guests reached a Pod");
    for (name, kind) in names.iter().filter(|(_, kind)| *kind != "wasm") {
        let said = wait::until(&format!("what {name} of kind {kind} has to say"), || {
            let said = cluster.kubectl(&["logs", name, "-n", FENCED, "-c", "oci"]);
            if said.is_empty() { Err(said) } else { Ok(said) }
        });
        assert_eq!(said.trim(), "kept", "{name}");
    }
}
