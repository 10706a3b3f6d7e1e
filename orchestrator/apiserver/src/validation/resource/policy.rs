//! Rules of how much of a device's capacity can be asked for: one of some amounts, or one in a range.

use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use crate::object::Fields;
use crate::validation::values::{amount, quantity};
use crate::validation::{Errors, Path};

const MAX_OPTIONS: usize = 10;

/// The rules of a policy for a capacity of so much.
pub(super) fn check(policy: &Value, most: Quantity, path: &Path, errors: &mut Errors) {
    let (values, range) = (policy.items("validValues"), policy.field("validRange"));
    if !values.is_empty() && range.is_some() {
        let detail = "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time";
        errors.forbidden(path, detail);
        return;
    }
    let default = quantity(policy, "default");
    let missing = |kind: &str, errors: &mut Errors| {
        errors.required(&path.child("default"), &format!("required when {kind} is defined"));
    };
    match (range, default) {
        (None, _) if values.is_empty() => {}
        (None, None) => missing("validValues", errors),
        (Some(_), None) => missing("validRange", errors),
        (None, Some(default)) => check_values(values, default, most, &path.child("validValues"), errors),
        (Some(range), Some(default)) => check_range(range, default, most, &path.child("validRange"), errors),
    }
}

fn check_values(values: &[Value], default: Quantity, most: Quantity, path: &Path, errors: &mut Errors) {
    let amounts: Vec<Quantity> = values.iter().filter_map(amount).collect();
    for (index, pair) in amounts.windows(2).enumerate() {
        if pair[0] > pair[1] {
            errors.invalid(&path.index(index + 1), pair[1], "values must be sorted in ascending order");
        }
    }
    if amounts.len() > MAX_OPTIONS {
        errors.too_many(path, amounts.len(), MAX_OPTIONS);
    } else {
        for (index, option) in amounts.iter().enumerate().filter(|(_, option)| **option > most) {
            let detail = format!("option is larger than capacity value: {most}");
            errors.invalid(&path.index(index), *option, &detail);
        }
        for (index, option) in amounts.iter().enumerate() {
            if amounts[..index].iter().any(|other| other.value() == option.value()) {
                errors.duplicate(&path.index(index), option.value().to_string().as_str());
            }
        }
    }
    if amounts.len() > MAX_OPTIONS || !amounts.contains(&default) {
        errors.invalid(path, default, "default value is not valid according to the requestPolicy");
    }
}

fn check_range(range: &Value, default: Quantity, most: Quantity, path: &Path, errors: &mut Errors) {
    let Some(low) = quantity(range, "min") else {
        errors.required(&path.child("min"), "required when validRange is defined");
        return;
    };
    let high = quantity(range, "max");
    let mut refuse = |wrong: bool, field: &str, shown: Quantity, detail: String| {
        if wrong {
            errors.invalid(&path.child(field), shown, &detail);
        }
    };
    refuse(low > most, "min", low, format!("min is larger than capacity value: {most}"));
    refuse(default < low, "min", default, format!("default is less than min: {low}"));
    if let Some(high) = high {
        refuse(low > high, "max", low, format!("min is larger than max: {high}"));
        refuse(high > most, "max", high, format!("max is larger than capacity value: {most}"));
        refuse(default > high, "max", default, format!("default is more than max: {high}"));
    }
    let Some(step) = quantity(range, "step") else { return };
    let next = low + step;
    refuse(next > most, "step", step, format!("one step {next} is larger than capacity value: {most}"));
    for value in [Some(default), high].into_iter().flatten() {
        let off = step.value() == 0 || (value.value() - low.value()) % step.value() != 0;
        refuse(off, "step", value, format!("value is not a multiple of a given step ({step}) from ({low})"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_one_of_some_amounts_or_a_range() {
        for (json, wanted) in [
            ("{}", &[][..]),
            (r#"{"default":"1","validValues":["1","2"]}"#, &[]),
            (r#"{"validValues":["1"]}"#, &["p.default"]),
            (r#"{"default":"3","validValues":["2","1"]}"#, &["p.validValues[1]", "p.validValues"]),
            (r#"{"default":"1","validValues":["1","20"]}"#, &["p.validValues[1]"]),
            (r#"{"validValues":["1"],"validRange":{}}"#, &["p"]),
            (r#"{"default":"1","validRange":{}}"#, &["p.validRange.min"]),
            (r#"{"default":"2","validRange":{"min":"2","max":"6","step":"2"}}"#, &[]),
            (
                r#"{"default":"1","validRange":{"min":"2","max":"20"}}"#,
                &["p.validRange.min", "p.validRange.max"],
            ),
            (r#"{"default":"3","validRange":{"min":"2","max":"6","step":"2"}}"#, &["p.validRange.step"]),
            (r#"{"default":"2","validRange":{"min":"2","step":"0"}}"#, &["p.validRange.step"]),
        ] {
            let mut errors = Errors::default();
            let policy = Value::from_json(json.as_bytes()).unwrap();
            check(&policy, Quantity::from_units(10), &Path::new("p"), &mut errors);
            let fields: Vec<&str> = errors.causes().iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(fields, wanted, "{json}");
        }
    }
}
