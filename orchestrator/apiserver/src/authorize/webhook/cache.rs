//! Answers that still count. The one that was not asked for longest makes room.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::review::Answer;

/// How many answers are kept.
const ROOM: usize = 8192;

/// Answers by the question.
#[derive(Default)]
pub(super) struct Cache {
    answers: HashMap<Arc<[u8]>, Kept>,
    /// The questions by when they were asked last.
    order: BTreeMap<u64, Arc<[u8]>>,
    asked: u64,
}

struct Kept {
    answer: Answer,
    until: Timestamp,
    asked: u64,
}

impl Cache {
    /// The answer to a question, if it still counts.
    pub(super) fn get(&mut self, question: &[u8], now: Timestamp) -> Option<Answer> {
        let kept = self.answers.get_mut(question)?;
        if kept.until <= now {
            self.remove(question);
            return None;
        }
        let place = self.order.remove(&kept.asked)?;
        self.asked += 1;
        kept.asked = self.asked;
        self.order.insert(self.asked, place);
        Some(kept.answer.clone())
    }

    /// Keeps the answer to a question.
    pub(super) fn put(&mut self, question: Vec<u8>, answer: Answer, until: Timestamp) {
        self.remove(&question);
        if self.answers.len() >= ROOM
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.answers.remove(&oldest);
        }
        self.asked += 1;
        let question: Arc<[u8]> = question.into();
        self.order.insert(self.asked, Arc::clone(&question));
        self.answers.insert(question, Kept { answer, until, asked: self.asked });
    }

    fn remove(&mut self, question: &[u8]) {
        if let Some(kept) = self.answers.remove(question) {
            self.order.remove(&kept.asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Answer {
        let body = br#"{"apiVersion":"authorization.k8s.io/v1","kind":"SubjectAccessReview","status":{"allowed":true}}"#;
        super::super::review::answer(body).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_answer_counts_until_its_time_is_over() {
        let mut cache = Cache::default();
        cache.put(b"q".to_vec(), answer(), at(10));
        assert_eq!(cache.get(b"q", at(9)), Some(answer()));
        assert_eq!(cache.get(b"other", at(9)), None);
        assert_eq!(cache.get(b"q", at(10)), None);
        assert!(cache.answers.is_empty() && cache.order.is_empty());
    }

    #[test]
    fn what_was_not_asked_for_longest_makes_room() {
        let mut cache = Cache::default();
        for number in 0..ROOM {
            cache.put(number.to_string().into_bytes(), answer(), at(10));
        }
        assert!(cache.get(b"0", at(1)).is_some());
        cache.put(b"new".to_vec(), answer(), at(10));
        assert_eq!((cache.answers.len(), cache.order.len()), (ROOM, ROOM));
        assert!(cache.get(b"0", at(1)).is_some() && cache.get(b"new", at(1)).is_some());
        assert!(cache.get(b"1", at(1)).is_none());
    }
}
