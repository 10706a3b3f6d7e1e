//! `wherry apiserver` with clients that people use: kubectl and Python's `kubernetes`, over TLS.

use std::process::Command;

use wherry_tests::{ApiServer, workspace};

/// The resources that kubectl lists, with their groups: `deployments.apps`.
fn resources(server: &ApiServer) -> Vec<String> {
    let names = server.kubectl(&["api-resources", "-o", "name"]);
    names.lines().map(str::to_owned).collect()
}

#[test]
fn kubectl_explains_every_resource_to_the_last_field() {
    let server = ApiServer::start();
    let resources = resources(&server);
    assert!(resources.len() > 50, "{resources:?}");
    for resource in resources {
        let (name, group) = resource.split_once('.').unwrap_or((&resource, ""));
        // kubectl takes a group as a version to look in, and a dot in the name as a field.
        let list = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let preferred = server.kubectl(&["get", "--raw", &list]);
        let parsed: serde_json::Value = serde_json::from_str(&preferred).unwrap();
        let version = parsed["preferredVersion"]["groupVersion"].as_str().unwrap_or("v1");
        let text = server.kubectl(&["explain", name, "--recursive", "--api-version", version]);
        assert!(text.starts_with("GROUP:") || text.starts_with("KIND:"), "{resource}: {text}");
        assert!(text.contains("FIELDS:") && text.contains("apiVersion\t<string>"), "{resource}: {text}");
        assert!(!text.contains("<empty>"), "{resource} lacks descriptions: {text}");
    }
}

#[test]
fn kubectl_finds_short_names_categories_and_versions() {
    let server = ApiServer::start();
    let table = server.kubectl(&["api-resources", "--api-group=apps", "--no-headers"]);
    let deployments = table.lines().find(|line| line.starts_with("deployments ")).unwrap();
    let columns: Vec<&str> = deployments.split_whitespace().collect();
    assert_eq!(columns, ["deployments", "deploy", "apps/v1", "true", "Deployment"]);
    let all = server.kubectl(&["api-resources", "--categories=all", "-o", "name"]);
    assert!(all.contains("pods\n") && all.contains("statefulsets.apps\n"), "{all}");
    let versions = server.kubectl(&["api-versions"]);
    assert!(versions.contains("apps/v1\n") && versions.contains("\nv1\n"), "{versions}");
    assert!(server.kubectl(&["version"]).contains("Server Version: v1.36."));
    assert_eq!(server.kubectl(&["get", "--raw", "/readyz"]), "ok");
    assert!(server.kubectl(&["get", "--raw", "/metrics"]).contains("apiserver_request_total{"));
}

#[test]
fn kubectl_checks_fields_with_the_server_and_tells_which_it_does_not_know() {
    let server = ApiServer::start();
    let manifest = server.dir().join("bad.yaml");
    std::fs::write(&manifest, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndta: {a: b}\n").unwrap();
    let refused = server.try_kubectl(&["apply", "-f", manifest.to_str().unwrap()]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("unknown field \"dta\""), "{text}");
    server.kubectl(&["apply", "--validate=ignore", "-f", manifest.to_str().unwrap()]);
    let dry = server.kubectl(&["create", "configmap", "d", "--dry-run=server", "-o", "name"]);
    assert_eq!(dry, "configmap/d\n");
    assert_eq!(server.kubectl(&["get", "configmaps", "-o", "name"]), "configmap/c\n");
}

#[test]
fn kubectl_tells_who_one_is_and_what_one_may_do() {
    let server = ApiServer::with_roles();
    let admin = server.kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.groups}"]);
    assert_eq!(admin, r#"["system:masters","system:authenticated"]"#);
    let alice = ["--as", "alice", "--as-group", "dev"];
    let as_alice = |args: &[&str]| server.try_kubectl(&[args, &alice].concat());
    let name = as_alice(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(String::from_utf8_lossy(&name.stdout), "alice");
    let refused = as_alice(&["get", "pods"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    let expected =
        "User \"alice\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert!(!refused.status.success() && text.contains(expected), "{text}");
    assert_eq!(String::from_utf8_lossy(&as_alice(&["auth", "can-i", "list", "pods"]).stdout), "no\n");
    server.kubectl(&["create", "rolebinding", "devs", "--clusterrole=view", "--group=dev"]);
    assert_eq!(String::from_utf8_lossy(&as_alice(&["auth", "can-i", "list", "pods"]).stdout), "yes\n");
    assert!(as_alice(&["get", "pods"]).status.success());
    let list = as_alice(&["auth", "can-i", "--list", "--no-headers"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(list.contains("configmaps ") && list.contains("[get list watch]"), "{list}");
    assert!(!as_alice(&["get", "secrets"]).status.success());
}

#[test]
fn kubectl_reconciles_roles() {
    let server = ApiServer::with_roles();
    let manifest = server.dir().join("role.yaml");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n\
                rules: [{verbs: [get], apiGroups: [''], resources: [pods]}]\n";
    std::fs::write(&manifest, role).unwrap();
    let reconcile = || server.kubectl(&["auth", "reconcile", "-f", manifest.to_str().unwrap()]);
    assert!(reconcile().contains("r reconciled"));
    let more =
        ["--type=merge", "-p", r#"{"rules":[{"verbs":["list"],"apiGroups":[""],"resources":["pods"]}]}"#];
    server.kubectl(&[&["patch", "clusterrole", "r"], more.as_slice()].concat());
    reconcile();
    let verbs = server.kubectl(&["get", "clusterrole", "r", "-o", "jsonpath={.rules[*].verbs}"]);
    assert_eq!(verbs, r#"["list"] ["get"]"#);
}

#[test]
fn python_reads_writes_patches_and_watches() {
    let server = ApiServer::start();
    // target/<profile>/wherry: scripts/setup puts the environment beside the profiles.
    let target = wherry_tests::wherry_binary().ancestors().nth(2).unwrap().to_owned();
    let python = target.join("python/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/setup --test", python.display());
    let scenario = workspace().join("tests/clients/scenario.py");
    let output = Command::new(python).arg(scenario).arg(server.kubeconfig()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}\n{}", server.log());
    assert!(out.ends_with("passed\n"), "{out}");
}

#[test]
fn what_kubectl_does_is_in_the_audit_log_and_what_is_secret_is_not() {
    let server = ApiServer::with_audit(
        "{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [RequestReceived], rules: [{level: Metadata, \
         resources: [{resources: [secrets]}]}, {level: Request, verbs: [create]}]}",
    );
    server.kubectl(&["create", "secret", "generic", "s", "--from-literal=password=hunter2"]);
    server.kubectl(&["create", "configmap", "c", "--from-literal=a=b"]);
    let log = server.audit_log();
    let events = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let by_kubectl = |event: &serde_json::Value| {
        event["userAgent"].as_str().unwrap_or_default().starts_with("kubectl/") && event["verb"] == "create"
    };
    let events: Vec<_> = events.filter(by_kubectl).collect();
    let names: Vec<_> = events.iter().map(|event| event["objectRef"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["s", "c"]);
    assert!(events[0].get("requestObject").is_none() && !log.contains("aHVudGVyMg"), "{log}");
    assert_eq!(events[1]["requestObject"]["data"]["a"], "b");
    assert_eq!(
        (&events[1]["sourceIPs"][0], &events[1]["stage"]),
        (&"127.0.0.1".into(), &"ResponseComplete".into())
    );
}
