//! What a profile tells its plugins (`pluginConfig`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{NodeAffinity, TopologySpreadConstraint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reader::Fields;
use crate::plugins::{Args, ResourceSpec, ShapePoint, SpreadDefaults, Strategy};
use crate::pod::{NodeTerm, Spread, node_terms};
use crate::preemption;

/// Where what is read goes.
pub(super) struct Told<'a> {
    pub(super) args: &'a mut Args,
    pub(super) preemption: &'a mut preemption::Args,
}

/// Reads what all plugins are told.
pub(super) fn read(profile: &mut Fields<'_>, told: &mut Told<'_>) {
    let mut seen = BTreeSet::new();
    for mut entry in profile.objects("pluginConfig") {
        let name = entry.text("name").unwrap_or_default();
        if name.is_empty() {
            entry.errors.required(&entry.at("name"), "");
        } else if !seen.insert(name.clone()) {
            entry.errors.duplicate(&entry.at("name"), &name);
        }
        let path = entry.at("name");
        let Some(mut args) = entry.object("args") else { continue };
        check_kind(&mut args, &name);
        match name.as_str() {
            "DefaultPreemption" => read_preemption(&mut args, told.preemption),
            "InterPodAffinity" => read_affinity(&mut args, told.args),
            "NodeAffinity" => read_node_affinity(&mut args, told.args),
            "NodeResourcesBalancedAllocation" => read_balanced(&mut args, told.args),
            "NodeResourcesFit" => read_fit(&mut args, told.args),
            "PodTopologySpread" => read_spread(&mut args, told.args),
            "VolumeBinding" => read_volumes(&mut args, told.args),
            _ => args.errors.invalid(&path, format!("{name:?}"), "the plugin takes no arguments here"),
        }
    }
}

fn check_kind(args: &mut Fields<'_>, name: &str) {
    let version = args.text("apiVersion");
    if let Some(version) = version.filter(|version| version != super::document::API_VERSION) {
        args.errors.unsupported(&args.at("apiVersion"), &version, &[super::document::API_VERSION]);
    }
    let wanted = format!("{name}Args");
    if let Some(kind) = args.text("kind").filter(|kind| *kind != wanted) {
        args.errors.unsupported(&args.at("kind"), &kind, &[&wanted]);
    }
}

fn read_preemption(args: &mut Fields<'_>, told: &mut preemption::Args) {
    let (percentage, absolute) = ("minCandidateNodesPercentage", "minCandidateNodesAbsolute");
    let (percent, count) = (args.int(percentage).unwrap_or(10), args.int(absolute).unwrap_or(100));
    args.errors.within(&args.at(percentage), percent, (0, 100));
    if count < 0 {
        args.errors.invalid(&args.at(absolute), count, "not in valid range [0, inf)");
    }
    if percent == 0 && count == 0 {
        args.errors.invalid(
            &args.at(percentage),
            0,
            &format!("cannot be zero at the same time as {absolute}"),
        );
        args.errors.invalid(
            &args.at(absolute),
            0,
            &format!("cannot be zero at the same time as {percentage}"),
        );
    }
    told.percentage = usize::try_from(percent).unwrap_or(0);
    told.absolute = usize::try_from(count).unwrap_or(0);
}

fn read_affinity(args: &mut Fields<'_>, told: &mut Args) {
    let weight = args.int("hardPodAffinityWeight").unwrap_or(1);
    args.errors.within(&args.at("hardPodAffinityWeight"), weight, (0, 100));
    told.hard_pod_affinity_weight = weight;
    let ignored = args.flag("ignorePreferredTermsOfExistingPods");
    told.ignore_preferred_terms_of_existing_pods = ignored.unwrap_or(false);
}

fn read_node_affinity(args: &mut Fields<'_>, told: &mut Args) {
    let Some(added) = typed::<NodeAffinity>(args, "addedAffinity") else { return };
    let required = added.required_during_scheduling_ignored_during_execution;
    told.added_required = required.as_ref().map(node_terms);
    let preferred = added.preferred_during_scheduling_ignored_during_execution.unwrap_or_default();
    let term = |term: &k8s_openapi::api::core::v1::PreferredSchedulingTerm| {
        Some((i64::from(term.weight), NodeTerm::parse(&term.preference)?))
    };
    told.added_preferred = preferred.iter().filter_map(term).collect();
}

fn read_resources(args: &mut Fields<'_>) -> Vec<ResourceSpec> {
    let read = |mut resource: Fields<'_>| {
        let name = resource.text("name").unwrap_or_default();
        let weight = resource.int("weight").filter(|weight| *weight != 0).unwrap_or(1);
        if !(1..=100).contains(&weight) {
            let why = format!("resource weight of {name} not in valid range (0, 100]");
            resource.errors.invalid(&resource.at("weight"), weight, &why);
        }
        ResourceSpec { name, weight }
    };
    args.objects("resources").into_iter().map(read).collect()
}

fn read_balanced(args: &mut Fields<'_>, told: &mut Args) {
    let path = args.at("resources");
    let resources = read_resources(args);
    let mut seen = BTreeSet::new();
    for (at, resource) in resources.iter().enumerate() {
        if !seen.insert(&resource.name) {
            args.errors.duplicate(&format!("{path}[{at}].name"), &resource.name);
        }
        if resource.weight != 1 {
            args.errors.invalid(&format!("{path}[{at}].weight"), resource.weight, "must be 1");
        }
    }
    if !resources.is_empty() {
        told.balanced = resources;
    }
}

fn read_fit(args: &mut Fields<'_>, told: &mut Args) {
    told.fit.ignored = args.texts("ignoredResources");
    told.fit.ignored_groups = args.texts("ignoredResourceGroups");
    for (at, group) in told.fit.ignored_groups.iter().enumerate().filter(|(_, group)| group.contains('/')) {
        let path = format!("{}[{at}]", args.at("ignoredResourceGroups"));
        args.errors.invalid(&path, format!("{group:?}"), "resource group name can't contain '/'");
    }
    let Some(mut strategy) = args.object("scoringStrategy") else { return };
    let resources = read_resources(&mut strategy);
    if !resources.is_empty() {
        told.fit.resources = resources;
    }
    let kind = strategy.text("type").unwrap_or_default();
    let ratio = strategy.object("requestedToCapacityRatio");
    let path = strategy.at("requestedToCapacityRatio");
    if kind != "RequestedToCapacityRatio" && ratio.is_some() {
        strategy.errors.forbidden(&path, "must be nil when type is not RequestedToCapacityRatio");
    }
    told.fit.strategy = match (kind.as_str(), ratio) {
        ("LeastAllocated", _) => Strategy::LeastAllocated,
        ("MostAllocated", _) => Strategy::MostAllocated,
        ("RequestedToCapacityRatio", Some(mut ratio)) => {
            Strategy::RequestedToCapacityRatio(read_shape(&mut ratio))
        }
        ("RequestedToCapacityRatio", None) => {
            strategy.errors.required(&path, "must be specified when type is RequestedToCapacityRatio");
            return;
        }
        (other, _) => {
            let known = ["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"];
            strategy.errors.unsupported(&strategy.at("type"), other, &known);
            return;
        }
    };
}

fn read_shape(ratio: &mut Fields<'_>) -> Vec<ShapePoint> {
    let path = ratio.at("shape");
    let read = |mut point: Fields<'_>| {
        let (utilization, score) = (point.int("utilization").unwrap_or(0), point.int("score").unwrap_or(0));
        point.errors.within(&point.at("utilization"), utilization, (0, 100));
        point.errors.within(&point.at("score"), score, (0, 10));
        ShapePoint { utilization, score }
    };
    let shape: Vec<_> = ratio.objects("shape").into_iter().map(read).collect();
    if shape.is_empty() {
        ratio.errors.required(&path, "at least one point must be specified");
    }
    let unsorted = shape.windows(2).position(|pair| pair[0].utilization >= pair[1].utilization);
    if let Some(at) = unsorted {
        let path = format!("{path}[{}].utilization", at + 1);
        ratio.errors.invalid(&path, shape[at + 1].utilization, "values must be sorted in increasing order");
    }
    shape
}

fn read_spread(args: &mut Fields<'_>, told: &mut Args) {
    let constraints = typed::<Vec<TopologySpreadConstraint>>(args, "defaultConstraints").unwrap_or_default();
    let path = args.at("defaultConstraints");
    for (at, constraint) in constraints.iter().enumerate() {
        check_constraint(args, &format!("{path}[{at}]"), constraint);
    }
    let kind = args.text("defaultingType").unwrap_or_else(|| "System".to_owned());
    let at = args.at("defaultingType");
    match kind.as_str() {
        "System" if constraints.is_empty() => told.spread = SpreadDefaults::System,
        "System" => args.errors.invalid(&at, "\"System\"", "when .defaultConstraints are not empty"),
        "List" => {
            let parse = |constraint| Spread::parse(constraint, &BTreeMap::new());
            told.spread = SpreadDefaults::List(constraints.iter().map(parse).collect());
        }
        other => args.errors.unsupported(&at, other, &["System", "List"]),
    }
}

fn read_volumes(args: &mut Fields<'_>, told: &mut Args) {
    let Some(seconds) = args.int("bindTimeoutSeconds") else { return };
    if let Ok(seconds) = u64::try_from(seconds) {
        told.bind_timeout = Duration::from_secs(seconds);
    } else {
        let why = "invalid BindTimeoutSeconds, should not be a negative value";
        args.errors.invalid(&args.at("bindTimeoutSeconds"), seconds, why);
    }
}

fn check_constraint(args: &Fields<'_>, path: &str, constraint: &TopologySpreadConstraint) {
    let errors = args.errors;
    if constraint.max_skew <= 0 {
        errors.invalid(&format!("{path}.maxSkew"), constraint.max_skew, "not in valid range (0, inf)");
    }
    if constraint.topology_key.is_empty() {
        errors.required(&format!("{path}.topologyKey"), "can not be empty");
    }
    let when = format!("{path}.whenUnsatisfiable");
    match constraint.when_unsatisfiable.as_str() {
        "" => errors.required(&when, "can not be empty"),
        "DoNotSchedule" | "ScheduleAnyway" => {}
        other => errors.unsupported(&when, other, &["DoNotSchedule", "ScheduleAnyway"]),
    }
    if constraint.label_selector.is_some() {
        let why = "constraint must not define a selector, as they deduced for each pod";
        errors.forbidden(&format!("{path}.labelSelector"), why);
    }
}

/// Reads a value of the API's own types; what they do not know is an error.
fn typed<T: Serialize + DeserializeOwned>(args: &mut Fields<'_>, field: &str) -> Option<T> {
    let value = args.value(field)?;
    let path = args.at(field);
    match serde_json::from_value::<T>(value.clone()) {
        Ok(read) => {
            let known = serde_json::to_value(&read).unwrap_or_default();
            unknown(&path, &value, &known, args);
            Some(read)
        }
        Err(error) => {
            args.errors.invalid(&path, value, &error.to_string());
            None
        }
    }
}

/// Finds the fields that were not read.
fn unknown(path: &str, given: &Value, known: &Value, args: &Fields<'_>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (field, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                match known.get(field) {
                    Some(known) => unknown(&format!("{path}.{field}"), value, known, args),
                    None => {
                        args.errors.push(format!("strict decoding error: unknown field \"{path}.{field}\""));
                    }
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (at, (value, known)) in given.iter().zip(known).enumerate() {
                unknown(&format!("{path}[{at}]"), value, known, args);
            }
        }
        _ => {}
    }
}
