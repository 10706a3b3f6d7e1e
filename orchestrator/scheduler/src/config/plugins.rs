//! Which plugins a profile has where, from what its document enables and disables.
//!
//! `multiPoint` stands for all extension points at once; what an extension point says itself goes before it.

use crate::plugins::{Plugin, PluginSet};

use super::reader::Fields;

/// Plugins that decide at other points than filters and scores, and those that Wherry does not have.
const OTHERS: [&str; 4] = ["SchedulingGates", "PrioritySort", "DynamicResources", "DefaultBinder"];
const PREEMPTION: &str = "DefaultPreemption";
const POINTS: [&str; 9] =
    ["preEnqueue", "preFilter", "preScore", "reserve", "permit", "preBind", "bind", "postBind", "queueSort"];

/// What is enabled where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Enabled {
    pub(super) filters: PluginSet,
    pub(super) scores: Vec<(Plugin, i64)>,
    pub(super) preempts: bool,
}

/// What a document says of one extension point.
#[derive(Default)]
struct Point {
    enabled: Vec<(String, i64)>,
    disabled: Vec<String>,
}

impl Point {
    fn read(plugins: &mut Fields<'_>, name: &str) -> Self {
        let Some(mut point) = plugins.object(name) else { return Self::default() };
        let mut found = Self::default();
        for mut plugin in point.objects("enabled") {
            let weight = plugin.int("weight").unwrap_or(0);
            let name = read_name(&mut plugin, false);
            found.enabled.push((name, weight));
        }
        for mut plugin in point.objects("disabled") {
            // A weight has no meaning there, but upstream's type has one.
            plugin.value("weight");
            found.disabled.push(read_name(&mut plugin, true));
        }
        found
    }

    fn disables(&self, name: &str) -> bool {
        self.disabled.iter().any(|disabled| disabled == "*" || disabled == name)
    }

    /// What is enabled here, given what is so everywhere.
    fn apply(&self, everywhere: &[(String, i64)]) -> Vec<(String, i64)> {
        let own = |name: &str| self.enabled.iter().any(|(enabled, _)| enabled == name);
        let kept = everywhere.iter().filter(|(name, _)| !self.disables(name) && !own(name));
        kept.chain(&self.enabled).cloned().collect()
    }
}

fn read_name(plugin: &mut Fields<'_>, may_be_all: bool) -> String {
    let path = plugin.at("name");
    let name = plugin.text("name").unwrap_or_default();
    let is_known = Plugin::named(&name).is_some()
        || name == PREEMPTION
        || OTHERS.contains(&&*name)
        || (may_be_all && name == "*");
    if name.is_empty() {
        plugin.errors.required(&path, "");
    } else if !is_known {
        plugin.errors.invalid(&path, format!("{name:?}"), "plugin does not exist");
    }
    name
}

/// Reads what a profile enables.
pub(super) fn read(plugins: Option<Fields<'_>>, usual: &[(Plugin, i64)]) -> Enabled {
    let weight =
        |plugin: Plugin| usual.iter().find(|(scored, _)| *scored == plugin).map_or(0, |(_, weight)| *weight);
    let all = Plugin::ALL.into_iter().map(|plugin| (plugin.name().to_owned(), weight(plugin)));
    let defaults: Vec<_> = all.chain([(PREEMPTION.to_owned(), 0)]).collect();
    let (mut everywhere, mut filter, mut score, mut post_filter) =
        (Point::default(), Point::default(), Point::default(), Point::default());
    if let Some(mut plugins) = plugins {
        everywhere = Point::read(&mut plugins, "multiPoint");
        filter = Point::read(&mut plugins, "filter");
        score = Point::read(&mut plugins, "score");
        post_filter = Point::read(&mut plugins, "postFilter");
        for point in POINTS {
            Point::read(&mut plugins, point);
        }
    }
    let everywhere = everywhere.apply(&defaults);
    let plugins = |point: &Point| point.apply(&everywhere);
    let known = |(name, weight): (String, i64)| Plugin::named(&name).map(|plugin| (plugin, weight));
    // Only those score that do so by default; a weight that is left out is 1.
    let scores = plugins(&score).into_iter().filter_map(known);
    let scores = scores.filter(|(plugin, _)| usual.iter().any(|(scored, _)| scored == plugin));
    Enabled {
        filters: plugins(&filter).into_iter().filter_map(known).map(|(plugin, _)| plugin).collect(),
        scores: scores.map(|(plugin, weight)| (plugin, if weight == 0 { 1 } else { weight })).collect(),
        preempts: plugins(&post_filter).iter().any(|(name, _)| name == PREEMPTION),
    }
}
