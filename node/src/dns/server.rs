//! Answers packets: datagrams and streams at port 53 of one address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wherry_dns::proto::op::{Message, ResponseCode};
use wherry_dns::{Answer, Question, Request, encode, read};

use super::cluster::{ClusterDns, NameError};
use super::replies::Replies;

/// The port of DNS.
pub(crate) const PORT: u16 = 53;
/// How long after a failure the address is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Connections served at a time; more wait.
const CONNECTIONS: usize = 128;
/// Questions by datagram that wait for somebody else.
const WAITING: usize = 1024;
/// The longest datagram that is read: no question is longer.
const LONGEST: usize = 4096;
/// What every client takes by datagram.
const SHORTEST: usize = 512;
/// The longest message there is.
const STREAM: usize = 65535;

/// Serves at this address until `stop`, from when the address can be had.
pub(crate) async fn serve(dns: Arc<ClusterDns>, ip: IpAddr, stop: CancellationToken) {
    let address = SocketAddr::new(ip, PORT);
    let mut told = false;
    loop {
        match Server::bind(dns.clone(), address).await {
            Ok(server) => return server.run(&stop).await,
            Err(error) if !told => {
                told = true;
                tracing::warn!(
                    %address, %error,
                    "cannot answer for the cluster's names yet, so only WebAssembly Pods find them; see --cluster-dns"
                );
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Listens at one address.
pub(super) struct Server {
    dns: Arc<ClusterDns>,
    datagrams: Arc<UdpSocket>,
    streams: TcpListener,
    tasks: TaskTracker,
    waiting: Arc<Semaphore>,
}

/// What is to be done about a request.
enum Step {
    /// This is the answer; by datagram it may be so long.
    Reply(Message, usize),
    /// Somebody else has to be asked first.
    Ask(Box<Question>, Box<Answer>),
    Nothing,
}

impl Server {
    /// Takes the address for both kinds of packets.
    pub(super) async fn bind(dns: Arc<ClusterDns>, address: SocketAddr) -> io::Result<Self> {
        let streams = TcpListener::bind(address).await?;
        let datagrams = Arc::new(UdpSocket::bind(streams.local_addr()?).await?);
        let waiting = Arc::new(Semaphore::new(WAITING));
        Ok(Self { dns, datagrams, streams, tasks: TaskTracker::new(), waiting })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.streams.local_addr().unwrap()
    }

    /// Answers until `stop`.
    pub(super) async fn run(self, stop: &CancellationToken) {
        let serve = async { tokio::join!(self.serve_datagrams(stop), self.serve_streams(stop)) };
        stop.run_until_cancelled(serve).await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn serve_datagrams(&self, stop: &CancellationToken) {
        let mut buffer = vec![0; LONGEST];
        let mut replies = Replies::default();
        loop {
            // An error is about a datagram sent before: its receiver is gone.
            let Ok((length, client)) = self.datagrams.recv_from(&mut buffer).await else { continue };
            let bytes = &buffer[..length];
            // Looked at before it is answered: what changes meanwhile makes this version an old one.
            if let Some(reply) = replies.find(self.dns.version(), bytes) {
                // A client that cannot be reached asks again.
                let _ = self.datagrams.send_to(reply, client).await;
                continue;
            }
            match begin(&self.dns, bytes) {
                Step::Nothing => {}
                Step::Reply(message, limit) => {
                    let come_in_turns = message.answers.len() > 1;
                    let reply = encode(message, limit);
                    let _ = self.datagrams.send_to(&reply, client).await;
                    if !come_in_turns {
                        replies.keep(bytes, &reply);
                    }
                }
                Step::Ask(question, answer) => self.ask(question, *answer, client, stop),
            }
        }
    }

    /// Answers when somebody else has. Clients of those who cannot wait ask again.
    fn ask(&self, question: Box<Question>, answer: Answer, client: SocketAddr, stop: &CancellationToken) {
        let Ok(turn) = self.waiting.clone().try_acquire_owned() else { return };
        let (dns, socket, stop) = (self.dns.clone(), self.datagrams.clone(), stop.clone());
        self.tasks.spawn(async move {
            let asked = async {
                let limit = question.datagram();
                let bytes = encode(finish(&dns, &question, answer).await, limit);
                let _ = socket.send_to(&bytes, client).await;
            };
            stop.run_until_cancelled(asked).await;
            drop(turn);
        });
    }

    async fn serve_streams(&self, stop: &CancellationToken) {
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.streams.accept().await else {
                // Mostly too many open files: give connections a moment to end.
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let (dns, stop) = (self.dns.clone(), stop.clone());
            self.tasks.spawn(async move {
                // How a connection ends is its client's affair.
                let _ = stop.run_until_cancelled(converse(&dns, stream)).await;
                drop(turn);
            });
        }
    }
}

/// Answers the questions of one connection, one after the other.
async fn converse(dns: &ClusterDns, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let length = timeout(IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; length.into()];
        timeout(IDLE, stream.read_exact(&mut bytes)).await??;
        let message = match begin(dns, &bytes) {
            Step::Nothing => return Ok(()),
            Step::Reply(message, _) => message,
            Step::Ask(question, answer) => finish(dns, &question, *answer).await,
        };
        let bytes = encode(message, STREAM);
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        timeout(IDLE, stream.write_all(&[&length.to_be_bytes()[..], &bytes].concat())).await??;
    }
}

fn begin(dns: &ClusterDns, bytes: &[u8]) -> Step {
    let question = match read(bytes) {
        Request::Noise => return Step::Nothing,
        Request::Refusal(message) => return Step::Reply(message, SHORTEST),
        Request::Question(question) => question,
    };
    match dns.known(question.name(), question.wanted(), question.id()) {
        Ok(answer) if answer.elsewhere.is_some() => Step::Ask(question, Box::new(answer)),
        Ok(answer) => Step::Reply(question.reply(answer), question.datagram()),
        Err(error) => Step::Reply(failure(&question, error), question.datagram()),
    }
}

async fn finish(dns: &ClusterDns, question: &Question, answer: Answer) -> Message {
    match dns.complete(answer, question.wanted()).await {
        Ok(answer) => question.reply(answer),
        Err(error) => failure(question, error),
    }
}

fn failure(question: &Question, error: NameError) -> Message {
    question.failure(ResponseCode::ServFail, Some(error.extended()))
}
