//! Resource quantities: `500m`, `1.5Gi`, `2e3` (source: Kubernetes API `resource.Quantity`).
//!
//! A quantity is kept exactly, as a count of nano-units with the family of suffix it was written in, and
//! prints in the canonical form: no fraction, the largest suffix that keeps it whole.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

const NANO: i128 = 1_000_000_000;
/// What Kubernetes caps a quantity at: 2^63 - 1.
const MAX_UNITS: i128 = i64::MAX as i128;

/// The family of suffixes a quantity was written with, kept when it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `n u m "" k M G T P E`, powers of 1000.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`, powers of 1024.
    BinarySi,
    /// `e3`, powers of ten.
    DecimalExponent,
}

/// An exact amount of a resource.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

/// A text that is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct QuantityError;

impl Quantity {
    /// A whole number of units.
    pub fn from_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * NANO, format: Format::DecimalSi }
    }

    /// A whole number of thousandths.
    pub fn from_milli(milli: i64) -> Self {
        Self { nanos: i128::from(milli) * (NANO / 1000), format: Format::DecimalSi }
    }

    /// A number of bytes, printed with binary suffixes.
    pub fn from_bytes(bytes: i64) -> Self {
        Self { nanos: i128::from(bytes) * NANO, format: Format::BinarySi }
    }

    /// The amount in whole units, rounded up.
    pub fn value(&self) -> i128 {
        ceil_div(self.nanos, NANO)
    }

    /// The amount in thousandths, rounded up.
    pub fn as_milli(&self) -> i128 {
        ceil_div(self.nanos, NANO / 1000)
    }

    /// The amount in thousand-millionths, exactly.
    pub fn as_nanos(&self) -> i128 {
        self.nanos
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Whether it is below zero.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The suffix family it prints in.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Division rounding away from zero, as Kubernetes rounds a quantity.
fn ceil_div(n: i128, d: i128) -> i128 {
    let q = n / d;
    match n % d {
        0 => q,
        r if r > 0 => q + 1,
        _ => q - 1,
    }
}

fn binary_power(suffix: &str) -> Option<u32> {
    Some(match suffix {
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        "Pi" => 50,
        "Ei" => 60,
        _ => return None,
    })
}

fn decimal_power(suffix: &str) -> Option<i32> {
    Some(match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => return None,
    })
}

/// What follows the digits: the family and how much one unit is worth.
enum Scale {
    Binary(u32),
    Decimal(i32, Format),
}

fn parse_suffix(suffix: &str) -> Result<Scale, QuantityError> {
    if let Some(power) = binary_power(suffix) {
        return Ok(Scale::Binary(power));
    }
    if let Some(power) = decimal_power(suffix) {
        return Ok(Scale::Decimal(power, Format::DecimalSi));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError)?;
    let power: i32 = exponent.parse().map_err(|_| QuantityError)?;
    Ok(Scale::Decimal(power, Format::DecimalExponent))
}

/// The most nano-units a quantity holds.
const MAX_NANOS: i128 = MAX_UNITS * NANO;
/// Digits that matter: those of [`MAX_NANOS`].
const SIGNIFICANT: usize = 28;
/// Fraction digits that can matter: beyond them not even `Ei` makes a nano-unit of a digit.
const FRACTION: u32 = 36;

/// A number as digits and the power of ten of the last one. What is cut off rounds up.
fn significant(whole: &str, fraction: &str) -> (i128, i32) {
    let digits = whole.bytes().chain(fraction.bytes()).skip_while(|byte| *byte == b'0');
    let (mut number, mut kept, mut dropped, mut sticky) = (0_i128, 0, 0_usize, false);
    for digit in digits.map(|byte| i128::from(byte - b'0')) {
        if kept < SIGNIFICANT {
            number = number * 10 + digit;
            kept += 1;
        } else {
            dropped += 1;
            sticky |= digit != 0;
        }
    }
    let power = i32::try_from(dropped)
        .unwrap_or(i32::MAX)
        .saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX));
    (number + i128::from(sticky), power)
}

/// Nano-units of `digits * 10^power` units, rounded up, at most the cap.
fn scale_decimal(digits: i128, power: i32) -> i128 {
    let power = power.saturating_add(9);
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    let nanos = match factor {
        _ if digits == 0 => 0,
        Some(factor) if power >= 0 => digits.saturating_mul(factor),
        Some(factor) => ceil_div(digits, factor),
        None if power >= 0 => MAX_NANOS,
        None => 1,
    };
    nanos.min(MAX_NANOS)
}

/// Nano-units of `digits * 10^power * 2^binary` units, rounded up, at most the cap.
fn scale_binary(digits: i128, power: i32, binary: u32) -> i128 {
    if power >= 0 {
        return scale_decimal(digits, power).saturating_mul(1 << binary).min(MAX_NANOS);
    }
    let cut = power.unsigned_abs().saturating_sub(FRACTION);
    let digits = match 10_i128.checked_pow(cut) {
        Some(factor) => ceil_div(digits, factor),
        None => digits.min(1),
    };
    // digits * 2^binary * 10^9 / 10^places, with the common powers of two and five cancelled.
    let places = power.unsigned_abs().min(FRACTION);
    let over =
        |base: i128, up: u32| (base.pow(up.saturating_sub(places)), base.pow(places.saturating_sub(up)));
    let ((two, under_two), (five, under_five)) = (over(2, binary + 9), over(5, 9));
    let (factor, divisor) = (two * five, under_two * under_five);
    let (quotient, rest) = (digits / divisor, digits % divisor);
    quotient.saturating_mul(factor).saturating_add(ceil_div(rest * factor, divisor)).min(MAX_NANOS)
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(s: &str) -> Result<Self, QuantityError> {
        let (negative, rest) = match s.as_bytes().first() {
            Some(b'-') => (true, &s[1..]),
            Some(b'+') => (false, &s[1..]),
            _ => (false, s),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError);
        }
        let (digits, power) = significant(whole, fraction);
        let (magnitude, format) = match parse_suffix(suffix)? {
            Scale::Binary(binary) => (scale_binary(digits, power, binary), Format::BinarySi),
            Scale::Decimal(unit, format) => (scale_decimal(digits, power.saturating_add(unit)), format),
        };
        Ok(Self { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        match self.format {
            Format::BinarySi => write_binary(self.nanos, f),
            Format::DecimalSi => {
                write_decimal(self.nanos, f, &["n", "u", "m", "", "k", "M", "G", "T", "P", "E"])
            }
            Format::DecimalExponent => write_decimal(
                self.nanos,
                f,
                &["e-9", "e-6", "e-3", "", "e3", "e6", "e9", "e12", "e15", "e18"],
            ),
        }
    }
}

fn write_decimal(mut n: i128, f: &mut fmt::Formatter<'_>, suffixes: &[&str]) -> fmt::Result {
    let mut index = 0;
    while n % 1000 == 0 && index + 1 < suffixes.len() {
        n /= 1000;
        index += 1;
    }
    write!(f, "{n}{}", suffixes[index])
}

/// Amounts under 1024 or with a fraction print in decimal, as upstream does.
fn write_binary(nanos: i128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if nanos % NANO != 0 || (nanos / NANO).abs() < 1024 {
        return write_decimal(nanos, f, &["n", "u", "m", ""]);
    }
    let mut n = nanos / NANO;
    let suffixes = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let mut index = 0;
    while n % 1024 == 0 && index + 1 < suffixes.len() {
        n /= 1024;
        index += 1;
    }
    write!(f, "{n}{}", suffixes[index])
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Default for Quantity {
    fn default() -> Self {
        Self::from_units(0)
    }
}

impl Add for Quantity {
    type Output = Self;

    /// The sum, in the family of the left side unless that is zero.
    fn add(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_sub(other.nanos), format }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", "0")]
    #[case("1000m", "1")]
    #[case("500m", "500m")]
    #[case("0.5", "500m")]
    #[case(".5", "500m")]
    #[case("1.", "1")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1024Mi", "1Gi")]
    #[case("1000Mi", "1000Mi")]
    #[case("0.5Ki", "512")]
    #[case("128974848", "128974848")]
    #[case("129e6", "129e6")]
    #[case("1e3", "1e3")]
    #[case("2000", "2k")]
    #[case("1E", "1E")]
    #[case("-1500m", "-1500m")]
    #[case("+3", "3")]
    #[case("1n", "1n")]
    #[case("0.1n", "1n")]
    fn canonical_form(#[case] text: &str, #[case] printed: &str) {
        assert_eq!(text.parse::<Quantity>().unwrap().to_string(), printed);
    }

    #[rstest]
    #[case("")]
    #[case("Mi")]
    #[case("1Zi")]
    #[case("1.2.3")]
    #[case("--1")]
    #[case("1e")]
    #[case("1 Gi")]
    #[case(".")]
    fn what_is_no_quantity_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Quantity>(), Err(QuantityError));
    }

    #[test]
    fn values_round_up() {
        let q: Quantity = "1.0001".parse().unwrap();
        assert_eq!((q.value(), q.as_milli()), (2, 1001));
        assert_eq!("1Ki".parse::<Quantity>().unwrap().value(), 1024);
    }

    #[test]
    fn huge_quantities_are_capped() {
        assert_eq!(
            "9999999999999999999999999999999999999999999E".parse::<Quantity>().unwrap().value(),
            MAX_UNITS
        );
        assert_eq!("1e2000000000".parse::<Quantity>().unwrap().value(), MAX_UNITS);
    }

    #[rstest]
    #[case("530111111111111111111111100.15011111111111", "9223372036854775807")]
    #[case("1.11111111111111111111111111111Ei", "1281023894007607752")]
    #[case("0.0000000000000000000000000000000001Ei", "1n")]
    #[case("10000000000000000000000000000e-27", "10")]
    #[case("9223372036854775807000000000n", "9223372036854775807")]
    #[case("0.00000000000000000000000000000000000000001", "1n")]
    #[case("1000000000000000000000000000000000000000000e-42", "1")]
    fn long_numbers_keep_the_digits_that_matter(#[case] text: &str, #[case] printed: &str) {
        let quantity: Quantity = text.parse().unwrap();
        assert_eq!(quantity.value(), printed.parse::<Quantity>().unwrap().value());
        assert_eq!(quantity.to_string().parse::<Quantity>().unwrap(), quantity);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_without_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Quantity>();
        }

        #[test]
        fn printing_and_parsing_agree(number in "[0-9]{1,9}(\\.[0-9]{1,9})?", suffix in "(n|u|m|k|M|G|Ki|Mi|Gi|e3|E-3)?") {
            let q: Quantity = format!("{number}{suffix}").parse().unwrap();
            prop_assert_eq!(q.to_string().parse::<Quantity>().unwrap(), q);
        }
    }
}
