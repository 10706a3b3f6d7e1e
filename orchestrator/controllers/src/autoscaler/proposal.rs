//! What one metric of an autoscaler says: how many replicas there should be, or why that cannot be told.

use k8s_openapi::api::autoscaling::v2::{
    ContainerResourceMetricStatus, CrossVersionObjectReference, ExternalMetricStatus, MetricIdentifier,
    MetricSpec, MetricStatus, MetricTarget, MetricValueStatus, ObjectMetricStatus, PodsMetricStatus,
    ResourceMetricStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::calculate::World;
use super::metrics::Sources;
use super::samples::{Measured, Samples, milli, quantity};

/// What a metric asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Proposal {
    pub(super) replicas: i32,
    /// The metric, as messages name it.
    pub(super) name: String,
    pub(super) status: MetricStatus,
}

/// Why a metric asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The reason of the event and of the condition.
    pub(super) reason: &'static str,
    /// What both say.
    pub(super) message: String,
    /// What is said of all metrics together.
    pub(super) error: String,
}

/// Asks the source of a metric.
pub(super) async fn measure(sources: &Sources<'_>, spec: &MetricSpec) -> Result<Measured, String> {
    let MetricSpec { resource, container_resource, pods, object, external, .. } = spec;
    if let Some(source) = resource {
        sources.resource(&source.name, None).await.map(Measured::Pods)
    } else if let Some(source) = container_resource {
        sources.resource(&source.name, Some(&source.container)).await.map(Measured::Pods)
    } else if let Some(source) = pods {
        sources.of_pods(&source.metric).await.map(Measured::Pods)
    } else if let Some(source) = object {
        sources.of_object(&source.metric, &source.described_object).await.map(Measured::Whole)
    } else if let Some(source) = external {
        sources.external(&source.metric).await.map(Measured::Whole)
    } else {
        Err(format!("unknown metric source type {:?}", spec.type_))
    }
}

/// What a metric asks for, by what its source said.
pub(super) fn propose(
    spec: &MetricSpec,
    measured: Result<Measured, String>,
    world: &World<'_>,
) -> Result<Proposal, Failure> {
    match spec.type_.as_str() {
        "Resource" => of_resource(spec, measured, world),
        "ContainerResource" => of_container(spec, measured, world),
        "Pods" => of_pods(spec, measured, world),
        "Object" => of_object(spec, measured, world),
        "External" => of_external(spec, measured, world),
        _ => None,
    }
    .unwrap_or_else(|| {
        let error = format!("unknown metric source type {:?}", spec.type_);
        Err(Failure { reason: "InvalidMetricSourceType", message: error.clone(), error })
    })
}

type Outcome = Option<Result<Proposal, Failure>>;

fn of_resource(spec: &MetricSpec, measured: Result<Measured, String>, world: &World<'_>) -> Outcome {
    let source = spec.resource.as_ref()?;
    let of = Resource { name: &source.name, container: None, target: &source.target };
    let found = of.propose(measured, world).map_err(|message| Failure {
        reason: "FailedGetResourceMetric",
        error: format!("failed to get {} resource metric value: {message}", source.name),
        message,
    });
    Some(found.map(|(replicas, name, current)| {
        let resource = ResourceMetricStatus { name: source.name.clone(), current };
        let status = MetricStatus { resource: Some(resource), ..status(spec) };
        Proposal { replicas, name, status }
    }))
}

fn of_container(spec: &MetricSpec, measured: Result<Measured, String>, world: &World<'_>) -> Outcome {
    let source = spec.container_resource.as_ref()?;
    let of = Resource { name: &source.name, container: Some(&source.container), target: &source.target };
    let found = of.propose(measured, world).map_err(|message| Failure {
        reason: "FailedGetContainerResourceMetric",
        error: format!("failed to get {} container metric value: {message}", source.container),
        message,
    });
    Some(found.map(|(replicas, name, current)| {
        let (container, resource) = (source.container.clone(), source.name.clone());
        let of_container = ContainerResourceMetricStatus { container, name: resource, current };
        let status = MetricStatus { container_resource: Some(of_container), ..status(spec) };
        Proposal { replicas, name, status }
    }))
}

/// A resource of Pods, or of a container of each.
struct Resource<'a> {
    name: &'a str,
    container: Option<&'a str>,
    target: &'a MetricTarget,
}

impl Resource<'_> {
    fn propose(
        &self,
        measured: Result<Measured, String>,
        world: &World<'_>,
    ) -> Result<(i32, String, MetricValueStatus), String> {
        let name = self.name;
        let samples =
            samples(measured).map_err(|why| format!("unable to get metrics for resource {name}: {why}"));
        if let Some(wanted) = &self.target.average_value {
            let found = samples.and_then(|samples| world.by_average(&samples, name, milli(wanted)));
            let (replicas, average) = found.map_err(|why| format!("failed to get {name} usage: {why}"))?;
            return Ok((replicas, format!("{name} resource"), averaging(average)));
        }
        let Some(wanted) = self.target.average_utilization else {
            return Err(
                "invalid resource metric source: neither an average utilization target nor an average value \
                        (usage) target was set"
                    .to_owned(),
            );
        };
        let found =
            samples.and_then(|samples| world.by_utilization(&samples, (name, self.container), wanted));
        let (replicas, usage) = found.map_err(|why| format!("failed to get {name} utilization: {why}"))?;
        let container = if self.container.is_some() { "container " } else { "" };
        let told = format!("{name} {container}resource utilization (percentage of request)");
        let current =
            MetricValueStatus { average_utilization: Some(usage.percent), ..averaging(usage.average) };
        Ok((replicas, told, current))
    }
}

fn of_pods(spec: &MetricSpec, measured: Result<Measured, String>, world: &World<'_>) -> Outcome {
    let source = spec.pods.as_ref()?;
    let metric = &source.metric;
    let target = source.target.average_value.as_ref().map(milli).unwrap_or_default();
    let samples = samples(measured).map_err(|why| format!("unable to get metric {}: {why}", metric.name));
    let found = samples.and_then(|samples| world.by_average(&samples, "", target));
    let found = found.map_err(|message| Failure {
        reason: "FailedGetPodsMetric",
        error: format!("failed to get pods metric value: {message}"),
        message,
    });
    Some(found.map(|(replicas, average)| {
        let pods = PodsMetricStatus { metric: metric.clone(), current: averaging(average) };
        let status = MetricStatus { pods: Some(pods), ..status(spec) };
        Proposal { replicas, name: format!("pods metric {}", metric.name), status }
    }))
}

fn of_object(spec: &MetricSpec, measured: Result<Measured, String>, world: &World<'_>) -> Outcome {
    let source = spec.object.as_ref()?;
    let (metric, object) = (&source.metric, &source.described_object);
    let is_shared = source.target.average_value.is_some() && source.target.type_ == "AverageValue";
    let found = whole(measured)
        .map_err(|why| {
            let (name, kind, namespace) = (&metric.name, &object.kind, world.namespace);
            format!("unable to get metric {name}: {kind} on {namespace} {}/{why}", object.name)
        })
        .and_then(|usage| replicas(&source.target, usage, world, "object"));
    let found = found.map_err(|message| {
        let step =
            if is_shared { format!("failed to get {} object metric: ", metric.name) } else { String::new() };
        let error = format!("failed to get object metric value: {step}{message}");
        Failure { reason: "FailedGetObjectMetric", message, error }
    });
    Some(found.map(|(replicas, current)| {
        // Upstream calls a shared metric external.
        let name =
            if is_shared { external(metric) } else { format!("{} metric {}", object.kind, metric.name) };
        let described_object =
            if is_shared { CrossVersionObjectReference::default() } else { object.clone() };
        let object = ObjectMetricStatus { metric: metric.clone(), described_object, current };
        Proposal { replicas, name, status: MetricStatus { object: Some(object), ..status(spec) } }
    }))
}

fn of_external(spec: &MetricSpec, measured: Result<Measured, String>, world: &World<'_>) -> Outcome {
    let source = spec.external.as_ref()?;
    let metric = &source.metric;
    let found = whole(measured)
        .map_err(|why| {
            let series = format!("{}/{}/{}", world.namespace, metric.name, shown(metric.selector.as_ref()));
            format!("unable to get external metric {series}: {why}")
        })
        .and_then(|usage| replicas(&source.target, usage, world, "external"));
    let found = found.map_err(|message| {
        let name = &metric.name;
        let step = match (&source.target.average_value, &source.target.value) {
            (Some(_), _) => format!("failed to get {name} external metric: "),
            (None, Some(_)) => format!("failed to get external metric {name}: "),
            (None, None) => String::new(),
        };
        let error = format!("failed to get {name} external metric value: {step}{message}");
        Failure { reason: "FailedGetExternalMetric", message, error }
    });
    Some(found.map(|(replicas, current)| {
        let external_status = ExternalMetricStatus { metric: metric.clone(), current };
        let status = MetricStatus { external: Some(external_status), ..status(spec) };
        Proposal { replicas, name: external(metric), status }
    }))
}

/// What a whole asks for: shared by all Pods, or as such.
fn replicas(
    target: &MetricTarget,
    usage: i64,
    world: &World<'_>,
    source: &str,
) -> Result<(i32, MetricValueStatus), String> {
    if let Some(wanted) = &target.average_value {
        let (replicas, average) = world.by_share(usage, milli(wanted));
        return Ok((replicas, averaging(average)));
    }
    let Some(wanted) = &target.value else {
        return Err(format!(
            "invalid {source} metric source: neither a value target nor an average value target was set"
        ));
    };
    let current = MetricValueStatus { value: Some(quantity(usage)), ..MetricValueStatus::default() };
    Ok((world.by_whole(usage, milli(wanted))?, current))
}

fn samples(measured: Result<Measured, String>) -> Result<Samples, String> {
    match measured? {
        Measured::Pods(samples) => Ok(samples),
        Measured::Whole(_) => Err("the source tells nothing of Pods".to_owned()),
    }
}

fn whole(measured: Result<Measured, String>) -> Result<i64, String> {
    match measured? {
        Measured::Whole(value) => Ok(value),
        Measured::Pods(_) => Err("the source tells of Pods only".to_owned()),
    }
}

fn status(spec: &MetricSpec) -> MetricStatus {
    MetricStatus { type_: spec.type_.clone(), ..MetricStatus::default() }
}

fn averaging(milli: i64) -> MetricValueStatus {
    MetricValueStatus { average_value: Some(quantity(milli)), ..MetricValueStatus::default() }
}

fn external(metric: &MetricIdentifier) -> String {
    format!("external metric {}({})", metric.name, shown(metric.selector.as_ref()))
}

/// A selector as Go prints it.
fn shown(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten();
    let labels: Vec<_> = labels.map(|(name, value)| format!("{name}: {value},")).collect();
    let terms = selector.match_expressions.iter().flatten().map(|term| {
        let values = term.values.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ");
        let (key, operator) = (&term.key, &term.operator);
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    });
    let (labels, terms) = (labels.concat(), terms.collect::<Vec<_>>().concat());
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
}

#[cfg(test)]
#[path = "proposal_tests.rs"]
mod tests;
