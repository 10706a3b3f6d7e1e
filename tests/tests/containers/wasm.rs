//! WebAssembly as users meet it when it asks for too much.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use wherry_tests::{Options, build_dir, in_cluster, keys, wait, wherry_binary};

fn pod(name: &str, annotations: &Value, container: &Value) -> String {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "annotations": annotations },
        "spec": { "terminationGracePeriodSeconds": 0, "containers": [container] },
    })
    .to_string()
}

#[test]
fn who_asks_for_too_much_is_told_so() {
    in_cluster(Options::hasty(), |cluster| {
        let image = |name: &str| format!("127.0.0.1:5000/{name}:v1");
        let echo = json!({ "name": "main", "image": image("tcp-echo"), "args": ["0.0.0.0:7000"] });
        cluster.apply(&pod("kept", &json!({ "run.wherry.dev/capabilities": "http-client" }), &echo));
        let limits = json!({ "limits": { "memory": "32Mi" } });
        let hungry =
            json!({ "name": "main", "image": image("cli-p2"), "args": ["alloc", "64"], "resources": limits });
        cluster.apply(&pod("hungry", &json!({}), &hungry));

        wait::until("the Pod to be told what it lacks", || {
            let waiting = cluster.first_container("kept")["state"]["waiting"].clone();
            let message = waiting["message"].as_str().unwrap_or_default();
            let told = waiting["reason"] == "CreateContainerConfigError"
                && message.contains("it imports wasi:sockets/");
            if told { Ok(()) } else { Err(waiting.to_string()) }
        });
        cluster.until_told("involvedObject.name=kept,reason=Inspected", |told| {
            told.contains("tcp-echo:v1\" imports wasi:") && told.contains("wasi:sockets/tcp@0.2.")
        });
        cluster.kubectl(&["annotate", "--overwrite", "pod", "kept", "run.wherry.dev/capabilities=sockets"]);
        cluster.wait_for("condition=Ready", &["pod/kept"]);

        cluster.until_restarted("hungry", 1);
        let ended = cluster.first_container("hungry")["lastState"]["terminated"].clone();
        assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("OOMKilled"), &json!(137)), "{ended}");
        assert!(
            ended["message"].as_str().is_some_and(|text| text.contains("memory limit of 33554432")),
            "{ended}"
        );
    });
}

fn wherry(dir: &Path, args: &[&str]) {
    let output = Command::new(wherry_binary()).args(args).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "wherry {}: {output:?}", args.join(" "));
}

#[test]
fn a_node_that_does_not_compile_says_what_to_do() {
    let flags = vec!["--compile-wasm=false".to_owned()];
    in_cluster(Options { flags, env: Vec::new() }, |cluster| {
        let echo = json!({ "name": "main", "image": "127.0.0.1:5000/tcp-echo:v1", "args": ["0.0.0.0:7000"] });
        cluster.apply(&pod("echo", &json!({}), &echo));
        wait::until("the Pod to be told that there is no code", || {
            let waiting = cluster.first_container("echo")["state"]["waiting"].clone();
            let message = waiting["message"].as_str().unwrap_or_default();
            let told = waiting["reason"] == "CreateContainerError"
                && message.contains("this node does not compile: where there is a compiler, run `wherry compile IMAGE --target ");
            if told { Ok(()) } else { Err(waiting.to_string()) }
        });
        cluster.until_told("involvedObject.name=echo,reason=Failed", |told| {
            told.contains("then here `wherry code import FILE --key PUBLIC-KEY`")
        });

        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key.pem"), keys::PRIVATE).unwrap();
        std::fs::write(dir.path().join("key.pub"), keys::PUBLIC).unwrap();
        let guest = build_dir().join("guests/tcp-echo.wasm");
        wherry(dir.path(), &["compile", guest.to_str().unwrap(), "--key", "key.pem", "-o", "echo.aot"]);
        let data = cluster.data_dir();
        let data = ["--data-dir", data.to_str().unwrap()];
        wherry(dir.path(), &[&["code", "import", "echo.aot", "--key", "key.pub"], &data[..]].concat());
        cluster.wait_for("condition=Ready", &["pod/echo"]);
    });
}
