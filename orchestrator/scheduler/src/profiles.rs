//! The schedulers that this one is: each decides by its own plugins for the Pods that name it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, ProfileSettings};
use crate::metrics::OfProfile;
use crate::plugins::Profile;
use crate::pod::PodInfo;
use crate::preemption::Args;

/// One of them.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) name: Arc<str>,
    pub(crate) profile: Profile,
    /// Whether it makes room.
    pub(crate) preempts: bool,
    pub(crate) preemption: Args,
    pub(crate) counts: Arc<OfProfile>,
}

/// All of them, by name.
pub(crate) struct Profiles(HashMap<String, Arc<Own>>);

impl Profiles {
    /// Those that somebody configured.
    pub(crate) fn new(config: &Config) -> Self {
        let own = |settings: &ProfileSettings| {
            let name = settings.profile.scheduler_name.as_str();
            let own = Own {
                name: name.into(),
                profile: settings.profile.clone(),
                preempts: settings.preempts,
                preemption: settings.preemption,
                counts: config.metrics.profile(name),
            };
            (name.to_owned(), Arc::new(own))
        };
        Self(config.configuration.profiles.iter().map(own).collect())
    }

    /// The one that a Pod names.
    pub(crate) fn of(&self, pod: &PodInfo) -> Option<&Arc<Own>> {
        let named = pod.object.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
        self.0.get(named.unwrap_or("default-scheduler"))
    }

    /// Whether a Pod names one.
    pub(crate) fn has(&self, pod: &PodInfo) -> bool {
        self.of(pod).is_some()
    }
}
