//! Documents of other servers, read whole over TLS.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::place::Address;
use super::{connect, tls};

/// The most bytes a document has.
const MOST: usize = 1 << 20;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads what is at a URL, which must be one of HTTPS. Redirects are not followed.
pub(crate) async fn get(url: &str, tls: &TlsConnector) -> Result<Bytes, String> {
    let read = tokio::time::timeout(PATIENCE, read(url, tls)).await;
    let read = read.unwrap_or_else(|_| Err("context deadline exceeded".to_owned()));
    read.map_err(|why| format!("Get {url:?}: {why}"))
}

async fn read(url: &str, connector: &TlsConnector) -> Result<Bytes, String> {
    let uri: Uri = url.parse().map_err(|_| "bad URL".to_owned())?;
    let authority = uri.authority().filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(|| "unsupported protocol scheme".to_owned())?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = connect::dial(Address::Host(host.to_owned(), authority.port_u16().unwrap_or(443))).await?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("tls: {host:?} is no name a certificate can have"))?;
    let stream = connector.connect(name, stream).await.map_err(|error| tls::told(&error, host))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "wherry")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MOST).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("unexpected status {status}")) }
    };
    // The connection ends with the request, whoever of both is first.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
