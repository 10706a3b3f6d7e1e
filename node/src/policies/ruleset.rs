//! The nftables objects of the policies, and the scripts that bring the kernel from some to others. Pure.
//!
//! ```text
//! forward, output, input -> judge -- map from: source -> out_… -> pe_… , …, drop
//!                              \-> towards -- map to: destination -> in_… -> pi_… , …, drop
//! ```
//! - `pi_…` and `pe_…` are a policy's rules, one chain for ingress and one for egress. What they let out is judged by whom it goes
//!   to (`towards`), what they let in is accepted.
//! - `in_…` and `out_…` are of all Pods that the same policies are about: they ask these and drop the rest.
//! - `s_…` are the addresses of a rule's peers, or the named ports it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use sha2::{Digest, Sha256};
use wherry_api::ranges::IpFamily;

use crate::network::Layout;
use crate::network::nft::{Chains, Script, address_type, header};
use crate::services::ObjectKey;

/// The table of a family.
fn table(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip wherry_policies",
        IpFamily::V6 => "ip6 wherry_policies",
    }
}

/// Which packets, as seen from the Pods that a policy is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    /// Where the peer's address is in a packet.
    pub(super) fn peer(self, family: IpFamily) -> String {
        let side = match self {
            Self::Ingress => "saddr",
            Self::Egress => "daddr",
        };
        format!("{} {side}", header(family))
    }

    /// What becomes of a packet that a policy lets through.
    pub(super) fn verdict(self) -> &'static str {
        match self {
            Self::Ingress => "accept",
            Self::Egress => "goto towards",
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Ingress => 'i',
            Self::Egress => 'e',
        }
    }
}

/// The names of a policy's objects in one direction.
pub(super) struct Name {
    id: String,
    letter: char,
}

impl Name {
    /// Those of the policy of this key.
    pub(super) fn of(key: &ObjectKey, direction: Direction) -> Self {
        Self { id: hash(&key.to_string()), letter: direction.letter() }
    }

    pub(super) fn chain(&self) -> String {
        format!("p{}_{}", self.letter, self.id)
    }

    /// The set of the rule of this number that holds its `what`.
    pub(super) fn set(&self, what: &str, number: usize) -> String {
        format!("s{}_{}_{number}_{what}", self.letter, self.id)
    }
}

/// What a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SetKind {
    Addresses,
    /// Addresses with protocols and ports.
    Ports,
}

impl SetKind {
    fn types(self, family: IpFamily) -> String {
        let address = address_type(family);
        match self {
            Self::Addresses => address.to_owned(),
            Self::Ports => format!("{address} . inet_proto . inet_service"),
        }
    }
}

/// All that the table of a family holds beside its fixed chains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruleset {
    pub(super) family: IpFamily,
    pub(super) chains: Chains,
    pub(super) sets: BTreeMap<String, (SetKind, BTreeSet<String>)>,
    /// The chain of each Pod that may not be reached by all.
    to: BTreeMap<IpAddr, String>,
    /// The chain of each Pod that may not reach all.
    from: BTreeMap<IpAddr, String>,
}

impl Ruleset {
    /// No rules.
    pub(super) fn of(family: IpFamily) -> Self {
        Self {
            family,
            chains: Chains::new(),
            sets: BTreeMap::new(),
            to: BTreeMap::new(),
            from: BTreeMap::new(),
        }
    }

    /// Lets through to or from the Pod only what one of these chains of policies does.
    pub(super) fn isolate(&mut self, direction: Direction, pod: IpAddr, policies: &[String]) {
        let (prefix, map) = match direction {
            Direction::Ingress => ("in", &mut self.to),
            Direction::Egress => ("out", &mut self.from),
        };
        let chain = format!("{prefix}_{}", hash(&policies.join(" ")));
        map.insert(pod, chain.clone());
        let asked = policies.iter().map(|policy| format!("jump {policy}"));
        self.chains.entry(chain).or_insert_with(|| asked.chain(["drop".to_owned()]).collect());
    }

    /// The Pods that may not be reached by all, or may not reach all.
    pub(super) fn isolated(&self, direction: Direction) -> impl Iterator<Item = IpAddr> {
        let map = match direction {
            Direction::Ingress => &self.to,
            Direction::Egress => &self.from,
        };
        map.keys().copied()
    }

    /// Whether no packet is judged.
    pub(super) fn is_empty(&self) -> bool {
        self.to.is_empty() && self.from.is_empty()
    }

    fn itself(&self) -> BTreeSet<IpAddr> {
        self.to.keys().chain(self.from.keys()).copied().collect()
    }
}

/// The script that makes the kernel's rules these. Whatever there is goes, unless it is known.
pub(super) fn change(known: Option<&Ruleset>, wanted: &Ruleset, layout: &Layout) -> String {
    match known {
        Some(known) if known == wanted => String::new(),
        _ if wanted.is_empty() => remove(wanted.family),
        Some(known) if !known.is_empty() => step(known, wanted),
        _ => replace(layout, wanted),
    }
}

/// The script that removes the table, if there is one.
fn remove(family: IpFamily) -> String {
    let table = table(family);
    format!("add table {table}\ndelete table {table}\n")
}

/// The script that replaces whatever table there is by one with these rules.
pub(super) fn replace(layout: &Layout, rules: &Ruleset) -> String {
    let family = rules.family;
    let (table, ip, address) = (table(family), header(family), address_type(family));
    // Addresses of Pods that are the node's own.
    let Some(local) = layout.local(family) else { return String::new() };
    format!(
        "{remove}table {table} {{
  map to {{ type {address} : verdict; }}
  map from {{ type {address} : verdict; }}
  set itself {{ type {address} . {address}; }}
  chain towards {{
    {ip} daddr vmap @to
    accept
  }}
  chain judge {{
    ct state established,related accept
    {ip} saddr . {ip} daddr @itself accept
    {ip} saddr vmap @from
    goto towards
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    jump judge
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    {ip} saddr != {local} accept
    {ip} daddr != {local} fib daddr type local accept
    jump judge
  }}
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname \"lo\" accept
    {ip} daddr != {local} accept
    jump judge
  }}
}}
{objects}",
        remove = remove(family),
        objects = step(&Ruleset::of(family), rules),
    )
}

/// The script from some rules to others, as one transaction.
pub(super) fn step(old: &Ruleset, new: &Ruleset) -> String {
    let table = table(new.family);
    let mut script = Script::about(table);
    // Elements that refer to chains go first and come last.
    for (map, old, new) in [("to", &old.to, &new.to), ("from", &old.from, &new.from)] {
        script.elements("delete", map, &differing(old, new));
    }
    script.sets(old, new);
    script.chains(&old.chains, &new.chains);
    for (map, old, new) in [("to", &old.to, &new.to), ("from", &old.from, &new.from)] {
        script.elements("add", map, &differing(new, old));
    }
    let pairs = |of: &Ruleset, but: &Ruleset| -> Vec<String> {
        let (of, but) = (of.itself(), but.itself());
        of.difference(&but).map(|ip| format!("{ip} . {ip}")).collect()
    };
    script.elements("delete", "itself", &pairs(old, new));
    script.elements("add", "itself", &pairs(new, old));
    for set in old.sets.keys().filter(|set| !new.sets.contains_key(*set)) {
        script.line(&format!("delete set {table} {set}"));
    }
    script.text
}

/// The elements of one map that the other has not, or has otherwise.
fn differing(of: &BTreeMap<IpAddr, String>, but: &BTreeMap<IpAddr, String>) -> Vec<String> {
    let differing = of.iter().filter(|(ip, chain)| but.get(*ip) != Some(chain));
    differing.map(|(ip, chain)| format!("{ip} : goto {chain}")).collect()
}

impl Script {
    fn sets(&mut self, old: &Ruleset, new: &Ruleset) {
        let (table, family) = (table(new.family), new.family);
        let nothing = BTreeSet::new();
        for (name, (kind, elements)) in &new.sets {
            let before = old.sets.get(name).map(|(_, elements)| elements);
            if before.is_none() {
                self.line(&format!("add set {table} {name} {{ type {}; }}", kind.types(family)));
            }
            let before = before.unwrap_or(&nothing);
            let but = |of: &BTreeSet<String>, but: &BTreeSet<String>| {
                of.difference(but).cloned().collect::<Vec<_>>()
            };
            self.elements("delete", name, &but(before, elements));
            self.elements("add", name, &but(elements, before));
        }
    }
}

fn hash(identity: &str) -> String {
    Sha256::digest(identity).iter().take(8).fold(String::new(), |mut id, byte| {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
        id
    })
}
