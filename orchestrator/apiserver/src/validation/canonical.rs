//! Addresses and ranges in the one way of writing them that new fields allow.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Errors, Path};

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_CIDR: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// Refuses what is no IP address, or not written as addresses print.
pub(crate) fn ip(text: &str) -> Result<(), String> {
    let Ok(address) = text.parse::<IpAddr>() else {
        return Err(if sloppy(text).is_some() { "must not have leading 0s" } else { NOT_AN_IP }.to_owned());
    };
    if is_mapped(address) {
        return Err("must not be an IPv4-mapped IPv6 address".to_owned());
    }
    let printed = address.to_string();
    if printed == text { Ok(()) } else { Err(format!("must be in canonical form ({printed:?})")) }
}

/// Refuses what is no range, or not written as ranges print.
pub(crate) fn cidr(text: &str) -> Result<(), String> {
    let printed = range(text)?.to_string();
    if printed == text { Ok(()) } else { Err(format!("must be in canonical form ({printed:?})")) }
}

/// The range a text names in only one way, however its digits are written.
fn range(text: &str) -> Result<IpNet, String> {
    let fail = |why: &str| Err(why.to_owned());
    let Some((address, length)) = text.split_once('/') else { return fail(NOT_A_CIDR) };
    let Some(parsed) = address.parse::<IpAddr>().ok().or_else(|| sloppy(address)) else {
        return fail(NOT_A_CIDR);
    };
    let Some(length_number) = digits(length) else { return fail(NOT_A_CIDR) };
    let Ok(net) = IpNet::new(parsed, length_number) else { return fail(NOT_A_CIDR) };
    if address.parse::<IpAddr>().is_err() {
        return fail("must not have leading 0s in IP");
    }
    if length != length_number.to_string() {
        return fail("must not have leading 0s in prefix length");
    }
    if is_mapped(parsed) {
        return fail("must not have an IPv4-mapped IPv6 address");
    }
    if net.trunc() != net {
        return fail("must not have bits set beyond the prefix length");
    }
    Ok(net)
}

/// Reports a range that is not written as ranges print.
pub(crate) fn check_cidr(text: &str, path: &Path, errors: &mut Errors) {
    errors.check(cidr(text), text, path);
}

/// Reports a range that could be taken for another one.
pub(crate) fn check_range(text: &str, path: &Path, errors: &mut Errors) {
    errors.check(range(text).map(drop), text, path);
}

/// An IPv4 address whose parts may have leading zeros.
pub(super) fn sloppy(text: &str) -> Option<IpAddr> {
    let parts: Vec<u8> = text.split('.').map(digits).collect::<Option<_>>()?;
    let parts: [u8; 4] = parts.try_into().ok()?;
    Some(parts.into())
}

/// A small decimal number that may have leading zeros, but no sign.
fn digits(text: &str) -> Option<u8> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

pub(super) fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("10.0.0.1", "")]
    #[case("2001:db8::1", "")]
    #[case("x", NOT_AN_IP)]
    #[case("010.0.0.1", "must not have leading 0s")]
    #[case("::ffff:1.2.3.4", "must not be an IPv4-mapped IPv6 address")]
    #[case("2001:DB8::1", "must be in canonical form (\"2001:db8::1\")")]
    fn addresses_are_written_as_they_print(#[case] text: &str, #[case] problem: &str) {
        assert_eq!(ip(text).err().unwrap_or_default(), problem);
    }

    #[rstest]
    #[case("10.0.0.0/8", "")]
    #[case("2001:db8::/64", "")]
    #[case("10.0.0.0", NOT_A_CIDR)]
    #[case("10.0.0.0/33", NOT_A_CIDR)]
    #[case("010.0.0.0/8", "must not have leading 0s in IP")]
    #[case("10.0.0.0/08", "must not have leading 0s in prefix length")]
    #[case("10.0.0.1/8", "must not have bits set beyond the prefix length")]
    #[case("2001:DB8::/64", "must be in canonical form (\"2001:db8::/64\")")]
    fn ranges_are_written_as_they_print(#[case] text: &str, #[case] problem: &str) {
        assert_eq!(cidr(text).err().unwrap_or_default(), problem);
    }

    proptest! {
        #[test]
        fn whatever_prints_is_allowed(address: [u8; 4], length in 0_u8..=32) {
            let net = IpNet::new(address.into(), length).unwrap().trunc();
            prop_assert_eq!(cidr(&net.to_string()), Ok(()));
            prop_assert_eq!(ip(&net.addr().to_string()), Ok(()));
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,20}|[0-9./:a-f]{0,20}") {
            let _ = (ip(&text).is_ok(), cidr(&text).is_ok());
        }
    }
}
