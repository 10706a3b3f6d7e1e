//! Containers as the node keeps them, with real programs. A test that does what a conformance description says bears its name.

#[cfg(test)]
mod devices;
#[cfg(test)]
mod endpoints;
#[cfg(test)]
mod ephemeral;
#[cfg(test)]
mod etc_hosts;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod images;
#[cfg(test)]
mod init;
#[cfg(test)]
mod kubelet;
#[cfg(test)]
mod last_words;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod probes;
#[cfg(test)]
mod restarts;
mod sandbox;
#[cfg(test)]
mod usage;
#[cfg(test)]
mod wasm;
