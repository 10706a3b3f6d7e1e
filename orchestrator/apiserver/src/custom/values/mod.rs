//! Objects of custom kinds: whether they are what their definition says.
//!
//! What a definition says of its objects is parsed by `wherry_schema`'s `structural`. [`Values`] is that of one version
//! of a kind, made once for each revision of its definition; it holds new objects and changes of objects to it: first by
//! their schema (`walk`, `conditions`, `formats`), then objects inside of them (`embedded`), lists whose items may not be
//! there twice (`lists`), and at last, if nothing worse was found, the rules it states as expressions
//! ([`rules`](super::rules)). Metadata itself is checked as that of any object, by the caller and before.

mod conditions;
mod embedded;
mod formats;
mod lists;
#[cfg(test)]
mod tests;
mod walk;

use std::sync::{Arc, OnceLock};

use wherry_schema::Value;
use wherry_schema::structural::Structural;

use super::rules::{self, Rules};
use crate::validation::{Errors, Path, Shown};

pub(crate) use walk::{check, old_item};

/// What a version of a custom kind says of the values of its objects.
#[derive(Debug)]
pub(crate) struct Values {
    structural: Arc<Structural>,
    /// Whether there are objects in objects.
    embeds: bool,
    /// Whether there are lists whose items are told apart.
    keyed: bool,
    /// Compiled when the first object is checked.
    rules: OnceLock<Option<Rules>>,
}

impl Values {
    /// The version whose definition has this schema.
    pub(crate) fn new(structural: Arc<Structural>) -> Self {
        let (embeds, keyed) = (structural.embeds(), lists::are_in(&structural));
        Self { structural, embeds, keyed, rules: OnceLock::new() }
    }

    /// Reports what is wrong with a new object.
    pub(crate) fn check(&self, object: &Value, errors: &mut Errors) {
        walk::check(&self.structural, object, &Path::default(), errors);
        self.check_embedded(object, errors);
        if self.keyed {
            lists::check(&self.structural, object, &Path::default(), errors);
        }
        self.check_rules(object, None, errors);
    }

    /// Reports what is wrong with a change of an object. What was wrong before and stays as it is, is let through.
    pub(crate) fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        walk::check_update(&self.structural, (object, old), &Path::default(), errors);
        self.check_embedded(object, errors);
        self.check_lists(object, old, errors);
        self.check_rules(object, Some(old), errors);
    }

    /// Reports what is wrong with a change of the status of an object; only that is held to the schema.
    pub(crate) fn check_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if let (Some(schema), Some(status)) = (self.structural.field("status"), object.get("status")) {
            let before = old.get("status").unwrap_or(&Value::Null);
            walk::check_update(schema, (status, before), &Path::new("status"), errors);
        }
        self.check_lists(object, old, errors);
        self.check_rules(object, Some(old), errors);
    }

    fn check_rules(&self, object: &Value, old: Option<&Value>, errors: &mut Errors) {
        let Some(rules) = self.rules.get_or_init(|| Rules::of_objects(&self.structural)) else { return };
        let root = Path::default();
        if errors.are_blocking() {
            let detail = "some validation rules were not checked because the object was invalid; correct the existing \
                          errors to complete validation";
            errors.invalid(&rules::shown(&root), Shown::raw("null"), detail);
        } else {
            rules.check(&self.structural, (object, old), &root, errors);
        }
    }

    fn check_embedded(&self, object: &Value, errors: &mut Errors) {
        if self.embeds {
            embedded::check(&self.structural, object, &Path::default(), errors);
        }
    }

    /// Lists that had items twice may go on having them.
    fn check_lists(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !self.keyed {
            return;
        }
        let mut found = Errors::default();
        lists::check(&self.structural, object, &Path::default(), &mut found);
        if found.is_empty() {
            return;
        }
        let mut before = Errors::default();
        lists::check(&self.structural, old, &Path::default(), &mut before);
        if before.is_empty() {
            errors.append(found);
        }
    }
}
