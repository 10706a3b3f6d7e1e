//! Tests of what configurations come to, and of what is said about wrong ones.

use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;
use crate::plugins::{Plugin, PluginSet, SpreadDefaults, Strategy as Scoring};

fn parse(more: &Value) -> Result<Configuration, Vec<String>> {
    let mut document = json!({"apiVersion": API_VERSION, "kind": KIND});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Configuration::parse(document).map_err(|error| error.0)
}

fn profile(profile: &Value) -> ProfileSettings {
    parse(&json!({"profiles": [profile]})).unwrap().profiles.remove(0)
}

#[test]
fn nothing_said_is_the_default() {
    assert_eq!(parse(&json!({})).unwrap(), Configuration::default());
    assert_eq!(
        parse(&json!({"profiles": [{}], "parallelism": 4, "leaderElection": {"leaderElect": true}})).unwrap(),
        Configuration::default()
    );
}

#[test]
fn profiles_are_told_apart_by_name() {
    let found = parse(&json!({
        "podInitialBackoffSeconds": 2, "podMaxBackoffSeconds": 20,
        "profiles": [{"schedulerName": "a"}, {"schedulerName": "b", "plugins": {"postFilter": {"disabled": [{"name": "*"}]}}}],
    }))
    .unwrap();
    let names: Vec<_> =
        found.profiles.iter().map(|profile| profile.profile.scheduler_name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(found.profiles.iter().map(|profile| profile.preempts).collect::<Vec<_>>(), [true, false]);
    assert_eq!((found.backoff.initial.as_secs(), found.backoff.longest.as_secs()), (2, 20));
}

#[test]
fn plugins_are_enabled_and_disabled() {
    let all = PluginSet::all();
    let without = |plugin: Plugin| all.iter().filter(|other| *other != plugin).collect::<PluginSet>();
    let found = profile(&json!({"plugins": {
        "filter": {"disabled": [{"name": "NodePorts"}]},
        "score": {"disabled": [{"name": "ImageLocality"}], "enabled": [{"name": "NodeAffinity", "weight": 7}, {"name": "TaintToleration"}]},
    }}));
    assert_eq!(found.profile.filters, without(Plugin::NodePorts));
    let weight = |plugin| found.profile.weight(plugin);
    assert_eq!(
        (weight(Plugin::NodeAffinity), weight(Plugin::TaintToleration), weight(Plugin::ImageLocality)),
        (7, 1, 0)
    );
    assert_eq!(weight(Plugin::InterPodAffinity), 2);
    let found = profile(&json!({"plugins": {"multiPoint": {
        "disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 5}],
    }}}));
    assert_eq!(found.profile.filters, [Plugin::NodeResourcesFit].into_iter().collect());
    assert_eq!(found.profile.scores, [(Plugin::NodeResourcesFit, 5)]);
    assert!(!found.preempts);
}

#[test]
fn plugins_are_told_their_arguments() {
    let found = profile(&json!({"pluginConfig": [
        {"name": "DefaultPreemption", "args": {"kind": "DefaultPreemptionArgs", "apiVersion": API_VERSION, "minCandidateNodesPercentage": 5, "minCandidateNodesAbsolute": 7}},
        {"name": "InterPodAffinity", "args": {"hardPodAffinityWeight": 9, "ignorePreferredTermsOfExistingPods": true}},
        {"name": "NodeAffinity", "args": {"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Exists"}]}]}}}},
        {"name": "NodeResourcesFit", "args": {"ignoredResources": ["example.com/foo"], "scoringStrategy": {
            "type": "RequestedToCapacityRatio", "resources": [{"name": "cpu", "weight": 3}],
            "requestedToCapacityRatio": {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}}}},
        {"name": "NodeResourcesBalancedAllocation", "args": {"resources": [{"name": "cpu"}]}},
        {"name": "PodTopologySpread", "args": {"defaultingType": "List", "defaultConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]}},
    ]}));
    assert_eq!(found.preemption, preemption::Args { percentage: 5, absolute: 7 });
    let args = found.profile.args;
    assert_eq!((args.hard_pod_affinity_weight, args.ignore_preferred_terms_of_existing_pods), (9, true));
    assert_eq!(args.added_required.map(|terms| terms.len()), Some(1));
    assert_eq!((args.fit.ignored.len(), args.fit.resources[0].weight, args.balanced.len()), (1, 3, 1));
    assert!(matches!(args.fit.strategy, Scoring::RequestedToCapacityRatio(shape) if shape.len() == 2));
    assert!(matches!(args.spread, SpreadDefaults::List(list) if list.len() == 1 && list[0].max_skew == 2));
}

#[rstest]
#[case::unknown(json!({"profile": []}), "strict decoding error: unknown field \"profile\"")]
#[case::unknown_within(json!({"profiles": [{"plugins": {"filters": {}}}]}), "strict decoding error: unknown field \"profiles[0].plugins.filters\"")]
#[case::kind_of_value(json!({"parallelism": "many"}), "parallelism: Invalid value: \"many\": must be a whole number")]
#[case::parallelism(json!({"parallelism": 0}), "parallelism: Invalid value: 0: should be an integer value greater than zero")]
#[case::percentage(json!({"percentageOfNodesToScore": 101}), "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]")]
#[case::backoff(json!({"podInitialBackoffSeconds": 0}), "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0")]
#[case::longest(json!({"podInitialBackoffSeconds": 5, "podMaxBackoffSeconds": 4}), "podMaxBackoffSeconds: Invalid value: 4: must be greater than or equal to PodInitialBackoffSeconds")]
#[case::nameless(json!({"profiles": [{"schedulerName": "a"}, {}]}), "profiles[1].schedulerName: Required value")]
#[case::twice(json!({"profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]}), "profiles[1].schedulerName: Duplicate value: \"profiles[0].schedulerName\"")]
#[case::plugin(json!({"profiles": [{"plugins": {"score": {"enabled": [{"name": "Foo"}]}}}]}), "profiles[0].plugins.score.enabled[0].name: Invalid value: \"Foo\": plugin does not exist")]
#[case::args_twice(json!({"profiles": [{"pluginConfig": [{"name": "NodeName"}, {"name": "NodeName"}]}]}), "profiles[0].pluginConfig[1].name: Duplicate value: \"NodeName\"")]
#[case::kind_of_args(json!({"profiles": [{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"kind": "FitArgs"}}]}]}), "profiles[0].pluginConfig[0].args.kind: Unsupported value: \"FitArgs\": supported values: \"NodeResourcesFitArgs\"")]
#[case::shape(json!({"profiles": [{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "RequestedToCapacityRatio", "requestedToCapacityRatio": {"shape": [{"utilization": 9, "score": 1}, {"utilization": 9, "score": 2}]}}}}]}]}), "profiles[0].pluginConfig[0].args.scoringStrategy.requestedToCapacityRatio.shape[1].utilization: Invalid value: 9: values must be sorted in increasing order")]
#[case::volumes(json!({"profiles": [{"pluginConfig": [{"name": "VolumeBinding", "args": {"bindTimeoutSeconds": -1}}]}]}), "profiles[0].pluginConfig[0].args.bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a negative value")]
#[case::deep(json!({"profiles": [{"pluginConfig": [{"name": "PodTopologySpread", "args": {"defaultingType": "List", "defaultConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule", "skew": 1}]}}]}]}), "strict decoding error: unknown field \"profiles[0].pluginConfig[0].args.defaultConstraints[0].skew\"")]
fn errors_say_where_and_what(#[case] more: Value, #[case] expected: &str) {
    assert_eq!(parse(&more).unwrap_err(), [expected]);
}

#[test]
fn volumes_may_take_as_long_as_a_profile_says() {
    let args = json!({"pluginConfig": [{"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 30}}]});
    assert_eq!(profile(&args).profile.args.bind_timeout.as_secs(), 30);
    assert_eq!(profile(&json!({})).profile.args.bind_timeout.as_secs(), 600);
}

#[test]
fn another_kind_is_refused() {
    let error = Configuration::parse(json!({"apiVersion": "v1", "kind": "Pod"})).unwrap_err().to_string();
    assert_eq!(
        error,
        "no kind \"Pod\" is registered for version \"v1\"; use KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1"
    );
}

fn value() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(
        &[
            "profiles",
            "plugins",
            "filter",
            "score",
            "multiPoint",
            "enabled",
            "disabled",
            "name",
            "weight",
            "pluginConfig",
            "args",
            "shape",
            "NodeResourcesFit",
            "*",
            "schedulerName",
            "scoringStrategy",
            "type",
        ][..],
    );
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        names.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..5).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_read_or_refused(document in value()) {
        drop(Configuration::parse(document.clone()));
        if let Value::Object(_) = &document {
            drop(parse(&document));
        }
    }
}
