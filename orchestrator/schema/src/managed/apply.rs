//! Server-side apply: a configuration is merged into the object, and what its manager applied before but does not any
//! more is removed, unless somebody else owns it.

use std::borrow::Cow;
use std::fmt;

use super::element::Element;
use super::entries::{Entry, Operation};
use super::last_applied;
use super::listing::fields_of;
use super::merge::merge;
use super::owners::{Changes, Owners, Write, strip};
use super::problems::Problems;
use super::remove::remove;
use super::set::Set;
use super::validate::validate;
use crate::schema::Schema;
use crate::value::Value;

/// The manager of what was there before the first configuration was applied.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Why a configuration was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own what it changes.
    #[error("{0}")]
    Conflicts(Conflicts),
    /// It does not fit its schema.
    #[error("{0}")]
    Config(Problems),
    /// It cannot be merged into the object.
    #[error("failed to merge config: {0}")]
    Merge(Problems),
    /// What it changes cannot be said.
    #[error("failed to compare objects: {0}")]
    Compare(Problems),
}

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    manager: String,
    path: Vec<Element>,
}

impl Conflict {
    /// The owner, as messages call it.
    pub fn manager(&self) -> &str {
        &self.manager
    }

    /// The field, as messages show it.
    pub fn field(&self) -> String {
        self.path.iter().map(Element::to_string).collect()
    }
}

/// The fields of a configuration that other managers own; at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts(Vec<Conflict>);

impl Conflicts {
    /// The conflicts, by manager.
    pub fn iter(&self) -> impl Iterator<Item = &Conflict> {
        self.0.iter()
    }

    /// Without those whose field is in the set.
    pub(super) fn without(mut self, allowed: &Set) -> Self {
        self.0.retain(|conflict| !allowed.contains(&conflict.path));
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, owner: &Entry, fields: &Set) {
        let manager = describe(owner);
        self.0.extend(fields.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }));
    }
}

/// An owner as messages call it.
fn describe(owner: &Entry) -> String {
    let manager = &owner.manager;
    let place = match owner.subresource.as_str() {
        "" => String::new(),
        subresource => format!(" with subresource {subresource:?}"),
    };
    match owner.operation {
        Operation::Apply => format!("{manager:?}{place}"),
        Operation::Update => format!("{manager:?}{place} using {}", owner.api_version),
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [one] = self.0.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.field());
        }
        write!(f, "Apply failed with {} conflicts: ", self.0.len())?;
        let mut last = None;
        for conflict in &self.0 {
            if last != Some(&conflict.manager) {
                let line = if last.is_some() { "\n" } else { "" };
                write!(f, "{line}conflicts with {}:", conflict.manager)?;
                last = Some(&conflict.manager);
            }
            write!(f, "\n- {}", conflict.field())?;
        }
        Ok(())
    }
}

impl Owners {
    /// Applies a configuration to `live`, which is without managed fields. None says that the object stays as it is;
    /// its owners may change all the same.
    pub fn apply(
        &mut self,
        live: &Value,
        config: &Value,
        force: bool,
        write: &Write<'_>,
    ) -> Result<Option<Value>, ApplyError> {
        let before = self.clone();
        let result = match self.apply_tracked(live, config, force, write) {
            Err(ApplyError::Conflicts(conflicts)) if write.manager == last_applied::MANAGER => {
                let Some(allowed) = last_applied::unchanged(live, write) else {
                    return Err(ApplyError::Conflicts(conflicts));
                };
                let left = conflicts.without(&allowed);
                if !left.is_empty() {
                    return Err(ApplyError::Conflicts(left));
                }
                *self = before;
                self.apply_tracked(live, config, true, write)?
            }
            other => other?,
        };
        if write.manager == last_applied::MANAGER {
            return Ok(last_applied::refresh(live, result, config));
        }
        Ok(result)
    }

    fn apply_tracked(
        &mut self,
        live: &Value,
        config: &Value,
        force: bool,
        write: &Write<'_>,
    ) -> Result<Option<Value>, ApplyError> {
        if self.is_empty() {
            let first = Write { manager: BEFORE_FIRST_APPLY, ..*write };
            self.record(write.schema.empty(), live, &first).map_err(ApplyError::Compare)?;
        }
        validate(config, write.schema).map_err(ApplyError::Config)?;
        let merged = merge(live, config, write.schema).map_err(ApplyError::Merge)?;
        let (writer, last) = self.replace(config, write);
        let new = match last {
            Some(last) if !last.fields.is_empty() => self.prune(merged, &last, write),
            _ => merged,
        };
        let changes = self.changes(live, &new, write).map_err(ApplyError::Compare)?;
        if !force {
            self.refuse_conflicts(&changes, &writer)?;
        }
        self.lose(&changes, Some(&writer));
        let changed = new != *live;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_of(&writer)) {
            strip(&mut entry.fields);
            if changed {
                entry.time = Some(write.now.to_owned());
            }
        }
        self.entries.retain(|entry| !entry.fields.is_empty());
        Ok(changed.then_some(new))
    }

    /// Puts what the configuration lists in place of what its manager applied before.
    fn replace(&mut self, config: &Value, write: &Write<'_>) -> (Entry, Option<Entry>) {
        let writer = write.entry(Operation::Apply);
        let mut fields = fields_of(config, write.schema);
        fields.cut(write.ignored);
        let at = self.entries.iter().position(|entry| entry.is_of(&writer));
        let last = at.map(|at| self.entries.swap_remove(at));
        let time = last.as_ref().and_then(|last| last.time.clone());
        self.entries.push(Entry { time, fields, ..writer.clone() });
        (writer, last)
    }

    fn refuse_conflicts(&self, changes: &Changes, writer: &Entry) -> Result<(), ApplyError> {
        let mut found: Vec<(&Entry, Set)> = Vec::new();
        for entry in self.entries.iter().filter(|entry| !writer.is_of(entry)) {
            let Some(changed) = changes.of(&entry.api_version) else { continue };
            let mut theirs = changed.modified.clone();
            theirs.union(changed.added.clone());
            theirs.intersect(&entry.fields);
            if !theirs.is_empty() {
                found.push((entry, theirs));
            }
        }
        found.sort_by(|(a, _), (b, _)| describe_order(a).cmp(&describe_order(b)));
        let mut conflicts = Conflicts::default();
        for (entry, fields) in &found {
            conflicts.add(entry, fields);
        }
        if conflicts.is_empty() { Ok(()) } else { Err(ApplyError::Conflicts(conflicts)) }
    }

    /// Removes what was applied last time and is owned by nobody now.
    fn prune(&self, merged: Value, last: &Entry, write: &Write<'_>) -> Value {
        let Some((base, schema)) = write.versions.convert(&merged, &last.api_version) else { return merged };
        let gone = last.fields.clone().with_named_fields(schema);
        let pruned = remove(&base, &gone, schema);
        let pruned = self.add_back_owned(&base, pruned, &last.api_version, write);
        let pruned = add_back_dangling(&base, &pruned, last, (schema, write));
        match write.versions.convert(&pruned, write.api_version) {
            Some((pruned, _)) => pruned.into_owned(),
            None => merged,
        }
    }

    /// Adds back what others, or the new configuration, own; first in the version that was pruned.
    fn add_back_owned(&self, base: &Value, pruned: Value, first: &str, write: &Write<'_>) -> Value {
        let mut versions: Vec<&str> = self.entries.iter().map(|entry| entry.api_version.as_str()).collect();
        versions.sort_unstable_by_key(|version| (*version != first, *version));
        versions.dedup();
        let mut result = pruned;
        for version in versions {
            let Some((merged, schema)) = write.versions.convert(base, version) else { continue };
            let Some((pruned, _)) = write.versions.convert(&result, version) else { continue };
            let mut owned = Set::default();
            for entry in self.entries.iter().filter(|entry| entry.api_version == version) {
                owned.union(entry.fields.clone());
            }
            let mut gone = fields_of(&merged, schema).with_named_fields(schema);
            gone.subtract(&fields_of(&pruned, schema).with_named_fields(schema));
            gone.subtract(&owned.with_named_fields(schema));
            result = remove(&merged, &gone, schema);
        }
        result
    }
}

/// Adds back what went along without having been applied last time.
fn add_back_dangling(
    base: &Value,
    pruned: &Value,
    last: &Entry,
    (schema, write): (&Schema, &Write<'_>),
) -> Value {
    let pruned: Cow<'_, Value> = match write.versions.convert(pruned, &last.api_version) {
        Some((pruned, _)) => pruned,
        None => return base.clone(),
    };
    let mut gone = fields_of(base, schema).with_named_fields(schema);
    gone.subtract(&fields_of(&pruned, schema).with_named_fields(schema));
    gone.intersect(&last.fields.clone().with_named_fields(schema));
    remove(base, &gone, schema)
}

/// The order in which managers are listed: by the text that identifies them.
fn describe_order(entry: &Entry) -> (&str, Operation, &str, &str) {
    (&entry.manager, entry.operation, &entry.api_version, &entry.subresource)
}
