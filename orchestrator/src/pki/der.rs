//! DER, as far as a certificate needs it written.

use jiff::Timestamp;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BITS: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A value with its tag and its length.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = content.len().to_be_bytes();
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
            // There are at most eight of them.
            out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            out.extend_from_slice(significant);
        }
    }
    out.extend_from_slice(content);
    out
}

/// A sequence of values.
pub(super) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tagged(SEQUENCE, &parts.concat())
}

/// A value in a field of this number that has its own tag as well.
pub(super) fn explicit(number: u8, value: &[u8]) -> Vec<u8> {
    tagged(0xa0 | number, value)
}

/// Whole octets as a bit string.
pub(super) fn bits(content: &[u8]) -> Vec<u8> {
    tagged(BITS, &[&[0], content].concat())
}

/// Named bits, the first is the highest of the first octet; bits that are not set at the end are left out.
pub(super) fn named_bits(set: u16) -> Vec<u8> {
    let octets = set.to_be_bytes();
    let used = usize::try_from(u16::BITS - set.trailing_zeros()).unwrap_or_default().div_ceil(8);
    let unused = if set == 0 { 0 } else { set.trailing_zeros() % 8 };
    let content = [&[u8::try_from(unused).unwrap_or_default()], &octets[..used]].concat();
    tagged(BITS, &content)
}

/// A moment, to the second: in two digits of a year until 2049, as RFC 5280 wants it.
pub(super) fn time(moment: Timestamp) -> Vec<u8> {
    if (1950..2050).contains(&moment.to_zoned(jiff::tz::TimeZone::UTC).year()) {
        return tagged(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").to_string().as_bytes());
    }
    tagged(GENERALIZED_TIME, moment.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_many_octets_as_they_need() {
        assert_eq!(tagged(OCTETS, &[7]), [4, 1, 7]);
        assert_eq!(tagged(OCTETS, &[0; 127])[..2], [4, 127]);
        assert_eq!(tagged(OCTETS, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tagged(OCTETS, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn bits_that_are_not_set_are_left_out_at_the_end() {
        assert_eq!(named_bits(0x8000), [3, 2, 7, 0x80]);
        assert_eq!(named_bits(0xa000), [3, 2, 5, 0xa0]);
        assert_eq!(named_bits(0x8080), [3, 3, 7, 0x80, 0x80]);
        assert_eq!(named_bits(0), [3, 1, 0]);
    }

    #[test]
    fn years_have_two_digits_until_2049() {
        let at = |text: &str| time(text.parse().unwrap());
        assert_eq!(at("2026-11-21T18:00:01Z"), [&[0x17, 13], b"261121180001Z".as_slice()].concat());
        assert_eq!(at("2050-01-01T00:00:00Z"), [&[0x18, 15], b"20500101000000Z".as_slice()].concat());
    }
}
