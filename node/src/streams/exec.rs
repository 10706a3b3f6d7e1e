//! A command, or a program attached to, and its client.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use wherry_runtime_api::{ContainerId, ExecSpec, Execution, Runtime};

use super::session::{Ended, Message, Session, Size};
use crate::context::chain;

const BLOCK: usize = 32 * 1024;

/// Runs a command for a client. A client that goes away ends the command.
pub(super) async fn run(runtime: &dyn Runtime, id: &ContainerId, spec: &ExecSpec, session: Session) {
    let output = session.output.clone();
    let ended = tokio::select! {
        ended = start(runtime, id, spec, session) => ended,
        () = output.closed() => return,
    };
    // Whoever is gone by now does not want to know.
    output.send(Message::Ended(ended)).await.ok();
}

/// Joins a client with a program that it is attached to, until the program ends, the client goes away or, if so it is to be,
/// writes no more.
pub(super) async fn attach(execution: Execution, ends_with_input: bool, session: Session) {
    let output = session.output.clone();
    let ended = tokio::select! {
        ended = attend(execution, ends_with_input, session) => ended,
        () = output.closed() => return,
    };
    // Whoever is gone by now does not want to know.
    output.send(Message::Ended(ended)).await.ok();
}

async fn start(runtime: &dyn Runtime, id: &ContainerId, spec: &ExecSpec, session: Session) -> Ended {
    match runtime.exec(id, spec).await {
        Ok(execution) => attend(execution, false, session).await,
        Err(error) => failed(&error),
    }
}

fn failed(error: &wherry_runtime_api::RuntimeError) -> Ended {
    Ended::Failed(format!("error executing command in container: {}", chain(error)))
}

async fn attend(execution: Execution, ends_with_input: bool, session: Session) -> Ended {
    let Execution { stdin, stdout, stderr, terminal, ended } = execution;
    let (output, errors) = (&session.output, &session.output);
    let feeding = async {
        feed(stdin, session.input).await;
        if !ends_with_input {
            std::future::pending::<()>().await;
        }
    };
    let sizing = async {
        let mut sizes = session.sizes;
        while let Some(Size { width, height }) = sizes.recv().await {
            if let Some(terminal) = &terminal {
                // The terminal of a command that has just ended takes no size.
                terminal.resize(width, height).ok();
            }
        }
    };
    let sizing = async {
        sizing.await;
        std::future::pending::<()>().await;
    };
    let errors = async {
        if let Some(stderr) = stderr {
            copy(stderr, errors, Message::Stderr).await;
        }
    };
    let running = async { tokio::join!(ended, copy(stdout, output, Message::Stdout), errors).0 };
    tokio::select! {
        ended = running => ended.map_or_else(|error| failed(&error), Ended::Code),
        () = feeding => Ended::Code(0),
        () = sizing => Ended::Code(0),
    }
}

/// Writes what the client types, and goes on reading when the command does not want it any more.
async fn feed(stdin: Option<wherry_runtime_api::exec::Input>, mut input: mpsc::Receiver<Bytes>) {
    if let Some(mut stdin) = stdin {
        while let Some(bytes) = input.recv().await {
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
    }
    while input.recv().await.is_some() {}
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    to: &mpsc::Sender<Message>,
    message: impl Fn(Bytes) -> Message,
) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(BLOCK);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if to.send(message(buffer.split().freeze())).await.is_err() => return,
            Ok(_) => {}
        }
    }
}
