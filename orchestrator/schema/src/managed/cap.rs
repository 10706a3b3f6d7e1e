//! At most ten managers of updates are told apart; what the oldest own is put together as `ancient-changes`.

use super::entries::{Entry, Operation};
use super::owners::Owners;

const MOST: usize = 10;
const OLD: &str = "ancient-changes";

impl Owners {
    /// Joins the oldest updates of each version until few enough are left.
    pub(super) fn cap(&mut self) {
        let is_update = |entry: &Entry| entry.operation == Operation::Update;
        let mut count = self.entries.iter().filter(|entry| is_update(entry)).count();
        if count <= MOST {
            return;
        }
        let all = std::mem::take(&mut self.entries);
        let (mut updates, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_update);
        updates.sort_by(|a, b| a.time.cmp(&b.time).then_with(|| identifier(a).cmp(&identifier(b))));
        self.entries = others;
        let mut joined: Vec<Entry> = Vec::new();
        for entry in updates {
            let bucket = joined.iter_mut().find(|bucket| bucket.api_version == entry.api_version);
            match bucket {
                Some(bucket) if count > MOST => {
                    count -= 1;
                    OLD.clone_into(&mut bucket.manager);
                    bucket.subresource.clear();
                    bucket.fields.union(entry.fields);
                    bucket.time = entry.time;
                }
                _ => joined.push(entry),
            }
        }
        self.entries.append(&mut joined);
    }
}

/// The text by which managers are ordered.
fn identifier(entry: &Entry) -> (&str, &str, &str) {
    (&entry.manager, &entry.api_version, &entry.subresource)
}
