//! Replies by datagram that were given already, for who asks the same before anything has changed: most ask for few names again and again.
//!
//! Guarantees: a reply is the one that would be made anew, because all that it follows from is compared: every byte of the question but its
//! number, and which version of the zone there is.

use std::collections::HashMap;

/// How many are kept; with one more all of them are forgotten.
const MOST: usize = 1024;
/// The longest question of which a reply is kept: one of the longest name, with options of a resolver.
const LONGEST: usize = 320;
/// The length of the number that a client gives its question.
const NUMBER: usize = 2;

/// Those of one version of the zone.
#[derive(Default)]
pub(super) struct Replies {
    version: (bool, u32),
    /// By the question, both without their number.
    known: HashMap<Box<[u8]>, Box<[u8]>>,
    reply: Vec<u8>,
}

impl Replies {
    /// The reply to a question, if it is known in this version.
    pub(super) fn find(&mut self, version: (bool, u32), question: &[u8]) -> Option<&[u8]> {
        if self.version != version {
            self.version = version;
            self.known.clear();
        }
        let (number, question) = question.split_at_checked(NUMBER)?;
        let reply = self.known.get(question)?;
        self.reply.clear();
        self.reply.extend_from_slice(number);
        self.reply.extend_from_slice(reply);
        Some(&self.reply)
    }

    /// Keeps the reply to a question that [`Self::find`] did not find.
    pub(super) fn keep(&mut self, question: &[u8], reply: &[u8]) {
        let (Some(question), Some(reply)) = (question.get(NUMBER..), reply.get(NUMBER..)) else { return };
        if question.len() > LONGEST {
            return;
        }
        if self.known.len() == MOST {
            self.known.clear();
        }
        self.known.insert(question.into(), reply.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: (bool, u32) = (true, 1);

    #[test]
    fn a_reply_is_found_by_the_same_question_and_has_its_number() {
        let mut replies = Replies::default();
        assert_eq!(replies.find(FIRST, b"01web"), None);
        replies.keep(b"01web", b"01here");
        assert_eq!(replies.find(FIRST, b"77web"), Some(&b"77here"[..]));
        assert_eq!(replies.find(FIRST, b"77wEb"), None, "names are given back as they were written");
        assert_eq!(replies.find(FIRST, b"7"), None);
    }

    #[test]
    fn no_reply_outlives_what_it_follows_from() {
        for other in [(true, 2), (false, 1)] {
            let mut replies = Replies::default();
            assert_eq!(replies.find(FIRST, b"01web"), None);
            replies.keep(b"01web", b"01here");
            assert_eq!(replies.find(other, b"01web"), None);
            assert_eq!(replies.find(FIRST, b"01web"), None, "{other:?}");
        }
    }

    #[test]
    fn who_asks_for_many_names_or_long_ones_fills_no_memory() {
        let mut replies = Replies::default();
        for number in 0..3 * MOST {
            replies.keep(format!("01{number}").as_bytes(), b"01here");
            assert!(replies.known.len() <= MOST);
        }
        let long = vec![0; LONGEST + NUMBER + 1];
        replies.keep(&long, b"01here");
        assert_eq!(replies.find(replies.version, &long), None);
    }
}
