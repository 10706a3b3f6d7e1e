//! IP addresses and ranges of them.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::env::Row;
use crate::error::Error;
use crate::value::{Opaque, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("ip", "string_to_ip", "(string) -> net.IP", ip),
    ("isIP", "is_ip", "(string) -> bool", is_ip),
    ("ip.isCanonical", "ip_is_canonical", "(string) -> bool", is_canonical),
    ("family", "ip_family", "net.IP.() -> int", family),
    ("isUnspecified", "ip_is_unspecified", "net.IP.() -> bool", is_unspecified),
    ("isLoopback", "ip_is_loopback", "net.IP.() -> bool", is_loopback),
    ("isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP.() -> bool", is_link_local_multicast),
    ("isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP.() -> bool", is_link_local_unicast),
    ("isGlobalUnicast", "ip_is_global_unicast", "net.IP.() -> bool", is_global_unicast),
    ("string", "ip_to_string", "(net.IP) -> string", ip_string),
    ("cidr", "string_to_cidr", "(string) -> net.CIDR", cidr),
    ("isCIDR", "is_cidr", "(string) -> bool", is_cidr),
    ("containsIP", "cidr_contains_ip_string", "net.CIDR.(string) -> bool", contains_ip),
    ("containsIP", "cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool", contains_ip),
    ("containsCIDR", "cidr_contains_cidr_string", "net.CIDR.(string) -> bool", contains_cidr),
    ("containsCIDR", "cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool", contains_cidr),
    ("ip", "cidr_ip", "net.CIDR.() -> net.IP", cidr_ip),
    ("prefixLength", "cidr_prefix_length", "net.CIDR.() -> int", prefix_length),
    ("masked", "cidr_masked", "net.CIDR.() -> net.CIDR", masked),
    ("string", "cidr_to_string", "(net.CIDR) -> string", cidr_string),
];

/// An address.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ip(IpAddr);

impl Opaque for Ip {
    fn type_name(&self) -> &'static str {
        "net.IP"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(width(self.0) / 8)
    }
}

/// An address and how many of its first bits name the range.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Cidr {
    address: IpAddr,
    prefix: u32,
}

impl Opaque for Cidr {
    fn type_name(&self) -> &'static str {
        "net.CIDR"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(self.prefix.div_ceil(8))
    }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Cidr {
    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
        };
        Self { address, ..self }
    }

    fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self { address, ..self }.masked().address == self.masked().address
    }
}

fn parse_ip(text: &str) -> Result<IpAddr> {
    if text.contains('%') && text.contains(':') {
        return Err(Error::other(format!("IP address {text:?} with zone value is not allowed")));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        let why = format!("ParseAddr({text:?}): unable to parse IP");
        Error::other(format!("IP Address {text:?} parse error during conversion from string: {why}"))
    })?;
    not_mapped(address, text)?;
    Ok(address)
}

fn not_mapped(address: IpAddr, text: &str) -> Result<()> {
    if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Error::other(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(())
}

fn parse_cidr(text: &str) -> Result<Cidr> {
    const WHERE: &str = "network address parse error during conversion from string";
    let wrong = |why: &str| Error::other(format!("{WHERE}: {WHERE}: netip.ParsePrefix({text:?}): {why}"));
    let (address, prefix) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let address: IpAddr =
        address.parse().map_err(|_| wrong(&format!("ParseAddr({address:?}): unable to parse IP")))?;
    let plain =
        prefix == "0" || (!prefix.starts_with('0') && prefix.bytes().all(|byte| byte.is_ascii_digit()));
    let length: Option<u32> = if plain { prefix.parse().ok() } else { None };
    let length = length.ok_or_else(|| wrong(&format!("bad bits after slash: {prefix:?}")))?;
    if length > width(address) {
        return Err(wrong("prefix length out of range"));
    }
    not_mapped(address, text)?;
    Ok(Cidr { address, prefix: length })
}

fn text_of<'v>(args: &'v [Value<'_>]) -> Result<&'v str> {
    args.first().and_then(Value::as_str).ok_or_else(Error::no_overload)
}

fn ip_of(args: &[Value<'_>]) -> Result<IpAddr> {
    args.first().and_then(Value::as_opaque).map(|Ip(address)| *address).ok_or_else(Error::no_overload)
}

fn cidr_of(args: &[Value<'_>]) -> Result<Cidr> {
    args.first().and_then(Value::as_opaque).copied().ok_or_else(Error::no_overload)
}

fn ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    parse_ip(text_of(args)?).map(|address| Value::opaque(Ip(address)))
}

fn is_ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::Bool(parse_ip(text).is_ok()))
}

fn is_canonical<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let text = text_of(args)?;
    Ok(Value::Bool(parse_ip(text)?.to_string() == text))
}

fn family<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| Value::Int(if address.is_ipv4() { 4 } else { 6 }))
}

fn is_unspecified<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| Value::Bool(address.is_unspecified()))
}

fn is_loopback<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| Value::Bool(address.is_loopback()))
}

fn is_link_local_multicast<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| match address {
        IpAddr::V4(v4) => Value::Bool(v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => Value::Bool(v6.segments()[0] & 0xff0f == 0xff02),
    })
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_unicast<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| Value::Bool(link_local(address)))
}

fn is_global_unicast<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let address = ip_of(args)?;
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    let special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    Ok(Value::Bool(!broadcast && !special && !link_local(address)))
}

fn ip_string<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    ip_of(args).map(|address| Value::from(address.to_string()))
}

fn cidr<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    parse_cidr(text_of(args)?).map(Value::opaque)
}

fn is_cidr<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    text_of(args).map(|text| Value::Bool(parse_cidr(text).is_ok()))
}

fn contains_ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let range = cidr_of(args)?;
    let address = match args {
        [_, Value::String(text)] => parse_ip(text)?,
        [_, other] => ip_of(std::slice::from_ref(other))?,
        _ => return Err(Error::no_overload()),
    };
    Ok(Value::Bool(range.contains(address)))
}

fn contains_cidr<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let range = cidr_of(args)?;
    let other = match args {
        [_, Value::String(text)] => parse_cidr(text)?,
        [_, other] => cidr_of(std::slice::from_ref(other))?,
        _ => return Err(Error::no_overload()),
    };
    Ok(Value::Bool(range.prefix <= other.prefix && range.contains(other.address)))
}

fn cidr_ip<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    cidr_of(args).map(|range| Value::opaque(Ip(range.address)))
}

fn prefix_length<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    cidr_of(args).map(|range| Value::Int(range.prefix.into()))
}

fn masked<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    cidr_of(args).map(|range| Value::opaque(range.masked()))
}

fn cidr_string<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    cidr_of(args).map(|range| Value::from(format!("{}/{}", range.address, range.prefix)))
}
