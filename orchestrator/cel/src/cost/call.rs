//! What a call can cost, from what its arguments can be.

use super::estimate::{Estimator, Node, Parts};
use super::{CHECK, LIST, MESSAGE, PATTERN, Range, TRAVERSAL};
use crate::syntax::ast::{Expr, Kind, Literal};
use crate::types::Type;

/// An argument or the target of a call.
pub(super) struct Operand<'c> {
    pub(super) expr: &'c Expr,
    pub(super) path: Vec<String>,
    pub(super) of: &'c Type,
    pub(super) size: Option<Range>,
}

impl Operand<'_> {
    pub(super) fn size(&self) -> Range {
        self.size.unwrap_or(Range::UNKNOWN)
    }

    fn integer(&self) -> Option<u64> {
        match &self.expr.kind {
            Kind::Literal(Literal::Int(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
    }
}

/// The cost of a call, and the size of its result if that is known.
pub(super) struct Estimate {
    pub(super) cost: Range,
    pub(super) size: Option<Range>,
}

fn cost(cost: Range) -> Estimate {
    Estimate { cost, size: None }
}

fn sized(cost: Range, size: Range) -> Estimate {
    Estimate { cost, size: Some(size) }
}

/// What a call of one overload can cost, with its arguments.
pub(super) fn estimate(
    estimator: &mut Estimator<'_>,
    (expr, function, overload): (&Expr, &str, &str),
    target: Option<&Operand<'_>>,
    (args, costs): (&[Operand<'_>], &[Range]),
) -> Estimate {
    let all = costs.iter().fold(Range::ZERO, |sum, cost| sum.plus(*cost));
    let own = lists(overload, target, args)
        .or_else(|| kubernetes(estimator, (function, overload), target, args))
        .or_else(|| standard(overload, target, args));
    if let Some(own) = own {
        return Estimate { cost: own.cost.plus(all), size: own.size };
    }
    match (overload, args, costs) {
        ("logical_and" | "logical_or", _, [left, right]) => {
            cost(Range { min: left.min, max: left.plus(*right).max })
        }
        ("conditional", [_, a, b], [condition, truthy, falsy]) => {
            let parts = union(estimator.parts(a.expr), estimator.parts(b.expr));
            estimator.set_parts(expr, parts);
            sized(condition.plus(truthy.or(*falsy)), a.size().or(b.size()))
        }
        ("add_string" | "add_bytes" | "add_list", [a, b], _) => {
            let size = a.size().plus(b.size());
            let parts = union(estimator.parts(a.expr), estimator.parts(b.expr));
            estimator.set_parts(expr, parts);
            let own = if overload == "add_list" { Range::ONE } else { size.scaled(TRAVERSAL) };
            sized(own.plus(all), size)
        }
        _ => cost(Range::ONE.plus(all)),
    }
}

fn union(a: Option<Parts>, b: Option<Parts>) -> Option<Parts> {
    Some(a?.or(b?))
}

/// The overloads of the language definition that do not cost one.
fn standard(overload: &str, target: Option<&Operand<'_>>, args: &[Operand<'_>]) -> Option<Estimate> {
    Some(match (overload, target, args) {
        ("string_format", Some(target), _) => cost(target.size().scaled(TRAVERSAL)),
        ("string_to_bytes", _, [text]) => {
            let size = text.size();
            sized(size.scaled(TRAVERSAL), Range { min: size.min, max: size.max.saturating_mul(4) })
        }
        ("bytes_to_string", _, [bytes]) => {
            let size = bytes.size();
            sized(size.scaled(TRAVERSAL), Range { min: size.min / 4, max: size.max })
        }
        ("strings_quote", _, [text]) => {
            let size = text.size();
            let quoted = size.times(Range { min: 1, max: 2 }).plus(Range::fixed(2));
            sized(size.scaled(TRAVERSAL), quoted)
        }
        ("starts_with_string" | "ends_with_string", _, [text]) => cost(text.size().scaled(TRAVERSAL)),
        ("in_list", _, [_, list]) => cost(list.size().scaled(1.0)),
        ("matches_string", Some(target), [pattern]) => cost(matching(target, pattern)),
        ("contains_string", Some(target), [part]) => {
            cost(target.size().scaled(TRAVERSAL).times(part.size().scaled(TRAVERSAL)))
        }
        (
            "less_string"
            | "greater_string"
            | "less_equals_string"
            | "greater_equals_string"
            | "less_bytes"
            | "greater_bytes"
            | "less_equals_bytes"
            | "greater_equals_bytes"
            | "equals"
            | "not_equals",
            _,
            [a, b],
        ) => {
            let max = a.size().max.min(b.size().max);
            cost(Range { min: u64::from(max > 0), max }.scaled(TRAVERSAL))
        }
        _ => return None,
    })
}

/// One more than the size of the text, so that a pattern costs something for an empty one, times the pattern.
fn matching(text: &Operand<'_>, pattern: &Operand<'_>) -> Range {
    text.size().plus(Range::ONE).scaled(TRAVERSAL).times(pattern.size().scaled(PATTERN))
}

/// The functions of Kubernetes' own libraries, and those of others that it prices.
fn kubernetes(
    estimator: &Estimator<'_>,
    (function, overload): (&str, &str),
    target: Option<&Operand<'_>>,
    args: &[Operand<'_>],
) -> Option<Estimate> {
    Some(match (function, target, args) {
        ("check", ..) => cost(Range::fixed(CHECK)),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
            cost(over_items(estimator, target))
        }
        ("url", _, [text]) => sized(text.size().scaled(TRAVERSAL), text.size()),
        (
            "cidr"
            | "isIP"
            | "isCIDR"
            | "ip"
            | "quantity"
            | "isQuantity"
            | "semver"
            | "isSemver"
            | "jsonpatch.escapeKey",
            None,
            [text, ..],
        ) => cost(text.size().scaled(TRAVERSAL)),
        ("ip.isCanonical", _, [text]) => cost(text.size().scaled(2.0 * TRAVERSAL)),
        ("fieldSelector" | "labelSelector", Some(_), [text]) => cost(selector(text.size())),
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
            sized(target.size().scaled(TRAVERSAL), target.size())
        }
        ("replace", Some(target), [what, with, ..]) => replaced(target.size(), what.size(), with.size()),
        ("split", Some(target), _) => {
            let max = args.get(1).and_then(Operand::integer).unwrap_or(target.size().max);
            sized(target.size().scaled(2.0 * TRAVERSAL), Range { min: 0, max })
        }
        ("join", Some(target), _) => joined(estimator, target, args),
        ("find" | "findAll", Some(target), [pattern, ..]) => {
            sized(matching(target, pattern), Range { min: 0, max: target.size().max })
        }
        ("validate", Some(_), [text, ..]) => {
            let text = text.size().plus(Range::ONE).scaled(TRAVERSAL);
            cost(text.times(Range::fixed(MAX_FORMAT_PATTERN).scaled(PATTERN)))
        }
        ("containsIP" | "containsCIDR", Some(_), [other, ..]) => cost(contained(function, overload, other)),
        ("sets.contains" | "sets.intersects", _, [a, b]) => cost(a.size().times(b.size()).plus(Range::ONE)),
        ("sets.equivalent", _, [a, b]) => cost(a.size().times(b.size()).scaled(2.0).plus(Range::ONE)),
        ("_==_" | "_!=_", _, [a, b]) if a.of == b.of => match a.of {
            Type::Opaque(name, _) if &**name == "kubernetes.NamedFormat" => {
                cost(Range { min: 1, max: MAX_FORMAT_NAME }.scaled(TRAVERSAL))
            }
            Type::Opaque(name, _) if &**name == "kubernetes.URL" => return None,
            Type::Opaque(_, params) if params.is_empty() => cost(Range::ONE),
            _ => return None,
        },
        _ => return None,
    })
}

/// The longest pattern and name of a format by which what it costs is estimated.
const MAX_FORMAT_PATTERN: u64 = 128;
const MAX_FORMAT_NAME: u64 = 64;

/// Of reading a selector: a list of at most one requirement for two characters.
pub(super) fn selector(size: Range) -> Range {
    let requirements = size.scaled(0.5).times(Range::fixed(LIST + MESSAGE));
    Range::fixed(LIST).plus(requirements).plus(size.scaled(TRAVERSAL))
}

/// Of one comparison for each item of a list, or of walking over a string.
fn over_items(estimator: &Estimator<'_>, target: &Operand<'_>) -> Range {
    let Some(item) = item_type(target) else { return target.size().scaled(TRAVERSAL) };
    let mut each = Range::ONE;
    if matches!(item, Type::String | Type::Bytes) {
        each = each.plus(item_size(estimator, target, item).scaled(TRAVERSAL));
    }
    target.size().times(each)
}

fn item_type<'t>(list: &Operand<'t>) -> Option<&'t Type> {
    match list.of {
        Type::List(item) => Some(item),
        Type::Map(entry) => Some(&entry.0),
        Type::Opaque(_, params) => params.first(),
        _ => None,
    }
}

fn item_size(estimator: &Estimator<'_>, list: &Operand<'_>, item: &Type) -> Range {
    let mut path = list.path.clone();
    if !path.is_empty() {
        path.push("@items".to_owned());
    }
    estimator.sizes.size(Node { path: &path, of: item }).unwrap_or(Range::UNKNOWN)
}

fn replaced(size: Range, what: Range, with: Range) -> Estimate {
    let (most, kept_most) = if what.min == 0 {
        (size.max.saturating_add(1), size.max)
    } else if with.max <= what.min {
        (0, size.max)
    } else {
        (size.max.div_ceil(what.min), 0)
    };
    let (least, kept_least) = if what.max == 0 {
        (size.min.saturating_add(1), size.min)
    } else if what.max <= with.min {
        (0, size.min)
    } else {
        (size.min.div_ceil(what.max), 0)
    };
    let result = Range { min: least, max: most }.times(with).plus(Range { min: kept_least, max: kept_most });
    sized(size.scaled(2.0 * TRAVERSAL), result)
}

fn joined(estimator: &Estimator<'_>, target: &Operand<'_>, args: &[Operand<'_>]) -> Estimate {
    let list = target.size();
    let mut size =
        item_type(target).map_or(Range::ZERO, |item| list.times(item_size(estimator, target, item)));
    if let Some(separator) = args.first() {
        let gaps = Range { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
        size = size.plus(separator.size().times(gaps));
    }
    sized(size.scaled(TRAVERSAL), size)
}

/// Of comparing addresses of 4 to 16 bytes, and of reading what is a text.
fn contained(function: &str, overload: &str, other: &Operand<'_>) -> Range {
    let address = Range { min: 4, max: 16 };
    let mut cost = address.plus(address).scaled(TRAVERSAL);
    if function == "containsCIDR" {
        cost = cost.plus(address.scaled(TRAVERSAL)).plus(Range::ONE);
    }
    if overload.ends_with("_string") {
        cost = cost.plus(other.size().scaled(TRAVERSAL));
    }
    cost
}

/// The overloads of the newer list library, which make lists.
fn lists(overload: &str, target: Option<&Operand<'_>>, args: &[Operand<'_>]) -> Option<Estimate> {
    let made = |factor: f64, size: Range| sized(size.scaled(factor).plus(Range::fixed(1 + LIST)), size);
    let number = |at: usize, or: u64| args.get(at).and_then(Operand::integer).unwrap_or(or);
    if overload == "lists_range" {
        return Some(made(1.0, Range::fixed(number(0, u64::MAX))));
    }
    let size = target?.size();
    Some(match overload {
        "list_slice" => made(1.0, Range::fixed(number(1, size.max).saturating_sub(number(0, 0)))),
        "list_flatten" | "list_reverse" => made(1.0, size),
        #[expect(clippy::cast_precision_loss, reason = "deeper than any list is")]
        "list_flatten_int" => made(number(0, u64::MAX) as f64, size),
        "list_distinct" => made(2.0, size.times(size)),
        sort if sort.ends_with("_sort") => made(per_comparison(sort), size.times(size)),
        sort if sort.ends_with("_sortByAssociatedKeys") => {
            let keys = args.first()?.size();
            made(per_comparison(sort), keys.times(keys))
        }
        _ => return None,
    })
}

/// Of comparing two items in a sort, by the overload that names their type.
fn per_comparison(sort: &str) -> f64 {
    if sort.starts_with("list_string") || sort.starts_with("list_bytes") { 2.0 + TRAVERSAL } else { 2.0 }
}
