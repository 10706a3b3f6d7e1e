//! A `KubeSchedulerConfiguration` of `kubescheduler.config.k8s.io/v1`: the file that kube-scheduler takes as `--config`.
//!
//! Guarantees: what is accepted has an effect, or is one of the settings of kube-scheduler's process and of its sampling
//! of nodes that have no meaning here; what is not understood is refused with where it is and what is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::reader::{Errors, Fields};
use super::{args, extenders, plugins};
use crate::extender;
use crate::plugins::Profile;
use crate::preemption;
use crate::queue::Backoff;

pub(super) const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
const KIND: &str = "KubeSchedulerConfiguration";
/// Of kube-scheduler's process: connections, profiling, metrics, leaders, how many threads it has.
const PROCESS: [&str; 7] = [
    "clientConnection",
    "debuggingConfiguration",
    "delayCacheUntilActive",
    "enableContentionProfiling",
    "enableProfiling",
    "leaderElection",
    "healthzBindAddress",
];

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigurationError(Vec<String>);

/// One scheduler, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProfileSettings {
    pub(crate) profile: Profile,
    pub(crate) preempts: bool,
    pub(crate) preemption: preemption::Args,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    pub(crate) profiles: Vec<ProfileSettings>,
    pub(crate) backoff: Backoff,
    pub(crate) extenders: Vec<extender::Settings>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self::named("default-scheduler")
    }
}

impl Configuration {
    /// What holds for a scheduler of this name of which nothing else is said.
    pub fn named(name: &str) -> Self {
        let profiles = vec![ProfileSettings::new(name.to_owned())];
        Self { profiles, backoff: Backoff::default(), extenders: Vec::new() }
    }

    /// Reads a configuration.
    pub fn parse(document: Value) -> Result<Self, ConfigurationError> {
        let errors = Errors::default();
        let configuration = read(Fields::new(String::new(), document, &errors));
        let errors = errors.take();
        if errors.is_empty() { Ok(configuration) } else { Err(ConfigurationError(errors)) }
    }
}

impl ProfileSettings {
    fn new(name: String) -> Self {
        Self { profile: Profile::new(name), preempts: true, preemption: preemption::Args::default() }
    }
}

fn read(mut document: Fields<'_>) -> Configuration {
    let errors = document.errors;
    let (version, kind) = (document.text("apiVersion"), document.text("kind"));
    let (version, kind) = (version.unwrap_or_default(), kind.unwrap_or_default());
    if version != API_VERSION || kind != KIND {
        errors.push(format!(
            "no kind {kind:?} is registered for version {version:?}; use {KIND} of {API_VERSION}"
        ));
    }
    for field in PROCESS {
        document.value(field);
    }
    if let Some(parallelism) = document.int("parallelism").filter(|parallelism| *parallelism <= 0) {
        errors.invalid("parallelism", parallelism, "should be an integer value greater than zero");
    }
    check_percentage(&mut document);
    let extenders::Read { extenders, ignored } = extenders::read(&mut document);
    let backoff = read_backoff(&mut document);
    let mut profiles = read_profiles(&mut document);
    for settings in &mut profiles {
        settings.profile.args.fit.ignored.extend_from_slice(&ignored);
    }
    Configuration { profiles, backoff, extenders }
}

/// All nodes are looked at, whatever part of them would do.
fn check_percentage(fields: &mut Fields<'_>) {
    if let Some(percentage) = fields.int("percentageOfNodesToScore")
        && !(0..=100).contains(&percentage)
    {
        fields.errors.invalid(
            &fields.at("percentageOfNodesToScore"),
            percentage,
            "not in valid range [0-100]",
        );
    }
}

fn read_backoff(document: &mut Fields<'_>) -> Backoff {
    let (first, longest) = ("podInitialBackoffSeconds", "podMaxBackoffSeconds");
    let (initial, most) = (document.int(first).unwrap_or(1), document.int(longest).unwrap_or(10));
    if initial <= 0 {
        document.errors.invalid(first, initial, "must be greater than 0");
    }
    if most < initial {
        document.errors.invalid(longest, most, "must be greater than or equal to PodInitialBackoffSeconds");
    }
    let seconds = |count: i64| Duration::from_secs(u64::try_from(count).unwrap_or(0));
    Backoff { initial: seconds(initial), longest: seconds(most), ..Backoff::default() }
}

fn read_profiles(document: &mut Fields<'_>) -> Vec<ProfileSettings> {
    let profiles = document.objects("profiles");
    if profiles.is_empty() {
        return Configuration::default().profiles;
    }
    let is_only = profiles.len() == 1;
    let mut names = BTreeMap::new();
    let mut found = Vec::new();
    for (at, mut profile) in profiles.into_iter().enumerate() {
        let path = profile.at("schedulerName");
        let name = profile.text("schedulerName");
        let name = if is_only { name.or(Some("default-scheduler".to_owned())) } else { name };
        let name = name.unwrap_or_default();
        if name.is_empty() {
            profile.errors.required(&path, "");
        } else if let Some(first) = names.insert(name.clone(), at) {
            profile.errors.duplicate(&path, &format!("profiles[{first}].schedulerName"));
        }
        found.push(read_profile(&mut profile, name));
    }
    found
}

fn read_profile(fields: &mut Fields<'_>, name: String) -> ProfileSettings {
    let mut settings = ProfileSettings::new(name);
    check_percentage(fields);
    let plugins = fields.object("plugins");
    let enabled = plugins::read(plugins, &settings.profile.scores);
    settings.profile.filters = enabled.filters;
    settings.profile.scores = enabled.scores;
    settings.preempts = enabled.preempts;
    let ProfileSettings { profile, preemption, .. } = &mut settings;
    args::read(fields, &mut args::Told { args: &mut profile.args, preemption });
    settings
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
