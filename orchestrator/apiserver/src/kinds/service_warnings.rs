//! What is allowed in Services and probably not meant.

use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::Path;
use crate::validation::service::{TOPOLOGY_HINTS, TOPOLOGY_MODE};
use crate::validation::written::{of_ip, of_range};

/// The warnings of a Service.
pub(super) fn of(service: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let spec = service.field("spec").unwrap_or(&Value::Null);
    if service.at(&["metadata", "annotations", TOPOLOGY_HINTS]).is_some() {
        warnings
            .push(format!("annotation {TOPOLOGY_HINTS} is deprecated, please use {TOPOLOGY_MODE} instead"));
    }
    let (kind, external) = (spec.text("type"), !spec.items("externalIPs").is_empty());
    let headless = kind == "ClusterIP" && spec.text("clusterIP") == "None";
    if kind != "ExternalName" && !matches!(spec.text("clusterIP"), "" | "None") {
        addresses(spec, "clusterIPs", &mut warnings);
    }
    if headless {
        ignored_without_address(spec, &mut warnings);
    }
    addresses(spec, "externalIPs", &mut warnings);
    if external && !headless && kind != "ExternalName" {
        let why = "is deprecated and may no longer be implemented in some clusters";
        warnings.push(format!("spec.externalIPs {why}"));
    }
    warnings.extend(of_ip(&Path::new("spec.loadBalancerIP"), spec.text("loadBalancerIP")));
    for (index, range) in spec.items("loadBalancerSourceRanges").iter().enumerate() {
        let path = Path::new("spec.loadBalancerSourceRanges").index(index);
        warnings.extend(of_range(&path, range.as_str().unwrap_or_default()));
    }
    if external && kind == "ExternalName" {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != "ExternalName" && !spec.text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        let text = "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"";
        warnings.push(text.to_owned());
    }
    warnings
}

fn addresses(spec: &Value, field: &str, warnings: &mut Vec<String>) {
    let path = Path::new("spec").child(field);
    for (index, ip) in spec.items(field).iter().filter_map(Value::as_str).enumerate() {
        warnings.extend(of_ip(&path.index(index), ip));
    }
}

fn ignored_without_address(spec: &Value, warnings: &mut Vec<String>) {
    let mut ignored = |field: &str| warnings.push(format!("spec.{field} is ignored for headless services"));
    if !spec.text("loadBalancerIP").is_empty() {
        ignored("loadBalancerIP");
    }
    if !spec.items("externalIPs").is_empty() {
        ignored("externalIPs");
    }
    if spec.text("sessionAffinity") != "None" {
        ignored("SessionAffinity");
    }
}
