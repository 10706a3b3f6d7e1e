//! One async lock per key, kept only while it is held or waited for.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// Locks by name.
#[derive(Debug, Default)]
pub(crate) struct KeyedLocks(Mutex<HashMap<String, Lock>>);

impl KeyedLocks {
    /// Waits until nobody else holds `key`.
    pub(crate) async fn lock(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock();
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(locks.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn equal_keys_exclude_each_other_and_unused_ones_are_dropped() {
        let locks = KeyedLocks::default();
        let held = locks.lock("a").await;
        locks.lock("b").await;
        assert!(futures::poll!(Box::pin(locks.lock("a"))).is_pending());
        drop(held);
        locks.lock("a").await;
        locks.lock("c").await;
        assert!(locks.0.lock().len() <= 2);
    }
}
