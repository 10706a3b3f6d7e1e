//! Asks the three APIs of metrics, which are other servers' parts of the API: metrics.k8s.io, custom.metrics.k8s.io and
//! external.metrics.k8s.io. Errors are texts for whoever reads the autoscaler's conditions.

use std::fmt::Write as _;

use http::Request;
use jiff::SignedDuration;
use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, MetricIdentifier};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup;
use kube::{Client, Error};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::answers::{ExternalValues, ObjectValue, ObjectValues, PodValues};
use super::samples::{Sample, Samples, milli};
use super::target::{qualified, unknown};
use crate::objects::meta::selector;
use crate::runtime::error::{is_not_found, text};
use crate::runtime::everything::Everything;

const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";
/// The versions of the custom metrics API that are understood, the best first.
const CUSTOM_VERSIONS: &[&str] = &["v1beta2", "v1beta1"];
/// What is escaped in paths and queries.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The window of a custom metric that does not say.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// The sources of metrics, for one namespace.
pub(super) struct Sources<'a> {
    pub(super) client: &'a Client,
    pub(super) everything: &'a Everything,
    pub(super) namespace: &'a str,
    /// The selector of the Pods.
    pub(super) pods: &'a str,
}

impl Sources<'_> {
    /// How much of a resource each Pod uses, or its container of this name.
    pub(super) async fn resource(&self, resource: &str, container: Option<&str>) -> Result<Samples, String> {
        const API: &str = "resource metrics API";
        let query = [("labelSelector", self.pods)];
        let path = format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods", self.namespace);
        let list = get::<PodValues>(self.client, &path, &query).await;
        let list = list.map_err(|error| unable(API, &error, "pods.metrics.k8s.io"))?;
        if list.items.is_empty() {
            return Err(none(API));
        }
        let samples =
            list.items.iter().filter_map(|pod| Some((pod.name(), pod.sample(resource, container)?)));
        Ok(samples.collect())
    }

    /// A custom metric of each Pod.
    pub(super) async fn of_pods(&self, metric: &MetricIdentifier) -> Result<Samples, String> {
        const API: &str = "custom metrics API";
        let failed = |error: &str| format!("unable to fetch metrics from {API}: {error}");
        let selector = selected(metric).map_err(|error| failed(&error))?;
        let query = [("labelSelector", self.pods), ("metricLabelSelector", selector.as_str())];
        let path = format!("namespaces/{}/pods/*/{}", self.namespace, encoded(&metric.name));
        let list = self.custom(&path, &query, "pods", "*").await.map_err(|error| failed(&error))?;
        if list.items.is_empty() {
            return Err(none(API));
        }
        let sample = |value: ObjectValue| {
            let window = value.window.map_or(WINDOW, SignedDuration::from_secs);
            (value.described.name, Sample { at: value.timestamp.0, window, milli: milli(&value.value) })
        };
        Ok(list.items.into_iter().map(sample).collect())
    }

    /// A custom metric of one object of the namespace, or of the namespace.
    pub(super) async fn of_object(
        &self,
        metric: &MetricIdentifier,
        object: &CrossVersionObjectReference,
    ) -> Result<i64, String> {
        let failed = |error: String| format!("unable to fetch metrics from custom metrics API: {error}");
        let selector = selected(metric).map_err(failed)?;
        let query = [("metricLabelSelector", selector.as_str())];
        let (resource, path) = self.place(&metric.name, object).map_err(failed)?;
        let list = self.custom(&path, &query, &resource, &object.name).await.map_err(failed)?;
        match list.items.as_slice() {
            [value] => Ok(milli(&value.value)),
            items => Err(failed(format!(
                "the custom metrics API server returned {} results when we asked for exactly one",
                items.len()
            ))),
        }
    }

    /// The resource of an object, and the path of its metric.
    fn place(&self, metric: &str, object: &CrossVersionObjectReference) -> Result<(String, String), String> {
        let (namespace, metric) = (self.namespace, encoded(metric));
        let group = object.api_version.as_deref().and_then(|version| version.split_once('/'));
        let group = group.map_or("", |(group, _)| group);
        if group.is_empty() && object.kind == "Namespace" {
            return Ok(("namespaces".to_owned(), format!("namespaces/{namespace}/metrics/{metric}")));
        }
        let kinds = self.everything.of_group(group, &object.kind);
        let kind = kinds.first().ok_or_else(|| unknown(group, &object.kind))?;
        let resource = qualified(&kind.resource.plural, group);
        let path = format!("namespaces/{namespace}/{resource}/{}/{metric}", encoded(&object.name));
        Ok((resource, path))
    }

    /// The sum of an external metric.
    pub(super) async fn external(&self, metric: &MetricIdentifier) -> Result<i64, String> {
        const API: &str = "external metrics API";
        let selector = selected(metric)?;
        let query = [("labelSelector", selector.as_str())];
        let name = &metric.name;
        let path = format!("/apis/{EXTERNAL}/v1beta1/namespaces/{}/{}", self.namespace, encoded(name));
        let list = get::<ExternalValues>(self.client, &path, &query).await;
        let list = list.map_err(|error| unable(API, &error, &format!("{name}.{EXTERNAL}")))?;
        if list.items.is_empty() {
            return Err(none(API));
        }
        Ok(list.items.iter().fold(0, |sum: i64, item| sum.saturating_add(milli(&item.value))))
    }

    /// Asks for custom metrics, of the best version there is.
    async fn custom(
        &self,
        path: &str,
        query: &[(&str, &str)],
        resource: &str,
        name: &str,
    ) -> Result<ObjectValues, String> {
        let found = get::<APIGroup>(self.client, &format!("/apis/{CUSTOM}"), &[]).await;
        let missing = || format!("no custom metrics API ({CUSTOM}) registered");
        let group = match found {
            Ok(group) => group,
            Err(error) if is_not_found(&error) => return Err(missing()),
            Err(error) => return Err(told(&error, CUSTOM)),
        };
        let is_served = |wanted: &str| group.versions.iter().any(|version| version.version == wanted);
        let version = CUSTOM_VERSIONS.iter().find(|version| is_served(version)).ok_or_else(missing)?;
        let path = format!("/apis/{CUSTOM}/{version}/{path}");
        let list = get(self.client, &path, query).await;
        list.map_err(|error| told(&error, &format!("{resource}.{CUSTOM} {name}")))
    }
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str, query: &[(&str, &str)]) -> Result<T, Error> {
    let mut uri = path.to_owned();
    for (index, (name, value)) in query.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
        let separator = if index == 0 { '?' } else { '&' };
        write!(uri, "{separator}{name}={}", encoded(value)).expect("a String takes all that is written");
    }
    let request = Request::get(uri).body(Vec::new()).map_err(Error::HttpError)?;
    client.request(request).await
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The selector of a metric's series, as a query has it.
fn selected(metric: &MetricIdentifier) -> Result<String, String> {
    let Some(wanted) = &metric.selector else { return Ok(String::new()) };
    Ok(selector(wanted).map_err(|error| error.to_string())?.to_string())
}

fn unable(api: &str, error: &Error, resource: &str) -> String {
    format!("unable to fetch metrics from {api}: {}", told(error, resource))
}

fn none(api: &str) -> String {
    format!("no metrics returned from {api}")
}

/// What a server said, or what it means where it only sent a code.
pub(super) fn told(error: &Error, resource: &str) -> String {
    let Error::Api(status) = error else { return text(error) };
    let is_status = status.reason != "Failed to parse error data";
    match status.code {
        404 if !is_status => format!("the server could not find the requested resource (get {resource})"),
        503 if !is_status => format!("the server is currently unable to handle the request (get {resource})"),
        _ => text(error),
    }
}
