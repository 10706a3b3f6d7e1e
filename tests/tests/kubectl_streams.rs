//! kubectl, unmodified, speaks with containers: exec, attach, cp, port-forward.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use wherry_tests::pods::shell;
use wherry_tests::websocket::Socket;
use wherry_tests::{Cluster, Options, Proxy, http};

/// A cluster with the Pod `box`, which runs this script.
fn with_box(script: &str, test: impl FnOnce(&Cluster) + Send) {
    wherry_tests::in_cluster(Options::default(), |cluster| {
        let image = "--image=127.0.0.1:5000/hello-oci:v1";
        cluster.kubectl(&["run", "box", image, "--restart=Never", "--command", "--", "sh", "-c", script]);
        cluster.wait_for("condition=Ready", &["pod/box"]);
        test(cluster);
    });
}

const SLEEP: &str = "trap 'exit 0' TERM; while true; do sleep 0.1; done";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs kubectl with something to read.
fn fed(cluster: &Cluster, args: &[&str], input: &[u8]) -> Output {
    feed(&mut cluster.kubectl_command(args), input)
}

/// Runs a command with something to read.
fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&input).unwrap());
        child.wait_with_output().unwrap()
    })
}

/// The same without WebSocket, as older clients do.
fn over_spdy(cluster: &Cluster, args: &[&str]) -> Command {
    let mut command = cluster.kubectl_command(args);
    command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false").env("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false");
    command
}

#[test]
fn exec_runs_a_command_with_its_streams_and_its_exit_code() {
    with_box(SLEEP, |cluster| {
        assert_eq!(cluster.kubectl(&["exec", "box", "--", "echo", "two words"]), "two words\n");
        let failed =
            cluster.try_kubectl(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 42"]);
        assert_eq!((failed.status.code(), text(&failed.stdout).as_str()), (Some(42), "out\n"));
        assert_eq!(text(&failed.stderr), "err\ncommand terminated with exit code 42\n");
        let big = "0123456789abcde\n".repeat(20_000);
        let echoed = fed(cluster, &["exec", "-i", "box", "--", "cat"], big.as_bytes());
        assert!(echoed.stdout == big.as_bytes(), "{} bytes, {}", echoed.stdout.len(), text(&echoed.stderr));
        let missing = cluster.kubectl_fails(&["exec", "box", "--", "no-such-program"]);
        assert!(missing.contains("executable file not found in $PATH"), "{missing}");
        let old =
            over_spdy(cluster, &["exec", "box", "--", "sh", "-c", "echo old; exit 7"]).output().unwrap();
        assert_eq!(
            (old.status.code(), text(&old.stdout).as_str()),
            (Some(7), "old\n"),
            "{}",
            text(&old.stderr)
        );
    });
}

/// A Pod that is ready once a file is there.
const WASM: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: wasm}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: wasm
    image: 127.0.0.1:5000/cli-p2:v1
    args: [sleep, "600000"]
    readinessProbe: {exec: {command: [cli, cat, /data/ready]}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
"#;

#[test]
fn commands_run_beside_wasm_and_probe_it() {
    wherry_tests::in_cluster(Options::default(), |cluster| {
        cluster.apply(WASM);
        cluster.wait_for("jsonpath={.status.phase}=Running", &["pod/wasm"]);
        assert_eq!(cluster.kubectl(&["exec", "wasm", "--", "cli", "print", "two words"]), "two words\n");
        let failed = cluster
            .try_kubectl(&["exec", "wasm", "--", "cli", "print", "out", "eprint", "err", "exit", "42"]);
        assert_eq!((failed.status.code(), text(&failed.stdout).as_str()), (Some(42), "out\n"));
        assert_eq!(text(&failed.stderr), "err\ncommand terminated with exit code 42\n");
        let big = "0123456789abcde\n".repeat(20_000);
        let echoed = fed(cluster, &["exec", "-i", "wasm", "--", "cli", "copy"], big.as_bytes());
        assert!(echoed.stdout == big.as_bytes(), "{} bytes, {}", echoed.stdout.len(), text(&echoed.stderr));
        let ready = "jsonpath={.status.containerStatuses[0].ready}";
        assert_eq!(cluster.kubectl(&["get", "pod", "wasm", "-o", ready]), "false");
        cluster.kubectl(&["exec", "wasm", "--", "cli", "write", "/data/ready", "yes"]);
        cluster.wait_for("condition=Ready", &["pod/wasm"]);
    });
}

#[test]
fn leave_to_read_is_no_leave_to_run_commands() {
    with_box(SLEEP, |cluster| {
        cluster.kubectl(&["create", "role", "reader", "--verb=get", "--resource=pods,pods/exec"]);
        cluster.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=reader"]);
        let refused = cluster.kubectl_fails(&["--as=reader", "exec", "box", "--", "true"]);
        assert!(refused.contains("cannot create resource \"pods/exec\""), "{refused}");
    });
}

#[test]
fn exec_with_a_terminal_has_its_size() {
    with_box(SLEEP, |cluster| {
        let kubeconfig = cluster.kubeconfig();
        let command =
            "stty rows 33 cols 111; kubectl exec -it box -- sh -c 'sleep 0.3; stty size; tty; exit 5'";
        let output = Command::new("script")
            .args(["-qec", command, "/dev/null"])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = text(&output.stdout);
        assert!(shown.contains("33 111") && shown.contains("/dev/pts/"), "{shown}");
        assert_eq!(output.status.code(), Some(5), "{shown}");
    });
}

#[test]
fn cp_carries_files_both_ways() {
    with_box(SLEEP, |cluster| {
        let dir = tempfile::tempdir().unwrap();
        let (here, back) = (dir.path().join("here"), dir.path().join("back"));
        let content: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&here, &content).unwrap();
        cluster.kubectl(&["cp", here.to_str().unwrap(), "box:/tmp/there"]);
        assert_eq!(cluster.kubectl(&["exec", "box", "--", "stat", "-c", "%s", "/tmp/there"]), "1200000\n");
        cluster.kubectl(&["cp", "box:/tmp/there", back.to_str().unwrap()]);
        assert!(std::fs::read(&back).unwrap() == content, "the file came back changed");
    });
}

#[test]
fn attach_shows_what_is_written_from_then_on() {
    let script = "n=0; while [ ! -e /tmp/go ]; do sleep 0.1; echo line $n; n=$((n+1)); done; echo last";
    with_box(script, |cluster| {
        let mut attach = cluster.kubectl_command(&["attach", "box"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(attach.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.next().unwrap().starts_with("line "));
        cluster.kubectl(&["exec", "box", "--", "touch", "/tmp/go"]);
        assert_eq!(lines.last().unwrap(), "last");
        assert!(attach.wait().unwrap().success());
    });
}

#[test]
fn input_for_one_reaches_a_container_and_ends() {
    wherry_tests::in_cluster(Options::default(), |cluster| {
        let shell = ["--command", "--", "sh", "-c", "cat && echo 'stdin closed'"];
        let steps = ["--", "copy", "print", "stdin closed"];
        for (name, websockets, image, words) in [
            ("new", "true", "hello-oci", &shell[..]),
            ("old", "false", "hello-oci", &shell),
            ("new-wasm", "true", "cli-p2", &steps),
            ("old-wasm", "false", "cli-p1", &steps),
        ] {
            let image = format!("--image=127.0.0.1:5000/{image}:v1");
            let mut command = cluster.kubectl_command(&["run", name, &image]);
            command.args(["--restart=Never", "--stdin", "--attach"]).args(words);
            command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
            let output = feed(&mut command, b"abcd1234\n");
            assert_eq!(text(&output.stdout), "abcd1234\nstdin closed\n", "{}", text(&output.stderr));
        }
    });
}

#[test]
fn a_terminal_that_is_attached_to_takes_what_is_typed_and_the_size_of_the_window() {
    wherry_tests::in_cluster(Options::default(), |cluster| {
        let main = serde_json::json!({
            "name": "main", "image": "127.0.0.1:5000/hello-oci:v1", "command": ["sh"], "stdin": true, "tty": true,
        });
        cluster.run_pod("shell", &serde_json::json!({ "restartPolicy": "Never", "containers": [main] }));
        cluster.wait_for("condition=Ready", &["pod/shell"]);
        let mut command = Command::new("script");
        command.args(["-qec", "stty rows 33 cols 111; kubectl attach -it shell", "/dev/null"]);
        command.env("KUBECONFIG", cluster.kubeconfig());
        let typed = "for i in $(seq 50); do stty size | grep '33 111' && break; sleep 0.1; done; exit 5\n";
        let output = feed(&mut command, typed.as_bytes());
        let shown = text(&output.stdout);
        assert!(shown.contains("\n33 111"), "{shown}");
        assert_eq!(cluster.exit_code("shell"), 5);
    });
}

/// A `kubectl port-forward` that says where it listens.
fn forwarding(mut command: Command) -> (Child, SocketAddr) {
    // What kubectl complains of is seen in the test's output.
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.split_whitespace().nth(2).and_then(|address| address.parse().ok());
    (child, address.unwrap_or_else(|| panic!("{line:?} names no address")))
}

#[test]
fn port_forward_reaches_the_pods_ports() {
    with_box(
        "mkdir /tmp/www; echo hi > /tmp/www/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp/www",
        |cluster| {
            let args = ["port-forward", "--address=127.0.0.1", "pod/box", ":8080"];
            for command in [cluster.kubectl_command(&args), over_spdy(cluster, &args)] {
                let (mut child, address) = forwarding(command);
                for _ in 0..3 {
                    let answer = http::get(address, "/").unwrap();
                    assert_eq!(answer.body, "hi\n");
                }
                child.kill().unwrap();
                child.wait().unwrap();
            }
        },
    );
}

/// As the clients for Python and JavaScript forward ports: two channels for each, which begin with its number.
#[test]
fn ports_are_forwarded_by_channels() {
    const PORTS: [u16; 3] = [8080, 9, 8081];
    const ASK: &str = "GET / HTTP/1.0\r\n\r\n";
    let script = "mkdir /tmp/one /tmp/two; echo one > /tmp/one/index.html; echo two > /tmp/two/index.html; \
                  httpd -p 127.0.0.1:8080 -h /tmp/one; httpd -p 8081 -h /tmp/two; touch /tmp/ready; exec sleep 1000";
    with_box(script, |cluster| {
        cluster.kubectl_until(&["exec", "box", "--", "ls", "/tmp"], |files| files.contains("ready"));
        let proxy = Proxy::start(&mut cluster.kubectl_command(&["proxy", "--port=0", "--disable-filter"]));
        let path = "/api/v1/namespaces/default/pods/box/portforward?ports=8080,9&ports=8081";
        let mut socket = Socket::open(proxy.place().parse().unwrap(), path, "v4.channel.k8s.io");
        for channel in ["\0", "\x04"] {
            socket.send(format!("{channel}{ASK}").as_bytes());
        }
        let mut heard = vec![Vec::new(); 6];
        while let Some(message) = socket.message() {
            heard[usize::from(message[0])].extend_from_slice(&message[1..]);
        }
        let mut said = Vec::new();
        for (channel, bytes) in heard.iter().enumerate() {
            assert_eq!(bytes[..2], PORTS[channel / 2].to_le_bytes(), "channel {channel}");
            said.push(text(&bytes[2..]));
        }
        assert!(said[0].starts_with("HTTP/1.") && said[0].ends_with("one\n"), "{said:?}");
        assert!(said[4].starts_with("HTTP/1.") && said[4].ends_with("two\n"), "{said:?}");
        assert!(said[3].starts_with("error forwarding port 9 to pod box, uid "), "{said:?}");
        assert_eq!([&said[1], &said[2], &said[5]], ["", "", ""], "{said:?}");
    });
}

/// Debian's kubectl is of the time before WebSocket.
#[test]
fn a_kubectl_of_1_20_runs_commands_copies_attaches_and_forwards() {
    let script = "mkdir /tmp/www; echo hi > /tmp/www/index.html; httpd -p 8080 -h /tmp/www; \
                  while read line; do echo got $line; done";
    wherry_tests::in_cluster(Options::default(), |cluster| {
        let mut main = shell("main", script);
        main["stdin"] = true.into();
        cluster
            .run_pod("box", &serde_json::json!({ "terminationGracePeriodSeconds": 1, "containers": [main] }));
        cluster.wait_for("condition=Ready", &["pod/box"]);
        let old = |args: &[&str]| cluster.old_kubectl_command(args);
        let run = ["exec", "-i", "box", "--", "sh", "-c", "cat; echo err >&2; exit 7"];
        let output = feed(&mut old(&run), b"typed");
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(7), "typed"));
        assert!(text(&output.stderr).starts_with("err\n"), "{}", text(&output.stderr));

        let dir = tempfile::tempdir().unwrap();
        let (here, back) = (dir.path().join("here"), dir.path().join("back"));
        std::fs::write(&here, vec![7; 300_000]).unwrap();
        for args in [
            ["cp", here.to_str().unwrap(), "box:/tmp/there"],
            ["cp", "box:/tmp/there", back.to_str().unwrap()],
        ] {
            let output = old(&args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        }
        assert!(std::fs::read(&back).unwrap() == vec![7; 300_000], "the file came back changed");

        let mut attach =
            old(&["attach", "-i", "box"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(attach.stdout.take().unwrap()).lines().map(Result::unwrap);
        attach.stdin.as_mut().unwrap().write_all(b"a line\n").unwrap();
        assert_eq!(lines.next().unwrap(), "got a line");
        drop(attach.stdin.take());
        assert!(attach.wait().unwrap().success());

        let (mut child, address) =
            forwarding(old(&["port-forward", "--address=127.0.0.1", "pod/box", ":8080"]));
        assert_eq!(http::get(address, "/").unwrap().body, "hi\n");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
