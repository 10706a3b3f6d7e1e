//! Finds devices on one node for all claims of a Pod that have none: the first way in which all of them are satisfied,
//! in the order of pools, slices and devices.
//!
//! Guarantees: no device twice, none that another claim has, all selectors and constraints hold, no counter falls below
//! zero. The search looks at combinations, not at orders: of one request, later devices come later in the list.

use std::cell::RefCell;
use std::collections::HashMap;

use k8s_openapi::api::resource::v1::{Device, DeviceAttribute, DeviceTaint, DeviceToleration};
use wherry_api::quantity::Quantity;

use super::offers::{CounterId, Offer, Offers, consumed};
use super::selector::{Wrong, qualified};
use super::wanted::{Alternative, Constraint, Mode, Wanted, called};

/// How many devices a claim can have.
const MOST: usize = 32;
/// How much may be tried on one node.
const STEPS: usize = 100_000;

/// Which way of which request of which claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) claim: usize,
    pub(super) request: usize,
    pub(super) alternative: usize,
}

/// A device given to a request, by its place among the offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) place: Place,
    pub(super) offer: usize,
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stop {
    /// The claim would have more devices than it can.
    TooMany,
    /// Something is wrong, as the user reads it.
    Wrong(String),
}

/// Which devices expressions want, whichever node they are looked at for.
pub(super) type Known = RefCell<HashMap<(Place, super::DeviceId), bool>>;

/// One search.
pub(super) struct Search<'s, 'c> {
    wanted: &'s [Wanted],
    offers: &'s Offers<'c>,
    known: &'s Known,
    picks: Vec<Pick>,
    steps: usize,
}

type Found = Result<bool, Stop>;

/// Finds devices; nothing if the node has not what is wanted.
pub(super) fn allocate(
    wanted: &[Wanted],
    offers: &Offers<'_>,
    known: &Known,
) -> Result<Option<Vec<Pick>>, String> {
    let mut search = Search { wanted, offers, known, picks: Vec::new(), steps: 0 };
    match search.claim(0) {
        Ok(true) => Ok(Some(search.picks)),
        Err(Stop::Wrong(text)) => Err(text),
        Ok(false) | Err(Stop::TooMany) if offers.pools.iter().any(|(_, pool)| pool.is_invalid) => {
            Err("invalid resource pools were encountered".to_owned())
        }
        Ok(false) | Err(Stop::TooMany) => Ok(None),
    }
}

impl Search<'_, '_> {
    /// Satisfies a claim and those after it.
    fn claim(&mut self, claim: usize) -> Found {
        if claim == self.wanted.len() {
            return Ok(true);
        }
        match self.request(claim, 0) {
            // Another way for an earlier claim does not make this one smaller.
            Err(Stop::TooMany) => Ok(false),
            found => found,
        }
    }

    /// Satisfies a request and all after it.
    fn request(&mut self, claim: usize, request: usize) -> Found {
        let Some(asked) = self.wanted[claim].requests.get(request) else { return self.claim(claim + 1) };
        let mut only_too_many = true;
        for alternative in 0..asked.alternatives.len() {
            let place = Place { claim, request, alternative };
            match self.alternative(place) {
                Err(Stop::TooMany) => {}
                Ok(false) => only_too_many = false,
                found => return found,
            }
        }
        if only_too_many { Err(Stop::TooMany) } else { Ok(false) }
    }

    fn alternative(&mut self, place: Place) -> Found {
        match self.at(place).mode {
            Mode::Exactly(count) => {
                self.check_count(place.claim, count)?;
                self.some(place, count, 0)
            }
            Mode::All => self.all(place),
        }
    }

    fn check_count(&self, claim: usize, count: usize) -> Result<(), Stop> {
        let has = self.picks.iter().filter(|pick| pick.place.claim == claim).count();
        if has.saturating_add(count) > MOST { Err(Stop::TooMany) } else { Ok(()) }
    }

    fn at(&self, place: Place) -> &Alternative {
        &self.wanted[place.claim].requests[place.request].alternatives[place.alternative]
    }

    /// Gives so many more devices, from a place in the list on.
    fn some(&mut self, place: Place, count: usize, from: usize) -> Found {
        self.steps += 1;
        if self.steps > STEPS {
            return Err(Stop::Wrong("filter operation aborted: there are too many ways to try".to_owned()));
        }
        if count == 0 {
            return self.request(place.claim, place.request + 1);
        }
        for offer in from..self.offers.all.len() {
            let is_whole = self.offers.is_whole(self.offers.all[offer].pool);
            if !is_whole || !self.is_free(place, offer) || !self.is_wanted(place, offer)? {
                continue;
            }
            if !self.can_have(place, offer) {
                continue;
            }
            self.picks.push(Pick { place, offer });
            match self.some(place, count - 1, offer + 1) {
                Ok(false) => {
                    self.picks.pop();
                }
                Err(stop) => {
                    self.picks.pop();
                    return Err(stop);
                }
                found => return found,
            }
        }
        Ok(false)
    }

    /// Gives all devices that are wanted, if each of them can be had.
    fn all(&mut self, place: Place) -> Found {
        let claim = called(&self.wanted[place.claim].claim);
        let name = self.at(place).full_name.clone();
        for ((driver, pool), state) in &self.offers.pools {
            let why = match (state.is_incomplete, state.is_invalid) {
                (true, _) => "being updated",
                (_, true) => "invalid",
                _ => continue,
            };
            return Err(Stop::Wrong(format!(
                "claim {claim}, request {name}: asks for all devices, but resource pool {driver}/{pool} is currently {why}"
            )));
        }
        let mut wanted = Vec::new();
        for offer in 0..self.offers.all.len() {
            if self.is_wanted(place, offer)? {
                wanted.push(offer);
            }
        }
        if wanted.is_empty() {
            return Ok(false);
        }
        self.check_count(place.claim, wanted.len())?;
        let before = self.picks.len();
        for offer in wanted {
            if !self.is_free(place, offer) || !self.can_have(place, offer) {
                self.picks.truncate(before);
                return Ok(false);
            }
            self.picks.push(Pick { place, offer });
        }
        let found = self.request(place.claim, place.request + 1);
        if found != Ok(true) {
            self.picks.truncate(before);
        }
        found
    }

    /// Whether nobody has a device; who only looks after it must not have it twice in one claim.
    fn is_free(&self, place: Place, offer: usize) -> bool {
        let mut picks = self.picks.iter().filter(|pick| pick.offer == offer);
        if self.at(place).is_admin {
            picks.all(|pick| pick.place.claim != place.claim)
        } else {
            !self.offers.all[offer].is_taken && picks.next().is_none()
        }
    }

    /// Whether the class and the request want a device.
    fn is_wanted(&self, place: Place, offer: usize) -> Found {
        let offer = &self.offers.all[offer];
        if offer.device.binding_conditions.as_ref().is_some_and(|conditions| !conditions.is_empty()) {
            return Ok(false);
        }
        let key = (place, offer.id.clone());
        if let Some(known) = self.known.borrow().get(&key) {
            return Ok(*known);
        }
        let mut is_wanted = true;
        for (whose, selector) in &self.at(place).selectors {
            match selector.matches(&offer.id.driver, offer.device) {
                Ok(true) => {}
                Ok(false) => {
                    is_wanted = false;
                    break;
                }
                Err(wrong) => return Err(Stop::Wrong(text(whose, &wrong, offer))),
            }
        }
        self.known.borrow_mut().insert(key, is_wanted);
        Ok(is_wanted)
    }

    /// Whether a free device that is wanted can be given beside those that were.
    fn can_have(&self, place: Place, offer: usize) -> bool {
        let device = self.offers.all[offer].device;
        let asked = self.at(place);
        let taints = device.taints.iter().flatten();
        let mut hard = taints.filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
        hard.all(|taint| asked.tolerations.iter().any(|toleration| tolerates(toleration, taint)))
            && has_capacity(device, asked)
            && self.has_counters(offer)
            && self.constraints_hold(place, offer)
    }

    fn has_counters(&self, offer: usize) -> bool {
        let offer = &self.offers.all[offer];
        if offer.device.consumes_counters.is_none() {
            return true;
        }
        let mut used = HashMap::<CounterId, Quantity>::new();
        let here = self.picks.iter().map(|pick| &self.offers.all[pick.offer]);
        for other in here.filter(|other| other.pool == offer.pool).chain([offer]) {
            for (counter, amount) in consumed(other.device) {
                let sum = used.entry(counter).or_default();
                *sum = *sum + amount;
            }
        }
        let left = &self.offers.counters[offer.pool];
        used.iter().all(|(counter, amount)| left.get(counter).is_some_and(|left| left >= amount))
    }

    fn constraints_hold(&self, place: Place, offer: usize) -> bool {
        let wanted = &self.wanted[place.claim];
        let concerns = |constraint: &Constraint, place: Place| {
            constraint.concerns(&wanted.requests[place.request].name, &self.at(place).full_name)
        };
        wanted.constraints.iter().filter(|constraint| concerns(constraint, place)).all(|constraint| {
            let Some(value) = attribute(&self.offers.all[offer], &constraint.attribute) else { return false };
            let others = self
                .picks
                .iter()
                .filter(|pick| pick.place.claim == place.claim && concerns(constraint, pick.place));
            let mut values =
                others.map(|pick| attribute(&self.offers.all[pick.offer], &constraint.attribute));
            values.all(|other| (other == Some(value)) != constraint.is_distinct)
        })
    }
}

fn text(whose: &str, wrong: &Wrong, offer: &Offer<'_>) -> String {
    let super::DeviceId { driver, pool, device } = &offer.id;
    match wrong {
        Wrong::Expression(issues) => format!("{whose}: CEL compile error: {issues}"),
        Wrong::Device(error) => {
            format!("{whose} on device {driver}/{pool}/{device}: CEL runtime error: {error}")
        }
    }
}

/// An attribute that has one value, by its full name.
fn attribute<'o>(offer: &'o Offer<'_>, name: &str) -> Option<&'o DeviceAttribute> {
    let attributes = offer.device.attributes.as_ref()?;
    let own = || {
        let (domain, id) = qualified(name, &offer.id.driver);
        (domain == offer.id.driver).then(|| attributes.get(id))?
    };
    let found = attributes.get(name).or_else(own)?;
    let has_one =
        found.string.is_some() || found.int.is_some() || found.bool.is_some() || found.version.is_some();
    has_one.then_some(found)
}

/// Whether a device is as large as is asked.
fn has_capacity(device: &Device, asked: &Alternative) -> bool {
    let requests = asked.capacity.iter().flat_map(|capacity| capacity.requests.iter().flatten());
    let amount = |text: &str| text.parse::<Quantity>().ok();
    requests.into_iter().all(|(name, wanted)| {
        let has = device.capacity.as_ref().and_then(|capacity| amount(&capacity.get(name)?.value.0));
        has.is_some() && has >= amount(&wanted.0)
    })
}

fn tolerates(toleration: &DeviceToleration, taint: &DeviceTaint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "Exists" => true,
        "Equal" | "" => text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

#[cfg(test)]
#[path = "allocator_tests.rs"]
mod tests;
