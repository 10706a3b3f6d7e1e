//! Asks a server. Each call has a connection of its own, which ends with it.

use std::path::Path;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{CallError, OK, Status, frame};

/// Calls the server behind the socket; one answer.
pub async fn call<Q, A>(socket: &Path, method: &str, question: &Q) -> Result<A, CallError>
where
    Q: Message,
    A: Message + Default,
{
    let io = connect(socket).await?;
    ask(io, "localhost", (method, "wherry"), question).await
}

/// Calls the server at the other end; one answer. The authority and the name of who asks are told to it.
pub async fn ask<Q, A>(
    io: impl Read + Write + Unpin + Send + 'static,
    authority: &str,
    (method, agent): (&str, &str),
    question: &Q,
) -> Result<A, CallError>
where
    Q: Message,
    A: Message + Default,
{
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), io).await.map_err(CallError::Connection)?;
    let request = request(authority, (method, agent), frame::of(question))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(CallError::Connection)?;
        answer(response).await
    };
    // The connection only makes progress while it is polled; it is dropped with the answer.
    tokio::select! {
        biased;
        answer = answered => answer,
        ended = connection => Err(ended.map_or_else(CallError::Connection, |()| CallError::NoStatus)),
    }
}

/// Calls the server behind the socket; a stream of answers.
pub async fn stream<Q, A>(socket: &Path, method: &str, question: &Q) -> Result<Messages<A>, CallError>
where
    Q: Message,
    A: Message + Default,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), connect(socket).await?)
        .await
        .map_err(CallError::Connection)?;
    let mut driver = JoinSet::new();
    // How the connection ended, whoever reads the answers learns from them.
    driver.spawn(async move { drop(connection.await) });
    let request = request("localhost", (method, "wherry"), frame::of(question))?;
    let response = sender.send_request(request).await.map_err(CallError::Connection)?;
    let (head, body) = response.into_parts();
    check(head.status)?;
    if let Some(Err(status)) = status(&head.headers) {
        return Err(status.into());
    }
    Ok(Messages { body, came: BytesMut::new(), _driver: driver, _answer: std::marker::PhantomData })
}

/// The answers of a stream.
#[derive(Debug)]
pub struct Messages<A> {
    body: Incoming,
    came: BytesMut,
    /// Aborted when nobody wants answers any more.
    _driver: JoinSet<()>,
    _answer: std::marker::PhantomData<fn() -> A>,
}

impl<A: Message + Default> Messages<A> {
    /// The next answer; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<A>, CallError> {
        loop {
            if let Some(message) = frame::next(&mut self.came).map_err(CallError::Message)? {
                return frame::decode(message).map(Some).map_err(CallError::Message);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(CallError::Connection(error)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.came.extend_from_slice(&data),
                    Err(other) => {
                        let trailers = other.into_trailers().unwrap_or_default();
                        return status(&trailers).unwrap_or(Ok(())).map(|()| None).map_err(CallError::from);
                    }
                },
            }
        }
    }
}

async fn connect(socket: &Path) -> Result<TokioIo<UnixStream>, CallError> {
    let failed = |source| CallError::Connect { socket: socket.to_owned(), source };
    UnixStream::connect(socket).await.map(TokioIo::new).map_err(failed)
}

fn request(
    authority: &str,
    (method, agent): (&str, &str),
    body: Bytes,
) -> Result<Request<Full<Bytes>>, CallError> {
    Request::post(format!("http://{authority}{method}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, agent)
        .body(Full::new(body))
        .map_err(CallError::Request)
}

fn check(status: http::StatusCode) -> Result<(), CallError> {
    if status.is_success() { Ok(()) } else { Err(CallError::Http(status.as_u16())) }
}

/// What an answer says: its status is in its headers if it has nothing else, else in what follows the message.
async fn answer<A: Message + Default>(response: Response<Incoming>) -> Result<A, CallError> {
    let (head, body) = response.into_parts();
    check(head.status)?;
    let body = Limited::new(body, frame::LONGEST).collect().await;
    let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
        Ok(error) => CallError::Connection(*error),
        Err(_) => CallError::Message("it is longer than 4 MiB"),
    })?;
    body.trailers().and_then(status).or_else(|| status(&head.headers)).ok_or(CallError::NoStatus)??;
    frame::only(body.to_bytes()).map_err(CallError::Message)
}

fn status(headers: &HeaderMap) -> Option<Result<(), Status>> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().ok()?;
    let message = percent_decode_str(text("grpc-message").unwrap_or_default()).decode_utf8_lossy();
    Some(if code == OK { Ok(()) } else { Err(Status::new(code, message)) })
}
