//! Rules that definitions state as expressions (`x-kubernetes-validations`).
//!
//! [`Rules`] are those of one schema, compiled once: [`decl`] says what expressions know of values, [`compile`] makes
//! programs of them, [`evaluate`] holds values to them within a budget, [`definition`] tells what is wrong with the
//! rules themselves.

mod compile;
mod decl;
mod definition;
mod evaluate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use wherry_cel::{Type, Types};
use wherry_schema::structural::{Additional, Structural};

use compile::Compiled;
use decl::{Decl, Declared};

pub(crate) use definition::check as check_definition;
pub(crate) use evaluate::shown;

/// The rules of a schema and of what is in it; parts without any are left out.
#[derive(Debug)]
pub(crate) struct Rules {
    decl: Arc<Decl>,
    own: Vec<Compiled>,
    /// Of items.
    items: Option<Box<Rules>>,
    properties: BTreeMap<String, Rules>,
    /// Of entries that have no name.
    additional: Option<Box<Rules>>,
}

/// What expressions that are not rules know of the objects of a schema: the type of this name, and all types in it. The
/// metadata of objects is of a type that is known elsewhere.
pub(crate) fn types_of(schema: &Structural, name: &str, metadata: &Type) -> Option<(Type, Arc<dyn Types>)> {
    let decl = Decl::of(schema, true, name)?;
    let mut declared = Declared::of(&decl);
    declared.set(name, "metadata", metadata.clone());
    Some((decl.of, Arc::new(declared)))
}

/// The name of the type of whatever a rule is about.
const SELF_TYPE: &str = "selfType";

impl Rules {
    /// The rules of the objects of a kind, if there are any.
    pub(crate) fn of_objects(schema: &Structural) -> Option<Self> {
        Self::alone(schema, true)
    }

    /// The rules of values of a schema, if there are any.
    pub(crate) fn of_values(schema: &Structural) -> Option<Self> {
        Self::alone(schema, false)
    }

    fn alone(schema: &Structural, whole: bool) -> Option<Self> {
        if !has_rules(schema) {
            return None;
        }
        let decl = Arc::new(Decl::of(schema, whole, SELF_TYPE)?);
        let declared = Arc::new(Declared::of(&decl));
        Self::within(schema, &decl, &declared)
    }

    fn within(schema: &Structural, decl: &Arc<Decl>, types: &Arc<Declared>) -> Option<Self> {
        let own = schema.rules.iter().filter_map(|rule| Compiled::new(rule, schema, decl, types)).collect();
        let element = |inner: &Structural| Self::within(inner, decl.element()?, types).map(Box::new);
        let rules = Self {
            own,
            items: schema.items.as_deref().and_then(element),
            properties: schema
                .properties
                .iter()
                .filter_map(|(name, inner)| Some((name.clone(), Self::of_field(inner, name, decl, types)?)))
                .collect(),
            additional: match &schema.additional {
                Additional::Of(inner) => element(inner),
                Additional::None | Additional::Any => None,
            },
            decl: Arc::clone(decl),
        };
        let any = !rules.own.is_empty() || rules.items.is_some() || rules.additional.is_some();
        (any || !rules.properties.is_empty()).then_some(rules)
    }

    /// A field that expressions around it cannot name has rules of its own all the same.
    fn of_field(schema: &Structural, name: &str, decl: &Decl, types: &Arc<Declared>) -> Option<Self> {
        match (decl.stored_field(name), wherry_cel::escape(name)) {
            (Some(decl), _) => Self::within(schema, decl, types),
            (None, None) => Self::alone(schema, false),
            (None, Some(_)) => None,
        }
    }
}

/// Whether there are rules in a schema, or in what is in it.
fn has_rules(schema: &Structural) -> bool {
    let other = match &schema.additional {
        Additional::Of(inner) => Some(&**inner),
        Additional::None | Additional::Any => None,
    };
    let mut inner = schema.properties.values().chain(schema.items.as_deref()).chain(other);
    !schema.rules.is_empty() || inner.any(has_rules)
}
