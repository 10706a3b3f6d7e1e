//! Owners of an object's replicas as the owners of its Scale, and back.

use super::element::Element;
use super::entries::{Entry, Operation};
use super::owners::Owners;
use super::set::Set;

/// The version of Scales.
const SCALE: &str = "autoscaling/v1";

/// Where a Scale says how many replicas there shall be.
const REPLICAS: [&str; 2] = ["spec", "replicas"];

fn elements(path: &[&str]) -> Vec<Element> {
    path.iter().copied().map(Element::field).collect()
}

impl Owners {
    /// The owners of the Scale of an object whose replicas are at this path in every version.
    #[must_use]
    pub fn of_scale(&self, path: &[&str]) -> Self {
        let (path, replicas) = (elements(path), Set::of(&[&REPLICAS]));
        let owning = self.entries.iter().filter(|entry| entry.fields.contains(&path));
        let entries = owning.map(|entry| Entry {
            api_version: SCALE.to_owned(),
            fields: replicas.clone(),
            ..entry.clone()
        });
        Self { entries: entries.collect() }
    }

    /// The owners of the object after a write to its Scale made `scale` the Scale's.
    ///
    /// The Scale speaks a version of its own, and an update is told apart by the version it spoke: so updates lose
    /// the replicas to an entry without a time, while appliers keep theirs.
    #[must_use]
    pub fn with_scale(self, scale: &Self, (api_version, path): (&str, &[&str])) -> Self {
        let (replicas, path, own) = (Set::of(&[path]), elements(path), elements(&REPLICAS));
        let is_kept = |entry: &Entry| {
            entry.operation == Operation::Apply && scale.entries.iter().any(|found| found.is_of(entry))
        };
        let (mut entries, mut kept) = (Vec::new(), Vec::new());
        for mut entry in self.entries {
            let owning = entry.fields.contains(&path);
            if owning && is_kept(&entry) {
                kept.push(entry);
                continue;
            }
            entry.fields.subtract(&replicas);
            if !entry.fields.is_empty() {
                entries.push(entry);
            }
        }
        for gained in scale.entries.iter().filter(|entry| entry.fields.contains(&own)) {
            if !kept.iter().any(|entry: &Entry| entry.is_of(gained)) {
                let api_version = api_version.to_owned();
                entries.push(Entry { api_version, fields: replicas.clone(), time: None, ..gained.clone() });
            }
        }
        entries.append(&mut kept);
        Self { entries }
    }
}
