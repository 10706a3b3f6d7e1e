//! Events of Ingresses: what is wrong with them, once it has lasted for a while. An Ingress mostly comes right before, or right after,
//! what it names.
//!
//! What was told is told again only after it was put right, or by another life of the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::Instant;

use super::problems::{Problem, problems};
use super::world::World;
use crate::events::{Events, Happening, Severity};

/// How long something is wrong before it is told.
const GRACE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct Teller {
    events: Events,
    known: Known,
}

impl Teller {
    pub(super) fn new(events: Events) -> Self {
        Self { events, known: Known::default() }
    }

    /// Ends when something is to be told unless it was put right, which may be never.
    pub(super) async fn wait(&self) {
        match self.known.next() {
            Some(next) => tokio::time::sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// Tells what has been wrong for long enough.
    pub(super) fn look(&mut self, world: &World, now: Instant) {
        for Problem { ingress, reason, message } in self.known.due(problems(world), now) {
            let object = ObjectReference {
                api_version: Some("networking.k8s.io/v1".to_owned()),
                kind: Some("Ingress".to_owned()),
                name: Some(ingress.name.clone()),
                uid: world.published.get(&ingress).map(|published| published.uid.clone()),
                namespace: Some(ingress.namespace),
                ..ObjectReference::default()
            };
            self.events.tell(object, Happening::of_pod(Severity::Warning, reason, message));
        }
    }
}

/// What is wrong, and from when on it is to be told; `None` if it was.
#[derive(Debug, Default)]
struct Known(BTreeMap<Problem, Option<Instant>>);

impl Known {
    /// When something is to be told next.
    fn next(&self) -> Option<Instant> {
        self.0.values().flatten().min().copied()
    }

    /// What is to be told now, where this is wrong now.
    fn due(&mut self, mut wrong: BTreeSet<Problem>, now: Instant) -> Vec<Problem> {
        self.0.retain(|problem, _| wrong.remove(problem));
        self.0.extend(wrong.into_iter().map(|problem| (problem, Some(now + GRACE))));
        let mut due = Vec::new();
        for (problem, from) in &mut self.0 {
            if from.take_if(|from| *from <= now).is_some() {
                due.push(problem.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::ObjectKey;

    #[test]
    fn what_lasts_is_told_once_and_again_after_it_was_put_right() {
        let problem = |name: &str| {
            let ingress = ObjectKey { namespace: "shop".to_owned(), name: name.to_owned() };
            Problem { ingress, reason: "BackendNotFound", message: "there is no Service shop/a".to_owned() }
        };
        let (a, b) = (problem("a"), problem("b"));
        let (mut known, start) = (Known::default(), Instant::now());
        let of = |all: &[&Problem]| all.iter().map(|one| (*one).clone()).collect::<BTreeSet<_>>();
        assert_eq!((known.due(of(&[&a, &b]), start), known.next()), (vec![], Some(start + GRACE)));
        // One was there a moment later, and is missing once more.
        let second = Duration::from_secs(1);
        assert_eq!(known.due(of(&[&a]), start + second), []);
        assert_eq!(known.due(of(&[&a, &b]), start + GRACE), std::slice::from_ref(&a));
        assert_eq!((known.due(of(&[&a, &b]), start + 2 * GRACE), known.next()), (vec![b], None));
        assert_eq!(known.due(of(&[]), start + 2 * GRACE), []);
        assert_eq!(known.due(of(&[&a]), start + 2 * GRACE), []);
        assert_eq!(known.due(of(&[&a]), start + 3 * GRACE), [a]);
    }
}
