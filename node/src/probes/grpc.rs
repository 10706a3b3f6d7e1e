//! A probe by gRPC: `grpc.health.v1.Health/Check` in one HTTP/2 request, as kubelet asks it.
//!
//! The two messages have one field each, so they are written and read here.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::check::connect_error;

/// The longest answer taken.
const MAX_ANSWER: usize = 4096;
/// What precedes a message: a flag that says that it is not compressed, and its length.
const PREFIX: usize = 5;
/// The container serves.
const SERVING: u64 = 1;

/// Asks for the health of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrpcCheck {
    /// The port.
    pub(crate) port: u16,
    /// The service, empty for the server as a whole.
    pub(crate) service: String,
}

impl GrpcCheck {
    /// Asks; an error is a sentence in kubelet's words.
    pub(super) async fn run(&self, address: SocketAddr, timeout: Duration) -> Result<(), String> {
        let asking = async {
            let stream = TcpStream::connect(address).await.map_err(|error| {
                let reason = connect_error(&error);
                format!("error: connection error: desc = \"transport: Error while dialing: dial tcp {address}: {reason}\"")
            })?;
            self.ask(stream, address).await
        };
        let late = || {
            let within = timeout.as_secs();
            format!(
                "timeout: failed to connect service {:?} within {within}s: context deadline exceeded",
                address.to_string()
            )
        };
        tokio::time::timeout(timeout, asking).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask(&self, stream: TcpStream, address: SocketAddr) -> Result<(), String> {
        let failed = |error: hyper::Error| format!("error: health rpc failed: {error}");
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(failed)?;
        let request = self.request(address)?;
        let answered = async {
            let response = sender.send_request(request).await.map_err(failed)?;
            verdict(response).await
        };
        // The connection only makes progress while it is polled; it is dropped with the answer.
        tokio::select! {
            biased;
            verdict = answered => verdict,
            ended = connection => Err(ended.map_or_else(failed, |()| "error: health rpc failed: the server hung up".to_owned())),
        }
    }

    fn request(&self, address: SocketAddr) -> Result<Request<Full<Bytes>>, String> {
        Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .header(header::USER_AGENT, "kube-probe/1.36")
            .body(Full::new(message(&self.service)))
            .map_err(|error| error.to_string())
    }
}

/// A request's message: field 1 is the service's name.
fn message(service: &str) -> Bytes {
    let mut field = Vec::new();
    if !service.is_empty() {
        field.push(0x0a);
        let mut length = service.len();
        while length > 0x7f {
            field.push(0x80 | u8::try_from(length & 0x7f).unwrap_or_default());
            length >>= 7;
        }
        field.push(u8::try_from(length).unwrap_or_default());
        field.extend(service.as_bytes());
    }
    let length = u32::try_from(field.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], &field].concat().into()
}

/// What an answer says: its status is in its headers if it has nothing else, else in what follows the message.
async fn verdict(response: http::Response<Incoming>) -> Result<(), String> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(format!(
            "error: health rpc failed: unexpected HTTP status code {}",
            head.status.as_u16()
        ));
    }
    let body = Limited::new(body, MAX_ANSWER).collect().await;
    let body = body.map_err(|error| format!("error: health rpc failed: {error}"))?;
    let code = body.trailers().and_then(status).or_else(|| status(&head.headers));
    match code {
        Some((0, _)) => {}
        Some((UNIMPLEMENTED, _)) => {
            return Err(
                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
                    .to_owned(),
            );
        }
        Some((code, words)) => return Err(format!("error: health rpc failed: code = {code} desc = {words}")),
        None => return Err("error: health rpc failed: the answer has no grpc-status".to_owned()),
    }
    match served(&body.to_bytes()) {
        Some(SERVING) => Ok(()),
        Some(other) => Err(format!("service unhealthy (responded with {:?})", name(other))),
        None => Err("error: health rpc failed: the answer is no HealthCheckResponse".to_owned()),
    }
}

/// The status code of a server that does not know the method.
const UNIMPLEMENTED: u32 = 12;

fn status(headers: &HeaderMap) -> Option<(u32, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().ok()?;
    Some((code, text("grpc-message").unwrap_or_default().to_owned()))
}

fn name(status: u64) -> String {
    match status {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => other.to_string(),
    }
}

/// The status of an answer's message: field 1, a number that is 0 if it is left out. `None` if it is no such message.
fn served(bytes: &[u8]) -> Option<u64> {
    let (prefix, mut message) = bytes.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(*prefix.last_chunk()?);
    if prefix[0] != 0 || message.len() != usize::try_from(length).ok()? {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match (key >> 3, key & 7) {
            (1, 0) => status = varint(&mut message)?,
            (0, _) => return None,
            // What a later version of the message may add.
            (_, 0) => drop(varint(&mut message)?),
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(message(""), &b"\0\0\0\0\0"[..]);
        assert_eq!(message("my.Service"), &b"\0\0\0\0\x0c\x0a\x0amy.Service"[..]);
        assert_eq!(message(&"x".repeat(200))[..8], *b"\0\0\0\0\xcb\x0a\xc8\x01");
        assert_eq!(served(b"\0\0\0\0\x02\x08\x01"), Some(SERVING));
        assert_eq!(served(b"\0\0\0\0\0"), Some(0));
        assert_eq!(served(b"\0\0\0\0\x05\x12\x01x\x08\x02"), Some(2));
        for wrong in [&b"\x01\0\0\0\x02\x08\x01"[..], b"\0\0\0\0\x03\x08\x01", b"\0\0\0\0\x01\x08", b"\0\0"] {
            assert_eq!(served(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_an_answer(message: Vec<u8>) {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            served(&[&[0], &length[..], &message].concat());
            served(&message);
        }

        #[test]
        fn any_status_is_read(status: u64, added in "[a-z]{0,20}") {
            let mut message = vec![0x08];
            let mut rest = status;
            while rest > 0x7f {
                message.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
                rest >>= 7;
            }
            message.push(u8::try_from(rest).unwrap());
            message.extend([0x12, u8::try_from(added.len()).unwrap()]);
            message.extend(added.as_bytes());
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            prop_assert_eq!(served(&[&[0], &length[..], &message].concat()), Some(status));
        }
    }
}
