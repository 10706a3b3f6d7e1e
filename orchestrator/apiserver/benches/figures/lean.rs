//! A connection that asks one thing at a time and spends little on it, so that the server has the processor: HTTP/2
//! frames (RFC 9113) written by hand, and answers read no further than to where they end.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client;
use crate::server::Server;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// More than any measurement reads on one connection or stream.
const WINDOW: u32 = 0x7fff_0000;

/// One connection.
pub(crate) struct Lean {
    stream: TlsStream<TcpStream>,
    host: String,
    read: BytesMut,
    write: Vec<u8>,
    id: u32,
}

impl Lean {
    /// Connections to a server.
    pub(crate) async fn connect(server: &Server, count: usize) -> Vec<Self> {
        let connector = client::connector(server);
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let stream = client::handshake(&connector, server).await;
            let host = server.address.to_string();
            let mut lean =
                Self { stream, host, read: BytesMut::with_capacity(1 << 16), write: PREFACE.to_vec(), id: 0 };
            lean.settle();
            all.push(lean);
        }
        all
    }

    /// The first frames: windows that never have to grow.
    fn settle(&mut self) {
        let [a, b, c, d] = WINDOW.to_be_bytes();
        self.frame(SETTINGS, 0, 0, &[0, 4, a, b, c, d]);
        self.frame(WINDOW_UPDATE, 0, 0, &(WINDOW - 0xffff).to_be_bytes());
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        self.write.extend_from_slice(&length[1..]);
        self.write.extend_from_slice(&[kind, flags]);
        self.write.extend_from_slice(&stream.to_be_bytes());
        self.write.extend_from_slice(payload);
    }

    /// Asks for answers without an end, each on a stream of its own.
    pub(crate) async fn ask(&mut self, path: &str, count: usize) {
        for _ in 0..count {
            self.id = if self.id == 0 { 1 } else { self.id + 2 };
            let block = headers("GET", path, &self.host);
            self.frame(HEADERS, END_HEADERS | END_STREAM, self.id, &block);
        }
        self.flush().await;
    }

    /// How many lines have come next, on whichever stream.
    pub(crate) async fn lines(&mut self) -> usize {
        loop {
            let (kind, flags, _, payload) = self.next().await;
            match kind {
                DATA => return payload[..].split(|byte| *byte == b'\n').count() - 1,
                SETTINGS | PING if flags & ACK == 0 => {
                    self.frame(kind, ACK, 0, if kind == PING { &payload } else { &[] });
                    self.flush().await;
                }
                _ => {}
            }
        }
    }

    /// Sends a request and reads the answer, which must say that it worked. Answers how many bytes it had.
    pub(crate) async fn send(&mut self, (method, path, body): &(&str, String, String)) -> usize {
        self.id = if self.id == 0 { 1 } else { self.id + 2 };
        let block = headers(method, path, &self.host);
        let end = if body.is_empty() { END_STREAM } else { 0 };
        self.frame(HEADERS, END_HEADERS | end, self.id, &block);
        if !body.is_empty() {
            self.frame(DATA, END_STREAM, self.id, body.as_bytes());
        }
        self.flush().await;
        let (mut size, mut ended) = (0, false);
        while !ended {
            let (kind, flags, stream, payload) = self.next().await;
            match kind {
                SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
                PING if flags & ACK == 0 => self.frame(PING, ACK, 0, &payload),
                DATA | HEADERS if stream == self.id => ended = flags & END_STREAM != 0,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => panic!("{method} {path}: a frame of kind {kind}: {payload:?}"),
            }
            if kind == DATA {
                size += payload.len();
                let failed = payload.windows(18).take(400).any(|part| part == br#""status":"Failure""#);
                assert!(!failed, "{method} {path}: {payload:?}");
            }
        }
        size
    }

    async fn flush(&mut self) {
        self.stream.write_all(&self.write).await.expect("a connection");
        self.stream.flush().await.expect("a connection");
        self.write.clear();
    }

    /// The next frame: kind, flags, stream, payload.
    async fn next(&mut self) -> (u8, u8, u32, BytesMut) {
        loop {
            if let [a, b, c, kind, flags, stream @ ..] = &self.read[..]
                && let Some(stream) = stream.first_chunk()
            {
                let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
                let (kind, flags, stream) = (*kind, *flags, u32::from_be_bytes(*stream));
                if self.read.len() >= HEAD + length {
                    let payload = self.read.split_to(HEAD + length).split_off(HEAD);
                    return (kind, flags, stream, payload);
                }
            }
            self.read.reserve(1 << 14);
            let read = self.stream.read_buf(&mut self.read).await.expect("a connection");
            assert_ne!(read, 0, "the server ended the connection");
        }
    }
}

/// A header block (RFC 7541) that leaves no trace in the peer's tables.
fn headers(method: &str, path: &str, host: &str) -> Vec<u8> {
    const METHOD: u8 = 2;
    const PATH: u8 = 4;
    const HTTPS: u8 = 0x87;
    const AUTHORITY: u8 = 1;
    const ACCEPT: [u8; 2] = [0x0f, 19 - 15];
    const CONTENT_TYPE: [u8; 2] = [0x0f, 31 - 15];
    let media = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut block = vec![HTTPS];
    let fields: [(&[u8], &str); 5] = [
        (&[METHOD], method),
        (&[PATH], path),
        (&[AUTHORITY], host),
        (&ACCEPT, "application/json"),
        (&CONTENT_TYPE, media),
    ];
    for (name, value) in fields {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).ok().filter(|length| *length < 127).expect("a short value"));
        block.extend_from_slice(value.as_bytes());
    }
    block
}
