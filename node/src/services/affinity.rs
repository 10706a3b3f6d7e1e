//! Clients that stay with their endpoint for a time.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Clients remembered before the expired ones are forgotten.
const CLIENTS: usize = 1024;

/// The endpoint of each client of one address and until when it keeps it.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<IpAddr, (SocketAddr, Instant)>>);

impl Clients {
    /// The client's endpoint, if it is one of these still.
    pub(super) fn endpoint(&self, client: IpAddr, among: &[SocketAddr]) -> Option<SocketAddr> {
        let clients = self.0.lock();
        let (endpoint, until) = clients.get(&client)?;
        (*until > Instant::now() && among.contains(endpoint)).then_some(*endpoint)
    }

    /// The client stays with that endpoint for so many seconds from now.
    pub(super) fn remember(&self, client: IpAddr, endpoint: SocketAddr, seconds: u32) {
        let now = Instant::now();
        let mut clients = self.0.lock();
        if clients.len() >= CLIENTS {
            clients.retain(|_, (_, until)| *until > now);
        }
        clients.insert(client, (endpoint, now + Duration::from_secs(seconds.into())));
    }
}
