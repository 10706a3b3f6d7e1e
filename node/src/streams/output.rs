//! Attaching to a container whose runtime hands out no streams: what its program writes to its log from now on, until it
//! ends.

use std::io;
use std::path::Path;

use bytes::Bytes;
use tokio::sync::mpsc;
use wherry_runtime_api::logs::Stream;

use super::session::{Ended, IN_FLIGHT, Message, Session};
use crate::logs::{Following, LogOptions};

/// Shows a client what the program writes to the streams that are wanted.
pub(super) async fn run(following: Following, path: &Path, streams: &[Stream], session: Session) {
    // Nobody reads what is typed: the program has no input.
    let Session { output, .. } = session;
    let showing = async {
        let shown = streams.iter().map(|stream| show(following.clone(), path, *stream, &output));
        futures::future::join_all(shown).await;
        // Whoever is gone by now does not want to know.
        output.send(Message::Ended(Ended::Code(0))).await.ok();
    };
    tokio::select! {
        () = showing => {}
        () = output.closed() => {}
    }
}

async fn show(following: Following, path: &Path, stream: Stream, output: &mpsc::Sender<Message>) {
    let options =
        LogOptions { follow: true, tail_lines: Some(0), stream: Some(stream), ..LogOptions::default() };
    let (sender, mut receiver) = mpsc::channel::<io::Result<Bytes>>(IN_FLIGHT);
    let passing = async {
        while let Some(Ok(bytes)) = receiver.recv().await {
            let message = match stream {
                Stream::Stdout => Message::Stdout(bytes),
                Stream::Stderr => Message::Stderr(bytes),
            };
            if output.send(message).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(Following { options, ..following }.run(path, sender), passing);
}
