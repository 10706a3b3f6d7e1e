//! Decides what the kernel has to know of the policies. Pure.
//!
//! Only policies that are about Pods of this node are looked at. A packet is judged twice: by the policies of the Pod it comes
//! from, then by those of the Pod it goes to; either may be of another node, which judges its part.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use wherry_api::ranges::IpFamily;

use super::model::{Labels, Numbers, Peer, Pod, Policy, Port, Rule};
use super::ruleset::{Direction, Name, Ruleset, SetKind};
use crate::network::nft::header;
use crate::services::ObjectKey;

/// What is known.
pub(super) struct View<'a> {
    pub(super) policies: Vec<(&'a ObjectKey, &'a Policy)>,
    /// The labels of each namespace.
    pub(super) namespaces: &'a dyn Fn(&str) -> Option<&'a Labels>,
    /// All Pods with addresses, those of this node among them.
    pub(super) pods: Vec<&'a Pod>,
    /// Those of this node.
    pub(super) local: Vec<&'a Pod>,
}

/// The rules for the Pods of this node in one family.
pub(super) fn plan(view: &View<'_>, family: IpFamily) -> Ruleset {
    let mut rules = Ruleset::of(family);
    for pod in &view.local {
        let Some(ip) = pod.address(family) else { continue };
        for direction in [Direction::Ingress, Direction::Egress] {
            let about: Vec<_> =
                view.policies.iter().filter(|(_, policy)| is_about(policy, pod, direction)).collect();
            if about.is_empty() {
                continue;
            }
            let chains: Vec<String> = about
                .iter()
                .map(|(key, policy)| {
                    let name = Name::of(key, direction);
                    if !rules.chains.contains_key(&name.chain()) {
                        Compiler { view, policy, name: &name, direction, rules: &mut rules }.policy();
                    }
                    name.chain()
                })
                .collect();
            rules.isolate(direction, ip, &chains);
        }
    }
    rules
}

fn of(policy: &Policy, direction: Direction) -> Option<&[Rule]> {
    match direction {
        Direction::Ingress => policy.ingress.as_deref(),
        Direction::Egress => policy.egress.as_deref(),
    }
}

fn is_about(policy: &Policy, pod: &Pod, direction: Direction) -> bool {
    of(policy, direction).is_some() && policy.namespace == pod.namespace && policy.pods.matches(&pod.labels)
}

/// Makes the chain of one policy in one direction.
struct Compiler<'a, 'v> {
    view: &'a View<'v>,
    policy: &'a Policy,
    name: &'a Name,
    direction: Direction,
    rules: &'a mut Ruleset,
}

impl Compiler<'_, '_> {
    fn policy(&mut self) {
        let mut lines = Vec::new();
        for (number, rule) in of(self.policy, self.direction).unwrap_or_default().iter().enumerate() {
            let peers = self.peers(number, rule.peers.as_deref());
            let ports = self.ports(number, rule);
            for peer in &peers {
                lines.extend(ports.iter().map(|port| {
                    let words = [peer.as_str(), port.as_str(), self.direction.verdict()];
                    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
                }));
            }
        }
        self.rules.chains.insert(self.name.chain(), lines);
    }

    /// A match for each way of being one of the peers.
    fn peers(&mut self, number: usize, peers: Option<&[Peer]>) -> Vec<String> {
        let Some(peers) = peers else { return vec![String::new()] };
        let family = self.rules.family;
        let side = self.direction.peer(family);
        let mut matches = Vec::new();
        for peer in peers {
            if let Peer::Block { range, except } = peer
                && IpFamily::of(range.addr()) == family
            {
                let but = IpNet::aggregate(except);
                let but: Vec<String> = but.iter().map(ToString::to_string).collect();
                let but = Some(but)
                    .filter(|but| !but.is_empty())
                    .map(|but| format!(" {side} != {{ {} }}", but.join(", ")));
                matches.push(format!("{side} {range}{}", but.unwrap_or_default()));
            }
        }
        let pods: BTreeSet<IpAddr> =
            self.peer_pods(peers).into_iter().filter_map(|pod| pod.address(family)).collect();
        let pods = pods.iter().map(ToString::to_string).collect();
        if peers.iter().any(|peer| matches!(peer, Peer::Pods { .. })) {
            let set = self.name.set("peers", number);
            matches.push(format!("{side} @{set}"));
            self.rules.sets.insert(set, (SetKind::Addresses, pods));
        }
        matches
    }

    fn peer_pods(&self, peers: &[Peer]) -> Vec<&Pod> {
        let is_peer = |pod: &Pod| {
            peers.iter().any(|peer| match peer {
                Peer::Block { .. } => false,
                Peer::Pods { namespaces: None, pods } => {
                    pod.namespace == self.policy.namespace && pods.matches(&pod.labels)
                }
                Peer::Pods { namespaces: Some(namespaces), pods } => {
                    let of_namespace = (self.view.namespaces)(&pod.namespace);
                    of_namespace.is_some_and(|labels| namespaces.matches(labels)) && pods.matches(&pod.labels)
                }
            })
        };
        self.view.pods.iter().copied().filter(|pod| is_peer(pod)).collect()
    }

    /// A match for each way of being at one of the ports.
    fn ports(&mut self, number: usize, rule: &Rule) -> Vec<String> {
        let Some(ports) = &rule.ports else { return vec![String::new()] };
        let family = self.rules.family;
        let mut matches: Vec<String> = ports.iter().filter_map(numbered).collect();
        let named: BTreeSet<String> = self
            .destinations(rule)
            .into_iter()
            .flat_map(|pod| ports.iter().flat_map(move |port| called(pod, port, family)))
            .collect();
        if ports.iter().any(|port| matches!(port.numbers, Numbers::Named(_))) {
            let set = self.name.set("ports", number);
            matches.push(format!("{} daddr . meta l4proto . th dport @{set}", header(family)));
            self.rules.sets.insert(set, (SetKind::Ports, named));
        }
        matches
    }

    /// The Pods whose names of ports count: those that are connected to.
    fn destinations(&self, rule: &Rule) -> Vec<&Pod> {
        match (self.direction, &rule.peers) {
            (Direction::Ingress, _) => {
                let about = |pod: &&Pod| is_about(self.policy, pod, self.direction);
                self.view.local.iter().copied().filter(about).collect()
            }
            (Direction::Egress, Some(peers)) => self.peer_pods(peers),
            (Direction::Egress, None) => self.view.pods.clone(),
        }
    }
}

fn numbered(port: &Port) -> Option<String> {
    match port.numbers {
        Numbers::All => Some(format!("meta l4proto {}", port.protocol)),
        Numbers::Range(first, last) if first == last => {
            Some(format!("meta l4proto {} th dport {first}", port.protocol))
        }
        Numbers::Range(first, last) => {
            Some(format!("meta l4proto {} th dport {first}-{last}", port.protocol))
        }
        Numbers::Named(_) => None,
    }
}

/// Where the Pod has a port of that name.
fn called(pod: &Pod, port: &Port, family: IpFamily) -> Vec<String> {
    let (Numbers::Named(name), Some(ip)) = (&port.numbers, pod.address(family)) else { return Vec::new() };
    let found = pod.ports.get(name).into_iter().flatten().filter(|(protocol, _)| *protocol == port.protocol);
    found.map(|(protocol, number)| format!("{ip} . {protocol} . {number}")).collect()
}
