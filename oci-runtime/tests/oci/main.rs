//! Containers for real: busybox below runc below the shim. Needs root, runc, crun, busybox-static and the guest `cli` of
//! `scripts/guests`.
//!
//! Every test has a data directory, a pod and cgroups of its own and checks at its end that nothing is left.

#[cfg(test)]
mod attach;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod exec;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod node;
#[cfg(test)]
mod programs;
#[cfg(test)]
mod running;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod users;
