//! D-Bus over a Unix socket: calls, answers, signals, and files that go with them.
//!
//! It knows no more of the protocol than the few calls of a node need: values that are numbers, texts or files, alone or in a
//! variant, and no containers of them. What a message holds beyond that is left out when it is read.
//!
//! Reading order: [`Address`] (where a bus is), [`Message`] (what is said, as bytes), [`Connection`] (saying it).

mod address;
mod connection;
mod message;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod wire;

pub use address::{Address, AddressError};
pub use connection::{Answer, Connection, Error};
pub use message::{Call, Kind, Message, Value};
pub use wire::Malformed;
