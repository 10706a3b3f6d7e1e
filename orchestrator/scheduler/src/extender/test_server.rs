//! An extender for tests: a small HTTP server that answers as it is told.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What is answered to a body sent to a path: the code and the body.
type Answer = dyn Fn(&str, Value) -> (u16, Value) + Send + Sync;

/// See the module's documentation. It stops when it is dropped.
pub(crate) struct TestExtender {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl TestExtender {
    pub(crate) async fn start(answer: impl Fn(&str, Value) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer: Arc<Answer> = Arc::new(answer);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, answer.clone()));
            }
        });
        Self { address, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/prefix", self.address)
    }
}

/// Serves one connection until it is closed.
async fn serve(stream: TcpStream, answer: Arc<Answer>) {
    let mut stream = BufReader::new(stream);
    while let Some((path, body)) = request(&mut stream).await {
        let (code, body) = answer(&path, body);
        let body = body.to_string();
        let head = format!("HTTP/1.1 {code} Said\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    }
}

/// The path and body of the next request.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let (mut first, mut length) = (String::new(), 0);
    stream.read_line(&mut first).await.ok().filter(|read| *read > 0)?;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().ok()?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((first.split(' ').nth(1)?.to_owned(), serde_json::from_slice(&body).ok()?))
}
