//! The matrix of network policies: every Pod of three namespaces asks every port of every other, with OCI and wasm containers on
//! both ends and by both families, under policies of either direction and of both; and what each cell has to be is worked out beside
//! the product. Then Pods start behind policies while others try to reach them.

mod model;
mod start;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, http, in_cluster, wait};

use model::{Pod, Policy, let_through};

const NAMESPACES: [&str; 3] = ["red", "green", "blue"];
/// Kinds of Pods: of an OCI container, of wasm containers, of both.
const KINDS: [&str; 3] = ["oci", "wasm", "mixed"];
const PORTS: [u16; 2] = [8080, 9090];
const FAMILIES: [usize; 2] = [0, 1];
/// How long an answer may take that is to come, and how long one is waited for that is not.
const LONG: Duration = Duration::from_secs(8);
const SHORT: Duration = Duration::from_secs(2);

/// The container of a Pod that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Shell,
    Guest,
}

/// Who asks, whom, at which port, by which family; Pods by their numbers.
type Cell = (usize, By, usize, u16, usize);

/// The Pods, with who of them asks.
struct Field<'c> {
    cluster: &'c Cluster,
    pods: Vec<Pod>,
}

/// What serves `/env/WHO` at both ports, by kind of Pod: the wasm server also fetches what it is asked to.
fn containers(name: &str, kind: &str) -> Value {
    let wasm = |called: &str, port: Value| json!({ "name": called, "image": "127.0.0.1:5000/http:v1", "env": [{ "name": "WHO", "value": name }], "ports": [port] });
    let page = |ports: &[u16]| {
        let serve =
            ports.iter().map(|port| format!("httpd -p {port} -h /tmp; ")).collect::<Vec<_>>().concat();
        shell("oci", &format!("mkdir -p /tmp/env; printf {name} > /tmp/env/WHO; {serve}{IDLE}"))
    };
    let http = json!({ "name": "http", "containerPort": 8080 });
    let more = json!({ "name": "more", "containerPort": 9090 });
    match kind {
        "oci" => json!([with(page(&PORTS), json!({ "ports": [http, more] }))]),
        "wasm" => json!([wasm("web", http), wasm("more", json!({ "containerPort": 9090 }))]),
        _ => json!([wasm("web", http), page(&[9090])]),
    }
}

/// A Pod that answers with its name.
fn pod(namespace: &str, name: &str, containers: &Value) -> Value {
    let kind = name.rsplit('-').next();
    // Guests are not to wait forever for what is denied.
    let annotations = json!({ "run.wherry.dev/request-timeout": "8s" });
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": namespace, "name": name, "labels": { "kind": kind }, "annotations": annotations },
        "spec": { "terminationGracePeriodSeconds": 1, "containers": containers } })
}

fn list(items: &[Value]) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string()
}

fn namespace(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": { "color": name } } })
}

impl<'c> Field<'c> {
    fn start(cluster: &'c Cluster) -> Self {
        cluster.apply(&list(&NAMESPACES.map(namespace)));
        let all = NAMESPACES.into_iter().flat_map(|namespace| KINDS.map(|kind| (namespace, kind)));
        let objects: Vec<Value> = all
            .clone()
            .map(|(namespace, kind)| {
                let name = format!("{namespace}-{kind}");
                pod(namespace, &name, &containers(&name, kind))
            })
            .collect();
        cluster.apply(&list(&objects));
        let mut pods = Vec::new();
        for (namespace, kind) in all {
            let name = format!("{namespace}-{kind}");
            cluster.wait_for("condition=Ready", &["pod", &name, "-n", namespace]);
            let path = "jsonpath={.status.podIPs[*].ip}";
            let told = cluster.kubectl(&["get", "pod", &name, "-n", namespace, "-o", path]);
            let ips: Vec<_> = told.split(' ').map(|ip| ip.parse().expect("an address")).collect();
            let more = if kind == "oci" { Some(("more", 9090)) } else { None };
            let named = [("http", 8080)].into_iter().chain(more).collect();
            pods.push(Pod { namespace, kind, ips: ips.try_into().expect("one of each family"), named });
        }
        Self { cluster, pods }
    }

    /// Everybody who asks.
    fn askers(&self) -> impl Iterator<Item = (usize, By)> {
        let of = |pod: &Pod| match pod.kind {
            "oci" => vec![By::Shell],
            "wasm" => vec![By::Guest],
            _ => vec![By::Shell, By::Guest],
        };
        self.pods
            .iter()
            .enumerate()
            .flat_map(move |(number, pod)| of(pod).into_iter().map(move |by| (number, by)))
    }

    fn cells(&self) -> Vec<Cell> {
        let ports = PORTS.into_iter().flat_map(|port| FAMILIES.map(|family| (port, family)));
        let targets =
            (0..self.pods.len()).flat_map(|to| ports.clone().map(move |(port, family)| (to, port, family)));
        let askers = self.askers();
        askers
            .flat_map(|(from, by)| {
                targets.clone().map(move |(to, port, family)| (from, by, to, port, family))
            })
            .collect()
    }

    fn name(&self, number: usize) -> String {
        format!("{}-{}", self.pods[number].namespace, self.pods[number].kind)
    }

    fn address(&self, (_, _, to, port, family): Cell) -> SocketAddr {
        SocketAddr::new(self.pods[to].ips[family], port)
    }

    /// Asks these; those that were answered in time by whom they lead to.
    fn ask(&self, cells: &BTreeSet<Cell>, patience: Duration) -> BTreeSet<Cell> {
        let by_asker = |asker: (usize, By)| -> Vec<Cell> {
            cells.iter().copied().filter(|cell| (cell.0, cell.1) == asker).collect()
        };
        let ask = |(from, by): (usize, By)| match (by, by_asker((from, by))) {
            (_, none) if none.is_empty() => none,
            (By::Shell, cells) => self.by_shell(&cells, patience),
            (By::Guest, cells) => self.by_guest(&cells, patience),
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = self.askers().map(|asker| scope.spawn(move || ask(asker))).collect();
            asking.into_iter().flat_map(|asking| asking.join().expect("who asks does not fail")).collect()
        })
    }

    /// One command that asks all at once.
    fn by_shell(&self, cells: &[Cell], patience: Duration) -> Vec<Cell> {
        let seconds = patience.as_secs();
        let ask = |(number, cell): (usize, &Cell)| {
            let (at, name) = (self.address(*cell), self.name(cell.2));
            format!(
                "(a=$(timeout {seconds} wget -q -O- http://{at}/env/WHO 2>/dev/null); [ \"$a\" = {name} ] && echo {number}) & "
            )
        };
        let script: String = cells.iter().enumerate().map(ask).collect();
        let from = cells[0].0;
        let (pod, namespace) = (self.name(from), self.pods[from].namespace);
        let script = format!("{script}wait");
        let told =
            self.cluster.kubectl(&["exec", &pod, "-n", namespace, "-c", "oci", "--", "sh", "-c", &script]);
        told.lines().filter_map(|line| cells.get(line.trim().parse::<usize>().ok()?).copied()).collect()
    }

    /// The node asks the guest, which it always may, to ask others.
    fn by_guest(&self, cells: &[Cell], patience: Duration) -> Vec<Cell> {
        let at = SocketAddr::new(self.pods[cells[0].0].ips[0], 8080);
        let is_answered = |cell: Cell| {
            let path = format!("/get/{}/env/WHO", self.address(cell));
            http::get_within(at, &path, patience).is_ok_and(|answer| answer.body == self.name(cell.2))
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> =
                cells.iter().map(|cell| (*cell, scope.spawn(move || is_answered(*cell)))).collect();
            let answered = asking
                .into_iter()
                .filter_map(|(cell, asking)| asking.join().expect("who asks does not fail").then_some(cell));
            answered.collect()
        })
    }

    /// Waits until every cell is as the policies say, and looks once more that nothing passes that they deny. Returns how many
    /// cells are open, and how many there are.
    fn holds(&self, policies: &[Policy]) -> (usize, usize) {
        let cells = self.cells();
        let is_open = |(from, _, to, port, family): &Cell| {
            let_through(policies, &self.pods[*from], &self.pods[*to], (*port, *family))
        };
        let (open, denied): (BTreeSet<Cell>, BTreeSet<Cell>) = cells.iter().copied().partition(is_open);
        let told = |cell: &Cell| {
            let (from, to, by) = (self.name(cell.0), self.name(cell.2), cell.1);
            format!("{from} ({by:?}) to {to} at {}", self.address(*cell))
        };
        wait::until("every cell to be as the policies say", || {
            let reached = self.ask(&open, LONG);
            let missed: Vec<String> = open.difference(&reached).map(told).collect();
            let leaked: Vec<String> = self.ask(&denied, SHORT).iter().map(told).collect();
            let is_right = missed.is_empty() && leaked.is_empty();
            if is_right {
                Ok(())
            } else {
                Err(format!("not reached: {missed:?}, reached though denied: {leaked:?}"))
            }
        });
        let leaked: Vec<String> = self.ask(&denied, SHORT).iter().map(told).collect();
        assert!(leaked.is_empty(), "denied, and yet reached: {leaked:?}");
        (open.len(), cells.len())
    }

    /// The same under these policies alone.
    fn holds_under(&self, policies: &[Policy]) -> usize {
        let object = |(number, (namespace, spec)): (usize, &Policy)| {
            let metadata = json!({ "namespace": namespace, "name": format!("policy-{number}") });
            json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec })
        };
        let objects: Vec<Value> = policies.iter().enumerate().map(object).collect();
        self.cluster.apply(&list(&objects));
        let (open, all) = self.holds(policies);
        assert!(0 < open && open < all, "policies that make a difference: {open} of {all}");
        for namespace in NAMESPACES {
            self.cluster.kubectl(&["delete", "networkpolicies", "--all", "-n", namespace]);
        }
        all
    }
}

fn of_kind(kind: &str) -> Value {
    json!({ "matchLabels": { "kind": kind } })
}

fn of_color(color: &str) -> Value {
    json!({ "matchLabels": { "color": color } })
}

/// Policies about who may reach Pods: by Pod, namespace, both, address, port, name of a port and range of ports.
fn ingress(field: &Field<'_>) -> Vec<Policy> {
    let only = |pods: Value, rules: Value| json!({ "podSelector": pods, "policyTypes": ["Ingress"], "ingress": rules });
    let blue_oci = field.pods[6].ips[0];
    let but_green =
        json!({ "matchExpressions": [{ "key": "color", "operator": "NotIn", "values": ["green"] }] });
    vec![
        ("red", only(json!({}), json!([]))),
        ("red", only(of_kind("oci"), json!([{ "from": [{ "podSelector": of_kind("wasm") }] }]))),
        (
            "red",
            only(
                of_kind("wasm"),
                json!([{ "from": [{ "namespaceSelector": of_color("green") }], "ports": [{ "port": "http" }] }]),
            ),
        ),
        (
            "red",
            only(
                of_kind("mixed"),
                json!([{ "from": [{ "namespaceSelector": of_color("blue"), "podSelector": of_kind("mixed") }],
            "ports": [{ "port": 9090, "protocol": "TCP" }] }]),
            ),
        ),
        (
            "green",
            only(
                of_kind("mixed"),
                json!([{ "from": [{ "ipBlock": { "cidr": "10.244.0.0/24", "except": [format!("{blue_oci}/32")] } }] },
            { "from": [{ "ipBlock": { "cidr": "fd00:244::/64" } }], "ports": [{ "port": 9000, "endPort": 9100 }] }]),
            ),
        ),
        ("green", only(of_kind("wasm"), json!([{ "ports": [{ "protocol": "UDP" }, { "port": "http" }] }]))),
        ("blue", only(of_kind("wasm"), json!([{ "from": [{ "namespaceSelector": but_green }] }]))),
    ]
}

/// Policies about whom Pods may reach.
fn egress() -> Vec<Policy> {
    let only = |pods: Value, rules: Value| json!({ "podSelector": pods, "policyTypes": ["Egress"], "egress": rules });
    let two =
        json!({ "matchExpressions": [{ "key": "kind", "operator": "In", "values": ["wasm", "mixed"] }] });
    vec![
        ("red", only(two, json!([{ "to": [{ "namespaceSelector": of_color("blue") }] }]))),
        (
            "red",
            only(
                of_kind("wasm"),
                json!([{ "to": [{ "podSelector": of_kind("oci") }], "ports": [{ "port": "more" }] }]),
            ),
        ),
        (
            "green",
            only(
                json!({}),
                json!([{ "to": [{ "ipBlock": { "cidr": "10.244.0.128/25" } }] }, { "ports": [{ "port": 9090 }] }]),
            ),
        ),
        ("blue", only(of_kind("oci"), json!([]))),
        (
            "blue",
            only(
                of_kind("mixed"),
                json!([{ "to": [{ "namespaceSelector": {}, "podSelector": of_kind("wasm") }],
            "ports": [{ "port": 8000, "endPort": 8999 }] }]),
            ),
        ),
    ]
}

#[test]
fn every_cell_of_the_policy_matrix_is_as_the_policies_say() {
    in_cluster(Options::dual_stack(), |cluster| {
        let field = Field::start(cluster);
        let (open, all) = field.holds(&[]);
        assert_eq!(open, all, "without policies everybody reaches everybody");
        let ingress = ingress(&field);
        let both = [&ingress[..], &egress()].concat();
        let cells: usize = [ingress, egress(), both].iter().map(|policies| field.holds_under(policies)).sum();
        assert!(cells >= 1000, "{cells} cells");
        start::nothing_denied_passes_while_pods_start(&field);
    });
}
