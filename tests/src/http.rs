//! Plain HTTP/1.1 requests as a load generator and a curious test need them.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest a request may take before it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// `GET http://address/path` on a connection of its own.
pub fn get(address: SocketAddr, path: &str) -> io::Result<Answer> {
    get_of(address, &address.to_string(), path)
}

/// `GET http://host/path`, asked of whoever is at that address.
pub fn get_of(address: SocketAddr, host: &str, path: &str) -> io::Result<Answer> {
    exchange(address, &asking(host, path), TIMEOUT)
}

/// The same as [`get`] by who waits only so long for an answer.
pub fn get_within(address: SocketAddr, path: &str, patience: Duration) -> io::Result<Answer> {
    exchange(address, &asking(&address.to_string(), path), patience)
}

fn asking(host: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// Changes an object of the API behind `kubectl proxy` by a merge patch.
pub fn patch(address: SocketAddr, path: &str, patch: &str) -> io::Result<Answer> {
    let length = patch.len();
    let request = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/merge-patch+json\r\nContent-Length: {length}\r\n\r\n{patch}"
    );
    exchange(address, &request, TIMEOUT)
}

fn exchange(address: SocketAddr, request: &str, patience: Duration) -> io::Result<Answer> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_nodelay(true)?;
    (&stream).write_all(request.as_bytes())?;
    read_answer(BufReader::new(stream))
}

fn read_answer(mut reader: BufReader<TcpStream>) -> io::Result<Answer> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status line"))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Err(bad("the connection ended within the headers"));
        }
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse::<u64>().ok();
        }
        chunked |= header.strip_prefix("transfer-encoding:").is_some_and(|v| v.trim() == "chunked");
    }
    let body = match (chunked, length) {
        (true, _) => read_chunks(&mut reader)?,
        (false, Some(length)) => {
            let mut body = vec![0; usize::try_from(length).map_err(|_| bad("an absurd length"))?];
            reader.read_exact(&mut body)?;
            body
        }
        (false, None) => {
            let mut body = Vec::new();
            reader.read_to_end(&mut body)?;
            body
        }
    };
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

fn read_chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut size = String::new();
        reader.read_line(&mut size)?;
        let size = usize::from_str_radix(size.trim(), 16)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("chunk size {size:?}: {e}")))?;
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        reader.read_line(&mut String::new())?;
        if size == 0 {
            return Ok(body);
        }
    }
}
