//! Requests over HTTP/1.1 from one thread: as many as are answered, or so many a second.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::clock;

/// Longest an answer may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long what was begun is let go before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// What came of requests.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Milliseconds of each answer.
    took: Vec<f64>,
    /// Why requests were not answered with 200.
    pub(crate) failed: Vec<String>,
    seconds: f64,
}

impl Load {
    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        super::float(self.took.len()) / self.seconds
    }

    /// How many were answered.
    pub(crate) fn answered(&self) -> usize {
        self.took.len()
    }

    /// The milliseconds within which so many thousandths of the answers came.
    pub(crate) fn within(&self, thousandths: usize) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        took[(took.len() * thousandths / 1000).min(took.len() - 1)]
    }
}

/// As many requests as are answered in this time, one after the other on each connection.
pub(crate) fn closed(address: SocketAddr, connections: usize, time: Duration) -> Load {
    on_this_thread(async {
        let began = clock() + WARM_UP;
        let load = Rc::new(RefCell::new(Load { seconds: time.as_secs_f64(), ..Load::default() }));
        let clients = (0..connections).map(|_| {
            let load = load.clone();
            async move {
                let mut client = Client::new(address);
                while clock() < began + time {
                    client.ask(&load, clock(), Some(began)).await;
                }
            }
        });
        futures::future::join_all(clients).await;
        load.take()
    })
}

/// So many requests a second over a few connections until told to stop. A request is due at its time, whenever it is sent:
/// what has to wait for one before it waited for the server.
pub(crate) fn paced(address: SocketAddr, connections: usize, rate: usize, stop: &AtomicBool) -> Load {
    on_this_thread(async {
        let began = clock();
        let load = Rc::new(RefCell::new(Load::default()));
        let next = Rc::new(RefCell::new(0_u32));
        let every = Duration::from_secs(1) / u32::try_from(rate).unwrap();
        let clients = (0..connections).map(|_| {
            let (load, next) = (load.clone(), next.clone());
            async move {
                let mut client = Client::new(address);
                while !stop.load(Ordering::Relaxed) {
                    let due = began + every * next.replace_with(|next| *next + 1);
                    tokio::time::sleep_until(due.into()).await;
                    client.ask(&load, due, None).await;
                }
            }
        });
        futures::future::join_all(clients).await;
        let mut load = load.take();
        load.seconds = began.elapsed().as_secs_f64();
        load
    })
}

pub(crate) fn on_this_thread<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, work)
}

/// One connection at a time, which is kept while the server keeps it.
struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Client {
    fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, read: Vec::new() }
    }

    /// One request; it counts if it was due at `counted` or later.
    async fn ask(&mut self, load: &RefCell<Load>, due: Instant, counted: Option<Instant>) {
        let answer = timeout(PATIENCE, self.exchange()).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.stream = None;
        }
        if counted.is_some_and(|counted| due < counted) {
            return;
        }
        let mut load = load.borrow_mut();
        match answer {
            Ok(200) => load.took.push(due.elapsed().as_secs_f64() * 1000.0),
            Ok(status) => load.failed.push(format!("status {status}")),
            Err(error) => load.failed.push(error.to_string()),
        }
    }

    /// The status of an answer that came whole.
    async fn exchange(&mut self) -> io::Result<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                none.insert(stream)
            }
        };
        stream.write_all(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
        self.read.clear();
        loop {
            if stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, keeps)) = complete(&self.read)? {
                if !keeps {
                    self.stream = None;
                }
                return Ok(status);
            }
        }
    }
}

/// The status of an answer, and whether its connection stays, once all of it is there.
fn complete(read: &[u8]) -> io::Result<Option<(u16, bool)>> {
    let text = std::str::from_utf8(read).map_err(io::Error::other)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(None) };
    // nginx writes names of headers with capitals.
    let head = head.to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status: {head}")))?;
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let whole = match length {
        Some(length) => body.len() == length.parse::<usize>().map_err(io::Error::other)?,
        None => body.ends_with("0\r\n\r\n"),
    };
    Ok(whole.then(|| (status, !head.contains("connection: close"))))
}
