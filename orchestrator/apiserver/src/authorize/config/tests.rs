//! Tests of what is a configuration, and what is wrong with others.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n";

fn parse(rest: &str) -> Result<AuthorizationConfiguration, String> {
    AuthorizationConfiguration::parse(format!("{HEAD}{rest}").as_bytes()).map_err(|error| error.to_string())
}

/// A webhook with these fields instead of others.
fn webhook(kubeconfig: &Path, fields: &[(&str, &str)]) -> String {
    let file = format!("{{type: KubeConfigFile, kubeConfigFile: {}}}", kubeconfig.display());
    let mut all = vec![
        ("timeout", "3s"),
        ("subjectAccessReviewVersion", "v1"),
        ("failurePolicy", "Deny"),
        ("connectionInfo", &file),
    ];
    all.retain(|(name, _)| fields.iter().all(|(other, _)| other != name));
    all.extend(fields);
    let all: Vec<String> = all.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("authorizers: [{{type: Webhook, name: w, webhook: {{{}}}}}]", all.join(", "))
}

fn kubeconfig() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    std::fs::write(&path, "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]").unwrap();
    (directory, path)
}

#[test]
fn those_are_asked_who_are_named_in_their_order() {
    let (_directory, path) = kubeconfig();
    let configured =
        parse(&webhook(&path, &[("unauthorizedTTL", "1m30s"), ("cacheAuthorizedRequests", "false")]));
    let Means::Webhook(config) = &configured.unwrap().authorizers[0].means else { panic!() };
    assert_eq!((config.timeout, config.deny_on_error, config.beta), (Duration::from_secs(3), true, false));
    assert_eq!((config.authorized_ttl, config.unauthorized_ttl), (Duration::ZERO, Duration::from_secs(90)));
    let plain = parse("authorizers: [{type: RBAC, name: rbac}, {type: Node, name: node}]").unwrap();
    let names: Vec<_> = plain.authorizers.iter().map(|one| (one.means.name(), one.name.as_str())).collect();
    assert_eq!(names, [("RBAC", "rbac"), ("Node", "node")]);
}

#[rstest]
#[case("authorizers: []", "authorizers: Required value: at least one authorization mode must be defined")]
#[case("authorizers: [{name: x}]", "authorizers[0].type: Required value")]
#[case(
    "authorizers: [{type: Foo, name: x}]",
    "authorizers[0].type: Unsupported value: \"Foo\": supported values: \"ABAC\", \"AlwaysAllow\", \"AlwaysDeny\", \
     \"Node\", \"RBAC\", \"Webhook\""
)]
#[case(
    "authorizers: [{type: RBAC, name: rbac}, {type: RBAC, name: again}]",
    "authorizers[1].type: Duplicate value: \"RBAC\""
)]
#[case("authorizers: [{type: RBAC}]", "authorizers[0].name: Required value")]
#[case(
    "authorizers: [{type: RBAC, name: x}, {type: Node, name: x}]",
    "authorizers[1].name: Duplicate value: \"x\""
)]
#[case("authorizers: [{type: RBAC, name: roles}]", "expected name rbac for authorizer RBAC instead of roles")]
#[case(
    "authorizers: [{type: Webhook, name: w}]",
    "authorizers[0].webhook: Required value: required when type=Webhook"
)]
#[case(
    "authorizers: [{type: RBAC, name: rbac, webhook: {timeout: 1s}}]",
    "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook"
)]
#[case(
    "authorizers: [{type: ABAC, name: abac}]",
    "authorizer type ABAC is not built; write its policies as roles and bindings, or ask a webhook"
)]
#[case(
    "authorizers: [{type: RBAC, name: rbac, when: now}]",
    "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \"authorizers[0].when\""
)]
fn what_is_no_configuration_is_refused(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(parse(text).unwrap_err(), expected);
}

#[rstest]
#[case(&[("timeout", "''")], "authorizers[0].timeout: Required value")]
#[case(&[("timeout", "31s")], "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s")]
#[case(&[("timeout", "2m")], "authorizers[0].timeout: Invalid value: \"2m0s\": must be > 0s and <= 30s")]
#[case(&[("timeout", "-1s")], "authorizers[0].timeout: Invalid value: \"-1s\": must be > 0s and <= 30s")]
#[case(&[("authorizedTTL", "-1s")], "authorizers[0].authorizedTTL: Invalid value: \"-1s\": must be > 0s")]
#[case(&[("subjectAccessReviewVersion", "v2")],
       "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\": supported values: \"v1\", \"v1beta1\"")]
#[case(&[("failurePolicy", "''")], "authorizers[0].failurePolicy: Required value")]
#[case(&[("failurePolicy", "Allow")],
       "authorizers[0].failurePolicy: Unsupported value: \"Allow\": supported values: \"NoOpinion\", \"Deny\"")]
#[case(&[("connectionInfo", "{}")], "authorizers[0].connectionInfo.type: Required value")]
#[case(&[("connectionInfo", "{type: KubeConfigFile, kubeConfigFile: a}")],
       "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"a\": must be an absolute path")]
#[case(&[("connectionInfo", "{type: KubeConfigFile, kubeConfigFile: /nowhere/a}")],
       "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/nowhere/a\": error loading file: stat \
        /nowhere/a: no such file or directory")]
#[case(&[("connectionInfo", "{type: KubeConfigFile, kubeConfigFile: /}")],
       "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/\": must be a regular file")]
#[case(&[("matchConditions", "[{expression: 'true'}]")],
       "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are \
        specified")]
#[case(&[("matchConditions", "[{expression: '1'}]"), ("matchConditionSubjectAccessReviewVersion", "v1")],
       "authorizers[0].matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int")]
fn what_is_no_webhook_is_refused(#[case] fields: &[(&str, &str)], #[case] expected: &str) {
    let (_directory, path) = kubeconfig();
    assert_eq!(parse(&webhook(&path, fields)).unwrap_err(), expected);
}

#[test]
fn another_kind_is_none() {
    let refused = |text: &str| AuthorizationConfiguration::parse(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(refused(""), "failed to load AuthorizationConfiguration from file: no configuration data");
    assert_eq!(
        refused("{apiVersion: v1, kind: Pod}"),
        "failed to load AuthorizationConfiguration from file: no kind \"Pod\" is registered for version \"v1\""
    );
}

#[test]
fn who_knows_the_store_is_named_from_the_start() {
    let plain = AuthorizationConfiguration::plain;
    let check = |before: &[&str], after: &[&str]| plain(before).check_successor(&plain(after));
    assert_eq!(check(&["Node", "RBAC"], &["RBAC", "Node", "AlwaysDeny"]), Ok(()));
    assert_eq!(check(&["Node", "RBAC"], &["RBAC"]), Err("missing required types: [Node]".to_owned()));
    assert_eq!(
        check(&["RBAC"], &["RBAC", "Node"]),
        Err("authorizer type Node is not allowed if it was not enabled at initial server startup".to_owned())
    );
}

#[test]
fn modes_are_asked_in_their_order() {
    let of = |modes: &[&str]| {
        let modes: Vec<String> = modes.iter().map(|mode| (*mode).to_owned()).collect();
        AuthorizationConfiguration::of_modes(&modes, None).map_err(|error| error.to_string())
    };
    assert_eq!(of(&["RBAC", "Node"]).unwrap().authorizers[0].name, "rbac");
    assert_eq!(of(&["Nope"]).unwrap_err(), "authorization-mode \"Nope\" is not a valid mode");
    assert_eq!(
        of(&["RBAC", "RBAC"]).unwrap_err(),
        "authorization-mode [\"RBAC\", \"RBAC\"] has mode specified more than once"
    );
    assert_eq!(
        of(&["Webhook"]).unwrap_err(),
        "authorization-mode Webhook's authorization config file not passed"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_are_refused(bytes: Vec<u8>) {
        prop_assert!(AuthorizationConfiguration::parse(&bytes).is_err());
    }
}
