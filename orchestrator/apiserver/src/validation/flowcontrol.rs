//! Rules of FlowSchemas and priority levels.

use wherry_schema::Value;

use super::checks::{show_list, texts};
use super::internal;
use super::{Errors, Path};
use crate::bootstrap;
use crate::object::{self, Fields};

const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];
const MAX_PRECEDENCE: i64 = 10_000;
const MAX_QUEUES: i64 = 10_000_000;
/// The bits of the hash that deals a hand of queues.
const HASH_BITS: u32 = 60;

/// The rules of FlowSchemas.
pub(crate) fn check_schema(object: &Value, errors: &mut Errors) {
    let (spec, name) = (Path::new("spec"), object::name(object));
    let (precedence, path) =
        (object.int("spec.matchingPrecedence").unwrap_or(0), spec.child("matchingPrecedence"));
    if precedence <= 0 {
        errors.invalid(&path, precedence, "must be a positive value");
    }
    if precedence > MAX_PRECEDENCE {
        errors.invalid(&path, precedence, &format!("must not be greater than {MAX_PRECEDENCE}"));
    }
    if precedence == 1 && name != "exempt" {
        errors.invalid(&path, precedence, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
    if let Some(method) = object.field("spec.distinguisherMethod")
        && !matches!(method.text("type"), "ByNamespace" | "ByUser")
    {
        let shown = internal::show("FlowDistinguisherMethod", Some(method));
        let path = spec.child("distinguisherMethod").child("type");
        errors.unsupported(&path, shown, &["ByNamespace", "ByUser"]);
    }
    let level = object.text("spec.priorityLevelConfiguration.name");
    let path = spec.child("priorityLevelConfiguration").child("name");
    if level.is_empty() {
        errors.required(&path, "must reference a priority level");
    } else {
        errors.subdomain(level, &path);
    }
    for (index, rule) in object.items("spec.rules").iter().enumerate() {
        check_rule(rule, &spec.child("rules").index(index), errors);
    }
    check_fixed(object, bootstrap::mandatory_schema(name), errors);
    check_conditions(object, errors);
}

/// The objects that upstream calls mandatory have one spec only.
fn check_fixed(object: &Value, fixed: Option<Value>, errors: &mut Errors) {
    let spec = object.field("spec");
    if fixed.is_some_and(|fixed| fixed.field("spec") != spec) {
        let detail = format!("spec of '{}' must equal the fixed value", object::name(object));
        errors.invalid(&Path::new("spec"), internal::show("FlowSchemaSpec", spec), &detail);
    }
}

fn check_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let subjects = rule.items("subjects");
    if subjects.is_empty() {
        errors.required(&path.child("subjects"), "subjects must contain at least one value");
    }
    for (index, subject) in subjects.iter().enumerate() {
        check_subject(subject, &path.child("subjects").index(index), errors);
    }
    let (resources, others) = (rule.items("resourceRules"), rule.items("nonResourceRules"));
    if resources.is_empty() && others.is_empty() {
        errors.required(path, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for (index, rule) in resources.iter().enumerate() {
        check_resource_rule(rule, &path.child("resourceRules").index(index), errors);
    }
    for (index, rule) in others.iter().enumerate() {
        check_other_rule(rule, &path.child("nonResourceRules").index(index), errors);
    }
}

fn check_subject(subject: &Value, path: &Path, errors: &mut Errors) {
    const KINDS: [(&str, &str); 3] =
        [("User", "user"), ("Group", "group"), ("ServiceAccount", "serviceAccount")];
    let kind = subject.text("kind");
    let Some((_, own)) = KINDS.iter().find(|(name, _)| *name == kind) else {
        errors.unsupported(&path.child("kind"), kind, &["Group", "ServiceAccount", "User"]);
        return;
    };
    match subject.field(own) {
        None => {
            errors.required(&path.child(own), &format!("{own} is required when subject kind is '{kind}'"));
        }
        Some(of) if kind == "ServiceAccount" => check_account(of, &path.child(own), errors),
        Some(of) => errors.some_text(of.text("name"), &path.child(own).child("name")),
    }
    // Upstream looks at the user last where the kind is a group.
    let order = if kind == "ServiceAccount" {
        [0, 1]
    } else if kind == "User" {
        [2, 1]
    } else {
        [2, 0]
    };
    for (other_kind, other) in order.map(|index| KINDS[index]) {
        if subject.has(other) {
            let detail = format!("{other} is forbidden when subject kind is not '{other_kind}'");
            errors.forbidden(&path.child(other), &detail);
        }
    }
}

fn check_account(account: &Value, path: &Path, errors: &mut Errors) {
    let (name, namespace) = (account.text("name"), account.text("namespace"));
    match name {
        "" => errors.required(&path.child("name"), ""),
        "*" => {}
        name => errors.subdomain(name, &path.child("name")),
    }
    if namespace.is_empty() {
        errors.required(&path.child("namespace"), "must specify namespace for service account");
    } else {
        errors.label(namespace, &path.child("namespace"));
    }
}

/// Reports a list that is empty, or that names something beside the wildcard. True if there is more to check.
fn check_wild(rule: &Value, (field, what): (&str, &str), path: &Path, errors: &mut Errors) -> bool {
    let values = texts(rule, field);
    let wild = values.contains(&"*");
    if wild && values.len() > 1 {
        let detail = format!("if '*' is present, must not specify other {what}");
        errors.invalid(&path.child(field), show_list(rule, field), &detail);
    }
    !wild
}

fn check_verbs(rule: &Value, path: &Path, errors: &mut Errors) {
    if rule.items("verbs").is_empty() {
        errors.required(&path.child("verbs"), "verbs must contain at least one value");
    } else if check_wild(rule, ("verbs", "verbs"), path, errors)
        && texts(rule, "verbs").iter().any(|verb| !VERBS.contains(verb))
    {
        errors.unsupported(&path.child("verbs"), show_list(rule, "verbs"), VERBS);
    }
}

fn check_resource_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    check_verbs(rule, path, errors);
    for (field, what, missing) in [
        ("apiGroups", "api groups", "resource rules must supply at least one api group"),
        ("resources", "resources", "resource rules must supply at least one resource"),
    ] {
        if rule.items(field).is_empty() {
            errors.required(&path.child(field), missing);
        } else {
            check_wild(rule, (field, what), path, errors);
        }
    }
    let namespaces = texts(rule, "namespaces");
    let at = path.child("namespaces");
    if namespaces.is_empty() && !rule.flag("clusterScope") {
        let detail = "resource rules that are not cluster scoped must supply at least one namespace";
        errors.required(&at, detail);
    } else if check_wild(rule, ("namespaces", "namespaces"), path, errors) {
        for (index, namespace) in namespaces.into_iter().enumerate() {
            if let Err(reason) = wherry_api::names::dns1123_label(namespace) {
                let detail = format!("each member of this list must be '*' or a DNS-1123 label; {reason}");
                errors.invalid(&at.index(index), namespace, &detail);
            }
        }
    }
}

fn check_other_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    check_verbs(rule, path, errors);
    let at = path.child("nonResourceURLs");
    if rule.items("nonResourceURLs").is_empty() {
        errors.required(&at, "nonResourceURLs must contain at least one value");
    } else if check_wild(rule, ("nonResourceURLs", "non-resource URLs"), path, errors) {
        for (index, url) in texts(rule, "nonResourceURLs").into_iter().enumerate() {
            errors.check(check_url(url), url, &at.index(index));
        }
    }
}

fn check_url(url: &str) -> Result<(), String> {
    let wild = url.matches('*').count();
    let problem = match url {
        "" => "must not be empty",
        "/" => return Ok(()),
        _ if !url.starts_with('/') => "must start with slash",
        _ if url.contains(' ') => "must not contain white-space",
        _ if url.contains("//") => "must not contain double slash",
        _ if wild > 1 || (wild == 1 && !url.ends_with("/*")) => "wildcard can only do suffix matching",
        _ => return Ok(()),
    };
    Err(problem.to_owned())
}

/// The rules of PriorityLevelConfigurations.
pub(crate) fn check_level(object: &Value, errors: &mut Errors) {
    let (spec, name, kind) = (Path::new("spec"), object::name(object), object.text("spec.type"));
    if (name == "exempt") != (kind == "Exempt") && matches!(kind, "Exempt" | "Limited") {
        errors.invalid(&spec.child("type"), kind, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    let (limited, exempt) = (object.field("spec.limited"), object.field("spec.exempt"));
    match kind {
        "Exempt" => {
            if limited.is_some() {
                errors.forbidden(&spec.child("limited"), "must be nil if the type is not Limited");
            }
            if let Some(exempt) = exempt {
                check_shares(exempt, &spec.child("exempt"), errors, |_| {});
            }
        }
        "Limited" => {
            if exempt.is_some() {
                errors.forbidden(&spec.child("exempt"), "must be nil if the type is Limited");
            }
            match limited {
                None => errors.required(&spec.child("limited"), "must not be empty when type is Limited"),
                Some(limited) => check_limited(limited, &spec.child("limited"), errors),
            }
        }
        other => errors.unsupported(&spec.child("type"), other, &["Exempt", "Limited"]),
    }
    // How much the exempt level lends may be changed, the rest of it may not.
    let mut bare = object.clone();
    bare.take("spec.exempt");
    let fixed = bootstrap::mandatory_level(name).map(|mut fixed| {
        fixed.take("spec.exempt");
        fixed
    });
    let differs = fixed.is_some_and(|fixed| fixed.field("spec") != bare.field("spec"));
    if differs {
        let detail = format!("spec of '{name}' except the 'spec.exempt' field must equal the fixed value");
        let detail =
            if name == "exempt" { detail } else { format!("spec of '{name}' must equal the fixed value") };
        errors.invalid(
            &spec,
            internal::show("PriorityLevelConfigurationSpec", object.field("spec")),
            &detail,
        );
    }
    check_conditions(object, errors);
}

fn check_limited(limited: &Value, path: &Path, errors: &mut Errors) {
    let response = path.child("limitResponse");
    check_shares(limited, path, errors, |errors| {
        let queuing = limited.field("limitResponse.queuing");
        match (limited.text("limitResponse.type"), queuing) {
            ("Reject", None) => {}
            ("Reject", Some(_)) => {
                let detail = "must be nil if limited.limitResponse.type is not Limited";
                errors.forbidden(&response.child("queuing"), detail);
            }
            ("Queue", None) => {
                let detail = "must not be empty if limited.limitResponse.type is Limited";
                errors.required(&response.child("queuing"), detail);
            }
            ("Queue", Some(queuing)) => check_queuing(queuing, &response.child("queuing"), errors),
            (other, _) => errors.unsupported(&response.child("type"), other, &["Queue", "Reject"]),
        }
    });
    if let Some(percent) = limited.int("borrowingLimitPercent").filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.invalid(&path.child("borrowingLimitPercent"), percent, detail);
    }
}

/// The shares, something else, then what of them may be lent: the order in which upstream looks.
fn check_shares(level: &Value, path: &Path, errors: &mut Errors, between: impl FnOnce(&mut Errors)) {
    if let Some(shares) = level.int("nominalConcurrencyShares").filter(|shares| *shares < 0) {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, "must be a non-negative integer");
    }
    between(errors);
    if let Some(percent) = level.int("lendablePercent") {
        errors.within(percent, (0, 100), &path.child("lendablePercent"));
    }
}

fn check_queuing(queuing: &Value, path: &Path, errors: &mut Errors) {
    let number = |field: &str| queuing.int(field).unwrap_or(0);
    let (limit, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    if limit <= 0 {
        errors.invalid(&path.child("queueLengthLimit"), limit, "must be positive");
    }
    if queues <= 0 {
        errors.invalid(&path.child("queues"), queues, "must be positive");
    } else if queues > MAX_QUEUES {
        errors.invalid(&path.child("queues"), queues, &format!("must not be greater than {MAX_QUEUES}"));
    }
    let at = path.child("handSize");
    if hand <= 0 {
        errors.invalid(&at, hand, "must be positive");
    } else if hand > queues {
        errors.invalid(&at, hand, &format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let detail = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        errors.invalid(&at, hand, &detail);
    }
}

/// The bits it takes to deal a hand of so many cards from a deck.
fn entropy_bits(deck: i64, hand: i64) -> u32 {
    #[expect(clippy::cast_precision_loss, reason = "at most ten million")]
    let bits: f64 = (deck - hand + 1..=deck).map(|size| (size as f64).log2()).sum();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates")]
    let bits = bits.ceil() as u32;
    bits
}

/// Every type of condition is there once.
pub(crate) fn check_conditions(object: &Value, errors: &mut Errors) {
    let conditions = object.items("status.conditions");
    for (index, condition) in conditions.iter().enumerate() {
        let (kind, path) =
            (condition.text("type"), Path::new("status.conditions").index(index).child("type"));
        if conditions[..index].iter().any(|other| other.text("type") == kind) {
            errors.duplicate(&path, kind);
        }
        if kind.is_empty() {
            errors.required(&path, "must not be empty");
        }
    }
}
