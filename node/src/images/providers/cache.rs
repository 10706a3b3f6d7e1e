//! What providers answered, for as long as it counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use super::exec::{Answer, CacheKey};

/// What is remembered, by scope: a provider, and the account it was asked for.
#[derive(Default)]
pub(super) struct Cache {
    known: Mutex<HashMap<Key, (Timestamp, Arc<Answer>)>>,
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// A scope and the images in it; an empty text is all.
type Key = (String, String);

impl Cache {
    /// Waits until nobody else asks in this scope.
    pub(super) async fn turn(&self, scope: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock();
            // Turns that nobody waits for or has are made anew when they are needed.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(scope.to_owned()).or_default())
        };
        turn.lock_owned().await
    }

    /// What is known of the image.
    pub(super) fn find(&self, scope: &str, image: &str, now: Timestamp) -> Option<Arc<Answer>> {
        let mut known = self.known.lock();
        known.retain(|_, (until, _)| now < *until);
        let keys =
            [CacheKey::Image, CacheKey::Registry, CacheKey::Global].map(|key| place(scope, key, image));
        keys.iter().find_map(|key| known.get(key)).map(|(_, answer)| Arc::clone(answer))
    }

    /// Remembers an answer for so long; not at all if that is no time.
    pub(super) fn keep(
        &self,
        scope: &str,
        image: &str,
        answer: Arc<Answer>,
        (now, lasts): (Timestamp, Duration),
    ) {
        let until = now.saturating_add(lasts).unwrap_or(Timestamp::MAX);
        if now < until {
            self.known.lock().insert(place(scope, answer.key, image), (until, answer));
        }
    }
}

fn place(scope: &str, key: CacheKey, image: &str) -> Key {
    let images = match key {
        CacheKey::Image => image,
        CacheKey::Registry => image.split('/').next().unwrap_or(image),
        CacheKey::Global => "",
    };
    (scope.to_owned(), images.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_for_what_they_are_for_and_for_their_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let answer = |key| Arc::new(Answer { key, lasts: None, accounts: Vec::new() });
        let lasts = |seconds| (at(0), Duration::from_secs(seconds));
        let cache = Cache::default();
        cache.keep("a", "r.io/x", answer(CacheKey::Image), lasts(10));
        cache.keep("b", "r.io/x", answer(CacheKey::Registry), lasts(10));
        cache.keep("c", "r.io/x", answer(CacheKey::Global), lasts(10));
        cache.keep("d", "r.io/x", answer(CacheKey::Global), lasts(0));
        let found = |scope, image, now| cache.find(scope, image, at(now)).is_some();
        assert_eq!(["a", "b", "c", "d"].map(|scope| found(scope, "r.io/x", 9)), [true, true, true, false]);
        assert_eq!(["a", "b", "c"].map(|scope| found(scope, "r.io/y", 9)), [false, true, true]);
        assert_eq!(["a", "b", "c"].map(|scope| found(scope, "s.io/x", 9)), [false, false, true]);
        assert!(!found("c", "r.io/x", 10));
    }
}
