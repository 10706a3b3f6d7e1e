//! HTTP/2 by hand: one request whose headers no library would send.

use std::io::{Read as _, Write as _};

use crate::client::{Answer, Client};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_OF_STREAM: u8 = 1;
const END_OF_HEADERS: u8 = 4;
/// `:status: 200`, as it stands in the table that both sides know.
const OK: u8 = 0x88;

/// The usual headers of a request.
pub(crate) fn head(path: &'static str, token: &str) -> Vec<(&'static str, &'static str)> {
    let authorization = match token {
        "golden-alice" => "Bearer golden-alice",
        other => panic!("nobody has the token {other}"),
    };
    vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", path),
        ("authorization", authorization),
    ]
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A text of HPACK, as it is.
fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match u8::try_from(text.len()).unwrap() {
        short @ ..127 => out.push(short),
        long => out.extend([127, long - 127]),
    }
    out.extend_from_slice(text.as_bytes());
    out
}

/// Sends a request with these headers; what comes back is 200, or something else told as 0.
pub(crate) fn ask(client: &Client, fields: &[(&str, &str)]) -> Answer {
    // Literal, never indexed, with a name of its own.
    let block: Vec<u8> =
        fields.iter().flat_map(|(name, value)| [vec![0x10], text(name), text(value)].concat()).collect();
    let request = frame(HEADERS, END_OF_STREAM | END_OF_HEADERS, 1, &block);
    let mut stream = client.connect();
    stream.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &request].concat()).unwrap();
    let mut answer = Answer { code: 0, text: String::new() };
    let mut header = [0; 9];
    while stream.read_exact(&mut header).is_ok() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        match header[3] {
            HEADERS if payload.iter().find(|byte| **byte & 0xe0 != 0x20) == Some(&OK) => answer.code = 200,
            DATA => answer.text.push_str(&String::from_utf8_lossy(&payload)),
            GO_AWAY => break,
            _ => {}
        }
        let ended = matches!(header[3], HEADERS | DATA) && header[4] & END_OF_STREAM != 0;
        if ended || header[3] == RESET {
            break;
        }
    }
    answer
}
