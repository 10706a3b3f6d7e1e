//! What a program sees, and what becomes of what it writes.

use std::fs;

use futures::future::join_all;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ExitReason, Mount};

use crate::machine::{Exited, Machine, PODS, exited, log, run, start};

/// The exit code is the container's; only zero is success.
pub async fn the_exit_code_is_the_programs<M: Machine>(machine: &M) {
    for code in [0_u8, 1, 7, 255] {
        let mut spec = machine.container(PODS[0], "main", &["exit", &code.to_string()]);
        spec.id.attempt = code.into();
        let reason = if code == 0 { ExitReason::Completed } else { ExitReason::Error };
        let expected = Exited { code: code.into(), reason, message: String::new() };
        assert_eq!(run(machine, &spec).await, expected);
    }
}

/// Each line is in the log with the stream it was written to, also one that does not end.
pub async fn output_is_logged_by_stream_and_line<M: Machine>(machine: &M) {
    let unfinished = machine.dir().join("unfinished");
    fs::write(&unfinished, "no end").unwrap();
    let steps = ["print", "one\ntwo", "eprint", "problem", "print", "three", "cat", "/unfinished/file"];
    let mut spec = machine.container(PODS[0], "main", &steps);
    spec.mounts = vec![Mount::new(&unfinished, "/unfinished/file", true)];
    assert_eq!(run(machine, &spec).await.code, 0);
    assert_eq!(log(&spec, Stream::Stdout), "one\ntwo\nthree\nno end");
    assert_eq!(log(&spec, Stream::Stderr), "problem\n");
}

/// More than a pipe holds is not lost when the program ends.
pub async fn output_arrives_whole<M: Machine>(machine: &M) {
    let lines = (0..20_000).fold(String::new(), |lines, n| lines + &format!("line {n}\n"));
    let file = machine.dir().join("lines");
    fs::write(&file, &lines).unwrap();
    let mut spec = machine.container(PODS[0], "main", &["cat", "/in/lines"]);
    spec.mounts = vec![Mount::new(&file, "/in/lines", true)];
    assert_eq!(run(machine, &spec).await.code, 0);
    assert!(log(&spec, Stream::Stdout) == lines, "lines are missing or out of order");
}

/// Of equal names the last counts; `HOSTNAME` is the sandbox's.
pub async fn the_last_of_equal_variables_wins<M: Machine>(machine: &M) {
    let mut spec =
        machine.container(PODS[0], "main", &["env", "A", "env", "B", "env", "C", "env", "HOSTNAME"]);
    let common = [("A", "common"), ("C", "common")].map(|(name, value)| (name.into(), value.into()));
    spec.common_env.set("web", common.into());
    spec.env = [("A", "first"), ("A", "last")].map(|(name, value)| (name.into(), value.into())).to_vec();
    assert_eq!(run(machine, &spec).await.code, 0);
    assert_eq!(log(&spec, Stream::Stdout), format!("last\n(unset)\ncommon\n{}\n", spec.sandbox.hostname));
}

/// What is written to a volume is there for the node and for others; read-only ones refuse.
pub async fn volumes_are_seen_and_read_only_ones_kept_so<M: Machine>(machine: &M) {
    let (data, settings) = (machine.dir().join("data"), machine.dir().join("settings"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&settings).unwrap();
    fs::write(settings.join("one"), "on\n").unwrap();
    let attempt = async |attempt: u32, steps: &[&str]| {
        let mut spec = machine.container(PODS[0], "main", steps);
        spec.id.attempt = attempt;
        spec.mounts = vec![Mount::new(&data, "/data", false), Mount::new(&settings, "/settings", true)];
        run(machine, &spec).await.code
    };
    assert_eq!(attempt(0, &["cat", "/settings/one", "write", "/data/out", "kept"]).await, 0);
    assert_eq!(fs::read_to_string(data.join("out")).unwrap(), "kept");
    assert_eq!(attempt(1, &["cat", "/data/out", "write", "/settings/one", "off"]).await, 1);
    assert_eq!(attempt(2, &["rename", "/settings/one", "/data/one"]).await, 1);
    assert_eq!(fs::read_to_string(settings.join("one")).unwrap(), "on\n");
}

/// A file of the node in a directory that is not the node's.
pub async fn a_file_may_be_mounted_alone<M: Machine>(machine: &M) {
    let file = machine.dir().join("file");
    fs::write(&file, "content\n").unwrap();
    fs::write(machine.dir().join("another"), "").unwrap();
    let mut spec = machine.container(PODS[0], "main", &["cat", "/app/app.conf", "list", "/app"]);
    spec.mounts = vec![Mount::new(&file, "/app/app.conf", true)];
    assert_eq!(run(machine, &spec).await.code, 0);
    assert_eq!(log(&spec, Stream::Stdout), "content\napp.conf\n");
}

/// Containers of a pod start at the same time and end each by itself.
pub async fn containers_of_a_pod_run_beside_each_other<M: Machine>(machine: &M) {
    let specs = ["a", "b", "c", "d"].map(|name| machine.container(PODS[0], name, &["print", name]));
    join_all(specs.iter().map(|spec| start(machine, spec))).await;
    for spec in &specs {
        assert_eq!(exited(machine, &spec.id).await.code, 0);
        assert_eq!(log(spec, Stream::Stdout), format!("{}\n", spec.id.name));
    }
}
