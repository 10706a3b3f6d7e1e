//! What is wrong with the rules of a definition: expressions that do not compile, that could cost too much, or that
//! compare with what cannot be told to be there before.

use std::sync::Arc;

use wherry_schema::structural::{Additional, ListType, MapType, Structural, Types};

use super::compile::Compiled;
use super::decl::{Decl, Declared, MOST_BYTES};
use super::{SELF_TYPE, has_rules};
use crate::validation::{Errors, Path, Shown, internal};

/// The most that a rule may be estimated to cost.
const LIMIT: u64 = 10_000_000;
/// The most that all rules of a schema may be estimated to cost.
const TOTAL_LIMIT: u64 = 100_000_000;
/// How many of the rules that cost most are told.
const TOLD: usize = 4;

/// What was found so far.
struct Found<'e> {
    errors: &'e mut Errors,
    total: u64,
    expensive: Vec<(Path, u64)>,
}

/// Where in a schema a rule is.
#[derive(Clone)]
struct Place {
    path: Path,
    /// How many values of this place there can be, if that is bounded.
    count: Option<u64>,
    /// The closest list or map around whose parts cannot be told to be there before.
    uncorrelated: Option<Path>,
}

/// Reports what is wrong with the rules of a schema.
pub(crate) fn check(schema: &Structural, path: &Path, errors: &mut Errors) {
    if !has_rules(schema) {
        return;
    }
    let mut found = Found { errors, total: 0, expensive: Vec::new() };
    let place = Place { path: path.clone(), count: Some(1), uncorrelated: None };
    let decl = Decl::of(schema, true, SELF_TYPE).map(Arc::new);
    let types = Arc::new(decl.as_deref().map(Declared::of).unwrap_or_default());
    found.visit(schema, decl.as_ref(), &types, &place);
    found.tell_total(path);
}

impl Found<'_> {
    fn visit(&mut self, schema: &Structural, decl: Option<&Arc<Decl>>, types: &Arc<Declared>, place: &Place) {
        let element = decl.and_then(|decl| decl.element());
        if let Additional::Of(inner) = &schema.additional {
            let below = place.below(schema, place.path.child("additionalProperties"));
            self.visit(inner, element, types, &below);
        }
        for (name, inner) in schema.properties.iter().filter(|(_, inner)| has_rules(inner)) {
            let below = place.below(schema, place.path.child("properties").key(name));
            if let Some(field) = decl.and_then(|decl| decl.stored_field(name)) {
                self.visit(inner, Some(field), types, &below);
            } else {
                let alone = Decl::of(inner, false, SELF_TYPE).map(Arc::new);
                let types = Arc::new(alone.as_deref().map(Declared::of).unwrap_or_default());
                self.visit(inner, alone.as_ref(), &types, &below);
            }
        }
        if let Some(inner) = &schema.items {
            self.visit(inner, element, types, &place.below(schema, place.path.child("items")));
        }
        let at = place.path.child("x-kubernetes-validations");
        let Some(decl) = decl else {
            if !schema.rules.is_empty() {
                let detail = "internal error: failed to construct type information for x-kubernetes-validations \
                              rules: unable to convert structural schema to CEL declarations";
                self.errors.internal(&at, detail);
            }
            return;
        };
        for (index, rule) in schema.rules.iter().enumerate() {
            if let Some(compiled) = Compiled::new(rule, schema, decl, types) {
                self.rule(&compiled, decl, place, &at.index(index));
            }
        }
    }

    fn rule(&mut self, compiled: &Compiled, decl: &Decl, place: &Place, at: &Path) {
        let path = at.child("rule");
        let count = place.count.unwrap_or(MOST_BYTES / (decl.min_size + 1));
        self.cost("estimated rule cost", compiled.cost(decl).saturating_mul(count), &path);
        let value = || Shown::raw(show(compiled));
        if let Err(problem) = &compiled.program {
            self.errors.invalid(&path, value(), problem);
        }
        if let Some(Err(problem)) = &compiled.message {
            self.errors.invalid(&at.child("messageExpression"), value(), problem);
        } else if let Some(cost) = compiled.message_cost(decl) {
            self.cost("estimated messageExpression cost", cost, &at.child("messageExpression"));
        }
        if let (true, Some(around)) = (compiled.uses_old, &place.uncorrelated) {
            let detail =
                format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {around}");
            self.errors.invalid(&path, &compiled.rule.rule, &detail);
        } else if let (false, Some(optional)) = (compiled.uses_old, compiled.rule.optional_old) {
            let detail = "may not be set if oldSelf is not used in rule";
            self.errors.invalid(&at.child("optionalOldSelf"), optional, detail);
        }
    }

    fn cost(&mut self, what: &str, cost: u64, path: &Path) {
        if cost > LIMIT {
            self.errors.forbidden(path, &too_much(what, cost, LIMIT));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= TOTAL_LIMIT / 100 {
            self.expensive.push((path.clone(), cost));
        }
    }

    fn tell_total(mut self, path: &Path) {
        if self.total <= TOTAL_LIMIT {
            return;
        }
        self.expensive.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        for (path, _) in self.expensive.iter().take(TOLD) {
            let detail =
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            self.errors.forbidden(path, detail);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        self.errors.forbidden(path, &too_much(what, self.total, TOTAL_LIMIT));
    }
}

impl Place {
    fn below(&self, schema: &Structural, path: Path) -> Self {
        let count = match (&schema.types, &schema.additional) {
            (Types::One(wherry_schema::structural::Type::Array), _) => schema.conditions.max_items,
            (_, Additional::Of(_) | Additional::Any) => schema.conditions.max_properties,
            (_, Additional::None) => Some(1),
        };
        let of_list = schema.items.is_some() && !matches!(schema.list_type, ListType::Map(_));
        let lost = of_list || schema.map_type == MapType::Atomic;
        Self {
            path,
            count: self.count.zip(count).map(|(outer, own)| outer.saturating_mul(own as u64)),
            uncorrelated: self.uncorrelated.clone().or_else(|| lost.then(|| self.path.clone())),
        }
    }
}

/// How far beyond a limit a cost is.
#[expect(clippy::cast_precision_loss, reason = "a factor is told, not a sum")]
fn too_much(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        factor if factor > 100.0 => "more than 100x".to_owned(),
        factor if factor < 1.5 => format!("{factor:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

/// A rule as upstream shows it.
fn show(compiled: &Compiled) -> String {
    let rule = &compiled.rule;
    let mut value = wherry_schema::Value::object();
    let texts = [
        ("rule", &rule.rule),
        ("message", &rule.message),
        ("messageExpression", &rule.message_expression),
        ("fieldPath", &rule.field_path),
    ];
    for (name, text) in texts {
        value.set(&[name], text.as_str());
    }
    if let Some(reason) = &rule.reason {
        value.set(&["reason"], reason.as_str());
    }
    if let Some(optional) = rule.optional_old {
        value.set(&["optionalOldSelf"], optional);
    }
    let shown = internal::show("ValidationRule", Some(&value)).to_string();
    shown.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The name of the type of a value in messages.
pub(super) fn type_name(schema: &Structural) -> &'static str {
    match schema.types {
        Types::One(kind) => kind.name(),
        Types::Any | Types::IntOrString => "",
    }
}
