//! `wherry push`, `inspect` and `run`: WebAssembly without a cluster, from files and from a registry.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use wherry_tests::{Registry, build_dir, http, isolated, keys, wait, wherry_binary};

const IMAGE: &str = "127.0.0.1:5000/tools/http:v1";

fn wherry(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(wherry_binary());
    command.args(args).current_dir(dir).env("XDG_DATA_HOME", dir).env("WHERRY_LOG", "warn");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn output(dir: &Path, args: &[&str]) -> Output {
    wherry(dir, args).stdin(Stdio::null()).output().unwrap()
}

fn done(dir: &Path, args: &[&str]) -> String {
    let output = output(dir, args);
    assert!(output.status.success(), "wherry {}: {}", args.join(" "), text(&output.stderr));
    text(&output.stdout)
}

fn guest(name: &str) -> String {
    build_dir().join("guests").join(name).with_extension("wasm").to_str().unwrap().to_owned()
}

#[test]
fn what_is_pushed_is_inspected_and_run() {
    isolated(|| {
        let dir = tempfile::tempdir().unwrap();
        let _registry = Registry::start(dir.path());
        let dir = dir.path();
        let pushed = done(dir, &["push", &guest("http"), IMAGE]);
        assert!(pushed.starts_with("pushed 127.0.0.1:5000/tools/http@sha256:"), "{pushed}");
        let data = ["--data-dir", "data"];
        let inspected = |source: &str| -> Value {
            serde_json::from_str(&done(dir, &[&["inspect", source, "-o", "json"], &data[..]].concat()))
                .unwrap()
        };
        let found = inspected(IMAGE);
        assert_eq!(found, inspected(&guest("http")), "an image is what was pushed");
        assert_eq!((&found["kind"], &found["starts"]), (&json!("component"), &json!(["server", "command"])));
        assert_eq!(found["capabilities"], json!(["http-client"]));
        serves(dir);
        commands(dir);
    });
}

fn serves(dir: &Path) {
    let args = ["run", IMAGE, "--data-dir", "data", "--listen", "127.0.0.1:7001", "--env", "COLOUR=green"];
    let mut server = wherry(dir, &args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let address = "127.0.0.1:7001".parse().unwrap();
    wait::until("the server to answer", || match http::get(address, "/env/COLOUR") {
        Ok(answer) if answer.body == "green" => Ok(()),
        other => Err(format!("{other:?}")),
    });
    http::get(address, "/log/said").unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "said\n");
    kill(Pid::from_raw(i32::try_from(server.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert!(server.wait().unwrap().success());
}

fn commands(dir: &Path) {
    std::fs::write(dir.join("file"), "content\n").unwrap();
    for name in ["cli-p1", "cli-p2"] {
        let file = guest(name);
        let seen =
            done(dir, &["run", &file, "--dir", ".:/data:ro", "--", "cat", "/data/file", "env", "HOME"]);
        assert_eq!(seen, "content\n(unset)\n", "it sees what it is given and nothing else");
        assert_eq!(output(dir, &["run", &file, "--", "exit", "7"]).status.code(), Some(7));
        let trapped = output(dir, &["run", &file, "--", "panic"]);
        assert_eq!(trapped.status.code(), Some(134));
        let told = text(&trapped.stderr);
        assert!(told.contains("wasm trap: wasm `unreachable` instruction executed"), "{told}");
        assert!(!told.contains("core dump"), "{told}");
        let trapped = output(dir, &["run", &file, "--coredump", "dump", "--", "panic"]);
        assert!(text(&trapped.stderr).contains("\ncore dump: dump\n"), "{}", text(&trapped.stderr));
        assert!(std::fs::read(dir.join("dump")).unwrap().starts_with(b"\0asm"));
        std::fs::remove_file(dir.join("dump")).unwrap();
    }
    let mut copy = wherry(dir, &["run", &guest("cli-p2"), "--", "copy"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    copy.stdin.take().unwrap().write_all(b"through").unwrap();
    assert_eq!(text(&copy.wait_with_output().unwrap().stdout), "through");
    let refused = output(dir, &["run", "no-such-file.wasm", "--data-dir", "data"]);
    assert!(text(&refused.stderr).contains("\"no-such-file.wasm\" is neither a file nor an image"));
}

#[test]
fn what_is_compiled_for_others_is_imported_by_them() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, key) in
        [("private.pem", keys::PRIVATE), ("public.pem", keys::PUBLIC), ("other.pem", keys::OTHER)]
    {
        std::fs::write(dir.join(name), key).unwrap();
    }
    let guest = guest("cli-p1");
    let signed = ["--key", "private.pem", "--output"];
    let compiled = done(dir, &[&["compile", &guest], &signed[..], &["own.aot"]].concat());
    let digest = compiled.strip_prefix("compiled ").unwrap().split(' ').next().unwrap();
    let other = if cfg!(target_arch = "s390x") { "x86_64" } else { "s390x" };
    done(dir, &[&["compile", &guest, "--target", other], &signed[..], &["other.aot"]].concat());

    let import = |archive, key| ["code", "import", archive, "--key", key, "--data-dir", "data"];
    for (archive, key, why) in [
        ("own.aot", "other.pem", "it was not signed with this key"),
        ("own.aot", "private.pem", "it is no public key in PEM"),
        ("other.aot", "public.pem", "it is for "),
        ("public.pem", "public.pem", "it is no archive of compiled code: it begins otherwise"),
    ] {
        let refused = output(dir, &import(archive, key));
        assert!(
            !refused.status.success() && text(&refused.stderr).contains(why),
            "{}",
            text(&refused.stderr)
        );
    }
    assert_eq!(done(dir, &import("own.aot", "public.pem")), format!("imported code of {digest}\n"));
    assert!(done(dir, &["code", "list", "--data-dir", "data"]).contains(&format!("\n{digest}  ")));
    let run = ["run", &guest, "--data-dir", "data", "--", "exit", "7"];
    assert_eq!(output(dir, &run).status.code(), Some(7));
    let remove = ["code", "rm", digest, "--data-dir", "data"];
    assert_eq!(done(dir, &remove), format!("removed {digest}\n"));
    assert!(text(&output(dir, &remove).stderr).contains("there is no imported code of"));
}
