//! A cluster on paused time: the real API server and the real controllers, in one thread, with everything around them
//! made up from a seed.
//!
//! What is real: store, API server, controllers, and the JSON between them. What is made up: nodes (they bind Pods to
//! themselves and run them, `node`), users (they create workloads and change their minds, `user`), and a network that
//! refuses, delays, repeats and forgets (`network`); the controllers are killed at any await point and started again
//! (`cluster`). After a while the weather turns calm, and what the cluster settles to is looked at.
//!
//! Every change of the store is shown to the `invariants`, one a file. A violation names the seed; the same seed gives
//! the same run.
//!
//! Reading order: `run`, `cluster`, `network`, `node`, `user`, `view`, `invariants`.

mod clock;
mod cluster;
mod invariants;
mod network;
mod node;
mod object;
mod random;
mod run;
mod user;
mod view;

pub use run::{Plan, Report, Violation, run};
