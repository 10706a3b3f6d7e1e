//! Arithmetic on amounts of several resources.

use std::collections::BTreeMap;

use crate::quantity::Quantity;

/// Amounts by the name of the resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// Adds what is in `more`.
pub fn add(sums: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = sums.entry(name.clone()).or_default();
        *sum = *sum + *amount;
    }
}

/// Makes each amount the larger of two.
pub fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let known = most.entry(name.clone()).or_insert(*amount);
        *known = (*known).max(*amount);
    }
}

/// What of `amounts` goes beyond `before`.
pub fn beyond(amounts: &Amounts, before: &Amounts) -> Amounts {
    let more = |(name, amount): (&String, &Quantity)| {
        let growth = before.get(name).map_or(*amount, |before| *amount - *before);
        (!growth.is_negative() && !growth.is_zero()).then(|| (name.clone(), growth))
    };
    amounts.iter().filter_map(more).collect()
}

/// The amounts of the resources that `names` has.
pub fn only(amounts: &Amounts, names: &Amounts) -> Amounts {
    let named = amounts.iter().filter(|(name, _)| names.contains_key(*name));
    named.map(|(name, amount)| (name.clone(), *amount)).collect()
}

/// `cpu=1,memory=2Gi`: as refusals name them.
pub fn show(amounts: &Amounts) -> String {
    let texts: Vec<String> = amounts.iter().map(|(name, amount)| format!("{name}={amount}")).collect();
    texts.join(",")
}
