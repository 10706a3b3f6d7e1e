//! The store's tests from outside: its invariants one by one, a model, watches under load, and crashes.

mod common;
mod crash;
mod invariants;
mod memory_disk;
mod model;
mod power_loss;
mod watch;
