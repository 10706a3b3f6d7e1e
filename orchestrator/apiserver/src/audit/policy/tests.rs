//! What policies are read as, and whom their rules match.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn policy(rules: &str) -> Result<Policy, String> {
    let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}");
    Policy::parse(text.as_bytes()).map_err(|error| error.to_string())
}

/// The level at which a rule, or else a rule for everything, puts a request.
fn level(rule: &str, verb: &str, object: Object<'_>) -> Level {
    let user = UserInfo::new("ann", &["dev", "system:authenticated"]);
    let policy = policy(&format!("rules: [{{level: Request, {rule}}}, {{level: None}}]")).unwrap();
    policy.decide(Some(&user), &Attributes { user: &user, verb, object }).level
}

/// `group/plural/part/namespace/name`.
fn resource(text: &str) -> Object<'_> {
    let parts: Vec<&str> = text.split('/').collect();
    let [group, plural, part, namespace, name] = parts[..] else { panic!("{text}") };
    Object::Resource(Resource { group, plural, part, namespace, name, ..Resource::default() })
}

#[rstest]
#[case("users: [ann]", true)]
#[case("users: [bob]", false)]
#[case("userGroups: [ops, dev]", true)]
#[case("userGroups: [ops]", false)]
#[case("verbs: [get]", true)]
#[case("verbs: [list, watch]", false)]
#[case("namespaces: [a]", true)]
#[case("namespaces: ['']", false)]
#[case("resources: [{group: ''}]", true)]
#[case("resources: [{group: apps}]", false)]
#[case("resources: [{resources: [pods]}]", false)]
#[case("resources: [{resources: [pods/log]}]", true)]
#[case("resources: [{resources: ['pods/*']}]", true)]
#[case("resources: [{resources: ['*/log']}]", true)]
#[case("resources: [{resources: ['*/scale']}]", false)]
#[case("resources: [{resources: ['*']}]", true)]
#[case("resources: [{resources: ['*'], resourceNames: [p]}]", true)]
#[case("resources: [{resources: ['*'], resourceNames: [q]}]", false)]
#[case("nonResourceURLs: ['*']", false)]
#[case("users: [ann], verbs: [get], namespaces: [a], resources: [{resources: [pods/log]}]", true)]
fn a_rule_matches_what_it_names(#[case] rule: &str, #[case] matches: bool) {
    let expected = if matches { Level::Request } else { Level::None };
    assert_eq!(level(rule, "get", resource("/pods/log/a/p")), expected);
}

#[rstest]
#[case("nonResourceURLs: [/healthz]", false)]
#[case("nonResourceURLs: ['/healthz*']", true)]
#[case("nonResourceURLs: ['/healthz/*']", true)]
#[case("nonResourceURLs: ['*']", true)]
#[case("namespaces: ['']", false)]
#[case("resources: [{group: ''}]", false)]
#[case("verbs: [get]", true)]
fn a_path_is_no_resource(#[case] rule: &str, #[case] matches: bool) {
    let expected = if matches { Level::Request } else { Level::None };
    assert_eq!(level(rule, "get", Object::Path("/healthz/ping")), expected);
}

#[test]
fn who_is_not_known_matches_no_rule_about_users() {
    let nobody = UserInfo::default();
    let wish = Attributes { user: &nobody, verb: "get", object: Object::Path("/") };
    let policy = policy("rules: [{level: Request, userGroups: [dev]}, {level: Metadata}]").unwrap();
    assert_eq!(policy.decide(None, &wish).level, Level::Metadata);
}

#[test]
fn stages_are_left_out_by_the_rule_and_by_the_policy() {
    let user = UserInfo::new("ann", &[]);
    let wish = Attributes { user: &user, verb: "get", object: Object::Path("/") };
    let policy = policy(
        "omitStages: [RequestReceived]\nomitManagedFields: true\n\
         rules: [{level: Metadata, omitStages: [Panic], omitManagedFields: false}]",
    );
    let verdict = policy.unwrap().decide(Some(&user), &wish);
    let omitted = Stage::ALL.map(|stage| verdict.omit.has(stage));
    assert_eq!((omitted, verdict.omit_managed), ([true, false, false, true], false));
}

#[rstest]
#[case("rules: []", "the audit policy has no rules, so that nothing would be recorded; write at least one")]
#[case("rules: [{level: Metadata, verb: [get]}]", "rules[0].verb: Invalid value: unknown field")]
#[case("rules: [{}]", "rules[0].level: Required value")]
#[case(
    "rules: [{level: All}]",
    "rules[0].level: Unsupported value: \"All\": supported values: \"None\", \"Metadata\", \"Request\", \
     \"RequestResponse\""
)]
#[case(
    "rules: [{level: None, verbs: [1]}]",
    "rules[0].verbs[0]: Invalid value: 1: must be a string, not number"
)]
#[case(
    "rules: [{level: None, users: ann}]",
    "rules[0].users: Invalid value: \"ann\": must be a list, not string"
)]
#[case(
    "rules: [{level: None, omitStages: [Done]}]",
    "rules[0].omitStages[0]: Invalid value: \"Done\": allowed stages are \
     RequestReceived,ResponseStarted,ResponseComplete,Panic"
)]
#[case(
    "rules: [{level: None, nonResourceURLs: [x]}]",
    "rules[0].nonResourceURLs[0]: Invalid value: \"x\": non-resource URL rules must begin with a '/' character"
)]
#[case(
    "rules: [{level: None, nonResourceURLs: ['/a*b']}]",
    "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final \
     character of the rule"
)]
#[case(
    "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]",
    "rules[0].nonResourceURLs: Invalid value: [\"/a\"]: rules cannot apply to both regular resources and \
     non-resource URLs"
)]
#[case(
    "rules: [{level: None, resources: [{resourceNames: [a]}]}]",
    "rules[0].resources[0].resourceNames: Invalid value: [\"a\"]: using resourceNames requires at least one resource"
)]
fn what_is_wrong_is_told_with_its_place(#[case] rules: &str, #[case] expected: &str) {
    let told = policy(rules).unwrap_err();
    assert_eq!(told.trim_start_matches("the audit policy is invalid: "), expected);
}

#[test]
fn the_policy_in_the_guide_keeps_what_is_secret_out_of_the_log() {
    let guide = include_str!("../../../../../docs/audit.md");
    let text = guide.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let user = UserInfo::new("ann", &[]);
    let level =
        |object| policy.decide(Some(&user), &Attributes { user: &user, verb: "create", object }).level;
    assert_eq!(level(resource("/secrets//a/s")), Level::Metadata);
    assert_eq!(level(resource("/serviceaccounts/token/a/s")), Level::Metadata);
    assert_eq!(level(resource("/configmaps//a/s")), Level::Request);
    assert_eq!(level(Object::Path("/readyz/ping")), Level::None);
}

#[test]
fn a_policy_of_another_version_or_with_a_key_twice_is_refused() {
    let other = Policy::parse(b"apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n").unwrap_err().to_string();
    assert_eq!(
        other,
        "the audit policy is of apiVersion \"audit.k8s.io/v1beta1\" and kind \"Policy\"; write \
         \"audit.k8s.io/v1\" and \"Policy\""
    );
    let twice = policy("rules:\n- level: None\n  level: Request\n").unwrap_err();
    assert!(twice.contains("key \"level\" already set in map"), "{twice}");
}

proptest! {
    #[test]
    fn any_bytes_are_a_policy_or_are_refused(bytes: Vec<u8>) {
        prop_assert!(Policy::parse(&bytes).is_err());
    }

    #[test]
    fn any_fields_are_a_policy_or_are_refused_with_words(
        field in "(level|users|verbs|resources|namespaces|nonResourceURLs|omitStages|[a-z]{1,6})",
        value in "(None|Request|\\[[a-z*/]{0,6}\\]|\\{[a-z]{1,3}: [a-z]{1,3}\\}|\\[\\{group: [a-z.]{0,5}\\}\\]|[0-9]{1,3}|~)",
    ) {
        if let Err(why) = policy(&format!("rules:\n- level: Metadata\n- {field}: {value}\n")) {
            prop_assert!(why.contains("rules[1]") || why.contains("YAML") || why.contains("read"), "{why}");
        }
    }
}
