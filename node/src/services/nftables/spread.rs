//! How traffic to ports with few endpoints is led without rules of their own. Pure.
//!
//! - map `endpoint_0`: one endpoint of each port that has any; `endpoint_1` and so on: the others.
//! - set `several`: the ports with more than one; `with_2` and so on: those with just so many.
//!
//! ```text
//! services -> set several -> set with_3 -- random --> endpoint_0, endpoint_1 or endpoint_2
//!          \-> endpoint_0
//! ```
//!
//! The kernel commits a transaction between two steps of a packet that is on its way. Whatever it looked for then and does not find
//! any more, `endpoint_0` comes last and knows an endpoint.

use wherry_api::ranges::IpFamily;

use super::ruleset::{numbered, random};
use crate::network::nft::{address_type, header};

/// Ports with more endpoints have chains of their own.
pub(super) const FEW: usize = 8;
/// The set of ports with several endpoints.
pub(super) const SEVERAL: &str = "several";

/// The set of ports with so many endpoints.
pub(super) fn with(endpoints: usize) -> String {
    format!("with_{endpoints}")
}

/// The map of endpoints with this number, and the chain that sends there.
pub(super) fn endpoint(number: usize) -> String {
    format!("endpoint_{number}")
}

/// The sets, maps and chains of a family's table.
pub(super) fn of_table(family: IpFamily) -> String {
    let address = address_type(family);
    let key = format!("type {address} . inet_proto . inet_service");
    let mut parts = vec![format!("set {SEVERAL} {{ {key}; }}")];
    parts.extend((2..=FEW).map(|count| format!("set {} {{ {key}; }}", with(count))));
    let map = |number| format!("map {} {{ {key} : {address} . inet_service; }}", endpoint(number));
    parts.extend((0..FEW).map(map));
    parts.extend((0..FEW).map(|number| {
        let last = Some(translate(family, 0)).filter(|_| number > 0);
        let rules: Vec<String> = [translate(family, number)].into_iter().chain(last).collect();
        chain(&endpoint(number), &rules)
    }));
    let choose = |count| {
        let choices = (0..count).map(|number| format!("goto {}", endpoint(number)));
        format!("{} @{} {} vmap {{ {} }}", front(family), with(count), random(count), numbered(choices))
    };
    let rules: Vec<String> = (2..=FEW).map(choose).collect();
    parts.push(chain(SEVERAL, &rules));
    parts.join("\n  ")
}

/// The rules that lead there.
pub(super) fn rules(family: IpFamily) -> String {
    format!("{} @{SEVERAL} jump {SEVERAL}\n    {}", front(family), translate(family, 0))
}

fn chain(name: &str, rules: &[String]) -> String {
    format!("chain {name} {{\n    {}\n  }}", rules.join("\n    "))
}

fn front(family: IpFamily) -> String {
    format!("{} daddr . meta l4proto . th dport", header(family))
}

fn translate(family: IpFamily, number: usize) -> String {
    let (ip, front) = (header(family), front(family));
    format!("meta l4proto {{ tcp, udp }} dnat {ip} to {front} map @{}", endpoint(number))
}
