//! Streams between clients and containers: commands, attached programs, forwarded ports.
//!
//! ```text
//! client --(API server passes bytes on)--> server: who and what is meant, which protocol
//!   WebSocket: websocket (frames), messages -> channels  \
//!   SPDY/3.1:  spdy (frames, streams) -> remote -> session -> exec
//!   SPDY/3.1, bare or in a WebSocket (tunnel)  -> forward -> the Pod's ports
//!   WebSocket: messages -> port_channels ---------^
//!   WebSocket without channels -> pieces <- logs
//! ```
//!
//! # Guarantees
//! - A client that goes away ends its command; nothing of it is left.
//! - The API server only passes bytes on: protocols are spoken here, and nowhere else.

mod channels;
mod exec;
mod forward;
mod messages;
mod options;
mod pieces;
mod port_channels;
mod remote;
mod server;
mod session;
mod spdy;
mod tunnel;
mod websocket;

pub(crate) use server::{StreamState, router, send_pieces, wants_pieces};
