//! kubectl, unmodified, against a real cluster: every command people use daily.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use wherry_tests::{Cluster, Options, workspace};

fn in_cluster(test: impl FnOnce(&Cluster) + Send) {
    wherry_tests::in_cluster(Options::default(), |cluster| test(cluster));
}

fn example(path: &str) -> String {
    std::fs::read_to_string(workspace().join("examples").join(path)).unwrap()
}

/// The rolled-out hello-wasm example.
fn in_cluster_with_hello(test: impl FnOnce(&Cluster) + Send) {
    in_cluster(|cluster| {
        cluster.apply(&example("hello-wasm/hello-wasm.yaml"));
        cluster.kubectl(&["rollout", "status", "deployment/hello-wasm", "--timeout=90s"]);
        test(cluster);
    });
}

#[test]
fn apply_twice_says_created_then_unchanged() {
    in_cluster(|cluster| {
        let manifest = example("hello-wasm/hello-wasm.yaml");
        assert_eq!(
            cluster.apply(&manifest),
            "deployment.apps/hello-wasm created\nservice/hello-wasm created\n"
        );
        assert_eq!(
            cluster.apply(&manifest),
            "deployment.apps/hello-wasm unchanged\nservice/hello-wasm unchanged\n"
        );
        let changed = manifest.replace("replicas: 3", "replicas: 1");
        assert_eq!(
            cluster.apply(&changed),
            "deployment.apps/hello-wasm configured\nservice/hello-wasm unchanged\n"
        );
        cluster.wait_for("jsonpath={.status.readyReplicas}=1", &["deployment/hello-wasm"]);
    });
}

#[test]
fn get_prints_tables_yaml_json_and_names() {
    in_cluster_with_hello(|cluster| {
        let table = cluster.kubectl(&["get", "deployments"]);
        assert!(
            table.starts_with(
                "NAME         READY   UP-TO-DATE   AVAILABLE   AGE\nhello-wasm   3/3     3            3 "
            ),
            "{table}"
        );
        let wide = cluster.kubectl(&["get", "pods", "-o", "wide"]);
        let header: Vec<_> = wide.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(header.join(" "), "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES");
        assert_eq!(
            wide.lines()
                .filter(|l| l.contains("1/1") && l.contains("Running") && l.contains("node-1"))
                .count(),
            3
        );
        let yaml = cluster.kubectl(&["get", "service", "hello-wasm", "-o", "yaml"]);
        assert!(yaml.contains("kind: Service\n") && yaml.contains("  type: ClusterIP\n"), "{yaml}");
        assert_eq!(cluster.get(&["deployment", "hello-wasm"])["status"]["readyReplicas"], 3);
        assert_eq!(
            cluster.kubectl(&["get", "deploy,svc", "-l", "!absent", "-o", "name"]),
            "deployment.apps/hello-wasm\nservice/hello-wasm\nservice/kubernetes\n"
        );
        let all = cluster.kubectl(&["get", "all"]);
        for prefix in [
            "pod/hello-wasm-",
            "service/hello-wasm",
            "service/kubernetes",
            "deployment.apps/hello-wasm",
            "replicaset.apps/hello-wasm-",
        ] {
            assert!(all.lines().any(|l| l.starts_with(prefix)), "{prefix} in\n{all}");
        }
        let nodes = cluster.kubectl(&["get", "nodes"]);
        assert!(
            nodes.lines().any(|l| l.starts_with("node-1") && l.contains("Ready") && l.contains("v1.36")),
            "{nodes}"
        );
    });
}

#[test]
fn describe_shows_state_and_events() {
    in_cluster_with_hello(|cluster| {
        let deployment = cluster.kubectl(&["describe", "deployment", "hello-wasm"]);
        assert!(
            deployment.contains("3 desired | 3 updated | 3 total | 3 available | 0 unavailable"),
            "{deployment}"
        );
        assert!(deployment.contains("Scaled up replica set hello-wasm-"), "{deployment}");
        let pod = cluster
            .kubectl_until(&["describe", "pods", "-l", "app=hello-wasm"], |text| text.contains("Started"));
        for line in [
            "Status:           Running",
            "Successfully assigned default/hello-wasm-",
            "Container ID:   wasmtime://",
        ] {
            assert!(pod.contains(line), "{line} in\n{pod}");
        }
        let service = cluster.kubectl(&["describe", "service", "hello-wasm"]);
        assert!(service.contains("TargetPort:") && service.contains(":8080"), "{service}");
        assert!(cluster.kubectl(&["describe", "node", "node-1"]).contains("Non-terminated Pods:"));
    });
}

#[test]
fn logs_are_read_and_followed() {
    in_cluster(|cluster| {
        cluster.kubectl(&[
            "run",
            "talker",
            "--image=127.0.0.1:5000/hello-oci:v1",
            "--restart=Never",
            "--command",
            "--",
            "sh",
            "-c",
            "for i in 1 2 3; do echo line $i; done; while [ ! -e /tmp/go ]; do sleep 0.1; done",
        ]);
        cluster.wait_for("condition=Ready", &["pod/talker"]);
        cluster.kubectl_until(&["logs", "talker"], |text| text == "line 1\nline 2\nline 3\n");
        assert_eq!(cluster.kubectl(&["logs", "talker", "--tail=1"]), "line 3\n");
        assert!(cluster.kubectl(&["logs", "talker", "--timestamps", "--tail=1"]).ends_with("Z line 3\n"));
        let mut follow =
            cluster.kubectl_command(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().unwrap();
        let lines: Vec<_> =
            BufReader::new(follow.stdout.take().unwrap()).lines().take(3).map(Result::unwrap).collect();
        assert_eq!(lines, ["line 1", "line 2", "line 3"]);
        cluster.kubectl(&["delete", "pod", "talker", "--grace-period=1"]);
        assert!(follow.wait().unwrap().success(), "logs -f ends with its container");
    });
}

#[test]
fn logs_of_the_previous_container_survive_its_restart() {
    in_cluster(|cluster| {
        cluster.kubectl(&[
            "run",
            "crasher",
            "--image=127.0.0.1:5000/hello-oci:v1",
            "--command",
            "--",
            "sh",
            "-c",
            "echo going down; exit 3",
        ]);
        cluster.kubectl_until(
            &["get", "pod", "crasher", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"],
            |text| text.parse::<u32>().is_ok_and(|n| n >= 1),
        );
        assert_eq!(cluster.kubectl(&["logs", "crasher", "--previous"]), "going down\n");
        let pod = cluster.get(&["pod", "crasher"]);
        assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 3);
        cluster.kubectl_until(&["get", "pod", "crasher"], |text| text.contains("CrashLoopBackOff"));
    });
}

#[test]
fn scale_changes_the_number_of_pods() {
    in_cluster_with_hello(|cluster| {
        assert_eq!(
            cluster.kubectl(&["scale", "deployment/hello-wasm", "--replicas=5"]),
            "deployment.apps/hello-wasm scaled\n"
        );
        cluster.wait_for("jsonpath={.status.readyReplicas}=5", &["deployment/hello-wasm"]);
        cluster.kubectl(&["scale", "deployment/hello-wasm", "--replicas=1", "--current-replicas=5"]);
        cluster.kubectl_until(&["get", "pods", "-l", "app=hello-wasm", "-o", "name"], |text| {
            text.lines().count() == 1
        });
    });
}

#[test]
fn set_image_history_undo_pause_and_resume() {
    in_cluster_with_hello(|cluster| {
        let deployment = "deployment/hello-wasm";
        cluster.kubectl(&["set", "image", deployment, "hello=127.0.0.1:5000/side-by-side-frontend:v1"]);
        cluster.kubectl(&["annotate", deployment, "kubernetes.io/change-cause=try the front end"]);
        cluster.kubectl_until(&["rollout", "history", deployment], |text| text.contains("try the front end"));
        let history = cluster.kubectl(&["rollout", "history", deployment]);
        assert_eq!(
            history.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_digit())).count(),
            2,
            "{history}"
        );
        assert!(
            cluster.kubectl(&["rollout", "history", deployment, "--revision=1"]).contains("hello-wasm:v1")
        );
        assert_eq!(
            cluster.kubectl(&["rollout", "undo", deployment]),
            "deployment.apps/hello-wasm rolled back\n"
        );
        cluster.kubectl(&["rollout", "status", deployment, "--timeout=90s"]);
        let image = ["get", deployment, "-o", "jsonpath={.spec.template.spec.containers[0].image}"];
        assert_eq!(cluster.kubectl(&image), "127.0.0.1:5000/hello-wasm:v1");

        cluster.kubectl(&["rollout", "pause", deployment]);
        cluster.kubectl(&["set", "env", deployment, "PAUSED=yes"]);
        assert!(cluster.kubectl(&["get", deployment, "-o", "jsonpath={.spec.paused}"]) == "true");
        cluster.kubectl(&["rollout", "resume", deployment]);
        cluster.kubectl(&["rollout", "status", deployment, "--timeout=90s"]);
        cluster.kubectl(&["rollout", "restart", deployment]);
        cluster.kubectl(&["rollout", "status", deployment, "--timeout=90s"]);
    });
}

#[test]
fn label_annotate_and_three_types_of_patch() {
    in_cluster(|cluster| {
        cluster.kubectl(&["create", "configmap", "settings", "--from-literal=a=1"]);
        assert_eq!(
            cluster.kubectl(&["label", "configmap", "settings", "tier=one"]),
            "configmap/settings labeled\n"
        );
        assert!(
            cluster
                .kubectl_fails(&["label", "configmap", "settings", "tier=two"])
                .contains("--overwrite is false")
        );
        cluster.kubectl(&["annotate", "configmap", "settings", "note=hello"]);
        cluster.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", r#"{"data":{"b":"2"}}"#]);
        cluster.kubectl(&[
            "patch",
            "configmap",
            "settings",
            "--type=json",
            "-p",
            r#"[{"op":"replace","path":"/data/a","value":"9"}]"#,
        ]);
        cluster.kubectl(&["patch", "configmap", "settings", "-p", r#"{"data":{"b":null,"c":"3"}}"#]);
        let settings = cluster.get(&["configmap", "settings"]);
        assert_eq!(settings["data"], serde_json::json!({"a": "9", "c": "3"}));
        assert_eq!(settings["metadata"]["labels"]["tier"], "one");
        assert_eq!(settings["metadata"]["annotations"]["note"], "hello");
        assert!(cluster.kubectl(&["patch", "configmap", "settings", "-p", "{}"]).contains("(no change)"));
    });
}

#[test]
fn a_strategic_patch_merges_containers_by_name() {
    in_cluster_with_hello(|cluster| {
        let patch = r#"{"spec":{"template":{"spec":{"containers":[{"name":"hello","env":[{"name":"ADDED","value":"yes"}]}]}}}}"#;
        cluster.kubectl(&["patch", "deployment", "hello-wasm", "-p", patch]);
        let container =
            &cluster.get(&["deployment", "hello-wasm"])["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "127.0.0.1:5000/hello-wasm:v1");
        let names: Vec<_> =
            container["env"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["ADDED", "POD_NAME"]);
    });
}

#[test]
fn delete_waits_until_the_object_and_its_dependents_are_gone() {
    in_cluster_with_hello(|cluster| {
        cluster.kubectl(&["delete", "deployment", "hello-wasm", "--cascade=foreground", "--timeout=60s"]);
        assert!(
            cluster
                .kubectl_fails(&["get", "deployment", "hello-wasm"])
                .contains(r#"Error from server (NotFound): deployments.apps "hello-wasm" not found"#)
        );
        assert_eq!(cluster.kubectl(&["get", "pods,rs", "-o", "name"]), "");
        cluster.kubectl(&[
            "delete",
            "-f",
            workspace().join("examples/hello-wasm/hello-wasm.yaml").to_str().unwrap(),
            "--ignore-not-found",
        ]);
        assert_eq!(cluster.kubectl(&["get", "services", "-o", "name"]), "service/kubernetes\n");
    });
}

#[test]
fn a_namespace_takes_its_content_with_it() {
    in_cluster(|cluster| {
        cluster.kubectl(&["create", "namespace", "team"]);
        cluster.kubectl_until(&["-n", "team", "get", "serviceaccount", "default", "-o", "name"], |text| {
            !text.is_empty()
        });
        cluster.kubectl(&["-n", "team", "create", "configmap", "c", "--from-literal=a=1"]);
        cluster.kubectl(&["-n", "team", "create", "deployment", "d", "--image=127.0.0.1:5000/hello-wasm:v1"]);
        cluster.wait_for("condition=Available", &["-n", "team", "deployment/d"]);
        cluster.kubectl(&["delete", "namespace", "team", "--timeout=90s"]);
        assert!(
            cluster
                .kubectl_fails(&["-n", "team", "create", "configmap", "c"])
                .contains(r#"namespaces "team" not found"#)
        );
        assert_eq!(cluster.kubectl(&["get", "pods", "-A", "-o", "name"]), "");
    });
}

#[test]
fn events_discovery_explain_and_version() {
    in_cluster_with_hello(|cluster| {
        let events = cluster.kubectl_until(&["events"], |text| text.contains("Started"));
        assert!(events.contains("ScalingReplicaSet") && events.contains("SuccessfulCreate"), "{events}");
        let resources = cluster.kubectl(&["api-resources"]);
        let row = |name: &str| {
            resources
                .lines()
                .find(|l| l.starts_with(name))
                .unwrap_or_default()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(row("pods "), "pods po v1 true Pod");
        assert_eq!(row("deployments "), "deployments deploy apps/v1 true Deployment");
        let explained = cluster.kubectl(&["explain", "deployment.spec.strategy.rollingUpdate.maxSurge"]);
        assert!(
            explained.contains("FIELD: maxSurge") && explained.contains("maximum number of pods"),
            "{explained}"
        );
        assert!(
            cluster.kubectl(&["explain", "pod.spec.containers", "--recursive"]).contains("livenessProbe")
        );
        assert!(cluster.kubectl(&["version"]).contains("Server Version: v1.36"));
        assert!(cluster.kubectl(&["api-versions"]).lines().any(|l| l == "apps/v1"));
        assert!(cluster.kubectl(&["cluster-info"]).contains("control plane"));
    });
}

#[test]
fn replace_edit_in_place_dry_run_and_diff() {
    in_cluster(|cluster| {
        let manifest = example("hello-wasm/hello-wasm.yaml");
        let path = workspace().join("examples/hello-wasm/hello-wasm.yaml");
        let path = path.to_str().unwrap();
        assert!(
            cluster.kubectl(&["apply", "--dry-run=server", "-f", path]).contains("created (server dry run)")
        );
        assert_eq!(cluster.kubectl(&["get", "deployments", "-o", "name"]), "");
        cluster.apply(&manifest);
        assert_eq!(cluster.kubectl(&["diff", "-f", path]), "");
        cluster.kubectl(&["replace", "-f", path]);
        cluster.kubectl(&[
            "expose",
            "deployment",
            "hello-wasm",
            "--name=exposed",
            "--port=81",
            "--target-port=8080",
            "--type=NodePort",
        ]);
        let port = cluster.get(&["service", "exposed"])["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
        assert!((30_000..=32_767).contains(&port), "{port}");
    });
}

#[test]
fn bad_input_is_explained_and_changes_nothing() {
    in_cluster(|cluster| {
        let before = cluster.kubectl(&["get", "deployments,services,configmaps", "-A", "-o", "name"]);
        let manifest = example("hello-wasm/hello-wasm.yaml");
        let refused = |manifest: &str| {
            let output = cluster.try_apply(manifest);
            assert!(!output.status.success());
            String::from_utf8_lossy(&output.stderr).into_owned()
        };
        let deployment = manifest.split("---").next().unwrap();
        let text = refused(&deployment.replace("replicas: 3", "replicaz: 3"));
        assert!(text.contains(r#"unknown field "spec.replicaz""#), "{text}");
        let text = refused(&deployment.replace("replicas: 3", "replicas: three"));
        assert!(text.contains("replicas"), "{text}");
        let text = refused(&deployment.replace("- name: hello\n", "- name: Hello_\n"));
        assert!(text.contains("spec.template.spec.containers[0].name: Invalid value: \"Hello_\""), "{text}");
        assert!(cluster.kubectl_fails(&["get", "pods", "-l", "a b"]).contains("unable to parse requirement"));
        assert!(
            cluster
                .kubectl_fails(&["get", "pods", "--field-selector", "x=y"])
                .contains("field label not supported: x")
        );
        let after = cluster.kubectl(&["get", "deployments,services,configmaps", "-A", "-o", "name"]);
        assert_eq!(before, after);
    });
}

/// What cannot be patched is validated by kubectl itself, by the document of version 2 in protobuf.
#[test]
fn reviews_are_created_after_kubectl_validated_them() {
    in_cluster(|cluster| {
        let review = |spec: &str| {
            format!("apiVersion: authorization.k8s.io/v1\nkind: SelfSubjectAccessReview\nspec: {spec}\n")
        };
        let answer = cluster.create(&review("{resourceAttributes: {verb: get, resource: pods}}"));
        assert_eq!(answer["status"]["allowed"], true, "{answer}");
        let refused = cluster.try_create(&review("{resourceAttributes: {verb: get, resorce: pods}}"));
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains("unknown field \"resorce\""), "{error}");
    });
}
