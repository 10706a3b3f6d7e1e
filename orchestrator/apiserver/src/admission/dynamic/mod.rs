//! Admission by those who are configured while the server runs: policies and webhooks.
//!
//! Verbs tell a [`Write`] what they are about to do. First those who may change it are asked, in two rounds at most
//! ([`rounds`]); then, when the rules of the kind have been checked, those who may only refuse it.
//!
//! Reading order: `attributes` (what a write is), `forms` (what it is in other versions), `rules` (who wants to see it), `seen` (what
//! they see), `rounds`. Nothing of this is done while nothing is configured.

pub(crate) mod attributes;
pub(crate) mod conditions;
pub(crate) mod connection;
mod forms;
mod options;
pub(crate) mod request;
pub(crate) mod rounds;
pub(crate) mod rules;
pub(crate) mod seen;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use wherry_schema::Value;
use wherry_store::{Snapshot, Store};

use crate::admission::policy::{self, Policies};
use crate::admission::webhook::Webhooks;
use crate::error::Failure;
use crate::follow::{Follower, Made};
use crate::metrics::Family;
use crate::request::query::WriteOptions;
use crate::verbs::Cx;
pub(crate) use attributes::{By, Operation, Write};
pub(crate) use options::{of_delete, of_write};
use rounds::{Asked, Rounds};
pub(crate) use rules::Matcher;

/// The group of the objects that configure hooks.
const GROUP: &str = "admissionregistration.k8s.io";

/// Who is configured to look at changes, as of now.
pub(crate) struct Dynamic(Follower<Hooks>);

/// Everybody who is configured to look at changes.
#[derive(Default)]
pub(crate) struct Hooks {
    /// Whether there is anybody at all.
    any: bool,
    policies: Policies,
    webhooks: Webhooks,
}

impl Made for Hooks {
    const PREFIX: &'static str = "/registry/admissionregistration.k8s.io/";

    fn make(&self, state: &Snapshot) -> Self {
        Self {
            any: state.range(Self::PREFIX, None).next().is_some(),
            policies: self.policies.renew(state),
            webhooks: self.webhooks.make(state),
        }
    }
}

impl Dynamic {
    /// Those configured in a store.
    pub(crate) fn new(store: &Store) -> Self {
        Self(Follower::new(store, &Hooks::default()))
    }

    fn hooks(&self) -> Option<Arc<Hooks>> {
        Some(self.0.now()).filter(|hooks| hooks.any)
    }
}

/// Those who are to be asked about a change, and by whom it is; none if there is nobody, or if it is not their business:
/// what the server does by itself, and what decides about admission, so that a broken hook can be removed.
pub(crate) fn concerned<'a>(cx: &Cx<'a>) -> Option<(Arc<Hooks>, By<'a>)> {
    let by = By { user: cx.user?, notes: cx.notes? };
    let hooks = cx.state.dynamic.hooks()?;
    (cx.kind.group != GROUP).then_some((hooks, by))
}

/// What the server itself makes of an object before others are asked.
pub(crate) type BuiltIn<'b> = &'b mut (dyn FnMut(&mut Value) -> Result<(), Failure> + Send);

impl Hooks {
    /// Asks those who may change the object. If one changes what others have seen, the server completes it again and
    /// they are asked once more.
    pub(crate) async fn mutate(&self, write: &mut Write<'_>, built_in: BuiltIn<'_>) -> Result<(), Failure> {
        let started = write.state.clock.now();
        let outcome = self.mutate_in_rounds(write, built_in).await;
        step(write, "admit", (started, outcome.is_err()));
        outcome
    }

    async fn mutate_in_rounds(&self, write: &mut Write<'_>, built_in: BuiltIn<'_>) -> Result<(), Failure> {
        let mut rounds = Rounds::default();
        let (mut policies, mut webhooks) = (Asked::default(), Asked::default());
        loop {
            policy::mutate(&self.policies, write, &mut rounds, &mut policies).await?;
            self.webhooks.mutate(write, &mut rounds, &mut webhooks).await?;
            if !rounds.next() {
                return Ok(());
            }
            if let Some(object) = &mut write.object {
                built_in(object.to_mut())?;
            }
        }
    }

    /// Asks those who may refuse the change.
    pub(crate) async fn validate(&self, write: &Write<'_>) -> Result<(), Failure> {
        let started = write.state.clock.now();
        let outcome = match policy::validate(&self.policies, write).await {
            Ok(()) => self.webhooks.validate(write).await,
            Err(failure) => Err(failure),
        };
        step(write, "validate", (started, outcome.is_err()));
        outcome
    }
}

/// Counts a step of admission that began at a time and refused the write, or did not.
fn step(write: &Write<'_>, name: &str, (started, rejected): (Timestamp, bool)) {
    let took = write.state.clock.now().duration_since(started);
    let rejected = if rejected { "true" } else { "false" };
    let labels = [("operation", write.operation.name()), ("rejected", rejected), ("type", name)];
    write.state.metrics.named.took(Family::AdmissionStep, &labels, took);
}

/// Asks about something that is done with an object and writes none of its kind: a binding, an eviction, a connection.
/// The object is what the client sends, as those leave it who may change it.
pub(crate) async fn look_at<'a>(
    cx: &Cx<'a>,
    (operation, part): (Operation, &'a str),
    name: &'a str,
    (object, options): (&mut Value, Option<&WriteOptions>),
) -> Result<(), Failure> {
    let Some((hooks, by)) = concerned(cx) else { return Ok(()) };
    let mut write = Write::of(cx, by, operation, part).named(name).to(Cow::Owned(std::mem::take(object)));
    if let Some(options) = options {
        write = write.with_options(of_write(operation, options), options.dry_run);
    }
    hooks.mutate(&mut write, &mut |_| Ok(())).await?;
    hooks.validate(&write).await?;
    *object = write.object.map(Cow::into_owned).unwrap_or_default();
    Ok(())
}
