//! The Pod networks, in network namespaces made by the tests.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream as StdTcpStream};
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use tokio::time::Instant;

use super::testing::{ask_tcp, bridge_config, dual_stack_config, inside, isolated, serve_tcp, six_config};
use super::*;

fn ip(address: &PodAddress) -> String {
    address.ip.to_string()
}

fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Packets on the bridge pass netfilter, or do not, as the host has it: both must work.
fn filter_bridged_packets(on: bool) {
    let switch = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if fs::exists(switch).unwrap() {
        fs::write(switch, if on { "1" } else { "0" }).unwrap();
    }
}

#[test]
fn attach_is_idempotent_and_detach_leaves_nothing() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let pod = network.attach("pod-a", true).await.unwrap();
        assert_eq!(ip(&pod), "10.244.3.2");
        assert_eq!(network.attach("pod-a", true).await.unwrap(), pod);
        assert_eq!(network.attach("pod-a", false).await.unwrap(), pod);
        assert_eq!(network.known().await, ["pod-a"]);
        assert!(run("ip link").contains("wh0af40302"));

        network.detach("pod-a").await.unwrap();
        network.detach("pod-a").await.unwrap();
        assert!(network.known().await.is_empty());
        assert!(!run("ip link").contains("wh0af40302"));
        assert!(!pod.netns.unwrap().exists());
    });
}

#[rstest]
fn pods_reach_each_other_and_wasm_pods(#[values(true, false)] bridged_packets_filtered: bool) {
    isolated(move || async move {
        filter_bridged_packets(bridged_packets_filtered);
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let a = network.attach("a", true).await.unwrap();
        let b = network.attach("b", true).await.unwrap();
        let wasm = network.attach("wasm", false).await.unwrap();
        assert_eq!((ip(&wasm).as_str(), &wasm.netns), ("10.244.3.129", &None));

        serve_tcp(b.netns.as_ref(), "0.0.0.0:80", "b");
        serve_tcp(None, &format!("{}:80", ip(&wasm)), "wasm");
        let (to_b, to_wasm) = (format!("{}:80", ip(&b)), format!("{}:80", ip(&wasm)));
        assert_eq!(ask_tcp(a.netns.as_ref(), &to_b).unwrap(), format!("b {}", ip(&a)));
        assert_eq!(ask_tcp(b.netns.as_ref(), &to_b).unwrap(), format!("b {}", ip(&b)));
        assert_eq!(ask_tcp(a.netns.as_ref(), &to_wasm).unwrap(), format!("wasm {}", ip(&a)));
        assert_eq!(ask_tcp(None, &to_b).unwrap(), "b 10.244.3.1");
    });
}

#[rstest]
fn pods_of_both_families_reach_each_other_in_both(#[values(true, false)] bridged_packets_filtered: bool) {
    isolated(move || async move {
        filter_bridged_packets(bridged_packets_filtered);
        let data = tempfile::tempdir().unwrap();
        let network = open(&dual_stack_config(data.path())).await.unwrap();
        let a = network.attach("a", true).await.unwrap();
        let b = network.attach("b", true).await.unwrap();
        let wasm = network.attach("wasm", false).await.unwrap();
        assert_eq!(a.ip6, Some("fd00:244:0:3::2".parse().unwrap()));
        assert_eq!(wasm.ip6, Some("fd00:244:0:3::81".parse().unwrap()));
        serve_tcp(b.netns.as_ref(), "[::]:80", "b");
        serve_tcp(None, "[fd00:244:0:3::81]:80", "wasm");
        for (from, server, answer) in [
            (a.netns.as_ref(), "[fd00:244:0:3::3]:80", "b fd00:244:0:3::2"),
            (a.netns.as_ref(), "10.244.3.3:80", "b ::ffff:10.244.3.2"),
            (b.netns.as_ref(), "[fd00:244:0:3::3]:80", "b fd00:244:0:3::3"),
            (b.netns.as_ref(), "[::1]:80", "b ::1"),
            (a.netns.as_ref(), "[fd00:244:0:3::81]:80", "wasm fd00:244:0:3::2"),
            (None, "[fd00:244:0:3::3]:80", "b fd00:244:0:3::1"),
        ] {
            assert_eq!(ask_tcp(from, server).unwrap(), answer);
        }
        // Addresses of the link would lead past the node, and past its rules.
        let all = inside(a.netns.as_ref(), || run("ip -6 addr show dev eth0"));
        assert!(!all.contains("fe80") && !all.contains("tentative"), "{all}");
    });
}

#[rstest]
fn pods_of_ipv6_alone_reach_each_other_also_after_a_restart(
    #[values(true, false)] bridged_packets_filtered: bool,
) {
    isolated(move || async move {
        filter_bridged_packets(bridged_packets_filtered);
        let data = tempfile::tempdir().unwrap();
        let config = six_config(data.path());
        let network = open(&config).await.unwrap();
        let a = network.attach("a", true).await.unwrap();
        let b = network.attach("b", true).await.unwrap();
        let wasm = network.attach("wasm", false).await.unwrap();
        let ips = [&a, &b, &wasm].map(ip);
        assert_eq!(ips, ["fd00:244:0:3::2", "fd00:244:0:3::3", "fd00:244:0:3::1:1"]);
        assert_eq!((a.ip6, a.ips().len(), &wasm.netns), (None, 1, &None));
        assert!(run("ip link").contains("wh00000002"));
        drop(network);
        let network = open(&config).await.unwrap();
        assert_eq!(network.attach("a", true).await.unwrap(), a);
        network.detach("b").await.unwrap();
        assert_eq!(ip(&network.attach("c", true).await.unwrap()), "fd00:244:0:3::4");
        serve_tcp(a.netns.as_ref(), "[::]:80", "a");
        serve_tcp(None, "[fd00:244:0:3::1:1]:80", "wasm");
        let c = network.namespace("c");
        for (from, server, answer) in [
            (c.as_ref(), "[fd00:244:0:3::2]:80", "a fd00:244:0:3::4"),
            (a.netns.as_ref(), "[fd00:244:0:3::2]:80", "a fd00:244:0:3::2"),
            (a.netns.as_ref(), "127.0.0.1:80", "a ::ffff:127.0.0.1"),
            (a.netns.as_ref(), "[fd00:244:0:3::1:1]:80", "wasm fd00:244:0:3::2"),
            (None, "[fd00:244:0:3::2]:80", "a fd00:244:0:3::1"),
        ] {
            assert_eq!(ask_tcp(from, server).unwrap(), answer);
        }
        let four = inside(a.netns.as_ref(), || run("ip -4 addr show dev eth0"));
        assert!(four.is_empty(), "{four}");
    });
}

#[rstest]
fn traffic_of_ipv6_that_leaves_the_cluster_has_the_nodes_address(#[values(true, false)] alone: bool) {
    isolated(move || async move {
        let data = tempfile::tempdir().unwrap();
        let config = if alone { six_config(data.path()) } else { dual_stack_config(data.path()) };
        let network = open(&config).await.unwrap();
        let pod = network.attach("a", true).await.unwrap();
        run("ip netns add outside");
        run("ip link add up0 type veth peer name eth0 netns outside");
        run("ip addr add 2001:db8::1/64 dev up0 nodad");
        run("ip link set up0 up");
        run("ip -n outside addr add 2001:db8::2/64 dev eth0 nodad");
        run("ip -n outside link set eth0 up");
        let outside = PathBuf::from("/run/netns/outside");
        serve_tcp(Some(&outside), "[2001:db8::2]:80", "outside");
        assert_eq!(ask_tcp(pod.netns.as_ref(), "[2001:db8::2]:80").unwrap(), "outside 2001:db8::1");
    });
}

/// A node that becomes a router of IPv6 goes on listening to routers, and its Pods of before get addresses.
#[test]
fn a_node_that_gets_a_second_family_gives_it_to_the_pods_it_has() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let before = network.attach("a", true).await.unwrap();
        assert_eq!(before.ip6, None);
        drop(network);
        run("ip link add up0 type bridge");
        let network = open(&dual_stack_config(data.path())).await.unwrap();
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/up0/accept_ra").unwrap().trim(), "2");
        let pod = network.attach("a", true).await.unwrap();
        assert_eq!((pod.ip, &pod.netns), (before.ip, &before.netns));
        serve_tcp(pod.netns.as_ref(), "[::]:80", "a");
        assert_eq!(ask_tcp(None, "[fd00:244:0:3::2]:80").unwrap(), "a fd00:244:0:3::1");
        network.detach("a").await.unwrap();
    });
}

#[test]
fn pods_cannot_reach_the_nodes_loopback_addresses() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let pod = network.attach("a", true).await.unwrap();
        serve_tcp(None, "127.0.0.2:80", "secret");
        inside(pod.netns.as_ref(), || {
            // The Pod does what it can: no loopback route of its own in the way, any address towards the node.
            run("ip link set lo down");
            fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
            run("ip route add table local 127.0.0.2/32 via 10.244.3.1 dev eth0");
            let address = "127.0.0.2:80".parse().unwrap();
            let patience = std::time::Duration::from_millis(300);
            std::net::TcpStream::connect_timeout(&address, patience).unwrap_err();
        });
        let dropped = run("nft list chain ip wherry_network martians");
        assert!(dropped.contains("127.0.0.0/8 drop"), "{dropped}");
    });
}

#[test]
fn traffic_that_leaves_the_cluster_has_the_nodes_address() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let pod = network.attach("a", true).await.unwrap();
        run("ip netns add outside");
        run("ip link add up0 type veth peer name eth0 netns outside");
        run("ip addr add 192.0.2.1/24 dev up0");
        run("ip link set up0 up");
        run("ip -n outside addr add 192.0.2.2/24 dev eth0");
        run("ip -n outside link set eth0 up");
        let outside = PathBuf::from("/run/netns/outside");
        serve_tcp(Some(&outside), "192.0.2.2:80", "outside");
        assert_eq!(ask_tcp(pod.netns.as_ref(), "192.0.2.2:80").unwrap(), "outside 192.0.2.1");
    });
}

#[test]
fn a_reopened_network_keeps_its_pods_and_removes_what_nobody_owns() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let config = bridge_config(data.path());
        let network = open(&config).await.unwrap();
        let kept = network.attach("kept", true).await.unwrap();
        let lost = network.attach("lost", true).await.unwrap();
        serve_tcp(kept.netns.as_ref(), "0.0.0.0:80", "kept");
        drop(network);
        // The journal of an agent that died before it wrote the second Pod down.
        let journal = data.path().join("network/addresses");
        let text = fs::read_to_string(&journal).unwrap();
        fs::write(&journal, text.split_inclusive('\n').next().unwrap()).unwrap();

        let network = open(&config).await.unwrap();
        assert_eq!(network.known().await, ["kept"]);
        assert!(!lost.netns.unwrap().exists());
        assert!(!run("ip link").contains("wh0af40303"));
        assert_eq!(network.attach("kept", true).await.unwrap(), kept);
        assert_eq!(ask_tcp(None, "10.244.3.2:80").unwrap(), "kept 10.244.3.1");
    });
}

/// An agent started by `ip netns exec` gets a mount namespace of its own each time, so the namespaces mounted by
/// the one before are not to be seen; the Pods' processes still live in them.
#[test]
fn a_namespace_that_lost_its_mount_is_found_by_its_processes() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let config = bridge_config(data.path());
        let network = open(&config).await.unwrap();
        let pod = network.attach("a", true).await.unwrap();
        let netns = pod.netns.clone().unwrap();
        let mut process = inside(Some(&netns), || Command::new("sleep").arg("60").spawn().unwrap());
        serve_tcp(Some(&netns), "0.0.0.0:80", "survivor");
        drop(network);
        nix::mount::umount2(&netns, nix::mount::MntFlags::MNT_DETACH).unwrap();

        let network = open(&config).await.unwrap();
        let again = network.attach("a", true).await;
        let answer = ask_tcp(None, "10.244.3.2:80");
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(again.unwrap(), pod);
        assert_eq!(answer.unwrap(), "survivor 10.244.3.1");
    });
}

#[test]
fn a_half_made_pod_is_completed() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let pod = network.attach("a", true).await.unwrap();
        run("ip link del wh0af40302");
        assert_eq!(network.attach("a", true).await.unwrap(), pod);
        serve_tcp(pod.netns.as_ref(), "0.0.0.0:80", "a");
        assert_eq!(ask_tcp(None, "10.244.3.2:80").unwrap(), "a 10.244.3.1");
    });
}

#[test]
fn many_pods_at_once_get_distinct_addresses_until_there_are_none() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let mut config = bridge_config(data.path());
        config.pod_cidr = "10.244.3.0/27".parse().unwrap();
        let network = open(&config).await.unwrap();
        let uids: Vec<String> = (0..13).map(|at| format!("pod-{at}")).collect();
        let pods = futures::future::try_join_all(uids.iter().map(|uid| network.attach(uid, true)));
        let mut ips: Vec<String> = pods.await.unwrap().iter().map(ip).collect();
        ips.sort();
        ips.dedup();
        assert_eq!(ips.len(), 13);
        let error = network.attach("one-more", true).await.unwrap_err();
        assert_eq!(error.to_string(), "all 13 addresses of 10.244.3.0/28 are taken");
        assert_eq!(network.known().await.len(), 13);
        futures::future::try_join_all(uids.iter().map(|uid| network.detach(uid))).await.unwrap();
        assert!(network.known().await.is_empty());
    });
}

#[tokio::test]
async fn the_loopback_network_gives_addresses_and_refuses_namespaces() {
    let data = tempfile::tempdir().unwrap();
    let mut config = bridge_config(data.path());
    config.mode = NetworkMode::Loopback;
    let error = open(&config).await.err().unwrap();
    assert!(error.to_string().contains("127.0.0.0/8"), "{error}");

    config.pod_cidr = "127.244.0.0/24".parse().unwrap();
    let network = open(&config).await.unwrap();
    let pod = network.attach("wasm", false).await.unwrap();
    assert_eq!(pod, PodAddress { ip: Ipv4Addr::new(127, 244, 0, 2).into(), ip6: None, netns: None });
    let error = network.attach("oci", true).await.unwrap_err();
    assert!(error.to_string().contains("WebAssembly containers only"), "{error}");
    assert_eq!(network.known().await, ["wasm"]);
}

#[test]
fn a_cidr_that_does_not_fit_is_refused() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let mut config = bridge_config(data.path());
        config.pod_cidr = "fd00::/125".parse().unwrap();
        let error = open(&config).await.err().unwrap();
        assert_eq!(error.to_string(), "pod CIDR fd00::/125 cannot be used: a node needs at least a /124");
    });
}

/// How long a megabyte takes from one namespace to an address in another.
fn sent(from: Option<&PathBuf>, to: Option<&PathBuf>, address: &str) -> Duration {
    const BYTES: usize = 1_000_000;
    let bound = address.to_owned();
    let listener = inside(to, move || TcpListener::bind(bound).unwrap());
    let reading = std::thread::spawn(move || {
        let began = Instant::now();
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        (all.len(), began.elapsed())
    });
    let address = address.to_owned();
    inside(from, move || {
        let mut stream = StdTcpStream::connect(address).unwrap();
        stream.write_all(&vec![0; BYTES]).unwrap();
    });
    let (length, took) = reading.join().unwrap();
    assert_eq!(length, BYTES);
    took
}

#[test]
fn a_pod_is_held_to_the_rates_of_its_annotations() {
    isolated(|| async {
        let data = tempfile::tempdir().unwrap();
        let network = open(&bridge_config(data.path())).await.unwrap();
        let (pod, wasm) =
            (network.attach("a", true).await.unwrap(), network.attach("w", false).await.unwrap());
        let (netns, inside, outside) = (pod.netns.as_ref(), format!("{}:7000", ip(&pod)), "10.244.3.1:7000");
        let took = || [sent(None, netns, &inside), sent(netns, None, outside)];
        let quick = Duration::from_millis(300);
        assert!(took().iter().all(|took| *took < quick));
        // A megabyte is eight megabits, less what may come at once.
        let held = Duration::from_millis(600)..Duration::from_secs(4);
        network.limit("a", Bandwidth { ingress: Some(8_000_000), egress: None }).await.unwrap();
        let [into, from] = took();
        assert!(held.contains(&into) && from < quick, "{into:?} {from:?}");
        let both = Bandwidth { ingress: Some(1_000_000_000), egress: Some(8_000_000) };
        network.limit("a", both).await.unwrap();
        let [into, from] = took();
        assert!(into < quick && held.contains(&from), "{into:?} {from:?}");
        // Where there is no interface nothing is held.
        network.limit("w", both).await.unwrap();
        assert!(sent(netns, None, &format!("{}:7000", ip(&wasm))) >= held.start);
        assert!(sent(None, None, &format!("{}:7000", ip(&wasm))) < quick);
    });
}
