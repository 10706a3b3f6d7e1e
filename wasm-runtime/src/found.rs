//! Where the hosts are that a Pod may reach by their names: addresses that were found for them lately.
//!
//! The finding and the leave to connect are one answer, so a name that leads elsewhere later leads nowhere until it is asked again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// For how long an address that was found may be connected to.
const KEPT: Duration = Duration::from_mins(5);
/// How many are kept; of more, those that were found first go.
const MOST: usize = 1024;

/// The addresses of one container.
#[derive(Debug, Default)]
pub(crate) struct Found {
    since: Mutex<HashMap<IpAddr, Instant>>,
}

impl Found {
    /// These are where a host is.
    pub(crate) fn add(&self, addresses: &[IpAddr]) {
        let now = Instant::now();
        let mut since = self.since.lock();
        since.extend(addresses.iter().map(|ip| (ip.to_canonical(), now)));
        if since.len() > MOST {
            since.retain(|_, found| now - *found < KEPT);
        }
        while since.len() > MOST
            && let Some(first) = since.iter().min_by_key(|(_, found)| **found).map(|(ip, _)| *ip)
        {
            since.remove(&first);
        }
    }

    /// Whether a host is here.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        self.since.lock().get(&ip.to_canonical()).is_some_and(|found| found.elapsed() < KEPT)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn ip(number: usize) -> IpAddr {
        Ipv4Addr::from(u32::try_from(number).unwrap()).into()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_long_ago_is_forgotten() {
        let found = Found::default();
        found.add(&[ip(1), "::ffff:0.0.0.2".parse().unwrap()]);
        assert!(found.has(ip(1)) && found.has(ip(2)) && !found.has(ip(3)));
        tokio::time::advance(KEPT).await;
        assert!(!found.has(ip(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_too_many() {
        let found = Found::default();
        found.add(&[ip(MOST)]);
        tokio::time::advance(Duration::from_secs(1)).await;
        found.add(&(0..MOST).map(ip).collect::<Vec<_>>());
        assert!(!found.has(ip(MOST)) && (0..MOST).all(|number| found.has(ip(number))));
    }
}
