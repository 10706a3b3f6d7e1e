//! Amounts of resources, as whole numbers: CPU in thousandths, the rest in units.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use wherry_api::quantity::Quantity;

/// What a container without requests is scored as.
const USUAL_CPU: i64 = 100;
const USUAL_MEMORY: i64 = 200 * 1024 * 1024;

/// Whether containers that leave out CPU or memory count as the usual amounts of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UsualAmounts {
    Never,
    ForMissing,
}

/// Amounts by resource; what is not there is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Resources {
    pub(crate) cpu: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral_storage: i64,
    pub(crate) pods: i64,
    /// Devices, huge pages and the like. Never holds a zero.
    pub(crate) extended: BTreeMap<String, i64>,
}

impl Resources {
    /// Parses a list of quantities; what is not a quantity counts as nothing.
    pub(crate) fn parse(list: &BTreeMap<String, Text>) -> Self {
        let mut resources = Self::default();
        for (name, text) in list {
            let Ok(quantity) = text.0.parse::<Quantity>() else { continue };
            let amount = if name == "cpu" { quantity.as_milli() } else { quantity.value() };
            resources.set(name, i64::try_from(amount).unwrap_or(i64::MAX));
        }
        resources
    }

    /// Sets one amount.
    pub(crate) fn set(&mut self, name: &str, amount: i64) {
        match name {
            "cpu" => self.cpu = amount,
            "memory" => self.memory = amount,
            "ephemeral-storage" => self.ephemeral_storage = amount,
            "pods" => self.pods = amount,
            _ if amount == 0 => drop(self.extended.remove(name)),
            _ => drop(self.extended.insert(name.to_owned(), amount)),
        }
    }

    /// The amount of an extended resource.
    pub(crate) fn extended(&self, name: &str) -> i64 {
        self.extended.get(name).copied().unwrap_or(0)
    }

    /// The greater of both, resource by resource.
    pub(crate) fn max(mut self, other: &Self) -> Self {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral_storage = self.ephemeral_storage.max(other.ephemeral_storage);
        self.pods = self.pods.max(other.pods);
        for (name, amount) in &other.extended {
            let amount = self.extended(name).max(*amount);
            self.set(name, amount);
        }
        self
    }

    /// Adds the usual amounts of CPU and of memory.
    pub(crate) fn add_usual_amounts(&mut self, cpu: bool, memory: bool) {
        self.cpu = self.cpu.saturating_add(if cpu { USUAL_CPU } else { 0 });
        self.memory = self.memory.saturating_add(if memory { USUAL_MEMORY } else { 0 });
    }

    /// The amount of any resource.
    pub(crate) fn amount(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            "pods" => self.pods,
            _ => self.extended(name),
        }
    }

    fn combine(&mut self, other: &Self, with: fn(i64, i64) -> i64) {
        self.cpu = with(self.cpu, other.cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.extended {
            let amount = with(self.extended(name), *amount);
            self.set(name, amount);
        }
    }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_add);
    }
}

impl SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Resources) {
        self.combine(other, i64::saturating_sub);
    }
}
