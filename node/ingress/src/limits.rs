//! What a client and an endpoint may take of time and room.

use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's head.
    pub head: usize,
    /// Headers of a request.
    pub headers: usize,
    /// How long a client may take for a TLS handshake, and for the head of a request; also, how long a connection of HTTP/1.1
    /// may wait for its next request.
    pub head_time: Duration,
    /// How long nothing may move on a connection of a client, in either direction.
    pub quiet: Duration,
    /// How long a client may take none of what is sent to it, and an endpoint send nothing more of an answer's body.
    pub stalled: Duration,
    /// How long an endpoint may take to accept a connection.
    pub connect: Duration,
    /// How long an endpoint may take for the head of its answer.
    pub answer: Duration,
    /// How many endpoints are tried for a request.
    pub tries: usize,
    /// Connections of clients to one door at a time; more wait to be accepted.
    pub connections: usize,
    /// Requests of one connection of HTTP/2 at a time.
    pub streams: u32,
    /// Connections to one endpoint that are kept for later, and how long.
    pub idle: (usize, Duration),
    /// Copies of requests that are under way at a time; beyond, none is made.
    pub mirrored: usize,
    /// How long requests may go on when the proxy stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 64 * 1024,
            headers: 100,
            head_time: Duration::from_secs(30),
            quiet: Duration::from_mins(5),
            stalled: Duration::from_mins(1),
            connect: Duration::from_secs(3),
            answer: Duration::from_mins(1),
            tries: 3,
            connections: 16 * 1024,
            streams: 250,
            idle: (128, Duration::from_secs(30)),
            mirrored: 256,
            drain: Duration::from_secs(2),
        }
    }
}
