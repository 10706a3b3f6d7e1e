//! Values: what they are called, and their bytes.

use std::net::{IpAddr, SocketAddr};

use crate::syntax::{Family, Field, Type, Value};

/// Bytes of the kernel's names of interfaces.
const INTERFACE: usize = 16;

impl Type {
    /// What `nft` calls it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ipv4_addr" => Self::Ipv4,
            "ipv6_addr" => Self::Ipv6,
            "inet_proto" => Self::Protocol,
            "inet_service" => Self::Port,
            "mark" => Self::Mark,
            "ifname" => Self::Interface,
            _ => return None,
        })
    }

    /// The number by which `nft` knows it when it reads sets.
    pub(crate) fn number(self) -> u32 {
        match self {
            Self::NfProtocol => 2,
            Self::Integer => 4,
            Self::Ipv4 => 7,
            Self::Ipv6 => 8,
            Self::Protocol => 12,
            Self::Port => 13,
            Self::Mark => 19,
            Self::CtState => 26,
            Self::CtStatus => 28,
            Self::Route => 38,
            Self::Icmpv6 => 29,
            Self::Interface => 41,
        }
    }

    /// In bytes.
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Protocol | Self::NfProtocol | Self::Icmpv6 => 1,
            Self::Port => 2,
            Self::Ipv4 | Self::Integer | Self::Mark | Self::CtState | Self::CtStatus | Self::Route => 4,
            Self::Ipv6 | Self::Interface => 16,
        }
    }

    /// Whether its bytes are in the order of the processor, not in that of the network.
    pub(crate) fn is_of_host(self) -> bool {
        matches!(
            self,
            Self::Integer
                | Self::Mark
                | Self::CtState
                | Self::CtStatus
                | Self::Route
                | Self::Interface
                | Self::NfProtocol
        )
    }

    /// The one value that a word says.
    pub(crate) fn literal(self, word: &str) -> Option<Vec<u8>> {
        Some(match self {
            Self::Integer | Self::Mark => number(word)?.to_ne_bytes().to_vec(),
            Self::Ipv4 | Self::Ipv6 => {
                let (of, bytes) = address(word)?;
                return (of == self).then_some(bytes);
            }
            Self::Protocol => vec![protocol(word)?],
            Self::Port => word.parse::<u16>().ok()?.to_be_bytes().to_vec(),
            Self::NfProtocol => vec![match word {
                "ipv4" => 2,
                "ipv6" => 10,
                _ => return None,
            }],
            Self::Route => {
                let kind: u32 = match word {
                    "unicast" => 1,
                    "local" => 2,
                    "broadcast" => 3,
                    "multicast" => 5,
                    _ => return None,
                };
                kind.to_ne_bytes().to_vec()
            }
            Self::Interface => {
                // The last byte ends it.
                let mut name = word.as_bytes().to_vec();
                if name.is_empty() || name.len() >= INTERFACE {
                    return None;
                }
                name.resize(INTERFACE, 0);
                name
            }
            Self::Icmpv6 => vec![match word {
                "nd-router-solicit" => 133,
                "nd-router-advert" => 134,
                "nd-neighbor-solicit" => 135,
                "nd-neighbor-advert" => 136,
                _ => word.parse().ok()?,
            }],
            Self::CtState | Self::CtStatus => bit(self, word)?.to_ne_bytes().to_vec(),
        })
    }

    /// The values that a word says: one, those of a prefix, or those from one to another.
    pub(crate) fn values(self, word: &str) -> Option<Value> {
        if let (Self::Ipv4 | Self::Ipv6, Some((address, length))) = (self, word.split_once('/')) {
            let (bytes, length) = (self.literal(address)?, length.parse().ok()?);
            return match length {
                _ if length > bytes.len() * 8 => None,
                _ if length == bytes.len() * 8 => Some(Value::One(bytes)),
                _ => Some(Value::Prefix(bytes, length)),
            };
        }
        if let (Self::Ipv4 | Self::Ipv6 | Self::Port, Some((first, last))) = (self, word.split_once('-')) {
            let (first, last) = (self.literal(first)?, self.literal(last)?);
            return (first <= last).then_some(Value::Range(first, last));
        }
        self.literal(word).map(Value::One)
    }
}

impl Field {
    /// What its values are of.
    pub(crate) fn kind(self) -> Type {
        match self {
            Self::Address { family: Family::Ip6, .. } => Type::Ipv6,
            Self::Address { .. } => Type::Ipv4,
            Self::Port(_) => Type::Port,
            Self::L4Protocol => Type::Protocol,
            Self::NfProtocol => Type::NfProtocol,
            Self::Mark => Type::Mark,
            Self::InputInterface | Self::OutputInterface => Type::Interface,
            Self::CtState => Type::CtState,
            Self::CtStatus => Type::CtStatus,
            Self::AddressType(_) => Type::Route,
            Self::Icmpv6Type => Type::Icmpv6,
        }
    }
}

/// The bit of a connection's state or status.
pub(crate) fn bit(of: Type, word: &str) -> Option<u32> {
    Some(match (of, word) {
        (Type::CtState, "invalid") => 1,
        (Type::CtState, "established") => 2,
        (Type::CtState, "related") => 4,
        (Type::CtState, "new") => 8,
        (Type::CtState, "untracked") => 64,
        (Type::CtStatus, "snat") => 16,
        (Type::CtStatus, "dnat") => 32,
        _ => return None,
    })
}

/// A value whose type follows from how it is written: an address, a protocol or a port.
pub(crate) fn guess(word: &str) -> Option<(Type, Vec<u8>)> {
    let kinds = [Type::Ipv4, Type::Ipv6, Type::Port, Type::Protocol];
    kinds.into_iter().find_map(|kind| Some((kind, kind.literal(word)?)))
}

/// The parts as one key: more than one begin at multiples of four bytes each.
pub(crate) fn joined(mut parts: Vec<Vec<u8>>) -> Vec<u8> {
    if parts.len() > 1 {
        for part in &mut parts {
            part.resize(part.len().next_multiple_of(4), 0);
        }
    }
    parts.concat()
}

/// How long such a key is.
pub(crate) fn joined_length(parts: &[Type]) -> usize {
    match parts {
        [one] => one.length(),
        several => several.iter().map(|part| part.length().next_multiple_of(4)).sum(),
    }
}

/// The number of such a key's type.
pub(crate) fn joined_number(parts: &[Type]) -> u32 {
    parts.iter().fold(0, |number, part| number << 6 | part.number())
}

/// A number as programs write it, also with `0x`.
pub(crate) fn number(word: &str) -> Option<u32> {
    match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => word.parse().ok(),
    }
}

/// An address, or one with a port (`[…]:…` in IPv6).
pub(crate) fn endpoint(word: &str) -> Option<(Family, Vec<u8>, Option<u16>)> {
    let (ip, port) = match word.parse::<SocketAddr>() {
        Ok(both) => (both.ip(), Some(both.port())),
        Err(_) => (word.parse().ok()?, None),
    };
    Some(match ip {
        IpAddr::V4(ip) => (Family::Ip, ip.octets().to_vec(), port),
        IpAddr::V6(ip) => (Family::Ip6, ip.octets().to_vec(), port),
    })
}

fn address(word: &str) -> Option<(Type, Vec<u8>)> {
    Some(match word.parse().ok()? {
        IpAddr::V4(ip) => (Type::Ipv4, ip.octets().to_vec()),
        IpAddr::V6(ip) => (Type::Ipv6, ip.octets().to_vec()),
    })
}

fn protocol(word: &str) -> Option<u8> {
    Some(match word {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" | "ipv6-icmp" => 58,
        "sctp" => 132,
        _ => return None,
    })
}
