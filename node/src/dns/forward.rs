//! Names of others: asked for as the node itself asks.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use wherry_dns::proto::op::{Edns, Message, Query, ResponseCode};
use wherry_dns::proto::rr::{LowerName, Name, RData, Record, RecordType};

use super::cache::Cache;
use super::cluster::NameError;
use super::resolv_conf;

/// How long a nameserver may take, and how long all of them together: a resolver gives up after five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
const ALL_PATIENCE: Duration = Duration::from_millis(4500);
/// How many names are asked for at a time.
const AT_ONCE: usize = 256;
/// The longest datagram that is asked for.
const DATAGRAM: u16 = 1232;

/// What somebody else says of a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    /// The records.
    pub(crate) answers: Vec<Record>,
    /// The start of authority, where there are none.
    pub(crate) authority: Option<Record>,
    /// Whether there is such a name.
    pub(crate) code: ResponseCode,
}

impl Told {
    /// How long that may be kept; `None` for what must be asked again.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        if !matches!(self.code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return None;
        }
        let negative = self.authority.as_ref().map(|record| match &record.data {
            RData::SOA(soa) => record.ttl.min(soa.minimum),
            _ => 0,
        });
        let seconds = self.answers.iter().map(|record| record.ttl).chain(negative).min()?;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    fn of(message: Message) -> Self {
        let authority =
            message.authorities.into_iter().find(|record| record.record_type() == RecordType::SOA);
        Self {
            authority: authority.filter(|_| message.answers.is_empty()),
            answers: message.answers,
            code: message.metadata.response_code,
        }
    }
}

/// Asks the nameservers of a `resolv.conf`.
pub(crate) struct Forwarder {
    resolv_conf: PathBuf,
    /// Our own addresses: if the node asks us, we ask nobody.
    own: Vec<IpAddr>,
    port: u16,
    cache: Mutex<Cache>,
    turns: Semaphore,
}

impl Forwarder {
    /// Asks those that this file names at the time.
    pub(crate) fn new(resolv_conf: &Path, own: Vec<IpAddr>) -> Self {
        Self {
            resolv_conf: resolv_conf.to_owned(),
            own,
            port: 53,
            cache: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    /// The same, with nameservers at another port.
    #[cfg(test)]
    pub(super) fn at_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// What the node's nameservers say.
    pub(crate) async fn ask(&self, name: &Name, wanted: RecordType) -> Result<Told, NameError> {
        let key = LowerName::new(name);
        if let Some(told) = self.cache.lock().get(&key, wanted, Instant::now()) {
            return Ok(told);
        }
        let mut servers = resolv_conf::of_node(&self.resolv_conf).nameservers;
        servers.retain(|server| !self.own.contains(server));
        if servers.is_empty() {
            return Err(NameError::NobodyToAsk);
        }
        let told = self.ask_servers(&servers, name, wanted).await?;
        self.cache.lock().put(key, wanted, &told, Instant::now());
        Ok(told)
    }

    /// What the first of these nameservers says that knows something.
    pub(crate) async fn ask_servers(
        &self,
        servers: &[IpAddr],
        name: &Name,
        wanted: RecordType,
    ) -> Result<Told, NameError> {
        let _turn = self.turns.try_acquire().map_err(|_| NameError::Busy)?;
        let asked = async {
            let mut last = Err(NameError::Silence);
            for server in servers {
                match timeout(PATIENCE, exchange(SocketAddr::new(*server, self.port), name, wanted)).await {
                    Ok(Ok(message)) => {
                        let told = Told::of(message);
                        if matches!(told.code, ResponseCode::NoError | ResponseCode::NXDomain) {
                            return Ok(told);
                        }
                        last = Ok(told);
                    }
                    Ok(Err(error)) => tracing::debug!(%server, %error, "a nameserver cannot be asked"),
                    Err(_) => tracing::debug!(%server, "a nameserver does not answer"),
                }
            }
            last
        };
        timeout(ALL_PATIENCE, asked).await.unwrap_or(Err(NameError::Silence))
    }
}

/// Asks by datagram; if the answer is too long for one, by a stream.
async fn exchange(server: SocketAddr, name: &Name, wanted: RecordType) -> io::Result<Message> {
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), wanted));
    let mut edns = Edns::new();
    edns.set_max_payload(DATAGRAM);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(io::Error::other)?;
    let answer = by_datagram(server, &question, &bytes).await?;
    if answer.metadata.truncation { by_stream(server, &question, &bytes).await } else { Ok(answer) }
}

async fn by_datagram(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; DATAGRAM.into()];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // Anybody may send something here: only the answer to this question counts.
        if let Some(answer) = answer_to(question, &buffer[..length]) {
            return Ok(answer);
        }
    }
}

async fn by_stream(server: SocketAddr, question: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; length.into()];
    stream.read_exact(&mut buffer).await?;
    answer_to(question, &buffer).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The message, if it answers the question.
fn answer_to(question: &Message, bytes: &[u8]) -> Option<Message> {
    // Room is made for as many queries as are announced.
    if bytes.get(4..6)? != [0, 1] {
        return None;
    }
    let message = Message::from_vec(bytes).ok()?;
    let same = message.metadata.id == question.metadata.id && message.queries == question.queries;
    (same && message.metadata.message_type == wherry_dns::proto::op::MessageType::Response).then_some(message)
}
