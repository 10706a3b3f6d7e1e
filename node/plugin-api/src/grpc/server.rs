//! Answers calls at a Unix socket.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use prost::Message;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{INVALID_ARGUMENT, OK, Status, frame};

type Body = StreamBody<Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, Infallible>> + Send>>>;

/// What is answered to a call.
pub struct Reply(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl Reply {
    /// One message.
    pub fn one(message: &impl Message) -> Self {
        Self(Box::pin(stream::iter([frame::of(message)])))
    }

    /// One message after the other.
    pub fn many<M: Message>(messages: impl Stream<Item = M> + Send + 'static) -> Self {
        Self(Box::pin(messages.map(|message| frame::of(&message))))
    }
}

/// What answers calls.
pub trait Service: Send + Sync + 'static {
    /// Answers a call of the method: `/package.Service/Method`.
    fn answer(&self, method: &str, question: Question) -> impl Future<Output = Result<Reply, Status>> + Send;
}

/// What a call asks.
#[derive(Clone, Debug)]
pub struct Question(Bytes);

impl Question {
    /// The message.
    pub fn read<M: Message + Default>(self) -> Result<M, Status> {
        frame::only(self.0).map_err(|why| {
            Status::new(INVALID_ARGUMENT, format!("the question is not the message that was expected: {why}"))
        })
    }
}

/// Answers calls until `stop`.
pub async fn serve<S: Service>(listener: UnixListener, service: Arc<S>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        // One that is gone already needs no answer.
        let Ok((stream, _)) = accepted else { continue };
        connections.spawn(connection(stream, service.clone()));
    }
}

async fn connection<S: Service>(stream: UnixStream, service: Arc<S>) {
    let answering = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(respond(&*service, request).await) }
    });
    // Who hangs up ends its own connection alone.
    let _hung_up =
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answering).await;
}

async fn respond<S: Service>(service: &S, request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let answered = match Limited::new(body, frame::LONGEST).collect().await {
        Ok(body) => service.answer(head.uri.path(), Question(body.to_bytes())).await,
        Err(error) => Err(Status::new(INVALID_ARGUMENT, format!("the question cannot be read: {error}"))),
    };
    let (messages, status) = match answered {
        Ok(Reply(messages)) => (messages, Ok(())),
        Err(status) => (Reply(Box::pin(stream::empty())).0, Err(status)),
    };
    let end = stream::iter([Ok(Frame::trailers(trailers(status)))]);
    let frames = messages.map(|message| Ok(Frame::data(message))).chain(end);
    let mut response = Response::new(StreamBody::new(Box::pin(frames) as _));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

fn trailers(status: Result<(), Status>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    let code = status.as_ref().err().map_or(OK, |status| status.code);
    trailers.insert("grpc-status", HeaderValue::from(code));
    if let Err(status) = status {
        let message = utf8_percent_encode(&status.message, CONTROLS).to_string();
        if let Ok(message) = HeaderValue::from_str(&message) {
            trailers.insert("grpc-message", message);
        }
    }
    trailers
}
