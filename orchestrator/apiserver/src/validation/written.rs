//! How addresses and ranges are written: what older fields allow and newer ones will not.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Path;
use super::canonical::{is_mapped, sloppy};

/// An address as older fields allow it: its parts may have leading zeros.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok().or_else(|| sloppy(text))
}

/// A range as older fields allow it.
pub(crate) fn parse_range(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|b| b.is_ascii_digit());
    let length = if plain { length.parse().ok()? } else { return None };
    IpNet::new(parse_ip(address)?, length).ok()
}

/// The address as Go prints it: one of IPv4 inside of IPv6 is one of IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// The warning of an address that is allowed and should be written in another way.
pub(crate) fn of_ip(path: &Path, text: &str) -> Option<String> {
    let ip = parse_ip(text)?;
    if text.parse::<IpAddr>().is_err() || is_mapped(ip) {
        let better = plain(ip);
        return Some(format!(
            "{path}: non-standard IP address {text:?} will be considered invalid in a future Kubernetes release: use \
             \"{better}\""
        ));
    }
    (ip.is_ipv6() && ip.to_string() != text)
        .then(|| format!("{path}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{ip}\")"))
}

/// Whether the numbers of a range have no leading zeros.
fn is_strict(range: &str) -> bool {
    let Some((address, length)) = range.split_once('/') else { return false };
    address.parse::<IpAddr>().is_ok() && (length == "0" || !length.starts_with('0'))
}

/// The warnings of a range that is allowed and should be written in another way.
pub(crate) fn of_range(path: &Path, text: &str) -> Vec<String> {
    let Some(net) = parse_range(text) else { return Vec::new() };
    let (whole, mut warnings) = (net.trunc(), Vec::new());
    if whole != net {
        let one = IpNet::from(net.addr());
        warnings.push(format!(
            "{path}: CIDR value {text:?} is ambiguous in this context (should be \"{whole}\" or \"{one}\"?)"
        ));
    }
    if !is_strict(text) || is_mapped(net.addr()) {
        warnings.push(format!(
            "{path}: non-standard CIDR value {text:?} will be considered invalid in a future Kubernetes release: use \
             \"{whole}\""
        ));
    }
    if warnings.is_empty() && net.addr().is_ipv6() && net.to_string() != text {
        warnings.push(format!(
            "{path}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{net}\")"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.0.1", None)]
    #[case(
        "010.0.0.1",
        Some(
            "p: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes release: use \"10.0.0.1\""
        )
    )]
    #[case(
        "::ffff:1.2.3.4",
        Some(
            "p: non-standard IP address \"::ffff:1.2.3.4\" will be considered invalid in a future Kubernetes release: use \"1.2.3.4\""
        )
    )]
    #[case(
        "2001:DB8::1",
        Some("p: IPv6 address \"2001:DB8::1\" should be in RFC 5952 canonical format (\"2001:db8::1\")")
    )]
    #[case("x", None)]
    fn addresses(#[case] text: &str, #[case] warning: Option<&str>) {
        assert_eq!(of_ip(&Path::new("p"), text).as_deref(), warning);
    }

    #[rstest]
    #[case("10.0.0.0/8", &[])]
    #[case("10.0.0.1/8", &["p: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)"])]
    #[case("010.0.0.0/8", &["p: non-standard CIDR value \"010.0.0.0/8\" will be considered invalid in a future Kubernetes release: use \"10.0.0.0/8\""])]
    #[case("2001:DB8::/32", &["p: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format (\"2001:db8::/32\")"])]
    fn ranges(#[case] text: &str, #[case] warnings: &[&str]) {
        assert_eq!(of_range(&Path::new("p"), text), warnings);
    }

    proptest! {
        #[test]
        fn what_prints_is_not_warned_of(address: [u8; 4], length in 0_u8..=32) {
            let net = IpNet::new(address.into(), length).unwrap().trunc();
            prop_assert!(of_range(&Path::default(), &net.to_string()).is_empty());
            prop_assert_eq!(of_ip(&Path::default(), &net.addr().to_string()), None);
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,20}|[0-9./:a-f]{0,20}") {
            let _ = (of_ip(&Path::default(), &text), of_range(&Path::default(), &text));
        }
    }
}
