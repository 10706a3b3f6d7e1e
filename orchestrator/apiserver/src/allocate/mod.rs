//! Cluster IPs and node ports of Services.
//!
//! Flow: whoever writes a Service lets [`give`] complete it with what it needs, and writes it by one transaction with the
//! IPAddress of each cluster IP that comes or goes ([`addresses`]).
//!
//! Guarantees: nothing is given out twice, and nothing leaks. An address belongs to who makes its IPAddress, and to a Service
//! that has it though its IPAddress is not there; it comes from a range that nobody is deleting when it is written. Node ports
//! have no objects: writers of Services that have some hold a lock from reading to writing.

pub(crate) mod addresses;
mod ranges;
mod search;
mod taken;

use std::collections::HashMap;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use tokio::sync::{Mutex, MutexGuard};
use wherry_api::ranges::Ranges as Own;
use wherry_schema::Value;
use wherry_store::{Precondition, Store};

use crate::error::Failure;
use crate::follow::Follower;
use crate::kinds::service::needs_node_ports;
use crate::object;
use crate::verbs::{Beside, Cx};
use ranges::Ranges;
use search::Search;
use taken::Taken;

/// Gives out addresses and ports.
pub(crate) struct Allocator {
    store: Store,
    default: Own,
    ports: RangeInclusive<u16>,
    ranges: Follower<Ranges>,
    cursor: Mutex<Cursor>,
}

/// Where the search continues, so that what was just freed is not reused at once, and what it looks at.
#[derive(Default)]
struct Cursor {
    ips: HashMap<IpNet, u64>,
    port: u16,
    taken: Option<Taken>,
}

/// What a Service was given, to be written while this is kept.
#[derive(Default)]
pub(crate) struct Given<'a> {
    /// The right to write node ports.
    _ports: Option<MutexGuard<'a, Cursor>>,
    /// That the ranges of its new addresses are as they were.
    preconditions: Vec<Precondition>,
}

impl Allocator {
    /// An allocator for these ranges, to which ServiceCIDRs add.
    pub(crate) fn new(store: &Store, default: Own, ports: RangeInclusive<u16>) -> Self {
        let ranges = Follower::new(store, &Ranges::of_no_objects(default));
        Self { store: store.clone(), default, ports, ranges, cursor: Mutex::default() }
    }

    /// Where Services get their addresses from, unless ServiceCIDRs say otherwise.
    pub(crate) fn service_cidr(&self) -> Own {
        self.default
    }
}

/// Completes a Service, that was `old`, with the addresses and ports it needs. `key` is its own storage key. A dry run holds
/// nothing, so it does not mind what others hold.
pub(crate) async fn give<'a>(
    cx: &Cx<'a>,
    (key, old): (&str, Option<&Value>),
    object: &mut Value,
    dry_run: bool,
) -> Result<Given<'a>, Failure> {
    let allocator = &cx.state.allocator;
    let mut cursor = allocator.cursor.lock().await;
    let Cursor { ips, port, taken } = &mut *cursor;
    let taken = Taken::current(taken, &allocator.store)?;
    let ranges = allocator.ranges.now();
    let search = Search::new(allocator, &ranges, (ips, port), (taken, key), dry_run);
    let completed = search.complete(object, old);
    let preconditions =
        completed.map_err(|errors| Failure::invalid(cx.kind, object::name(object), errors))?;
    let ports = needs_node_ports(object).then_some(cursor);
    Ok(Given { _ports: ports, preconditions })
}

impl Given<'_> {
    /// What is to be written beside the Service that becomes `new`.
    pub(crate) fn beside(&self, cx: &Cx<'_>, old: Option<&Value>, new: &Value) -> Result<Beside, Failure> {
        let mut beside = addresses::beside(cx, old, Some(new))?;
        beside.preconditions.extend(self.preconditions.iter().cloned());
        Ok(beside)
    }
}
