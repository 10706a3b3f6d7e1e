//! What others said lately.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use wherry_dns::proto::rr::{LowerName, RecordType};

use super::forward::Told;

/// The longest time anything is kept, whatever its owner allows: names of others may move, too.
const LONGEST: Duration = Duration::from_secs(30);
/// How many answers are kept.
const ENTRIES: usize = 1024;

/// Answers by name and type.
#[derive(Default)]
pub(super) struct Cache {
    entries: HashMap<(LowerName, RecordType), Entry>,
}

struct Entry {
    told: Told,
    since: Instant,
    until: Instant,
}

impl Cache {
    /// What was said, with the time it may still be kept.
    pub(super) fn get(&self, name: &LowerName, wanted: RecordType, now: Instant) -> Option<Told> {
        let entry = self.entries.get(&(name.clone(), wanted)).filter(|entry| entry.until > now)?;
        let mut told = entry.told.clone();
        let age = u32::try_from(now.duration_since(entry.since).as_secs()).unwrap_or(u32::MAX);
        for record in told.answers.iter_mut().chain(&mut told.authority) {
            record.decrement_ttl(age);
        }
        Some(told)
    }

    /// Keeps what was said for as long as its owner allows.
    pub(super) fn put(&mut self, name: LowerName, wanted: RecordType, told: &Told, now: Instant) {
        let Some(lifetime) = told.lifetime() else { return };
        if self.entries.len() >= ENTRIES {
            self.entries.retain(|_, entry| entry.until > now);
        }
        if self.entries.len() >= ENTRIES {
            let first = self.entries.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| key.clone());
            first.and_then(|key| self.entries.remove(&key));
        }
        let until = now + lifetime.min(LONGEST);
        self.entries.insert((name, wanted), Entry { told: told.clone(), since: now, until });
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use wherry_dns::proto::op::ResponseCode;
    use wherry_dns::proto::rr::rdata::A;
    use wherry_dns::proto::rr::{Name, RData, Record};

    use super::*;

    fn told(ttl: u32) -> Told {
        let name = Name::from_ascii("a.example.").unwrap();
        let record = Record::from_rdata(name, ttl, RData::A(A(Ipv4Addr::LOCALHOST)));
        Told { answers: vec![record], authority: None, code: ResponseCode::NoError }
    }

    fn name(text: &str) -> LowerName {
        LowerName::new(&Name::from_ascii(text).unwrap())
    }

    #[tokio::test]
    async fn what_was_said_is_kept_as_long_as_it_may_be() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(name("a.example."), RecordType::A, &told(10), start);
        let left = |cache: &Cache, seconds| {
            let found = cache.get(&name("A.Example."), RecordType::A, start + Duration::from_secs(seconds));
            found.map(|told| told.answers[0].ttl)
        };
        assert_eq!([left(&cache, 0), left(&cache, 9), left(&cache, 10)], [Some(10), Some(1), None]);
        assert_eq!(cache.get(&name("a.example."), RecordType::AAAA, start), None);
        cache.put(name("a.example."), RecordType::A, &told(3600), start);
        assert_eq!([left(&cache, 29), left(&cache, 30)], [Some(3571), None]);
        cache.put(name("b.example."), RecordType::A, &told(0), start);
        assert_eq!(cache.get(&name("b.example."), RecordType::A, start), None);
    }

    #[tokio::test]
    async fn the_oldest_makes_room() {
        let (mut cache, start) = (Cache::default(), Instant::now());
        cache.put(name("first.example."), RecordType::A, &told(5), start);
        for n in 0..ENTRIES {
            cache.put(name(&format!("n{n}.example.")), RecordType::A, &told(20), start);
        }
        assert_eq!(cache.entries.len(), ENTRIES);
        assert_eq!(cache.get(&name("first.example."), RecordType::A, start), None);
    }
}
