//! [`Schema`]: what is known of a kind; [`Schemas`]: the structure of the built-in kinds, in an arena.
//!
//! The build script prepares the arena; it is unpacked once, at first use, into about a hundred kilobytes. Descriptions
//! are not part of it: they stay compressed in the documents of [`crate::openapi`]. The structure of a custom kind is
//! that of its definition: see [`crate::structural`].

mod declared;
mod load;

pub use declared::Declared;

use std::sync::{Arc, LazyLock, OnceLock};

use crate::structural::Structural;
use crate::value::Value;

/// The type of metadata.
const METADATA_NAME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The name of a field, alive as long as the program.
pub(crate) type Name = &'static &'static str;

/// All built-in schemas.
#[derive(Debug)]
pub struct Schemas {
    structs: Vec<Struct>,
    /// What maps and lists hold, by the index their nodes carry.
    nodes: Vec<Node>,
    kinds: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    schema: u16,
}

/// A type with named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// `io.k8s.api.core.v1.Pod`.
    pub(crate) name: &'static str,
    /// Whether it is owned as a whole, unless a field says otherwise.
    pub(crate) atomic: bool,
    /// Sorted by name.
    pub(crate) fields: Vec<Field>,
}

/// A field of a type.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Name,
    /// The field as an element of a path in field sets: `f:name`.
    pub(crate) element: Name,
    pub(crate) node: Node,
    /// Left out when it holds the zero value of its type, or nothing.
    pub(crate) omit_zero: bool,
    /// Written even if it was not set.
    pub(crate) always: bool,
    pub(crate) strategy: Strategy,
    /// The field that identifies the items of a merged list.
    pub(crate) merge_key: Option<&'static str>,
    pub(crate) topology: Topology,
    /// What an item without this field, which is a key of its list, is identified by.
    pub(crate) key_default: Option<Value>,
}

/// How the parts of a field's list or map are owned and merged by server-side apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    /// Objects by their fields, as their type says; lists as a whole.
    Default,
    /// As a whole.
    Atomic,
    /// By fields or entries, whatever the type says.
    Granular,
    /// A list of distinct scalars.
    Set,
    /// A list of objects told apart by these fields.
    Keys(&'static [&'static str]),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Objects are merged, lists replaced.
    Default,
    /// Lists are merged too.
    Merge,
    /// Objects are replaced.
    Replace,
}

/// The type of a value. Numbers are indices: of a struct, or of the node that a map or list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    String,
    Int32,
    Int64,
    Float,
    Bool,
    IntOrString,
    Quantity,
    Time,
    MicroTime,
    Bytes,
    Any,
    Struct(u16),
    Map(u16),
    List(u16),
}

static BUILTIN: LazyLock<(Schemas, Vec<Schema>)> = LazyLock::new(|| {
    let schemas = load::builtin();
    let handles = schemas.kinds.iter().map(|root| Schema::of(Root::Builtin(root.schema))).collect();
    (schemas, handles)
});

impl Schemas {
    /// The schemas of the built-in kinds and of what requests carry besides objects.
    pub fn builtin() -> &'static Self {
        &BUILTIN.0
    }

    /// The schema of a kind: those served, and `Scale` (autoscaling), `Binding`, and from `meta.k8s.io`
    /// `DeleteOptions` and `Status`.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&'static Schema> {
        let at =
            self.kinds.iter().position(|k| k.kind == kind && k.group == group && k.version == version)?;
        BUILTIN.1.get(at)
    }

    /// The schema of the metadata that every object has.
    pub(crate) fn metadata() -> &'static Schema {
        static METADATA: LazyLock<Schema> = LazyLock::new(|| {
            let structs = &Schemas::builtin().structs;
            let at = structs.iter().position(|s| s.name == METADATA_NAME).expect("objects have metadata");
            Schema::of(Root::Builtin(u16::try_from(at).expect("indices of types are as wide")))
        });
        &METADATA
    }

    pub(crate) fn structure(&self, index: u16) -> &Struct {
        &self.structs[usize::from(index)]
    }

    pub(crate) fn element(&self, index: u16) -> Node {
        self.nodes[usize::from(index)]
    }
}

/// The schema of one kind.
#[derive(Debug)]
pub struct Schema {
    root: Root,
    /// Made when it is first asked for.
    empty: OnceLock<Value>,
}

/// Where the structure of a kind is.
#[derive(Debug)]
pub(crate) enum Root {
    /// In the arena: a type.
    Builtin(u16),
    /// With its definition.
    Custom {
        /// What the definition says.
        structural: Arc<Structural>,
        /// Whether it has objects within objects.
        embeds: bool,
    },
}

impl Schema {
    fn of(root: Root) -> Self {
        Self { root, empty: OnceLock::new() }
    }

    /// The schema of a custom kind.
    pub fn custom(structural: Arc<Structural>) -> Self {
        let embeds = structural.embeds();
        Self::of(Root::Custom { structural, embeds })
    }

    /// The full name of a built-in type: `io.k8s.api.core.v1.Pod`.
    pub fn name(&self) -> Option<&'static str> {
        match &self.root {
            Root::Builtin(index) => Some(Schemas::builtin().structure(*index).name),
            Root::Custom { .. } => None,
        }
    }

    /// What the definition of a custom kind says.
    pub fn structural(&self) -> Option<&Arc<Structural>> {
        match &self.root {
            Root::Builtin(_) => None,
            Root::Custom { structural, .. } => Some(structural),
        }
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The type of a built-in kind.
    pub(crate) fn node(&self) -> Option<Node> {
        match &self.root {
            Root::Builtin(index) => Some(Node::Struct(*index)),
            Root::Custom { .. } => None,
        }
    }

    /// An object of which nothing has been set: only the fields that are always written.
    pub fn empty(&self) -> &Value {
        self.empty.get_or_init(|| self.node().map_or(Value::object(), crate::defaults::empty))
    }
}

impl Struct {
    /// The index of a field.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| (**field.name).cmp(name)).ok()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.find(name).map(|at| &self.fields[at])
    }

    /// The kind's bare name: `Pod`.
    pub(crate) fn kind(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Node, Schema, Schemas, Strategy, Topology};

    #[test]
    fn every_kind_served_has_a_schema() {
        for kind in wherry_api::kinds::rows() {
            let schema = Schemas::builtin().kind(kind.group, kind.version, kind.kind);
            assert!(
                schema.and_then(Schema::name).is_some_and(|name| name.ends_with(kind.kind)),
                "{}",
                kind.kind
            );
        }
        assert!(Schemas::builtin().kind("meta.k8s.io", "v1", "DeleteOptions").is_some());
        assert!(Schemas::builtin().kind("", "v1", "Nope").is_none());
    }

    #[test]
    fn fields_carry_types_and_merge_metadata() {
        let schemas = Schemas::builtin();
        let pod = schemas.kind("", "v1", "Pod").unwrap();
        let Some(Node::Struct(pod)) = pod.node() else { panic!("a kind is a struct") };
        let spec = schemas.structure(pod).field("spec").unwrap();
        assert!(spec.always);
        let Node::Struct(spec) = spec.node else { panic!("a spec is a struct") };
        let containers = schemas.structure(spec).field("containers").unwrap();
        assert_eq!((containers.strategy, containers.merge_key), (Strategy::Merge, Some("name")));
        let tolerations = schemas.structure(spec).field("tolerations").unwrap();
        assert_eq!(tolerations.strategy, Strategy::Default);
        assert!(schemas.structure(spec).field("hostNetwork").unwrap().omit_zero);
        assert!(!schemas.structure(spec).field("priority").unwrap().omit_zero);
    }

    #[test]
    fn fields_say_how_their_parts_are_owned() {
        let schemas = Schemas::builtin();
        let find = |name: &str| schemas.structs.iter().find(|s| s.name.ends_with(name)).unwrap();
        let container = find("core.v1.Container");
        assert_eq!(
            container.field("ports").unwrap().topology,
            Topology::Keys(&["containerPort", "protocol"])
        );
        assert_eq!(container.field("command").unwrap().topology, Topology::Atomic);
        assert_eq!(find("meta.v1.ObjectMeta").field("finalizers").unwrap().topology, Topology::Set);
        assert!(find("meta.v1.LabelSelector").atomic && !container.atomic);
        let port = find("core.v1.ContainerPort");
        assert_eq!(port.field("protocol").unwrap().key_default, Some("TCP".into()));
        assert_eq!(port.field("containerPort").unwrap().key_default, Some(0.into()));
        assert_eq!(port.field("hostPort").unwrap().key_default, None);
    }

    #[test]
    fn no_type_has_more_fields_than_the_decoder_can_mark() {
        assert!(Schemas::builtin().structs.iter().all(|s| s.fields.len() <= 128));
    }
}
