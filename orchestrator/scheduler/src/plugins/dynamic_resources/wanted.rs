//! What claims want of a node, worked out once for all nodes.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::{
    CapacityRequirements, DeviceClaim, DeviceClass, DeviceConstraint, DeviceRequest, DeviceSelector,
    DeviceToleration, ResourceClaim,
};

use super::selector::Selector;
use crate::cluster::Devices;

/// How many devices of those that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Exactly(usize),
    All,
}

/// One way to satisfy a request.
pub(super) struct Alternative {
    /// The name that results bear: that of the request, or `request/subrequest`.
    pub(super) full_name: String,
    pub(super) class: Arc<DeviceClass>,
    /// The expressions, and how errors call where they are.
    pub(super) selectors: Vec<(String, Selector)>,
    pub(super) mode: Mode,
    pub(super) is_admin: bool,
    pub(super) tolerations: Vec<DeviceToleration>,
    pub(super) capacity: Option<CapacityRequirements>,
}

/// What a claim asks for under one name.
pub(super) struct Request {
    pub(super) name: String,
    /// In the order of preference.
    pub(super) alternatives: Vec<Alternative>,
}

/// What all devices of some requests must have in common, or must not.
pub(super) struct Constraint {
    pub(super) requests: Vec<String>,
    pub(super) attribute: String,
    /// Whether the values have to differ.
    pub(super) is_distinct: bool,
}

impl Constraint {
    /// Whether it speaks of an alternative of a request.
    pub(super) fn concerns(&self, request: &str, full_name: &str) -> bool {
        self.requests.is_empty() || self.requests.iter().any(|name| name == request || name == full_name)
    }
}

/// A claim without devices.
pub(super) struct Wanted {
    pub(super) claim: Arc<ResourceClaim>,
    pub(super) requests: Vec<Request>,
    pub(super) constraints: Vec<Constraint>,
}

/// How messages call a claim.
pub(super) fn called(claim: &ResourceClaim) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", text(&claim.metadata.namespace), text(&claim.metadata.name))
}

/// What is told of one way to satisfy a request, wherever it stands.
struct Given<'g> {
    full_name: String,
    class: &'g str,
    selectors: Option<&'g Vec<DeviceSelector>>,
    mode: Option<&'g str>,
    count: Option<i64>,
    is_admin: bool,
    tolerations: Option<&'g Vec<DeviceToleration>>,
    capacity: Option<&'g CapacityRequirements>,
}

impl Wanted {
    /// What a claim wants, or why nobody can know.
    pub(super) fn new(claim: &Arc<ResourceClaim>, devices: &Devices) -> Result<Self, String> {
        let spec: &DeviceClaim = match &claim.spec.devices {
            Some(spec) => spec,
            None => return Ok(Self { claim: claim.clone(), requests: Vec::new(), constraints: Vec::new() }),
        };
        let requests = spec.requests.iter().flatten().map(|request| read(request, claim, devices));
        let constraints = spec.constraints.iter().flatten().enumerate();
        let constraint = |(at, constraint): (usize, &DeviceConstraint)| {
            let requests = constraint.requests.clone().unwrap_or_default();
            let (attribute, is_distinct) = match (&constraint.match_attribute, &constraint.distinct_attribute)
            {
                (Some(attribute), _) => (attribute.clone(), false),
                (None, Some(attribute)) => (attribute.clone(), true),
                (None, None) => {
                    let claim = called(claim);
                    return Err(format!(
                        "claim {claim}, constraint #{at}: empty constraint (unsupported constraint type?)"
                    ));
                }
            };
            Ok(Constraint { requests, attribute, is_distinct })
        };
        let (requests, constraints) =
            (requests.collect::<Result<_, _>>()?, constraints.map(constraint).collect::<Result<_, _>>()?);
        Ok(Self { claim: claim.clone(), requests, constraints })
    }
}

fn read(request: &DeviceRequest, claim: &ResourceClaim, devices: &Devices) -> Result<Request, String> {
    let name = &request.name;
    let exact = request.exactly.iter().map(|exact| Given {
        full_name: name.clone(),
        class: &exact.device_class_name,
        selectors: exact.selectors.as_ref(),
        mode: exact.allocation_mode.as_deref(),
        count: exact.count,
        is_admin: exact.admin_access == Some(true),
        tolerations: exact.tolerations.as_ref(),
        capacity: exact.capacity.as_ref(),
    });
    let listed = request.first_available.iter().flatten().map(|sub| Given {
        full_name: format!("{name}/{}", sub.name),
        class: &sub.device_class_name,
        selectors: sub.selectors.as_ref(),
        mode: sub.allocation_mode.as_deref(),
        count: sub.count,
        is_admin: false,
        tolerations: sub.tolerations.as_ref(),
        capacity: sub.capacity.as_ref(),
    });
    let alternatives = exact.chain(listed).map(|given| alternative(&given, claim, devices));
    let alternatives = alternatives.collect::<Result<Vec<_>, _>>()?;
    if alternatives.is_empty() {
        return Err(format!("request {name}: unsupported request type"));
    }
    Ok(Request { name: name.clone(), alternatives })
}

fn alternative(given: &Given<'_>, claim: &ResourceClaim, devices: &Devices) -> Result<Alternative, String> {
    let (name, class_name) = (&given.full_name, given.class);
    let Some(class) = devices.class(class_name) else {
        return Err(format!("request {name}: device class {class_name} does not exist"));
    };
    let mode = match given.mode.unwrap_or("ExactCount") {
        "ExactCount" => Mode::Exactly(usize::try_from(given.count.unwrap_or(1)).unwrap_or(usize::MAX)),
        "All" => Mode::All,
        other => {
            let claim = called(claim);
            return Err(format!("claim {claim}, request {name}: unsupported count mode {other}"));
        }
    };
    let mut selectors = Vec::new();
    let of_class = class.spec.selectors.as_ref().map(|list| (format!("class {class_name}"), list));
    let of_request = given.selectors.map(|list| (format!("claim {}", called(claim)), list));
    for (whose, list) in of_class.into_iter().chain(of_request) {
        for (at, selector) in list.iter().enumerate() {
            let place = format!("{whose}: selector #{at}");
            let Some(cel) = &selector.cel else {
                return Err(format!("{place}: CEL expression empty (unsupported selector type?)"));
            };
            selectors.push((place, Selector::new(&cel.expression)));
        }
    }
    Ok(Alternative {
        full_name: name.clone(),
        class: class.clone(),
        selectors,
        mode,
        is_admin: given.is_admin,
        tolerations: given.tolerations.cloned().unwrap_or_default(),
        capacity: given.capacity.cloned(),
    })
}
