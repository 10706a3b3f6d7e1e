//! Questions and answers over sockets on loopback, with a nameserver that the tests play.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_dns::Zone;
use wherry_dns::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use wherry_dns::proto::rr::rdata::A;
use wherry_dns::proto::rr::{Name, RData, Record, RecordType};
use wherry_runtime_api::DnsConfig;
use wherry_wasm_runtime::Names as _;

use super::server::Server;
use super::*;

pub(crate) fn dns(resolv_conf: &Path, port: u16) -> Arc<ClusterDns> {
    let settings =
        DnsSettings { domain: "cluster.local".to_owned(), servers: vec![IpAddr::from([10, 96, 0, 10])] };
    let zone =
        Zone::new("cluster.local", settings.servers.clone(), vec!["10.96.0.0/16".parse().unwrap()]).unwrap();
    Arc::new(ClusterDns::new(&settings, zone, resolv_conf).at_port(port))
}

fn service(name: &str, spec: Value) -> core::Service {
    serde_json::from_value(json!({"metadata": {"namespace": "shop", "name": name}, "spec": spec})).unwrap()
}

fn slice(name: &str, endpoints: Value) -> discovery::EndpointSlice {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": name, "labels": {"kubernetes.io/service-name": "pets"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}], "endpoints": endpoints,
    }))
    .unwrap()
}

/// Tells of a Service with an address, a headless one with a ready endpoint, and an alias.
fn feed(dns: &Arc<ClusterDns>) -> Feed {
    let mut feed = Feed::new(dns.clone());
    for event in [
        Event::Init,
        Event::InitApply(service("web", json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}))),
        Event::InitApply(service("pets", json!({"clusterIP": "None"}))),
        Event::InitApply(service("away", json!({"type": "ExternalName", "externalName": "a.example"}))),
        Event::InitDone,
    ] {
        feed.record_service(&event);
    }
    let endpoints = json!([
        {"addresses": ["10.244.0.5"], "hostname": "pet-0", "conditions": {"ready": true}},
        {"addresses": ["10.244.0.6"], "hostname": "pet-1", "conditions": {"ready": false}},
    ]);
    for event in [Event::Init, Event::InitApply(slice("pets-1", endpoints)), Event::InitDone] {
        feed.record_slice(&event);
    }
    feed
}

/// A server on loopback, and what ends it.
struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Running {
    async fn start(dns: Arc<ClusterDns>) -> Self {
        let server = Server::bind(dns, (Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (address, stopped) = (server.address(), stop.clone());
        tasks.spawn(async move { server.run(&stopped).await });
        Self { address, stop, tasks }
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn ask(&self, name: &str, wanted: RecordType) -> Message {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.send_to(&question(name, wanted), self.address).await.unwrap();
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).await.unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    async fn ask_by_stream(&self, stream: &mut TcpStream, name: &str, wanted: RecordType) -> Message {
        let question = question(name, wanted);
        stream.write_u16(question.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&question).await.unwrap();
        let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut buffer).await.unwrap();
        Message::from_vec(&buffer).unwrap()
    }
}

fn question(name: &str, wanted: RecordType) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), wanted));
    message.set_edns(Edns::new());
    message.to_vec().unwrap()
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// A nameserver that knows `a.example` by datagram, `long.example` by stream alone, and counts what it is asked.
async fn nameserver(tasks: &TaskTracker, asked: Arc<AtomicUsize>) -> u16 {
    let streams = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let datagrams = UdpSocket::bind(streams.local_addr().unwrap()).await.unwrap();
    let port = streams.local_addr().unwrap().port();
    tasks.spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            let (length, client) = datagrams.recv_from(&mut buffer).await.unwrap();
            asked.fetch_add(1, Ordering::Relaxed);
            // What does not answer the question is not listened to.
            let mut forged = answer(&buffer[..length], "6.6.6.6");
            forged.metadata.id = forged.metadata.id.wrapping_add(1);
            datagrams.send_to(&forged.to_vec().unwrap(), client).await.unwrap();
            let mut answer = answer(&buffer[..length], "192.0.2.1");
            if answer.queries[0].name == Name::from_str("long.example.").unwrap() {
                answer.metadata.truncation = true;
                answer.answers.clear();
            }
            datagrams.send_to(&answer.to_vec().unwrap(), client).await.unwrap();
        }
    });
    tasks.spawn(async move {
        let (mut stream, _) = streams.accept().await.unwrap();
        let mut buffer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut buffer).await.unwrap();
        let answer = answer(&buffer, "192.0.2.2").to_vec().unwrap();
        stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
        stream.write_all(&answer).await.unwrap();
    });
    port
}

fn answer(question: &[u8], ip: &str) -> Message {
    let mut message = Message::from_vec(question).unwrap().into_response();
    let name = message.queries[0].name.clone();
    if message.queries[0].query_type == RecordType::A {
        message.add_answer(Record::from_rdata(name, 60, RData::A(A(ip.parse().unwrap()))));
    }
    message
}

#[tokio::test]
async fn names_of_the_cluster_are_answered_by_datagram_and_by_stream() {
    let dns = dns(Path::new("/dev/null"), 53);
    let running = Running::start(dns.clone()).await;
    let early = running.ask("web.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(early.metadata.response_code, ResponseCode::ServFail, "what is not known yet may exist");
    let mut feed = feed(&dns);
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for (name, expected) in [("web", "10.96.0.1"), ("pets", "10.244.0.5"), ("pet-0.pets", "10.244.0.5")] {
        let name = format!("{name}.shop.svc.cluster.local.");
        for time in ["first", "second"] {
            let answer = running.ask(&name, RecordType::A).await;
            assert_eq!(data(&answer), [expected], "{name} for the {time} time");
        }
        assert_eq!(
            data(&running.ask_by_stream(&mut stream, &name, RecordType::A).await),
            [expected],
            "{name}"
        );
    }
    let missing = running.ask("pet-1.pets.shop.svc.cluster.local.", RecordType::A).await;
    assert_eq!(missing.metadata.response_code, ResponseCode::NXDomain);
    feed.record_slice(&Event::Delete(slice("pets-1", json!([]))));
    assert!(data(&running.ask("pets.shop.svc.cluster.local.", RecordType::A).await).is_empty());
    running.end().await;
}

#[tokio::test]
async fn names_of_others_are_asked_for_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "nameserver 10.96.0.10\nnameserver 127.0.0.1\n").unwrap();
    let (tasks, asked) = (TaskTracker::new(), Arc::<AtomicUsize>::default());
    let dns = dns(file.path(), nameserver(&tasks, asked.clone()).await);
    let _feed = feed(&dns);
    let running = Running::start(dns).await;
    for _ in 0..3 {
        assert_eq!(data(&running.ask("a.example.", RecordType::A).await), ["192.0.2.1"]);
        let alias = running.ask("away.shop.svc.cluster.local.", RecordType::A).await;
        assert_eq!(data(&alias), ["a.example.", "192.0.2.1"]);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(data(&running.ask("long.example.", RecordType::A).await), ["192.0.2.2"]);
    running.end().await;
}

#[tokio::test]
async fn without_a_nameserver_the_answer_says_so() {
    let dns = dns(Path::new("/dev/null"), 53);
    let _feed = feed(&dns);
    let running = Running::start(dns).await;
    let failure = running.ask("a.example.", RecordType::A).await;
    assert_eq!(failure.metadata.response_code, ResponseCode::ServFail);
    let options = format!("{:?}", failure.edns.unwrap().options());
    let words: Vec<String> = "no nameserver".bytes().map(|byte| byte.to_string()).collect();
    assert!(options.contains(&words.join(", ")), "{options}");
    running.end().await;
}

#[tokio::test]
async fn a_nameserver_that_is_not_there_fails_at_once() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "nameserver 127.0.0.1\n").unwrap();
    let nobody = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
    let dns = dns(file.path(), nobody);
    let name = Name::from_str("a.example.").unwrap();
    let asked = dns.forwarder().ask(&name, RecordType::A);
    let asked = tokio::time::timeout(Duration::from_secs(1), asked).await.expect("it does not wait");
    assert_eq!(asked.unwrap_err().to_string(), "no nameserver of the node's /etc/resolv.conf answered");
}

#[tokio::test]
async fn guests_find_what_a_resolver_would() {
    let dns = dns(Path::new("/dev/null"), 53);
    let _feed = feed(&dns);
    let names = GuestNames::new(dns.clone());
    let config = DnsConfig {
        nameservers: dns.settings().servers.clone(),
        searches: vec!["shop.svc.cluster.local".to_owned(), "svc.cluster.local".to_owned()],
        options: vec!["ndots:5".to_owned()],
    };
    for (name, expected) in [
        ("web", "10.96.0.1"),
        ("web.shop", "10.96.0.1"),
        ("pet-0.pets.shop.svc.cluster.local", "10.244.0.5"),
        ("LOCALHOST", "127.0.0.1"),
    ] {
        let found = names.addresses(name, &config).await.unwrap();
        assert_eq!(found, [expected.parse::<IpAddr>().unwrap()], "{name}");
    }
    let missing = names.addresses("nobody.shop.svc.cluster.local.", &config).await.unwrap_err();
    assert_eq!(missing.to_string(), "there is no such name");
    let elsewhere = names.addresses("a.example.", &config).await.unwrap_err();
    assert!(elsewhere.to_string().contains("/etc/resolv.conf"), "{elsewhere}");
}
