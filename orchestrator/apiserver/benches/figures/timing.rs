//! How long a measurement takes, and what it costs the server.

use std::time::Duration;

use tokio::time::Instant;

use crate::report::{figure, float};
use crate::server::Server;

const ROUND: Duration = Duration::from_secs(2);

/// When a measurement began, and how busy the server had been until then.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    begin: Instant,
    busy: f64,
}

impl Timing {
    /// Begins a round.
    pub(crate) fn begin(server: &Server) -> Self {
        Self { begin: Instant::now(), busy: server.busy() }
    }

    /// Whether the round is not over.
    pub(crate) fn goes_on(self) -> bool {
        self.begin.elapsed() < ROUND
    }

    /// Prints how many requests there were in a second, and what each cost the server.
    pub(crate) fn report(
        self,
        server: &Server,
        (name, baseline): (&str, &str),
        (clients, requests): (usize, usize),
    ) {
        let (seconds, requests) = (self.begin.elapsed().as_secs_f64(), float(requests));
        let cost = (server.busy() - self.busy) / requests * 1e6;
        figure(&format!("api_{name}_{clients}_clients"), requests / seconds, "/s", baseline);
        figure(&format!("api_{name}_processor_time"), cost, "us of the server each", "none");
    }
}
