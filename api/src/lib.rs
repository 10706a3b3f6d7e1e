//! Shared pure types: what every part of Wherry means by a kind, a selector, a quantity, a name, the time.
//!
//! No IO and no async: this crate can be used by the API server, by its clients and by tests alike.
//!
//! Reading order: [`kinds`] (the table of resources), [`selector`], [`quantity`], [`names`], [`clock`], [`cron`],
//! [`certificates`], [`data`] (how values are read in place), [`quota`] (what objects count for),
//! [`local_path`] (volumes that are directories of a node), [`csi`] (volumes of drivers), [`ingress`] (the built-in controller),
//! [`ranges`] (the addresses of a cluster), [`events`] (which of them are told, and how).

pub mod certificates;
pub mod clock;
pub mod cron;
pub mod csi;
pub mod data;
pub mod events;
pub mod gateway;
pub mod ingress;
pub mod kinds;
pub mod local_path;
pub mod names;
pub mod quantity;
pub mod quota;
pub mod ranges;
pub mod selector;
