//! LimitRange: bounds and defaults of what single Pods, containers and claims of a namespace ask for.

use jiff::Timestamp;
use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::values::{amount_of, amounts};
use crate::validation::{Errors, Path, names, resource_names};

/// The rules of LimitRanges.
pub(crate) struct LimitRange;

const LISTS: &[&str] = &["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

impl Rules for LimitRange {
    fn create_on_update(&self) -> bool {
        true
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let mut seen: Vec<&str> = Vec::new();
        for (index, item) in object.items("spec.limits").iter().enumerate() {
            let (path, kind) = (Path::new("spec.limits").index(index), item.text("type"));
            check_type(kind, &path.child("type"), errors);
            if seen.contains(&kind) {
                errors.duplicate(&path.child("type"), kind);
            }
            seen.push(kind);
            check_item(item, kind, &path, errors);
        }
    }

    fn columns(&self) -> &'static [Column] {
        table::NAME_AND_DATE
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        table::name_and_date(object)
    }
}

fn check_type(kind: &str, path: &Path, errors: &mut Errors) {
    let problems = names::qualified(kind);
    if !problems.is_empty() {
        errors.problems(path, kind, problems);
    } else if !kind.contains('/') && !matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim") {
        errors.invalid(path, kind, "must be a standard limit type or fully qualified");
    }
}

fn check_item(item: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    for list in ["max", "min"] {
        for (name, _) in amounts(item.map(list)) {
            resource_names::check_limit_range(kind, name, &path.child(list).key(name), errors);
        }
    }
    for list in ["default", "defaultRequest"] {
        if kind == "Pod" {
            if item.map(list).is_some_and(|list| !list.is_empty()) {
                errors.forbidden(&path.child(list), "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (name, _) in amounts(item.map(list)) {
            resource_names::check_limit_range(kind, name, &path.child(list).key(name), errors);
        }
    }
    let storage = |list: &str| amount_of(item.map(list), "storage").is_some();
    if kind == "PersistentVolumeClaim" && !storage("min") && !storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.required(&path.child("limits"), detail);
    }
    for (name, _) in amounts(item.map("maxLimitRequestRatio")) {
        let path = path.child("maxLimitRequestRatio").key(name);
        resource_names::check_limit_range(kind, name, &path, errors);
    }
    let mut resources: Vec<&str> = LISTS.iter().flat_map(|l| amounts(item.map(l)).map(|(n, _)| n)).collect();
    resources.sort_unstable();
    resources.dedup();
    for name in resources {
        Bounds::of(item, name).check(name, path, errors);
    }
}

/// What should be the lower and what the higher.
type Pair = (Option<Quantity>, Option<Quantity>);

/// The bounds of one resource.
struct Bounds {
    max: Option<Quantity>,
    min: Option<Quantity>,
    limit: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Bounds {
    fn of(item: &Value, name: &str) -> Self {
        let get = |list: &str| amount_of(item.map(list), name);
        Self {
            max: get("max"),
            min: get("min"),
            limit: get("default"),
            request: get("defaultRequest"),
            ratio: get("maxLimitRequestRatio"),
        }
    }

    fn check(&self, name: &str, path: &Path, errors: &mut Errors) {
        let (min, max, limit, request) = (self.min, self.max, self.limit, self.request);
        let mut above = |(low, high): Pair, shown: Option<Quantity>, field: &str, texts: [&str; 2]| {
            if let (Some(low), Some(high), Some(shown)) = (low, high, shown)
                && low > high
            {
                let detail = format!("{} value {low} is greater than {} value {high}", texts[0], texts[1]);
                errors.invalid(&path.child(field).key(name), shown, &detail);
            }
        };
        above((min, max), min, "min", ["min", "max"]);
        above((min, request), request, "defaultRequest", ["min", "default request"]);
        above((request, max), request, "defaultRequest", ["default request", "max"]);
        above((request, limit), request, "defaultRequest", ["default request", "default limit"]);
        above((min, limit), min, "default", ["min", "default"]);
        above((limit, max), max, "default", ["default", "max"]);
        self.check_ratio(name, path, errors);
        let overcommit = resource_names::is_native(name) && !resource_names::is_huge_page(name);
        if let (Some(limit), Some(request), false) = (limit, request, overcommit)
            && limit != request
        {
            let detail =
                format!("default value {limit} must equal to defaultRequest value {request} in {name}");
            errors.invalid(&path.child("defaultRequest").key(name), request, &detail);
        }
    }

    fn check_ratio(&self, name: &str, path: &Path, errors: &mut Errors) {
        let Some(ratio) = self.ratio else { return };
        let at = path.child("maxLimitRequestRatio").key(name);
        if ratio < Quantity::from_units(1) {
            errors.invalid(&at, ratio, &format!("ratio {ratio} is less than 1"));
        }
        let (Some(min), Some(max)) = (self.min, self.max) else { return };
        if min.as_milli() > 0 && ratio.as_milli() * min.as_milli() > max.as_milli() * 1000 {
            #[expect(clippy::cast_precision_loss, reason = "upstream shows the ratio as a float")]
            let most = max.as_milli() as f64 / min.as_milli() as f64;
            errors.invalid(&at, ratio, &format!("ratio {ratio} is greater than max/min = {most:.6}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    #[rstest]
    #[case(json!({"type": "Container", "default": {"example.com/x": "2"}, "defaultRequest": {"example.com/x": "1"}}), "spec.limits[0].defaultRequest[example.com/x]: Invalid value: \"1\": default value 2 must equal to defaultRequest value 1 in example.com/x")]
    #[case(json!({"type": "Container", "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}}), "")]
    fn what_cannot_be_shared_is_requested_in_full(#[case] limit: Value, #[case] told: &str) {
        assert_eq!(told::of_new("limitranges", json!({"spec": {"limits": [limit]}})), told);
    }
}
