//! The search compared with trying everything, on random pools and claims.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cluster::Cluster;

/// A request: the models it takes, and how many devices.
type Asked = (Vec<bool>, usize);

const MODELS: [&str; 3] = ["x", "y", "z"];

fn parse<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// A node with devices of these models, some of them taken.
fn cluster(devices: &[(usize, bool)]) -> Cluster {
    let mut cluster = Cluster::default();
    cluster.set_node(&parse(json!({ "metadata": { "name": "n" } })));
    cluster.devices.set_class(parse(json!({ "metadata": { "name": "any" }, "spec": {} })));
    let device = |(at, (model, _)): (usize, &(usize, bool))| json!({ "name": format!("d{at}"), "attributes": { "model": { "string": MODELS[*model] } } });
    let devices_of = devices.iter().enumerate().map(device).collect::<Vec<_>>();
    let pool = json!({ "name": "p", "generation": 1, "resourceSliceCount": 1 });
    let spec = json!({ "driver": "d.com", "pool": pool, "nodeName": "n", "devices": devices_of });
    cluster.devices.set_slice(parse(json!({ "metadata": { "name": "s" }, "spec": spec })));
    for (at, _) in devices.iter().enumerate().filter(|(_, (_, is_taken))| *is_taken) {
        let result = json!({ "request": "r", "driver": "d.com", "pool": "p", "device": format!("d{at}") });
        let allocation = json!({ "devices": { "results": [result] } });
        cluster.devices.assume(&format!("other-{at}"), parse(allocation));
    }
    cluster
}

fn claim(at: usize, requests: &[Asked], same: bool) -> Value {
    let request = |(at, (models, count)): (usize, &Asked)| {
        let wanted: Vec<_> =
            MODELS.iter().zip(models).filter(|(_, takes)| **takes).map(|(model, _)| *model).collect();
        let expression = format!("device.attributes['d.com'].model in {wanted:?}");
        let selectors = json!([{ "cel": { "expression": expression } }]);
        json!({ "name": format!("r{at}"), "exactly": { "deviceClassName": "any", "selectors": selectors, "count": count } })
    };
    let requests: Vec<_> = requests.iter().enumerate().map(request).collect();
    let constraints = same.then(|| json!([{ "matchAttribute": "d.com/model" }]));
    let devices = json!({ "requests": requests, "constraints": constraints });
    json!({ "metadata": { "name": format!("c{at}"), "namespace": "ns", "uid": format!("c{at}") }, "spec": { "devices": devices } })
}

/// Whether some way of giving free devices to all requests exists: each device of each claim tried everywhere.
fn exists(
    devices: &[(usize, bool)],
    slots: &[(usize, Vec<bool>)],
    same: &[bool],
    given: &mut Vec<usize>,
) -> bool {
    let Some((claim, models)) = slots.get(given.len()) else { return true };
    (0..devices.len()).any(|device| {
        let (model, is_taken) = devices[device];
        let is_same = |(at, other): (usize, &usize)| {
            slots[at].0 != *claim || !same[*claim] || devices[*other].0 == model
        };
        if is_taken || !models[model] || given.contains(&device) || !given.iter().enumerate().all(is_same) {
            return false;
        }
        given.push(device);
        let found = exists(devices, slots, same, given);
        given.pop();
        found
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn finds_a_way_exactly_if_there_is_one_and_gives_no_device_twice(
        devices in prop::collection::vec((0..3_usize, prop::bool::weighted(0.3)), 0..6),
        claims in prop::collection::vec(
            (prop::collection::vec((prop::collection::vec(any::<bool>(), 3), 1..3_usize), 1..3), any::<bool>()), 1..3),
    ) {
        let cluster = cluster(&devices);
        let read = |(at, (requests, same)): (usize, &(Vec<Asked>, bool))| {
            Wanted::new(&Arc::new(parse(claim(at, requests, *same))), &cluster.devices).unwrap()
        };
        let wanted: Vec<_> = claims.iter().enumerate().map(read).collect();
        let node = cluster.node(cluster.node_named("n").unwrap());
        let offers = Offers::of(node, &cluster);
        let found = allocate(&wanted, &offers, &Known::default()).unwrap();
        let slots: Vec<_> = claims.iter().enumerate().flat_map(|(claim, (requests, _))| {
            requests.iter().flat_map(move |(models, count)| vec![(claim, models.clone()); *count])
        }).collect();
        let same: Vec<_> = claims.iter().map(|(_, same)| *same).collect();
        prop_assert_eq!(found.is_some(), exists(&devices, &slots, &same, &mut Vec::new()));
        let picks = found.unwrap_or_default();
        let given: HashSet<_> = picks.iter().map(|pick| pick.offer).collect();
        prop_assert_eq!(given.len(), picks.len(), "no device twice");
        for pick in &picks {
            let (models, _) = &claims[pick.place.claim].0[pick.place.request];
            let place: usize = offers.all[pick.offer].id.device[1..].parse().unwrap();
            prop_assert!(!devices[place].1 && models[devices[place].0]);
        }
    }
}
