//! What was found for a claim, as the API has it.

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::api::resource::v1::{
    AllocationResult, DeviceAllocationConfiguration, DeviceAllocationResult, DeviceRequestAllocationResult,
};

use super::allocator::Pick;
use super::offers::{Offer, Offers};
use super::wanted::{Alternative, Wanted};

/// The allocation of a claim.
pub(super) fn allocation(wanted: &Wanted, offers: &Offers<'_>, picks: &[Pick]) -> AllocationResult {
    let chosen: Vec<_> =
        picks.iter().map(|pick| (alternative(wanted, *pick), &offers.all[pick.offer])).collect();
    let results = chosen.iter().map(|(asked, offer)| result(asked, offer)).collect();
    let config = config(wanted, picks);
    AllocationResult {
        allocation_timestamp: None,
        devices: Some(DeviceAllocationResult {
            config: (!config.is_empty()).then_some(config),
            results: Some(results),
        }),
        node_selector: node_selector(chosen.iter().map(|(_, offer)| *offer)),
    }
}

fn alternative(wanted: &Wanted, pick: Pick) -> &Alternative {
    &wanted.requests[pick.place.request].alternatives[pick.place.alternative]
}

fn result(asked: &Alternative, offer: &Offer<'_>) -> DeviceRequestAllocationResult {
    DeviceRequestAllocationResult {
        request: asked.full_name.clone(),
        driver: offer.id.driver.clone(),
        pool: offer.id.pool.clone(),
        device: offer.id.device.clone(),
        admin_access: asked.is_admin.then_some(true),
        tolerations: Some(asked.tolerations.clone()).filter(|list| !list.is_empty()),
        ..DeviceRequestAllocationResult::default()
    }
}

/// What classes and the claim tell drivers. What is for all requests names none.
fn config(wanted: &Wanted, picks: &[Pick]) -> Vec<DeviceAllocationConfiguration> {
    let chosen: Vec<_> = wanted
        .requests
        .iter()
        .enumerate()
        .filter_map(|(at, request)| {
            let pick = picks.iter().find(|pick| pick.place.request == at)?;
            Some((request, alternative(wanted, *pick)))
        })
        .collect();
    let mut configs = Vec::new();
    let mut classes = Vec::new();
    for (_, asked) in &chosen {
        let class = asked.class.metadata.name.clone();
        if classes.contains(&class) {
            continue;
        }
        let same = chosen.iter().filter(|(_, other)| other.class.metadata.name == class);
        let requests: Vec<_> = same.map(|(_, other)| other.full_name.clone()).collect();
        classes.push(class);
        configs.extend(asked.class.spec.config.iter().flatten().map(|config| {
            DeviceAllocationConfiguration {
                source: "FromClass".to_owned(),
                requests: Some(requests.clone()),
                opaque: config.opaque.clone(),
            }
        }));
    }
    let spec = wanted.claim.spec.devices.as_ref();
    for config in spec.iter().flat_map(|spec| spec.config.iter().flatten()) {
        let requests = config.requests.clone().unwrap_or_default();
        let mut concerned = chosen.iter().filter(|(request, asked)| {
            requests.contains(&request.name) || requests.contains(&asked.full_name)
        });
        if requests.is_empty() || concerned.next().is_some() {
            configs.push(DeviceAllocationConfiguration {
                source: "FromClaim".to_owned(),
                requests: Some(requests),
                opaque: config.opaque.clone(),
            });
        }
    }
    for config in &mut configs {
        let names = config.requests.take();
        config.requests = names.filter(|names| !names.is_empty() && names.len() != wanted.requests.len());
    }
    configs
}

/// The nodes that can have all of these devices; nothing if all can.
fn node_selector<'o>(offers: impl Iterator<Item = &'o Offer<'o>>) -> Option<NodeSelector> {
    let (mut fields, mut expressions) = (Vec::new(), Vec::new());
    for offer in offers {
        let spec = &offer.slice.spec;
        let (name, selector) = if spec.per_device_node_selection == Some(true) {
            (&offer.device.node_name, &offer.device.node_selector)
        } else {
            (&spec.node_name, &spec.node_selector)
        };
        if let Some(name) = name {
            return Some(only(name));
        }
        for term in selector.iter().flat_map(|selector| &selector.node_selector_terms) {
            add(term.match_fields.as_ref(), &mut fields);
            add(term.match_expressions.as_ref(), &mut expressions);
        }
    }
    if fields.is_empty() && expressions.is_empty() {
        return None;
    }
    let list = |list: Vec<_>| Some(list).filter(|list| !list.is_empty());
    let term = NodeSelectorTerm { match_fields: list(fields), match_expressions: list(expressions) };
    Some(NodeSelector { node_selector_terms: vec![term] })
}

fn only(node: &str) -> NodeSelector {
    let name = NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: Some(vec![node.to_owned()]),
    };
    let term = NodeSelectorTerm { match_fields: Some(vec![name]), match_expressions: None };
    NodeSelector { node_selector_terms: vec![term] }
}

fn add(from: Option<&Vec<NodeSelectorRequirement>>, to: &mut Vec<NodeSelectorRequirement>) {
    for requirement in from.into_iter().flatten() {
        if !to.contains(requirement) {
            to.push(requirement.clone());
        }
    }
}
