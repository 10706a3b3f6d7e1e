//! [`Definition`]: an established CustomResourceDefinition, read once, with all that its versions need to be served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;
use wherry_api::kinds::{Kind, Subresource};
use wherry_schema::structural::Structural;
use wherry_schema::{Schema, Value};
use wherry_store::Revision;

use super::columns::Columns;
use super::siblings::Siblings;
use super::values::Values;
use super::webhook::Webhook;
use super::{Path, conditions, intern};
use crate::discovery::rank;
use crate::kinds::Rules;
use crate::object::Fields;
use crate::validation::checks::texts;

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// Serials of versions; zero is that of what is built in.
static NEXT: AtomicU32 = AtomicU32::new(1);

const PART_VERBS: &[&str] = &["get", "patch", "update"];

/// A definition that is served.
pub(crate) struct Definition {
    /// The name of lists of its objects: `WidgetList`.
    pub(crate) list_kind: String,
    /// What is served, the version that clients should prefer first.
    pub(crate) versions: Vec<Version>,
    /// The rows of what is served, in the order of the definition.
    rows: Vec<&'static Kind>,
    /// The version objects are stored in, which need not be served.
    pub(crate) storage: Version,
    /// Who makes one version another, if versions differ in more than their name.
    pub(super) webhook: Option<Webhook>,
    /// Objects written at this revision or later were written by what the definition says now.
    pub(crate) since: Revision,
    /// Whether it is being deleted, so that no objects can be made any more.
    pub(super) terminating: AtomicBool,
    /// Cancelled when the definition says something else, or goes: ends the watches of its objects.
    pub(crate) retired: CancellationToken,
}

/// A version of a definition.
pub(crate) struct Version {
    /// A number that no other version of any definition has had for long.
    serial: u32,
    /// Its row.
    pub(crate) kind: &'static Kind,
    /// What its objects are made of.
    pub(crate) schema: Schema,
    /// The same, as the definition says it.
    pub(crate) structural: Arc<Structural>,
    /// What its objects are held to.
    pub(super) values: Values,
    /// What tables show.
    pub(crate) columns: Columns,
    /// Fields that objects can be selected by, as selectors call them.
    pub(crate) selectable: Vec<(String, Path)>,
    /// Where the number of replicas is, if it can be scaled.
    pub(crate) scale: Option<ScalePaths>,
    /// What to tell whoever uses it, if it should not be used any more.
    pub(crate) warning: Option<String>,
    /// How many watches of its objects are under way.
    watches: AtomicUsize,
}

/// Where an object says how many replicas it has.
pub(crate) struct ScalePaths {
    /// How many it shall have: `spec.replicas`.
    pub(crate) wanted: String,
    /// How many it has.
    pub(crate) actual: String,
    /// The labels of what is counted, as text; empty if nothing says.
    pub(crate) selector: String,
}

/// A version of a definition, held as long as it is needed: by a request, a watch, or a task.
pub(crate) struct Served {
    definition: Arc<Definition>,
    /// None for the version that objects are stored in.
    at: Option<usize>,
    siblings: Siblings,
}

impl Clone for Served {
    fn clone(&self) -> Self {
        Self { definition: Arc::clone(&self.definition), at: self.at, siblings: Siblings::default() }
    }
}

impl Definition {
    /// Reads an established definition, last written at this revision.
    pub(super) fn read(object: &Value, since: Revision, retired: CancellationToken) -> Option<Self> {
        let spec = object.field("spec")?;
        let mut versions: Vec<Version> = spec
            .items("versions")
            .iter()
            .filter(|v| v.flag("served"))
            .map(|v| Version::read(object, v))
            .collect();
        let rows = versions.iter().map(|version| version.kind).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(rank(version.kind.version)));
        let storage = spec.items("versions").iter().find(|version| version.flag("storage"))?;
        let list_kind = match object.text("status.acceptedNames.listKind") {
            "" => format!("{}List", object.text("status.acceptedNames.kind")),
            named => named.to_owned(),
        };
        Some(Self {
            list_kind,
            versions,
            rows,
            storage: Version::read(object, storage),
            webhook: spec.field("conversion").and_then(Webhook::of),
            since,
            terminating: AtomicBool::new(conditions::holds(object, "Terminating")),
            retired,
        })
    }

    /// Its name: `widgets.example.com`.
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.storage.kind.plural, self.storage.kind.group)
    }

    /// The rows of what is served, in the order of the definition.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &'static Kind> {
        self.rows.iter().copied()
    }

    /// Whether it is being deleted, so that no objects can be made any more.
    pub(crate) fn is_terminating(&self) -> bool {
        self.terminating.load(Ordering::Acquire)
    }

    /// The version that objects are stored in, which need not be served.
    pub(super) fn stored(self: &Arc<Self>) -> Served {
        Served { definition: Arc::clone(self), at: None, siblings: Siblings::default() }
    }

    /// The version of this name.
    pub(super) fn served(self: &Arc<Self>, version: &str) -> Option<Served> {
        let at = self.versions.iter().position(|served| served.kind.version == version)?;
        Some(Served { definition: Arc::clone(self), at: Some(at), siblings: Siblings::default() })
    }
}

/// A watch of the objects of a version, counted until it ends.
pub(crate) struct Watched(Served);

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.version().watches.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Version {
    /// How many watches of its objects are under way.
    pub(crate) fn watches(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    fn read(object: &Value, version: &Value) -> Self {
        let kind = row(object, version);
        let selectable = version.items("selectableFields").iter().filter_map(|field| {
            let text = field.text("jsonPath");
            Some((text.trim_start_matches('.').to_owned(), Path::parse(text)?))
        });
        let nothing = Value::object();
        let structural = Structural::parse(version.field("schema.openAPIV3Schema").unwrap_or(&nothing));
        let structural = Arc::new(structural);
        Self {
            kind,
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
            schema: Schema::custom(Arc::clone(&structural)),
            values: Values::new(Arc::clone(&structural)),
            structural,
            columns: Columns::read(version.items("additionalPrinterColumns")),
            selectable: selectable.collect(),
            scale: version.field("subresources.scale").map(ScalePaths::read),
            watches: AtomicUsize::new(0),
            warning: version.flag("deprecated").then(|| warning(object, version)),
        }
    }
}

impl ScalePaths {
    fn read(scale: &Value) -> Self {
        let path = |field: &str| scale.text(field).trim_start_matches('.').to_owned();
        Self {
            wanted: path("specReplicasPath"),
            actual: path("statusReplicasPath"),
            selector: path("labelSelectorPath"),
        }
    }
}

impl Served {
    /// The definition.
    pub(crate) fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// A number for the version as it is now, that others like it do not have.
    pub(crate) fn serial(&self) -> u32 {
        self.version().serial
    }

    /// What the version says.
    pub(crate) fn version(&self) -> &Version {
        self.at.map_or(&self.definition.storage, |at| &self.definition.versions[at])
    }

    /// Objects of the request in other versions.
    pub(super) fn siblings(&self) -> &Siblings {
        &self.siblings
    }

    /// Counts a watch of its objects.
    pub(crate) fn watched(&self) -> Watched {
        self.version().watches.fetch_add(1, Ordering::Relaxed);
        Watched(self.clone())
    }

    /// The rules of its objects.
    pub(crate) fn rules(&self) -> &dyn Rules {
        self.version()
    }
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Served").field(self.version().kind).finish()
    }
}

/// The row of a version.
fn row(object: &Value, version: &Value) -> &'static Kind {
    let (spec, names) = (|field: &str| object.text(&format!("spec.{field}")), "status.acceptedNames");
    let name = |field: &str| intern::text(object.text(&format!("{names}.{field}")));
    let list = |field: &str| intern::texts(texts(object, &format!("{names}.{field}")).into_iter());
    let (group, plural) = (spec("group"), object.text("status.acceptedNames.plural"));
    intern::row(Kind {
        group: intern::text(group),
        version: intern::text(version.text("name")),
        kind: name("kind"),
        plural: name("plural"),
        singular: name("singular"),
        short_names: list("shortNames"),
        categories: list("categories"),
        namespaced: spec("scope") == "Namespaced",
        verbs: VERBS,
        subresources: intern::parts(&parts(version, name("kind"))),
        storage: intern::text(&format!("{group}/{plural}")),
    })
}

fn parts(version: &Value, kind: &'static str) -> Vec<Subresource> {
    let mut parts = Vec::new();
    if version.has("subresources.scale") {
        let part = ("autoscaling", "v1", "Scale");
        parts.push(Subresource {
            name: "scale",
            group: part.0,
            version: part.1,
            kind: part.2,
            verbs: PART_VERBS,
        });
    }
    if version.has("subresources.status") {
        parts.push(Subresource { name: "status", group: "", version: "", kind, verbs: PART_VERBS });
    }
    parts
}

/// What to tell whoever uses a deprecated version.
fn warning(object: &Value, version: &Value) -> String {
    if let Some(own) = version.field("deprecationWarning").and_then(Value::as_str) {
        return own.to_owned();
    }
    let (group, kind, name) =
        (object.text("spec.group"), object.text("spec.names.kind"), version.text("name"));
    let versions = object.items("spec.versions").iter();
    let better = versions
        .filter(|other| other.flag("served") && !other.flag("deprecated"))
        .map(|other| other.text("name"))
        .filter(|other| rank(other) > rank(name))
        .max_by_key(|other| rank(other));
    let instead = better.map_or(String::new(), |better| format!("; use {group}/{better} {kind}"));
    format!("{group}/{name} {kind} is deprecated{instead}")
}
