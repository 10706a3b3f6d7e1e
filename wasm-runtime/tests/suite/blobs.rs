//! `wasi:blobstore`: containers of objects in a volume.

use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Mount, Runtime as _};

use crate::support::{Node, log, runtime, strings};

/// A container that does this, with a volume for its blobs.
fn doing(node: &Node, name: &str, volume: &str, steps: &[&str]) -> ContainerSpec {
    let mut spec = node.container(name, "blobs");
    spec.args = Some(strings(steps));
    let volume = node.dir.path().join(volume);
    std::fs::create_dir_all(&volume).unwrap();
    spec.mounts = vec![Mount::new(volume, "/data", false)];
    spec.annotations.insert("run.wherry.dev/blobstore".into(), "/data".into());
    spec
}

/// What it printed, once it ended well.
async fn printed(node: &Node, spec: &ContainerSpec) -> Vec<String> {
    let exited = node.run(spec).await;
    assert_eq!(exited.code, 0, "{exited:?}: {:?}", log(spec, Stream::Stderr));
    log(spec, Stream::Stdout)
}

/// Why it failed.
async fn refused(node: &Node, spec: &ContainerSpec) -> String {
    assert_eq!(node.run(spec).await.code, 1, "{:?}", log(spec, Stream::Stdout));
    log(spec, Stream::Stderr).join("\n")
}

#[tokio::test]
async fn objects_are_written_read_listed_and_removed() {
    let node = Node::new();
    let write = ["create", "c", "is", "c", "is", "d", "put", "c", "a/b", "text", "empty", "c", "nothing"];
    let read =
        ["get", "c", "a/b", "part", "c", "a/b", "1", "2", "part", "c", "a/b", "9", "12", "whole", "c", "a/b"];
    let ask =
        ["size", "c", "a/b", "size", "c", "nothing", "has", "c", "a/b", "objects", "c", "skip", "c", "1"];
    let change =
        ["put", "c", "a/b", "other", "copy", "c", "a/b", "c", "copy", "move", "c", "a/b", "c", "moved"];
    let end =
        ["objects", "c", "get", "c", "copy", "remove", "c", "copy", "remove", "c", "copy", "clear", "c"];
    let gone = ["objects", "c", "drop", "c", "is", "c"];
    let steps = [&write[..], &read, &ask, &change, &end, &gone].concat();
    let spec = doing(&node, "all", "one", &steps);
    let expected = [
        "true",
        "false",
        r#""text""#,
        r#""ex""#,
        r#""""#,
        "4",
        "c/a/b 4",
        "c/nothing 0",
        "true",
        r#"["a/b", "nothing"]"#,
        "1",
        r#"["copy", "moved", "nothing"]"#,
        r#""other""#,
        "[]",
        "false",
    ];
    assert_eq!(printed(&node, &spec).await, expected);
}

#[tokio::test]
async fn what_was_finished_outlives_pods_and_agents_and_nothing_else() {
    let node = Node::new();
    let steps =
        ["create", "c", "put", "c", "o", "whole", "begin", "c", "o", "half", "begin", "c", "p", "half"];
    let first = doing(&node, "first", "one", &steps);
    printed(&node, &first).await;
    node.runtime.remove_sandbox(&first.sandbox.id).await.unwrap();
    let second =
        doing(&node, "second", "one", &["get", "c", "o", "objects", "c", "much", "c", "large", "20"]);
    assert_eq!(printed(&node, &second).await, [r#""whole""#, r#"["o"]"#], "another Pod has them");
    let stranger = doing(&node, "stranger", "other", &["is", "c"]);
    assert_eq!(printed(&node, &stranger).await, ["false"], "another volume has others");
    let dir = node.dir;
    drop(node.runtime);
    let node = Node { runtime: runtime(dir.path(), |_| {}), dir };
    let third = doing(&node, "third", "one", &["get", "c", "o", "size", "c", "large"]);
    assert_eq!(printed(&node, &third).await, [r#""whole""#.to_owned(), format!("c/large {}", 20 << 20)]);
    let whole = doing(&node, "whole", "one", &["whole", "c", "large"]);
    let told = refused(&node, &whole).await;
    assert!(told.contains("20971520 bytes are more than the 16777216 that are read in one piece"), "{told}");
    let place = node.dir.path().join("one");
    assert_eq!(std::fs::read(place.join("c/o")).unwrap(), b"whole", "objects are files");
    assert_eq!(std::fs::read_dir(place.join(".wherry-blobs")).unwrap().count(), 0);
}

#[tokio::test]
async fn names_lead_nowhere_else() {
    let node = Node::new();
    std::fs::write(node.dir.path().join("secret"), "secret").unwrap();
    let up = ["create", "..", "put", "..", "../../x", "in", "get", "..", "../../x", "objects", ".."];
    let spec = doing(&node, "up", "one", &up);
    assert_eq!(printed(&node, &spec).await, [r#""in""#, r#"["../../x"]"#]);
    assert!(!node.dir.path().join("x").exists());
    for (name, steps, told) in [
        ("escape", ["get", "..", "secret"], "there is no object \"secret\""),
        ("staging", ["objects", ".wherry-blobs", ""], "there is no container \".wherry-blobs\""),
        ("again", ["create", "..", ""], "the container \"..\" is there already"),
        ("empty", ["create", "", ""], "a name is empty"),
    ] {
        let error = refused(&node, &doing(&node, name, "one", &steps)).await.replace('\\', "");
        assert!(error.contains(told), "{name}: {error}");
    }
}

#[tokio::test]
async fn who_imports_it_needs_a_volume() {
    let node = Node::new();
    for (name, told, change) in [
        ("none", "names no mount", (|spec| spec.annotations.clear()) as fn(&mut ContainerSpec)),
        ("read-only", "mounts no directory that it may write to", |spec| spec.mounts[0].read_only = true),
        ("without", "mounts no directory that it may write to", |spec| spec.mounts.clear()),
    ] {
        let mut spec = doing(&node, name, "one", &["is", "c"]);
        change(&mut spec);
        let refused = node.start(&spec).await.unwrap_err().to_string();
        assert!(refused.contains(told), "{name}: {refused}");
    }
    let mut level = doing(&node, "restricted", "one", &["is", "c"]);
    level.annotations.insert("run.wherry.dev/level".into(), "restricted".into());
    assert_eq!(printed(&node, &level).await, ["false"], "it reaches nobody, so it needs no leave");
}
