//! The userspace proxy, over loopback addresses.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::*;

/// Each test has addresses of its own: 127.96.x.y for Services, 127.244.x.y for endpoints.
struct Case {
    number: u8,
    proxy: Proxy,
}

impl Case {
    fn new(number: u8) -> Self {
        Self { number, proxy: Proxy::new(IpAddr::from([127, 200, number, 1])) }
    }

    fn front(&self) -> SocketAddr {
        SocketAddr::from(([127, 96, 200, self.number], 8000))
    }

    fn node_port(&self) -> SocketAddr {
        SocketAddr::from(([127, 200, self.number, 1], 30080))
    }

    /// An address nobody serves.
    fn endpoint(&self, at: u8) -> SocketAddr {
        SocketAddr::from(([127, 244, self.number, at], 8080))
    }

    /// An endpoint that answers every line with its number and the line.
    async fn server(&self, at: u8, tasks: &TaskTracker) -> SocketAddr {
        let listener = TcpListener::bind(self.endpoint(at)).await.unwrap();
        let more = tasks.clone();
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                more.spawn(async move {
                    let mut buffer = [0; 64];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        let mut answer = format!("{at}:").into_bytes();
                        answer.extend(&buffer[..length]);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        self.endpoint(at)
    }

    async fn apply(&mut self, backends: &[SocketAddr], affinity: Option<u32>) {
        self.serve(self.port(backends, affinity)).await;
    }

    fn port(&self, backends: &[SocketAddr], affinity: Option<u32>) -> ServicePort {
        ServicePort {
            family: IpFamily::V4,
            name: String::new(),
            protocol: Protocol::Tcp,
            cluster_ips: vec![self.front().ip()],
            external_ips: Vec::new(),
            balancer_ips: Vec::new(),
            sources: None,
            port: self.front().port(),
            node_port: Some(self.node_port().port()),
            affinity,
            internal: Scope::Cluster,
            external: Scope::Cluster,
            cluster: backends.to_vec(),
            local: backends.to_vec(),
        }
    }

    async fn serve(&mut self, port: ServicePort) {
        let key = ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() };
        self.proxy.apply([(key, vec![port])].into()).await;
    }
}

async fn say(stream: &mut TcpStream, text: &str) -> io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    say(&mut TcpStream::connect(address).await?, "hi").await
}

#[tokio::test]
async fn endpoints_take_turns_on_cluster_ip_and_node_port() {
    let (mut case, tasks) = (Case::new(1), TaskTracker::new());
    let backends = [case.server(1, &tasks).await, case.server(2, &tasks).await];
    case.apply(&backends, None).await;
    for address in [case.front(), case.node_port()] {
        let mut answers = vec![ask(address).await.unwrap(), ask(address).await.unwrap()];
        answers.sort();
        assert_eq!(answers, ["1:hi", "2:hi"]);
    }
}

#[tokio::test]
async fn a_load_balancer_listens_where_the_node_does_and_lets_in_whom_it_may() {
    let (mut case, tasks) = (Case::new(9), TaskTracker::new());
    let backend = case.server(1, &tasks).await;
    let front = SocketAddr::new(case.node_port().ip(), case.front().port());
    let mut port = case.port(&[backend], None);
    // Nobody listens at the addresses of others.
    port.external_ips = vec![IpAddr::from([192, 0, 2, 7])];
    port.balancer_ips = vec![front.ip()];
    case.serve(port.clone()).await;
    assert!(!case.proxy.wants_retry());
    assert_eq!(ask(front).await.unwrap(), "1:hi");
    port.sources = Some(vec!["192.0.2.0/24".parse().unwrap()]);
    case.serve(port.clone()).await;
    assert_eq!(ask(front).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(ask(case.node_port()).await.unwrap(), "1:hi");
    port.sources = Some(vec!["127.0.0.0/8".parse().unwrap()]);
    case.serve(port).await;
    assert_eq!(ask(front).await.unwrap(), "1:hi");
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_passed_over() {
    let (mut case, tasks) = (Case::new(2), TaskTracker::new());
    let backends = [case.endpoint(1), case.server(2, &tasks).await, case.endpoint(3)];
    case.apply(&backends, None).await;
    for _ in 0..6 {
        assert_eq!(ask(case.front()).await.unwrap(), "2:hi");
    }
}

#[tokio::test]
async fn without_endpoints_connections_are_refused() {
    let (mut case, tasks) = (Case::new(3), TaskTracker::new());
    case.apply(&[], None).await;
    assert_eq!(ask(case.front()).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    let backend = case.server(1, &tasks).await;
    case.apply(&[backend], None).await;
    assert_eq!(ask(case.front()).await.unwrap(), "1:hi");
    case.apply(&[], None).await;
    // The listening task is told to end and ends when it next runs.
    loop {
        match ask(case.front()).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => break,
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn all_endpoints_dead_is_a_reset_and_not_an_empty_answer() {
    let mut case = Case::new(4);
    case.apply(&[case.endpoint(1)], None).await;
    let error = ask(case.front()).await.unwrap_err();
    assert!(matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{error}");
}

#[tokio::test]
async fn established_connections_outlive_every_change() {
    let (mut case, tasks) = (Case::new(5), TaskTracker::new());
    let (old, new) = (case.server(1, &tasks).await, case.server(2, &tasks).await);
    case.apply(&[old], None).await;
    let mut stream = TcpStream::connect(case.front()).await.unwrap();
    assert_eq!(say(&mut stream, "a").await.unwrap(), "1:a");
    case.apply(&[new], None).await;
    assert_eq!(ask(case.front()).await.unwrap(), "2:hi");
    assert_eq!(say(&mut stream, "b").await.unwrap(), "1:b");
    case.apply(&[], None).await;
    assert_eq!(say(&mut stream, "c").await.unwrap(), "1:c");
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint_until_that_leaves() {
    let (mut case, tasks) = (Case::new(6), TaskTracker::new());
    let backends = [case.server(1, &tasks).await, case.server(2, &tasks).await];
    case.apply(&backends, Some(60)).await;
    let first = ask(case.front()).await.unwrap();
    for _ in 0..4 {
        assert_eq!(ask(case.front()).await.unwrap(), first);
    }
    let left = if first == "1:hi" { backends[1] } else { backends[0] };
    case.apply(&[left], Some(60)).await;
    assert_ne!(ask(case.front()).await.unwrap(), first);
}

#[tokio::test]
async fn an_address_in_use_is_tried_again() {
    let (mut case, tasks) = (Case::new(7), TaskTracker::new());
    let occupied = TcpListener::bind(case.front()).await.unwrap();
    let backend = case.server(1, &tasks).await;
    case.apply(&[backend], None).await;
    assert!(case.proxy.wants_retry());
    assert_eq!(ask(case.node_port()).await.unwrap(), "1:hi", "the other address is served");
    drop(occupied);
    case.proxy.apply(BTreeMap::new()).await;
    assert!(!case.proxy.wants_retry());
    assert_eq!(ask(case.front()).await.unwrap(), "1:hi");
}

#[tokio::test]
async fn closing_ends_connections_that_do_not_end_by_themselves() {
    let (mut case, tasks) = (Case::new(8), TaskTracker::new());
    let backend = case.server(1, &tasks).await;
    case.apply(&[backend], None).await;
    let mut stream = TcpStream::connect(case.front()).await.unwrap();
    assert_eq!(say(&mut stream, "a").await.unwrap(), "1:a");
    case.proxy.close().await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}
