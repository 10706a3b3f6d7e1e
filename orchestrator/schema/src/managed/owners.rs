//! [`Owners`]: who owns which fields of an object, and what an ordinary write does to that.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::compare::{Comparison, compare};
use super::entries::{Entry, Operation, is_reset};
use super::problems::Problems;
use super::set::Set;
use crate::schema::Schema;
use crate::value::Value;

/// Who owns which fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    pub(super) entries: Vec<Entry>,
}

/// The versions in which an object's fields can be owned.
pub trait Versions: Sync {
    /// The object in this version, and the schema of that; none if the version is not served.
    fn convert<'v>(&'v self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'v Schema)>;
}

/// What is the same for all that happens in one write.
#[derive(Clone, Copy)]
pub struct Write<'a> {
    /// Who writes.
    pub manager: &'a str,
    /// The version it speaks.
    pub api_version: &'a str,
    /// Where it writes to, empty for the object.
    pub subresource: &'a str,
    /// The schema of the version it speaks.
    pub schema: &'a Schema,
    /// Fields that this endpoint does not change, whatever is written.
    pub ignored: &'a Set,
    /// The time in RFC 3339.
    pub now: &'a str,
    /// The other versions of the object.
    pub versions: &'a dyn Versions,
}

/// Metadata that nobody owns.
static NEVER_OWNED: LazyLock<Set> = LazyLock::new(|| {
    let mut set = Set::of(&[&["apiVersion"], &["kind"], &["metadata"]]);
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.union(Set::of(&[&["metadata", name]]));
    }
    set
});

impl Write<'_> {
    /// An entry of the writer without fields.
    pub(super) fn entry(&self, operation: Operation) -> Entry {
        let manager = if self.manager.is_empty() { "unknown" } else { self.manager };
        Entry {
            manager: manager.to_owned(),
            operation,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: None,
            fields: Set::default(),
        }
    }
}

impl Owners {
    /// The owners that a write starts from: those the client sends, unless it cannot be meant, else those there are.
    pub fn of_write(live: Option<&Value>, sent: Option<&Value>, subresource: &str) -> Self {
        if subresource.is_empty() {
            if is_reset(sent) {
                return Self::default();
            }
            if let Ok(owners) = Self::read(sent)
                && !owners.is_empty()
            {
                return owners;
            }
        }
        Self::read(live).unwrap_or_default()
    }

    /// Whether nobody owns anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries, in no order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// A write that made `new` of `live`. Both are without managed fields.
    ///
    /// An object whose owners are not known gets none, unless it is new.
    pub fn update(&mut self, live: &Value, new: &Value, write: &Write<'_>) -> Result<(), Problems> {
        let is_new = live.at(&["metadata", "creationTimestamp"]).is_none_or(Value::is_null);
        if self.is_empty() && !is_new {
            return Ok(());
        }
        self.record(live, new, write)
    }

    /// Gives the writer what it changed, and takes that from all others.
    pub(super) fn record(&mut self, live: &Value, new: &Value, write: &Write<'_>) -> Result<(), Problems> {
        let changes = self.changes(live, new, write)?;
        self.lose(&changes, None);
        let Comparison { added: mut fields, modified, .. } = changes.into_own();
        fields.union(modified);
        strip(&mut fields);
        if !fields.is_empty() {
            self.gain(write, fields);
        }
        self.cap();
        Ok(())
    }

    fn gain(&mut self, write: &Write<'_>, fields: Set) {
        let entry = write.entry(Operation::Update);
        let at = self.entries.iter().position(|known| known.is_of(&entry)).unwrap_or_else(|| {
            self.entries.push(entry);
            self.entries.len() - 1
        });
        self.entries[at].fields.union(fields);
        self.entries[at].time = Some(write.now.to_owned());
    }

    /// What changed, in each version that somebody owns fields of. Entries of versions not served are dropped.
    pub(super) fn changes(
        &mut self,
        live: &Value,
        new: &Value,
        write: &Write<'_>,
    ) -> Result<Changes, Problems> {
        let mut own = compare(live, new, write.schema)?;
        own.cut(write.ignored);
        let mut changes = Changes { own: (write.api_version.to_owned(), own), others: Vec::new() };
        let mut failed = None;
        self.entries.retain(|entry| {
            if changes.of(&entry.api_version).is_some() {
                return true;
            }
            let before = write.versions.convert(live, &entry.api_version);
            let after = write.versions.convert(new, &entry.api_version);
            let (Some((before, schema)), Some((after, _))) = (before, after) else { return false };
            match compare(&before, &after, schema) {
                Ok(mut found) => {
                    found.cut(write.ignored);
                    changes.others.push((entry.api_version.clone(), found));
                }
                Err(problems) => failed = Some(problems),
            }
            true
        });
        failed.map_or(Ok(changes), Err)
    }

    /// Takes what changed from all but the writer itself; who owns nothing any more is forgotten.
    pub(super) fn lose(&mut self, changes: &Changes, writer: Option<&Entry>) {
        for entry in &mut self.entries {
            let found = changes.of(&entry.api_version);
            if let Some(found) = found.filter(|_| writer.is_none_or(|writer| !writer.is_of(entry))) {
                entry.fields.subtract(&found.modified);
                entry.fields.subtract(&found.added);
                entry.fields.subtract(&found.removed);
            }
        }
        self.entries.retain(|entry| !entry.fields.is_empty());
    }
}

/// What a write changes, by version.
pub(super) struct Changes {
    own: (String, Comparison),
    others: Vec<(String, Comparison)>,
}

impl Changes {
    pub(super) fn of(&self, api_version: &str) -> Option<&Comparison> {
        let all = std::iter::once(&self.own).chain(&self.others);
        all.into_iter().find(|(version, _)| version == api_version).map(|(_, found)| found)
    }

    fn into_own(self) -> Comparison {
        self.own.1
    }
}

/// Takes away what nobody owns.
pub(super) fn strip(fields: &mut Set) {
    fields.subtract(&NEVER_OWNED);
}
