//! Tunnel: two connections that left HTTP, joined until either ends or the server stops.

use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::state::State;

/// Joins the client's connection and the one that `answer` came over, once the client has got the answer.
pub(crate) fn open(state: &State, client: OnUpgrade, answer: &mut Response) {
    let backend = hyper::upgrade::on(answer);
    let stopping = state.stopping.clone();
    let joined = async move {
        let (client, backend) = tokio::try_join!(client, backend)?;
        let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
        // Whoever went away in the middle is seen by the other side as the end.
        let _ended = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
        Ok::<_, hyper::Error>(())
    };
    state.tasks.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            ended = joined => if let Err(error) = ended {
                tracing::debug!(%error, "a connection could not be given to its tunnel");
            },
        }
    });
}
