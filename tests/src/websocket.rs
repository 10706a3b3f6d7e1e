//! A WebSocket client: enough to see what a server says, and to answer it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An open connection.
pub struct Socket(BufReader<TcpStream>);

impl Socket {
    /// Opens one at this path, of the protocol named.
    pub fn open(address: SocketAddr, path: &str, protocol: &str) -> Self {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket has a time-out");
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )
        .expect("the server reads");
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(
                reader.read_line(&mut head).expect("the server answers"),
                0,
                "the answer ends early: {head}"
            );
        }
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.to_lowercase().contains(&format!("sec-websocket-protocol: {protocol}")), "{head}");
        Self(reader)
    }

    /// Sends a message of less than 126 bytes.
    pub fn send(&mut self, message: &[u8]) {
        const BINARY_AND_LAST: u8 = 0x82;
        const MASKED: u8 = 0x80;
        let length = u8::try_from(message.len()).ok().filter(|length| *length < 126);
        let mask = [0x5a, 0xa5, 0x0f, 0xf0];
        let mut frame = vec![BINARY_AND_LAST, MASKED | length.expect("the message is short")];
        frame.extend(mask);
        frame.extend(message.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.get_mut().write_all(&frame).expect("the server reads");
    }

    /// The next message; `None` at the end. Servers mask nothing, and those of the tests send no fragments.
    pub fn message(&mut self) -> Option<Vec<u8>> {
        let reader = &mut self.0;
        let mut head = [0; 2];
        reader.read_exact(&mut head).expect("a server says goodbye");
        let mut wide = [0; 8];
        let length = match head[1] {
            126 => {
                reader.read_exact(&mut wide[6..]).expect("a length follows");
                u64::from_be_bytes(wide)
            }
            127 => {
                reader.read_exact(&mut wide).expect("a length follows");
                u64::from_be_bytes(wide)
            }
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a message fits into memory")];
        reader.read_exact(&mut payload).expect("the message follows");
        (head[0] & 0x0f != 8).then_some(payload)
    }
}

/// The messages a server sends at this path until it closes the connection, of the protocol named.
pub fn listen(address: SocketAddr, path: &str, protocol: &str) -> Vec<Vec<u8>> {
    let mut socket = Socket::open(address, path, protocol);
    std::iter::from_fn(|| socket.message()).collect()
}
