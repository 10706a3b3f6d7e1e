//! [`Policies`]: the policies and bindings in the store, compiled once for each of their revisions.

use std::collections::HashMap;
use std::sync::Arc;

use wherry_schema::Value;
use wherry_store::{Entry, Revision, Snapshot};

use super::common::Binding;
use super::{mutating, validating};

/// Where policies and bindings are stored.
const PREFIX: &str = "/registry/admissionregistration.k8s.io/";

/// A policy that applies somewhere.
#[derive(Debug)]
pub(super) struct Bound<P> {
    pub(super) policy: Arc<P>,
    /// In the order of their names; never empty.
    pub(super) bindings: Vec<Arc<Binding>>,
}

/// All policies that apply somewhere, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(super) validating: Vec<Bound<validating::Policy>>,
    pub(super) mutating: Vec<Bound<mutating::Policy>>,
    compiled: HashMap<Arc<str>, (Revision, Compiled)>,
}

/// What a stored object came to.
#[derive(Debug, Clone)]
enum Compiled {
    Validating(Arc<validating::Policy>),
    ValidatingBinding(Arc<Binding>),
    Mutating(Arc<mutating::Policy>),
    MutatingBinding(Arc<Binding>),
    /// Of another kind, or not to be read.
    Nothing,
}

impl Policies {
    /// The policies of a state of the store. What did not change since this is not compiled again.
    pub(crate) fn renew(&self, state: &Snapshot) -> Self {
        let compiled: HashMap<_, _> = state
            .range(PREFIX, None)
            .map(|entry| {
                let known = self.compiled.get(&entry.key).filter(|(at, _)| *at == entry.mod_revision);
                let compiled = known.map_or_else(|| Compiled::of(entry), |(_, compiled)| compiled.clone());
                (Arc::clone(&entry.key), (entry.mod_revision, compiled))
            })
            .collect();
        let mut keys: Vec<&Arc<str>> = compiled.keys().collect();
        keys.sort_unstable();
        let all = || keys.iter().map(|key| &compiled[*key].1);
        let (mut validating, mut mutating) = (Vec::new(), Vec::new());
        for one in all() {
            match one {
                Compiled::Validating(policy) => {
                    let bindings = all().filter_map(Compiled::validating_binding);
                    validating.extend(Bound::new(policy, &policy.common.name, bindings));
                }
                Compiled::Mutating(policy) => {
                    let bindings = all().filter_map(Compiled::mutating_binding);
                    mutating.extend(Bound::new(policy, &policy.common.name, bindings));
                }
                Compiled::ValidatingBinding(_) | Compiled::MutatingBinding(_) | Compiled::Nothing => {}
            }
        }
        Self { validating, mutating, compiled }
    }
}

impl<P> Bound<P> {
    fn new<'b>(
        policy: &Arc<P>,
        name: &str,
        bindings: impl Iterator<Item = &'b Arc<Binding>>,
    ) -> Option<Self> {
        let bindings: Vec<_> = bindings.filter(|binding| binding.policy == name).cloned().collect();
        (!bindings.is_empty()).then(|| Self { policy: Arc::clone(policy), bindings })
    }
}

impl Compiled {
    fn of(entry: &Entry) -> Self {
        let object = match Value::from_json(&entry.value) {
            Ok(object) => object,
            Err(error) => {
                tracing::error!(key = &*entry.key, %error, "a policy or binding cannot be read; it does nothing");
                return Self::Nothing;
            }
        };
        let resource = entry.key[PREFIX.len()..].split('/').next().unwrap_or_default();
        match resource {
            "validatingadmissionpolicies" => Self::Validating(Arc::new(validating::Policy::compile(&object))),
            "validatingadmissionpolicybindings" => {
                Self::ValidatingBinding(Arc::new(Binding::compile(&object)))
            }
            "mutatingadmissionpolicies" => Self::Mutating(Arc::new(mutating::Policy::compile(&object))),
            "mutatingadmissionpolicybindings" => Self::MutatingBinding(Arc::new(Binding::compile(&object))),
            _ => Self::Nothing,
        }
    }

    fn validating_binding(&self) -> Option<&Arc<Binding>> {
        if let Self::ValidatingBinding(binding) = self { Some(binding) } else { None }
    }

    fn mutating_binding(&self) -> Option<&Arc<Binding>> {
        if let Self::MutatingBinding(binding) = self { Some(binding) } else { None }
    }
}
