//! The rules of Jobs, also as CronJobs make them.

use wherry_api::cron::Schedule;
use wherry_schema::{Object, Value};

use super::template::{check_label_selector, check_pod_template, is_usable, selects, show_labels};
use super::values::{choice, non_negative, required_choice};
use super::{Errors, Path, internal, names};
use crate::object::Fields;

const MOST_PARALLEL: i64 = 100_000;
const MOST_PARALLEL_WHEN_MANY: i64 = 10_000;
const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];

/// The rules of a Job's spec.
pub(crate) fn check_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    check_template_spec(spec, path, errors);
    let selector = spec.field("selector");
    match selector {
        None => errors.required(&path.child("selector"), ""),
        Some(selector) => check_label_selector(selector, &path.child("selector"), errors),
    }
    let labels = spec.map("template.metadata.labels");
    if selector.is_none_or(is_usable) && !selects(selector, labels) {
        let path = path.child("template.metadata.labels");
        errors.invalid(&path, show_labels(labels), "`selector` does not match template `labels`");
    }
}

/// The rules of the spec of Jobs to come, whose selector is made with them.
pub(crate) fn check_template_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    non_negative(spec, &numbers, path, errors);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        let detail = "when maxFailedIndexes is specified";
        errors.required(&path.child("backoffLimitPerIndex"), detail);
    }
    if let Some(manager) = spec.field("managedBy").and_then(Value::as_str) {
        check_manager(manager, &path.child("managedBy"), errors);
    }
    check_mode(spec, path, errors);
    if let Some(policy) = spec.field("podFailurePolicy") {
        check_failure_policy(spec, policy, &path.child("podFailurePolicy.rules"), errors);
    }
    if let Some(policy) = spec.field("successPolicy") {
        check_success_policy(spec, policy, &path.child("successPolicy"), errors);
    }
    if spec.has("podFailurePolicy") {
        choice(spec, "podReplacementPolicy", &["Failed"], path, errors);
    } else {
        choice(spec, "podReplacementPolicy", &["Failed", "TerminatingOrFailed"], path, errors);
    }
    let template = spec.field("template").unwrap_or(&Value::Null);
    check_pod_template(template, &path.child("template"), errors);
    let (policy, at) = (template.text("spec.restartPolicy"), path.child("template.spec.restartPolicy"));
    match policy {
        "Always" => errors.required(&at, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            errors.invalid(&at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        other => errors.unsupported(&at, other, &["OnFailure", "Never"]),
    }
}

fn check_manager(manager: &str, path: &Path, errors: &mut Errors) {
    match manager.split_once('/') {
        Some((domain, rest)) if !domain.is_empty() && !rest.is_empty() => {
            errors.problems(path, manager, names::subdomain(domain));
        }
        _ => errors.invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
    if manager.len() > 63 {
        errors.too_long(path, 63);
    }
}

fn check_mode(spec: &Value, path: &Path, errors: &mut Errors) {
    choice(spec, "completionMode", &["NonIndexed", "Indexed"], path, errors);
    let get = |field: &str| spec.int(field);
    match spec.text("completionMode") {
        "Indexed" => {
            let Some(completions) = get("completions") else {
                errors.required(&path.child("completions"), "when completion mode is Indexed");
                return;
            };
            let mut at_most = |field: &str, most: i64, detail: String| {
                if let Some(number) = get(field).filter(|number| *number > most) {
                    errors.invalid(&path.child(field), number, &detail);
                }
            };
            let limit =
                format!("must be less than or equal to {MOST_PARALLEL} when completion mode is Indexed");
            at_most("parallelism", MOST_PARALLEL, limit.clone());
            at_most("maxFailedIndexes", completions, "must be less than or equal to completions".to_owned());
            at_most(
                "maxFailedIndexes",
                MOST_PARALLEL,
                format!("must be less than or equal to {MOST_PARALLEL}"),
            );
            if completions > MOST_PARALLEL && spec.has("backoffLimitPerIndex") {
                let when = format!(
                    "when completions are above {MOST_PARALLEL} and used with backoff limit per index"
                );
                let limit = format!("must be less than or equal to {MOST_PARALLEL_WHEN_MANY} {when}");
                at_most("parallelism", MOST_PARALLEL_WHEN_MANY, limit.clone());
                at_most("maxFailedIndexes", MOST_PARALLEL_WHEN_MANY, limit);
                if !spec.has("maxFailedIndexes") {
                    let detail = format!("must be specified when completions is above {MOST_PARALLEL}");
                    errors.required(&path.child("maxFailedIndexes"), &detail);
                }
            }
        }
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(number) = get(field) {
                    errors.invalid(&path.child(field), number, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
}

fn check_failure_policy(spec: &Value, policy: &Value, path: &Path, errors: &mut Errors) {
    let rules = policy.items("rules");
    if rules.len() > 20 {
        errors.too_many(path, rules.len(), 20);
    }
    let lists = ["template.spec.containers", "template.spec.initContainers"];
    let known: Vec<&str> = lists.iter().flat_map(|list| spec.items(list)).map(|c| c.text("name")).collect();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        match rule.text("action") {
            "" => errors.required(&path.child("action"), &valid(ACTIONS)),
            "FailIndex" if !spec.has("backoffLimitPerIndex") => {
                let detail = "requires the backoffLimitPerIndex to be set";
                errors.invalid(&path.child("action"), "FailIndex", detail);
            }
            _ => choice(rule, "action", ACTIONS, &path, errors),
        }
        check_failure_rule(rule, &known, &path, errors);
    }
}

/// `valid values: ["In" "NotIn"]`.
fn valid(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn check_failure_rule(rule: &Value, known: &[&str], path: &Path, errors: &mut Errors) {
    let (codes, conditions) = (rule.field("onExitCodes"), rule.items("onPodConditions"));
    if let Some(codes) = codes {
        check_exit_codes(codes, known, &path.child("onExitCodes"), errors);
    }
    if conditions.len() > 20 {
        errors.too_many(&path.child("onPodConditions"), conditions.len(), 20);
    }
    for (index, condition) in conditions.iter().enumerate() {
        let (path, kind) = (path.child("onPodConditions").index(index), condition.text("type"));
        errors.problems(&path.child("type"), kind, names::qualified(kind));
        let statuses = ["False", "True", "Unknown"];
        match condition.text("status") {
            "" => errors.required(&path.child("status"), &valid(&statuses)),
            _ => choice(condition, "status", &statuses, &path, errors),
        }
    }
    match (codes.is_some(), !conditions.is_empty()) {
        (true, true) => errors
            .invalid_without_value(path, "specifying both OnExitCodes and OnPodConditions is not supported"),
        (false, false) => errors
            .invalid_without_value(path, "specifying one of OnExitCodes and OnPodConditions is required"),
        _ => {}
    }
}

fn check_exit_codes(codes: &Value, known: &[&str], path: &Path, errors: &mut Errors) {
    let (operators, values) = (["In", "NotIn"], codes.items("values"));
    match codes.text("operator") {
        "" => errors.required(&path.child("operator"), &valid(&operators)),
        _ => choice(codes, "operator", &operators, path, errors),
    }
    if let Some(name) = codes.field("containerName").and_then(Value::as_str).filter(|n| !known.contains(n)) {
        let detail = "must be one of the container or initContainer names in the pod template";
        errors.invalid(&path.child("containerName"), name, detail);
    }
    let (at, shown) = (path.child("values"), Value::Array(values.to_vec()));
    if values.is_empty() {
        errors.invalid(&at, &shown, "at least one value is required");
    } else if values.len() > 255 {
        errors.too_many(&at, values.len(), 255);
    }
    let numbers: Vec<i64> = values.iter().filter_map(Value::as_i64).collect();
    for (index, number) in numbers.iter().enumerate() {
        if codes.text("operator") == "In" && *number == 0 {
            errors.invalid(&at.index(index), 0, "must not be 0 for the In operator");
        }
        if numbers[..index].contains(number) {
            errors.duplicate(&at.index(index), *number);
        }
    }
    if !numbers.is_sorted() {
        errors.invalid(&at, &shown, "must be ordered");
    }
}

fn check_success_policy(spec: &Value, policy: &Value, path: &Path, errors: &mut Errors) {
    if spec.text("completionMode") != "Indexed" {
        let shown = internal::show("SuccessPolicy", Some(policy));
        errors.invalid(path, shown, "requires indexed completion mode");
        return;
    }
    let (rules, path) = (policy.items("rules"), path.child("rules"));
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        errors.required(&path, detail);
    }
    if rules.len() > 20 {
        errors.too_many(&path, rules.len(), 20);
    }
    for (index, rule) in rules.iter().enumerate() {
        check_success_rule(spec, rule, &path.index(index), errors);
    }
}

fn check_success_rule(spec: &Value, rule: &Value, path: &Path, errors: &mut Errors) {
    let completions = spec.int("completions").unwrap_or(0);
    let indexes = rule.field("succeededIndexes").and_then(Value::as_str);
    if indexes.is_none() && !rule.has("succeededCount") {
        let detail = "at least one of succeededCount or succeededIndexes must be specified";
        errors.required(path, detail);
    }
    let mut total = None;
    if let Some(indexes) = indexes {
        match count_indexes(indexes, completions) {
            Ok(count) => total = Some(count),
            Err(why) => {
                let detail = format!("error parsing succeededIndexes: {why}");
                errors.invalid(&path.child("succeededIndexes"), indexes, &detail);
                total = Some(0);
            }
        }
    }
    let Some(count) = rule.int("succeededCount") else { return };
    non_negative(rule, &["succeededCount"], path, errors);
    let path = path.child("succeededCount");
    if count > completions {
        let detail =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        errors.invalid(&path, count, &detail);
    }
    if let Some(total) = total.filter(|total| count > *total) {
        let detail = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.invalid(&path, count, &detail);
    }
}

/// The number of indexes in a list like `1,3-5`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let (mut total, mut last) = (0, None);
    for part in text.split(',').filter(|_| !text.is_empty()) {
        let (low, high) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= low) {
            return Err(format!("non-increasing order, previous: {last}, current: {low}"));
        }
        total += high - low + 1;
        last = Some(high);
    }
    Ok(total)
}

fn interval(text: &str, completions: i64) -> Result<(i64, i64), String> {
    let parts: Vec<&str> = text.split('-').collect();
    if parts.len() > 2 {
        return Err(format!(
            "the fragment {text:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        ));
    }
    let index = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
        Ok(number) if number >= completions => Err(format!("too large index: {text:?}")),
        Ok(number) => Ok(number),
    };
    let low = index(parts[0])?;
    let Some(high) = parts.get(1) else { return Ok((low, low)) };
    let high = index(high)?;
    if low >= high {
        return Err(format!("non-increasing order, previous: {low}, current: {high}"));
    }
    Ok((low, high))
}

/// The rules of a CronJob's spec. The time zone is looked at when it is new.
pub(crate) fn check_cron_spec(spec: &Value, new_zone: bool, path: &Path, errors: &mut Errors) {
    let schedule = spec.text("schedule");
    let at = path.child("schedule");
    if schedule.is_empty() {
        errors.required(&at, "");
    } else {
        if let Err(why) = Schedule::parse(schedule) {
            errors.invalid(&at, schedule, &why);
        }
        if schedule.contains("TZ") {
            let detail = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
            errors.invalid(&at, schedule, detail);
        }
    }
    non_negative(spec, &["startingDeadlineSeconds"], path, errors);
    if let Some(zone) = spec.field("timeZone").and_then(Value::as_str).filter(|_| new_zone) {
        check_zone(zone, &path.child("timeZone"), errors);
    }
    required_choice(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], path, errors);
    let (template, at) =
        (spec.field("jobTemplate.spec").unwrap_or(&Value::Null), path.child("jobTemplate.spec"));
    check_template_spec(template, &at, errors);
    if let Some(selector) = template.field("selector") {
        errors.invalid(&at.child("selector"), selector, "`selector` will be auto-generated");
    }
    if template.flag("manualSelector") {
        errors.unsupported(&at.child("manualSelector"), true, &["nil", "false"]);
    }
    non_negative(spec, &["successfulJobsHistoryLimit", "failedJobsHistoryLimit"], path, errors);
}

fn check_zone(zone: &str, path: &Path, errors: &mut Errors) {
    if zone.is_empty() {
        errors.invalid(path, zone, "timeZone must be nil or non-empty string");
    } else if zone.eq_ignore_ascii_case("local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.invalid(path, zone, detail);
    } else if jiff::tz::TimeZone::get(zone).is_err() {
        errors.invalid(path, zone, &format!("unknown time zone {zone}"));
    }
}

/// The rules of the selector and labels that the server makes.
pub(crate) fn check_generated(object: &Value, errors: &mut Errors) {
    let selector = object.field("spec.selector");
    if object.flag("spec.manualSelector") || selector.is_none() {
        return;
    }
    let (uid, name) = (object.text("metadata.uid"), object.text("metadata.name"));
    let labels = object.map("spec.template.metadata.labels");
    let path = Path::new("spec.template.metadata.labels");
    let mut expected = Object::new();
    for (key, value) in [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ] {
        expected.insert(key, value);
        match labels.and_then(|labels| labels.get(key)).and_then(Value::as_str) {
            None => errors.required(&path.key(key), &format!("must be '{value}'")),
            Some(found) if found != value => {
                errors.invalid(&path.key(key), show_labels(labels), &format!("must be '{value}'"));
            }
            Some(_) => {}
        }
    }
    if selector.is_some_and(is_usable) && !selects(selector, Some(&expected)) {
        let shown = selector.unwrap_or(&Value::Null);
        errors.invalid(&Path::new("spec.selector"), shown, "`selector` not auto-generated");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::count_indexes;

    #[test]
    fn indexes_are_counted_and_in_order() {
        assert_eq!(count_indexes("1,3-5", 10), Ok(4));
        assert_eq!(count_indexes("", 10), Ok(0));
        assert!(count_indexes("2-1", 10).unwrap_err().contains("previous: 2, current: 1"));
        assert!(count_indexes("1,1", 10).is_err() && count_indexes("10", 10).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_counted_or_refused(text in "[-0-9,]{0,20}") {
            let _ = count_indexes(&text, 100);
        }
    }
}
