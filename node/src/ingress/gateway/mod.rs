//! The Gateway API on this node: Gateways of our class are listened for, and routes that belong to them served.
//!
//! ```text
//! World -> listeners (which are ours) -> attach (routes to listeners, pure) -> Served by port -> doors
//!                                          |                                                      | ports that could not be opened
//!                                          +------------> status (pure, then written) <-----------+
//! ```
//!
//! - `objects`, `written`: what objects say as they are written; `world`: which there are.
//! - `route`, `filters`, `hosts`, `duration`: a route as it is meant; `backends`: where it leads.
//! - `conditions`, `status`: what objects are told, without needless changes.

mod attach;
mod backends;
mod conditions;
mod duration;
mod filters;
mod hosts;
mod listeners;
mod objects;
mod route;
mod status;
#[cfg(test)]
mod tests;
mod world;
mod written;

use std::collections::BTreeMap;

use super::served::Served;
use super::status::Write;
use super::world::World;
use attach::Outcome;
pub(super) use objects::Kind;
pub(super) use status::Facts;
pub(super) use world::{Definition, GatewayApi};

/// What the objects come to, for who serves and for who tells them.
pub(super) struct Settled<'w> {
    world: &'w World,
    outcome: Outcome<'w>,
}

impl<'w> Settled<'w> {
    /// What is known comes to.
    pub(super) fn of(world: &'w World) -> Self {
        Self { world, outcome: attach::settle(world) }
    }

    /// What is to be served at each port that Gateways ask for; to be taken once.
    pub(super) fn take_ports(&mut self) -> BTreeMap<u16, Served> {
        std::mem::take(&mut self.outcome.ports)
    }

    /// What objects are to be told.
    pub(super) fn plan(&self, facts: &Facts<'_>) -> Vec<Write> {
        status::plan(self.world, &self.outcome, facts)
    }
}
