//! [`Declared`]: what the schemas of the built-in kinds say of a place, for those who check what is said about objects.

use super::{Node, Schemas};

/// What is known of a place in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declared {
    /// A string.
    Text,
    /// A whole number.
    Int,
    /// Any number.
    Float,
    /// A truth value.
    Flag,
    /// Bytes in base64.
    Bytes,
    /// A point in time.
    Time,
    /// Values of several types, or of any.
    Any,
    /// An object of the type of this name: `io.k8s.api.core.v1.PodSpec`.
    Object(&'static str),
    /// An object of any keys.
    Map(Box<Declared>),
    /// A list.
    List(Box<Declared>),
}

impl Schemas {
    /// Whether there is a type of this name.
    pub fn has_type(&self, name: &str) -> bool {
        self.structs.iter().any(|of| of.name == name)
    }

    /// What is known of a field of the type of this name; none if it has no such field.
    pub fn field_of(&'static self, name: &str, field: &str) -> Option<Declared> {
        let of = self.structs.iter().find(|of| of.name == name)?;
        Some(self.declared(of.field(field)?.node))
    }

    fn declared(&'static self, node: Node) -> Declared {
        match node {
            Node::String => Declared::Text,
            Node::Int32 | Node::Int64 => Declared::Int,
            Node::Float => Declared::Float,
            Node::Bool => Declared::Flag,
            Node::Bytes => Declared::Bytes,
            Node::Time | Node::MicroTime => Declared::Time,
            Node::IntOrString | Node::Quantity | Node::Any => Declared::Any,
            Node::Struct(index) => Declared::Object(self.structure(index).name),
            Node::Map(element) => Declared::Map(Box::new(self.declared(self.element(element)))),
            Node::List(element) => Declared::List(Box::new(self.declared(self.element(element)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Declared, Schemas};
    use crate::schema::Schema;

    #[test]
    fn fields_of_types_are_known() {
        let schemas = Schemas::builtin();
        let deployment =
            schemas.kind("apps", "v1", "Deployment").and_then(Schema::name).expect("it is a kind");
        assert!(schemas.has_type(deployment) && !schemas.has_type("io.k8s.Nope"));
        let spec = "io.k8s.api.apps.v1.DeploymentSpec";
        assert_eq!(schemas.field_of(deployment, "spec"), Some(Declared::Object(spec)));
        assert_eq!(schemas.field_of(spec, "replicas"), Some(Declared::Int));
        assert_eq!(schemas.field_of(spec, "nope"), None);
        let metadata = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
        assert_eq!(schemas.field_of(metadata, "creationTimestamp"), Some(Declared::Time));
        let texts = Declared::Map(Box::new(Declared::Text));
        assert_eq!(schemas.field_of(metadata, "labels"), Some(texts));
    }
}
