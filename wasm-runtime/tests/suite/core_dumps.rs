//! Core dumps: of whom, where, and what is told of them.

use std::path::Path;

use crate::support::{Exited, Node, PATIENCE, address, get, log, strings};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Mount, Runtime as _};

const ANNOTATION: &str = "run.wherry.dev/core-dumps";

/// A container of the guest that mounts `volume` at `/data`, and wants its core dumps there.
fn dumping(node: &Node, guest: &str, volume: &Path) -> ContainerSpec {
    let mut spec = node.container(guest, guest);
    spec.mounts.push(Mount::new(volume, "/data", false));
    spec.annotations.insert(ANNOTATION.into(), "/data".into());
    spec
}

/// The names of the dumps in the volume.
fn dumps(volume: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(volume)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_command_that_traps_leaves_one_and_its_status_names_it() {
    let node = Node::new();
    for guest in ["cli-p1", "cli-p2"] {
        let volume = tempfile::tempdir().unwrap();
        let mut spec = dumping(&node, guest, volume.path());
        spec.args = Some(strings(&["print", "held in memory", "panic"]));
        let Exited { code, message, .. } = node.run(&spec).await;
        assert_eq!(code, 134);
        let found = dumps(volume.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("core.host-{guest}.{guest}.")), "{found:?}");
        let told = format!("\ncore dump: /data/{}\n", found[0]);
        assert!(message.contains(&told) && message.contains("wasm backtrace"), "{message}");
        assert!(log(&spec, Stream::Stderr).join("\n").contains(told.trim_end()), "the log says so, too");
        let dump = std::fs::read(volume.path().join(&found[0])).unwrap();
        assert!(dump.starts_with(b"\0asm\x01\0\0\0"), "a dump is a module");
        let text = b"held in memory";
        assert!(dump.windows(text.len()).any(|window| window == text), "the memory is in it");
    }
}

#[tokio::test]
async fn a_server_leaves_as_many_as_may_be_and_goes_on() {
    let node = Node::with(|config| config.limits.core_dumps = 2);
    let volume = tempfile::tempdir().unwrap();
    let spec = dumping(&node, "http", volume.path());
    node.start(&spec).await.unwrap();
    for _ in 0..3 {
        assert_eq!(get(address(&spec), "/trap").await.0, 500);
    }
    assert_eq!(get(address(&spec), "/").await.0, 200);
    node.runtime.stop(&spec.id, PATIENCE).await.unwrap();
    assert_eq!(dumps(volume.path()).len(), 2);
    let text = log(&spec, Stream::Stderr).join("\n");
    assert_eq!(text.matches("\ncore dump: /data/core.host-http.http.").count(), 2, "{text}");
    assert_eq!(
        text.matches("no core dump was written: there are 2 already; remove some").count(),
        1,
        "{text}"
    );
}

#[tokio::test]
async fn none_is_left_where_none_is_asked_for() {
    let node = Node::new();
    let volume = tempfile::tempdir().unwrap();
    for (guest, args) in [("cli-p1", ["panic", ""]), ("cli-p2", ["exit", "3"])] {
        let mut spec = dumping(&node, guest, volume.path());
        spec.args = Some(strings(&args));
        if args[0] == "panic" {
            spec.annotations.clear();
        }
        let ended = node.run(&spec).await;
        assert!(ended.code != 0 && !ended.message.contains("core dump"), "{ended:?}");
    }
    assert_eq!(dumps(volume.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_that_is_not_mounted_for_writing_is_refused() {
    let node = Node::new();
    let volume = tempfile::tempdir().unwrap();
    let mut spec = dumping(&node, "cli-p1", volume.path());
    spec.mounts[0].read_only = true;
    let refused = node.start(&spec).await.unwrap_err().to_string();
    assert!(
        refused.contains(r#"run.wherry.dev/core-dumps of its Pod names "/data", where it mounts no"#),
        "{refused}"
    );
    spec.id.attempt = 1;
    spec.annotations.insert(ANNOTATION.into(), "data".into());
    let refused = node.start(&spec).await.unwrap_err().to_string();
    assert!(refused.contains("not the path of a mount"), "{refused}");
}
