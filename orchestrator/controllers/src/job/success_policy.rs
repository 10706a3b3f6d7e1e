//! Whether enough indexes of a Job have succeeded for the whole of it to have.

use k8s_openapi::api::batch::v1::{SuccessPolicy, SuccessPolicyRule};

use super::indexes::Indexes;

/// The message that tells which rule is met, if one is.
pub(super) fn met(policy: &SuccessPolicy, succeeded: &Indexes, completions: usize) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let at = policy.rules.iter().position(|rule| is_met(rule, succeeded, completions))?;
    Some(format!("Matched rules at index {at}"))
}

fn is_met(rule: &SuccessPolicyRule, succeeded: &Indexes, completions: usize) -> bool {
    let enough = rule.succeeded_count.map(|count| usize::try_from(count).unwrap_or(0));
    let Some(text) = &rule.succeeded_indexes else {
        return enough.is_some_and(|enough| succeeded.len() >= enough);
    };
    let wanted = Indexes::parse(text, completions);
    let found = wanted.overlap(succeeded);
    !wanted.is_empty() && (found == wanted.len() || enough.is_some_and(|enough| found >= enough))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn policy(rules: &[(Option<&str>, Option<i32>)]) -> SuccessPolicy {
        let rule = |(indexes, count): &(Option<&str>, Option<i32>)| SuccessPolicyRule {
            succeeded_indexes: indexes.map(str::to_owned),
            succeeded_count: *count,
        };
        SuccessPolicy { rules: rules.iter().map(rule).collect() }
    }

    #[rstest]
    #[case::nothing_succeeded(&[(None, Some(0))], "", None)]
    #[case::count(&[(None, Some(2))], "0,4", Some(0))]
    #[case::count_not_reached(&[(None, Some(3))], "0,4", None)]
    #[case::all_indexes(&[(Some("0-2"), None)], "0-3", Some(0))]
    #[case::some_indexes(&[(Some("0-2"), None)], "0,1,3", None)]
    #[case::count_of_indexes(&[(Some("0-2"), Some(1))], "2", Some(0))]
    #[case::others_do_not_count(&[(Some("0-2"), Some(1))], "3,4", None)]
    #[case::indexes_that_are_none(&[(Some("x"), Some(0))], "1", None)]
    #[case::the_first_rule_met_is_told(&[(Some("7"), None), (None, Some(1))], "1", Some(1))]
    fn rules_are_met(
        #[case] rules: &[(Option<&str>, Option<i32>)],
        #[case] succeeded: &str,
        #[case] rule: Option<usize>,
    ) {
        let told = met(&policy(rules), &Indexes::parse(succeeded, 10), 10);
        assert_eq!(told, rule.map(|at| format!("Matched rules at index {at}")));
    }
}
