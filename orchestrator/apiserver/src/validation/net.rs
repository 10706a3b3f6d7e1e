//! Addresses, ports and protocols.

use std::net::IpAddr;

use super::written::{parse_ip, parse_range};
use super::{Errors, Path};

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Transport protocols.
pub(crate) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// Refuses what is no IP address, or not of the family.
pub(crate) fn check_ip(text: &str, family: Option<&str>, path: &Path, errors: &mut Errors) {
    match (parse_ip(text), family) {
        (None, _) => errors.invalid(path, text, NOT_AN_IP),
        (Some(IpAddr::V6(_)), Some("IPv4")) => errors.invalid(path, text, "must be an IPv4 address"),
        (Some(IpAddr::V4(_)), Some("IPv6")) => errors.invalid(path, text, "must be an IPv6 address"),
        _ => {}
    }
}

/// Refuses what is no address range.
pub(crate) fn check_cidr(text: &str, path: &Path, errors: &mut Errors) {
    if parse_range(text).is_none() {
        errors.invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
}

/// Whether a text is an address.
pub(crate) fn is_ip(text: &str) -> bool {
    parse_ip(text).is_some()
}

/// Refuses addresses that mean something special, and so are not those of one other machine.
pub(crate) fn check_not_special(text: &str, path: &Path, errors: &mut Errors) {
    let Some(ip) = parse_ip(text) else { return };
    let (link_local, multicast) = match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), v6.segments()[0] & 0xff0f == 0xff02),
    };
    let refuse = if ip.is_unspecified() {
        format!("may not be unspecified ({text})")
    } else if is_local_loopback(ip) {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()
    } else if multicast {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
    } else {
        return;
    };
    errors.invalid(path, text, &refuse);
}

/// Refuses port numbers out of range.
pub(crate) fn check_port(port: i64, path: &Path, errors: &mut Errors) {
    if !(1..=65_535).contains(&port) {
        errors.invalid(path, port, "must be between 1 and 65535, inclusive");
    }
}

/// Refuses unknown protocols.
pub(crate) fn check_protocol(protocol: &str, path: &Path, errors: &mut Errors) {
    if protocol.is_empty() {
        errors.required(path, "");
    } else if !PROTOCOLS.contains(&protocol) {
        errors.unsupported(path, protocol, PROTOCOLS);
    }
}

/// What is wrong with the name of a port, in one text per broken rule.
pub(crate) fn port_name_problems(name: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if name.len() > 15 {
        problems.push("must be no more than 15 characters");
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|b| b.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        problems.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        problems.push("must not begin or end with a hyphen");
    }
    problems
}

/// Refuses a port that is neither a number nor the name of one.
pub(crate) fn check_port_or_name(port: &wherry_schema::Value, path: &Path, errors: &mut Errors) {
    match (port.as_str(), port.as_i64()) {
        (Some(name), _) => {
            for problem in port_name_problems(name) {
                errors.invalid(path, name, problem);
            }
        }
        (None, number) => check_port(number.unwrap_or(0), path, errors),
    }
}

/// The part of the loopback range where programs listen. Pods of loopback mode have addresses in the rest of it.
fn is_local_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[..2] == [127, 0],
        IpAddr::V6(v6) => v6.is_loopback(),
    }
}
