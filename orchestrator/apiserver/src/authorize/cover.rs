//! Whether rules allow all that other rules allow.

use std::collections::BTreeSet;
use std::fmt;

use super::rule::{PolicyRule, covers_path};

/// What `owned` does not allow of what `wanted` allows, as rules of one verb on one thing each.
pub(crate) fn uncovered(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Vec<PolicyRule> {
    let single = wanted.iter().flat_map(broken_down);
    single.filter(|rule| !owned.iter().any(|owner| covers(owner, rule))).collect()
}

/// A rule as rules of one group, resource, verb and name each.
fn broken_down(rule: &PolicyRule) -> Vec<PolicyRule> {
    let one = |text: &String| vec![text.clone()];
    let mut single = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let named = |resource_names: Vec<String>| PolicyRule {
                    verbs: one(verb),
                    api_groups: one(group),
                    resources: one(resource),
                    resource_names,
                    non_resource_urls: Vec::new(),
                };
                if rule.resource_names.is_empty() {
                    single.push(named(Vec::new()));
                }
                single.extend(rule.resource_names.iter().map(|name| named(one(name))));
            }
        }
    }
    for url in &rule.non_resource_urls {
        let on_path =
            |verb| PolicyRule { verbs: one(verb), non_resource_urls: one(url), ..PolicyRule::default() };
        single.extend(rule.verbs.iter().map(on_path));
    }
    single
}

/// Whether a rule allows all that a rule of one thing allows.
fn covers(owner: &PolicyRule, single: &PolicyRule) -> bool {
    let all = |owned: &[String], wanted: &[String]| {
        owned.iter().any(|one| one == "*") || wanted.iter().all(|one| owned.contains(one))
    };
    let resources = || {
        let whole = |resource: &String| {
            let part = resource.split_once('/').map(|(_, part)| format!("*/{part}"));
            owner.resources.contains(resource) || part.is_some_and(|part| owner.resources.contains(&part))
        };
        owner.resources.iter().any(|one| one == "*") || single.resources.iter().all(whole)
    };
    let names = || {
        owner.resource_names.is_empty()
            || (!single.resource_names.is_empty()
                && single.resource_names.iter().all(|name| owner.resource_names.contains(name)))
    };
    let paths = || {
        single.non_resource_urls.iter().all(|url| owner.non_resource_urls.iter().any(|o| covers_path(o, url)))
    };
    all(&owner.verbs, &single.verbs)
        && all(&owner.api_groups, &single.api_groups)
        && resources()
        && names()
        && paths()
}

/// Rules in as few lines as upstream needs, sorted.
pub(crate) fn described(rules: Vec<PolicyRule>) -> String {
    let mut compact: Vec<PolicyRule> = Vec::new();
    for rule in rules {
        let simple = rule.resource_names.len() <= 1 && rule.non_resource_urls.is_empty();
        let same = |other: &&mut PolicyRule| {
            (&other.api_groups, &other.resources, &other.resource_names, &other.non_resource_urls)
                == (&rule.api_groups, &rule.resources, &rule.resource_names, &rule.non_resource_urls)
        };
        match compact.iter_mut().find(same) {
            Some(known) if simple => known.verbs.extend(rule.verbs),
            _ => compact.push(rule),
        }
    }
    let lines: BTreeSet<String> = compact.iter().map(ToString::to_string).collect();
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let shown = fields.iter().filter(|(_, values)| !values.is_empty()).map(|(name, values)| {
            let values: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("{name}:[{}]", values.join(" "))
        });
        write!(f, "{{{}}}", shown.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn rule(verbs: &str, resources: &str, names: &str) -> PolicyRule {
        let list = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        PolicyRule {
            verbs: list(verbs),
            api_groups: vec![String::new()],
            resources: list(resources),
            resource_names: list(names),
            ..PolicyRule::default()
        }
    }

    #[rstest]
    #[case(rule("get list", "pods", ""), rule("get", "pods", "a"), true)]
    #[case(rule("get", "pods", "a"), rule("get", "pods", ""), false)]
    #[case(rule("get", "pods", "a b"), rule("get", "pods", "b"), true)]
    #[case(rule("*", "*", ""), rule("get", "pods/log", ""), true)]
    #[case(rule("get", "*/log", ""), rule("get", "pods/log", ""), true)]
    #[case(rule("get", "*/log", ""), rule("get", "pods", ""), false)]
    #[case(rule("get", "pods", ""), rule("*", "pods", ""), false)]
    fn a_rule_covers_what_it_allows(
        #[case] owner: PolicyRule,
        #[case] wanted: PolicyRule,
        #[case] covered: bool,
    ) {
        assert_eq!(uncovered(&[owner], &[wanted]).is_empty(), covered);
    }

    #[test]
    fn what_is_missing_is_told_in_few_lines() {
        let missing = uncovered(&[rule("get", "pods", "")], &[rule("get list watch", "pods nodes", "")]);
        let expected = "{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\" \"list\" \"watch\"]}\n\
                        {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}";
        assert_eq!(described(missing), expected);
    }
}
