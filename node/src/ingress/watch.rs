//! The loop: waits for changes, compiles, exchanges.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::Instant;
use wherry_api::clock::Clock;

use super::changes::Changes;
use super::compile::compile;
use super::doors::Doors;
use super::gateway::{Facts, Settled};
use super::status::{Address, Write, plan};
use super::teller::Teller;
use super::world::World;

/// How long after a port of a Gateway could not be listened on it is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Keeps what is served as the API's objects want it.
pub(super) struct Keeper {
    pub(super) doors: Doors,
    pub(super) writes: watch::Sender<Vec<Write>>,
    /// Where Ingresses and Gateways are served.
    pub(super) addresses: Vec<Address>,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether Gateways are.
    pub(super) gateways: bool,
    /// Who tells owners of Ingresses what is wrong with them.
    pub(super) teller: Teller,
}

impl Keeper {
    /// Ends with the watches, which is never. Nobody is taken before everything has been listed once.
    pub(super) async fn run(mut self, client: Client) {
        let (mut changes, mut world) = (Changes::new(client, self.gateways), World::default());
        let mut is_open = false;
        loop {
            let again = !self.doors.failed().is_empty();
            tokio::select! {
                change = changes.next() => {
                    let Some(change) = change else { return };
                    changes.record(&mut world, change);
                    while let Some(Some(change)) = changes.next().now_or_never() {
                        changes.record(&mut world, change);
                    }
                }
                () = tokio::time::sleep(RETRY), if again => {}
                () = self.teller.wait() => {}
            }
            if !(world.is_complete() && (is_open || !self.gateways || world.gateways.is_complete())) {
                continue;
            }
            let changed = world.take_changed();
            let mut settled = Settled::of(&world);
            if changed || again || !is_open {
                self.doors.show(compile(&world), settled.take_ports()).await;
                is_open = true;
            }
            self.tell(&world, &settled);
            self.teller.look(&world, Instant::now());
        }
    }

    fn tell(&self, world: &World, settled: &Settled<'_>) {
        let mut writes = plan(world, &self.addresses);
        if self.gateways {
            let now = self.clock.now();
            let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
            let ips = self.addresses.iter().filter_map(|address| address.ip.as_ref()?.parse().ok());
            let (addresses, failed) = (ips.collect::<Vec<IpAddr>>(), self.doors.failed());
            writes.extend(settled.plan(&Facts { addresses: &addresses, failed, now: &now }));
        }
        self.writes.send_if_modified(|known| {
            let differs = *known != writes;
            *known = writes;
            differs
        });
    }
}
