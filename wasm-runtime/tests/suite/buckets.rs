//! `wasi:keyvalue`, wherever its buckets are: in memory, in a volume, in Redis.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, Mount, SandboxId};
use wherry_wasm_runtime::Redis;

use crate::interfaces::{doing, printed};
use crate::redis_server::Server;
use crate::support::{Node, PATIENCE, log};

const KEYVALUE: &str = "run.wherry.dev/keyvalue";

/// Containers that do these steps and have their buckets in the same place: in memory (of one Pod), in a volume, in Redis.
const PLACES: [fn(&mut ContainerSpec, &Node); 3] = [
    |spec, _| {
        spec.id.sandbox = SandboxId("uid-one".into());
        spec.sandbox.id = spec.id.sandbox.clone();
    },
    |spec, node| {
        let volume = node.dir.path().join("volume");
        std::fs::create_dir_all(&volume).unwrap();
        spec.mounts = vec![Mount::new(volume, "/data", false)];
        spec.annotations.insert(KEYVALUE.into(), "/data".into());
    },
    |spec, _| {
        spec.annotations.insert(KEYVALUE.into(), "redis".into());
    },
];

/// A container of its own Pod that has its buckets in Redis.
fn in_redis(node: &Node, name: &str, steps: &[&str]) -> ContainerSpec {
    let mut spec = doing(node, name, None, steps);
    spec.annotations.insert(KEYVALUE.into(), "redis".into());
    spec
}

/// What a container said that could not go on.
async fn refused(node: &Node, spec: &ContainerSpec) -> String {
    assert_eq!(node.run(spec).await.code, 1);
    log(spec, Stream::Stderr).join("\n")
}

fn with(redis: Redis) -> Node {
    Node::with(|config| config.redis = Some(redis))
}

/// A container that has its buckets in one of the places, and does these steps; a word that is empty is written as `-`.
fn placed(node: &Node, place: usize, name: &str, steps: &str) -> ContainerSpec {
    let steps: Vec<_> = steps.split(' ').map(|word| if word == "-" { "" } else { word }).collect();
    let mut spec = doing(node, &format!("{name}-{place}"), None, &steps);
    PLACES[place](&mut spec, node);
    spec
}

#[tokio::test]
async fn buckets_are_alike_wherever_they_are() {
    let server = Server::start().await;
    let node = with(server.known(1 << 20));
    let first = "set b k v get b k set b k w set b - - get b - get b none exists b none keys none increment b n 2 delete none k \
        delete b none";
    let second = "get b k increment b n 40 get b n keys b batch c keys c";
    let third = "delete b k exists b k exists b n exists c a";
    for place in 0..PLACES.len() {
        let spec = placed(&node, place, "first", first);
        let expected = [r#"Some("v")"#, r#"Some("")"#, "None", "false", "[]", "2"];
        assert_eq!(printed(&node, &spec).await, expected);
        let spec = placed(&node, place, "second", second);
        let batch = r#"[Some(("a", "value")), None]"#;
        let expected = [r#"Some("w")"#, "42", r#"Some("42")"#, r#"["", "k", "n"]"#, batch, r#"["a"]"#];
        assert_eq!(printed(&node, &spec).await, expected, "another container has the same");
        let spec = placed(&node, place, "third", third);
        assert_eq!(printed(&node, &spec).await, ["false", "true", "true"]);
    }
}

/// The same steps by `wasi:keyvalue@0.2.0-draft2`, and those that only it has.
#[tokio::test]
async fn the_second_draft_has_the_same_buckets() {
    let server = Server::start().await;
    let node = with(server.known(1 << 20));
    let first = "set b k v second get b k second set b l w second exists b l second keys b second increment b n 5 \
        increment b n 2 second increment b n -10 second batch c second pages d second delete b l exists b l second get b none";
    let second = "second race b r second swap b fresh x get b fresh second swap b k y get b k";
    for place in 0..PLACES.len() {
        let spec = placed(&node, place, "first", first);
        let batch = r#"[("a", Some("value")), ("b", None)]"#;
        let listed = r#"["k", "l"]"#;
        let expected =
            [r#"Some("v")"#, "true", listed, "5", "7", "-3", batch, "1500 in several: true", "false", "None"];
        assert_eq!(printed(&node, &spec).await, expected);
        let spec = placed(&node, place, "second", second);
        let seen =
            ["None", r#"Some("theirs")"#, "None", r#"Some("ours")"#, r#"Some("theirs")"#, r#"Some("last")"#];
        let mut expected = seen.to_vec();
        expected.extend([r#"Some("x")"#, r#"Some("y")"#]);
        assert_eq!(printed(&node, &spec).await, expected);
        for (steps, words) in [
            ("increment b n 1", r#"the value of \"n\" is no number"#),
            ("second increment b n -9223372036854775808", r#"the value of \"n\" would be too large"#),
            ("second from b never", r#"the cursor \"never\" was not answered by list-keys"#),
        ] {
            let spec = placed(&node, place, &format!("refused-{}", steps.len()), steps);
            let told = refused(&node, &spec).await;
            assert!(told.contains(words), "{steps}: {told}");
        }
    }
}

#[tokio::test]
async fn a_value_that_is_swapped_in_counts_to_the_quota() {
    let server = Server::start().await;
    let node = with(server.known(300));
    let fits = in_redis(&node, "fits", &["second", "swap", "b", "k", "v", "second", "swap", "b", "k", "w"]);
    printed(&node, &fits).await;
    assert_eq!(server.ask::<u64>(&["HGET", "wherry:{default}", "total"]), 130);
    let more = in_redis(&node, "more", &["second", "swap", "c", "k", "v", "second", "swap", "d", "k", "v"]);
    let told = refused(&node, &more).await;
    assert!(told.contains("this namespace may keep 300 bytes, and 390 were wanted"), "{told}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_alike_wherever_buckets_are() {
    let server = Server::start().await;
    let node = with(server.known(1 << 20));
    let most = "increment b n 9223372036854775807 increment b n 9223372036854775807 increment b n 2";
    for place in 0..PLACES.len() {
        let words = placed(&node, place, "words", "set b word five increment b word 1");
        assert!(refused(&node, &words).await.contains(r#"the value of \"word\" is no number"#));
        let most = placed(&node, place, "most", most);
        let told = refused(&node, &most).await;
        assert!(told.contains(r#"the value of \"n\" would be too large"#), "{told}");
        assert_eq!(log(&most, Stream::Stdout)[0], "9223372036854775807", "all its digits");
        let many = placed(&node, place, "many", "many b n 4096 fill b big 100000 many b big 1000");
        let told = refused(&node, &many).await;
        assert!(told.contains("are answered at one time"), "{told}");
        assert_eq!(log(&many, Stream::Stdout), ["4096"]);
    }
}

#[tokio::test]
async fn buckets_in_redis_are_of_a_namespace_on_every_node() {
    let server = Server::start().await;
    let node = with(server.known(1 << 20));
    let first = in_redis(&node, "first", &["set", "b", "k", "v", "increment", "b", "n", "2"]);
    printed(&node, &first).await;
    let other = with(server.known(1 << 20));
    let second = in_redis(&other, "second", &["get", "b", "k", "increment", "b", "n", "3"]);
    assert_eq!(printed(&other, &second).await, [r#"Some("v")"#, "5"], "another node has them");
    for namespace in ["other", "default:b", "default}", ""] {
        let mut stranger =
            in_redis(&node, &format!("stranger-{}", namespace.len()), &["keys", "b", "keys", ""]);
        stranger.sandbox.namespace = namespace.to_owned();
        assert_eq!(printed(&node, &stranger).await, ["[]", "[]"], "another namespace has others");
    }
    let mut found: Vec<String> = server.ask(&["KEYS", "*"]);
    found.sort();
    assert_eq!(found, ["wherry:{default}", "wherry:{default}:b"]);
    let without = doing(&node, "without", None, &["keys", "b", "configs"]);
    let told = printed(&node, &without).await;
    assert_eq!(told[0], "[]", "who says nothing has those of its Pod");
    assert!(!told[1].contains(&server.port.to_string()), "{told:?}");
}

#[tokio::test]
async fn containers_on_two_nodes_change_the_buckets_of_redis_at_one_time() {
    let server = Server::start().await;
    let nodes = [with(server.known(1 << 20)), with(server.known(1 << 20))];
    let steps = ["increment", "b", "n", "1", "increment", "b", "n", "1"];
    let many = (0..8).map(|n| (&nodes[n % 2], in_redis(&nodes[n % 2], &format!("pod-{n}"), &steps)));
    let many: Vec<_> = many.collect();
    futures::future::join_all(many.iter().map(|(node, spec)| printed(node, spec))).await;
    assert_eq!(server.ask::<u64>(&["HGET", "wherry:{default}:b", "n"]), 16);
}

#[tokio::test]
async fn a_namespace_keeps_no_more_in_redis_than_it_may() {
    let server = Server::start().await;
    let node = with(server.known(300));
    let much = in_redis(&node, "much", &["set", "b", "k", "v", "set", "c", "k", "v", "set", "b", "l", "v"]);
    let told = refused(&node, &much).await;
    assert!(told.contains("this namespace may keep 300 bytes, and 390 were wanted"), "{told}");
    let more = in_redis(&node, "more", &["increment", "b", "n", "1"]);
    let told = refused(&node, &more).await;
    assert!(told.contains("this namespace may keep 300 bytes, and 390 were wanted"), "{told}");
    let batch = in_redis(&node, "batch", &["batch", "c"]);
    refused(&node, &batch).await;
    let left = in_redis(
        &node,
        "left",
        &["keys", "b", "keys", "c", "set", "b", "k", "w", "delete", "b", "k", "set", "c", "l", "v"],
    );
    assert_eq!(printed(&node, &left).await, [r#"["k"]"#, r#"["k"]"#], "what was refused changed nothing");
    assert_eq!(server.ask::<u64>(&["HGET", "wherry:{default}", "total"]), 260);
    server.ask::<()>(&["DEL", "wherry:{default}:c"]);
    let after = in_redis(&node, "after", &["set", "c", "m", "v", "set", "c", "n", "v"]);
    assert!(printed(&node, &after).await.is_empty(), "what others removed is not counted");
    let mut other = in_redis(&node, "other", &["set", "b", "k", "v"]);
    other.sandbox.namespace = "other".into();
    assert!(printed(&node, &other).await.is_empty(), "each namespace has its own");
}

/// A guest is told what happened and not where, and all goes on when Redis does.
#[tokio::test]
async fn redis_may_end_and_come_again() {
    let mut server = Server::start().await;
    let node = with(server.known(1 << 20));
    printed(&node, &in_redis(&node, "before", &["set", "b", "k", "v"])).await;
    server.end();
    let told = refused(&node, &in_redis(&node, "ended", &["get", "b", "k"])).await;
    assert!(told.contains("the node's Redis cannot be reached"), "{told}");
    assert!(!told.contains("127.0.0.1") && !told.contains(&server.port.to_string()), "{told}");
    server.run(&[]).await;
    let again = async {
        let mut n = 0;
        loop {
            let spec = in_redis(&node, &format!("again-{n}"), &["get", "b", "k"]);
            if node.run(&spec).await.code == 0 {
                return log(&spec, Stream::Stdout);
            }
            n += 1;
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, again).await.unwrap(), [r#"Some("v")"#]);
    server.end();
    server.run(&[]).await;
    let spec = in_redis(&node, "restarted", &["get", "b", "k", "set", "b", "k", "w"]);
    assert_eq!(printed(&node, &spec).await, [r#"Some("v")"#], "nobody notices a restart");
}

#[tokio::test]
async fn a_guest_waits_no_longer_than_it_must_for_redis() {
    let server = Server::start().await;
    let node = with(server.known(1 << 20));
    printed(&node, &in_redis(&node, "before", &["set", "b", "k", "v"])).await;
    server.hang();
    let begin = Instant::now();
    let told = refused(&node, &in_redis(&node, "hung", &["increment", "b", "n", "1"])).await;
    assert!(told.contains("does not answer; whether anything was changed is not known"), "{told}");
    assert!(begin.elapsed() < Duration::from_secs(12), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn redis_may_want_a_password_and_is_named_by_the_node_alone() {
    let mut server = Server::start().await;
    server.end();
    server.run(&["--requirepass", "hidden"]).await;
    let url = |account: &str| {
        Redis::new(&format!("redis://{account}127.0.0.1:{}", server.port), None, 1 << 20).unwrap()
    };
    let node = with(url(":hidden@"));
    assert_eq!(printed(&node, &in_redis(&node, "with", &["increment", "b", "n", "1"])).await, ["1"]);
    assert!(!format!("{:?}", url(":hidden@")).contains("hidden"));
    let node = with(url(""));
    let told = refused(&node, &in_redis(&node, "without", &["keys", "b"])).await;
    assert!(told.contains("the node's Redis refuses it: NOAUTH"), "{told}");
    let node = with(url(":wrong@"));
    let told = refused(&node, &in_redis(&node, "wrong", &["keys", "b"])).await;
    assert!(told.contains("the node's Redis cannot be reached"), "{told}");
    let node = Node::new();
    let refused = node.start(&in_redis(&node, "none", &["keys", "b"])).await.unwrap_err().to_string();
    assert!(refused.contains("this node has none: it is named by --keyvalue-redis"), "{refused}");
    for url in ["", "127.0.0.1:6379", "http://127.0.0.1", "redis://"] {
        assert!(Redis::new(url, None, 1).is_err(), "{url}");
    }
}

#[tokio::test]
async fn redis_may_be_reached_by_tls_by_who_trusts_it() {
    let mut server = Server::start().await;
    server.end();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (server.dir().join("certificate"), server.dir().join("key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let [port, certificate, key] =
        [server.port.to_string(), certificate.display().to_string(), key.display().to_string()];
    let flags =
        ["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file", &certificate];
    server.run(&[&flags[..], &["--tls-key-file", &key, "--tls-ca-cert-file", &certificate]].concat()).await;
    let known = |roots| Redis::new(&format!("rediss://127.0.0.1:{port}"), roots, 1 << 20).unwrap();
    let node = with(known(Some(made.cert.pem().into_bytes())));
    assert_eq!(printed(&node, &in_redis(&node, "trusting", &["increment", "b", "n", "1"])).await, ["1"]);
    let node = with(known(None));
    let told = refused(&node, &in_redis(&node, "distrusting", &["keys", "b"])).await;
    assert!(told.contains("the node's Redis cannot be reached"), "{told}");
}
