//! RollingUpdate: old Pods are replaced as far as some may be missing, or new ones come beside them as far as some may
//! be too many.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;

use super::plan::{Place, Plan, World, is_available, limits};
use super::pod::is_updated;
use crate::objects::pods::is_terminating;

/// The one new and the one old Pod of a node.
type Pair<'p> = (Option<&'p Arc<Pod>>, Option<&'p Arc<Pod>>);

/// The Pods of a node; nothing if there are more of either, which is not for the rollout to settle.
fn pair<'p>(world: &World<'_>, place: &Place<'p>) -> Option<Pair<'p>> {
    let living = place.pods.iter().copied().filter(|pod| !is_terminating(pod));
    let (new, old): (Vec<_>, Vec<_>) = living.partition(|pod| is_updated(world.set, pod, world.hash));
    (new.len() <= 1 && old.len() <= 1).then(|| (new.first().copied(), old.first().copied()))
}

fn desired(places: &[Place<'_>]) -> i32 {
    i32::try_from(places.iter().filter(|place| place.belongs.shall_run).count()).unwrap_or(i32::MAX)
}

/// The places the rollout looks at.
fn concerned<'a, 'p>(places: &'a [Place<'p>]) -> impl Iterator<Item = &'a Place<'p>> {
    places.iter().filter(|place| place.belongs.shall_run || !place.pods.is_empty())
}

fn room(limit: i32, used: usize) -> usize {
    usize::try_from(limit).unwrap_or(0).saturating_sub(used)
}

/// Deletes old Pods: those that do not serve at once, of the others as many as may be missing.
pub(super) fn replacing(world: &World<'_>, places: &[Place<'_>]) -> Plan {
    let (limit, _) = limits(world.set, desired(places));
    let (mut missing, mut broken, mut serving) = (0, Vec::new(), Vec::new());
    for place in concerned(places) {
        match pair(world, place) {
            Some((Some(new), None)) if is_available(world, new) => {}
            Some((None, Some(old))) if is_available(world, old) => serving.push(old.clone()),
            Some((None, Some(old))) => {
                missing += 1;
                broken.push(old.clone());
            }
            Some(_) | None => missing += 1,
        }
    }
    serving.truncate(room(limit, missing));
    Plan { delete: broken.into_iter().chain(serving).collect(), ..Plan::default() }
}

/// Makes new Pods beside the old: where the old does not serve at once, elsewhere as many as may be too many. An old
/// one goes when the new one serves.
pub(super) fn surging(world: &World<'_>, places: &[Place<'_>]) -> Plan {
    let wanted = desired(places);
    let (_, limit) = limits(world.set, wanted);
    let (mut surging, mut available) = (0, 0);
    let mut plan = Plan::default();
    let (mut candidates, mut leaving) = (Vec::new(), Vec::new());
    for place in concerned(places) {
        let Some((new, old)) = pair(world, place) else {
            surging += 1;
            continue;
        };
        if old.or(new).is_some_and(|pod| is_available(world, pod)) {
            available += 1;
        }
        match (new, old) {
            (_, None) => {}
            (None, Some(old)) if !place.belongs.shall_run => {
                let gone = if is_available(world, old) { &mut leaving } else { &mut plan.delete };
                gone.push(old.clone());
            }
            (None, Some(old)) if is_available(world, old) => candidates.push(place.name.clone()),
            (None, Some(_)) => plan.create.push(place.name.clone()),
            (Some(new), Some(old)) if is_available(world, new) => plan.delete.push(old.clone()),
            (Some(_), Some(_)) => surging += 1,
        }
    }
    candidates.truncate(room(limit, surging));
    plan.create.extend(candidates);
    // Those on nodes they do not belong on any more go as far as enough serve elsewhere.
    leaving.truncate(room(available, usize::try_from(wanted).unwrap_or(0)));
    plan.delete.extend(leaving);
    plan
}
