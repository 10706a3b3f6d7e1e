//! The wasm runtime seen from outside, with the guests that `scripts/guests` builds.
//!
//! One binary for all suites: each links an engine and a compiler.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod blobs;
#[cfg(test)]
mod buckets;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod core_dumps;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod images;
#[cfg(test)]
mod imported;
#[cfg(test)]
mod in_process;
#[cfg(test)]
mod interfaces;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod languages;
#[cfg(test)]
mod names;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod p3_commands;
#[cfg(test)]
mod p3_servers;
#[cfg(test)]
mod processors;
#[cfg(test)]
mod redis_server;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod support;
