//! A WebSocket client that listens: enough to see what a server sends of its own accord.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The messages a server sends at this path until it closes the connection, of the protocol named.
pub fn listen(address: SocketAddr, path: &str, protocol: &str) -> Vec<Vec<u8>> {
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
    std::iter::from_fn(|| message(&mut reader)).collect()
}

/// The next message; `None` at the end. Servers mask nothing, and those of the tests send no fragments.
fn message(reader: &mut impl Read) -> Option<Vec<u8>> {
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
