//! Connections that left HTTP: bytes both ways until one side ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Bytes buffered in each direction.
const BUFFER: usize = 16 * 1024;

/// Joins a client and an endpoint that agreed on another protocol.
pub(crate) async fn join(client: OnUpgrade, endpoint: OnUpgrade) {
    let (client, endpoint) = match tokio::try_join!(client, endpoint) {
        Ok((client, endpoint)) => (client, endpoint),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "a connection could not leave HTTP");
            return;
        }
    };
    let (mut client, mut endpoint) = (TokioIo::new(client), TokioIo::new(endpoint));
    // How it ended, both sides know.
    let _ = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut endpoint, BUFFER, BUFFER).await;
}
