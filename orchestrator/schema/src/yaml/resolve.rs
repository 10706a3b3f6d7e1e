//! Texts that a reader of YAML 1.1 takes for something else than texts when they are not quoted.

/// Words that are truth values, nothing, or numbers that are none.
const WORDS: &[&str] = &[
    "", "~", "null", "Null", "NULL", "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON",
    "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF", ".nan", ".NaN", ".NAN",
    ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
];

/// Whether a text stays one without quotes.
pub(super) fn is_text(text: &str) -> bool {
    if WORDS.contains(&text) {
        return false;
    }
    match text.as_bytes().first() {
        Some(b'.') => !is_go_float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => !(is_timestamp(text) || is_number(text) || is_base_60(text)),
        _ => true,
    }
}

/// Whether it is a whole number of any base, or a number with a point or an exponent.
fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    is_whole(&plain) || is_float(&plain)
}

/// As Go's `ParseInt` and `ParseUint` read numbers whose base is in their prefix.
fn is_whole(text: &str) -> bool {
    let (negative, signed, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, true, &text[1..]),
        Some(b'+') => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let prefixed = |prefix: [&str; 2]| prefix.iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (base, digits) = if let Some(rest) = prefixed(["0x", "0X"]) {
        (16, rest)
    } else if let Some(rest) = prefixed(["0b", "0B"]) {
        (2, rest)
    } else if let Some(rest) = prefixed(["0o", "0O"]) {
        (8, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return false;
    }
    match u64::from_str_radix(digits, base) {
        Ok(number) if negative => number <= 1 << 63,
        Ok(number) => !signed || number < 1 << 63,
        Err(_) => false,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.is_none_or(|exponent| {
        let rest = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !rest.is_empty() && digits(rest)
    });
    digits(whole) && digits(part) && !(whole.is_empty() && part.is_empty()) && exponent
}

/// As Go's `ParseFloat` reads what begins with a point.
fn is_go_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(&mantissa[1..])
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)))
}

/// `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = text.split(':');
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let first = parts
        .next()
        .is_some_and(|first| first.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && digits(first));
    let mut rest = parts.peekable();
    let sixtieth = |part: &str| match part.as_bytes() {
        [one] | [b'0'..=b'5', one] => one.is_ascii_digit(),
        _ => false,
    };
    first && rest.peek().is_some() && rest.all(sixtieth) && digits(fraction)
}

/// Whether it is a date, or a date and a time.
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    let Some(days) = short(month).and_then(|month| days(number(year, 4)?, month)) else { return false };
    let is_day = short(day).is_some_and(|day| (1..=days).contains(&day));
    is_day
        && match time.as_bytes().first() {
            None => true,
            Some(b'T' | b't') => zoned(&time[1..]),
            Some(b' ') => clock(&time[1..]) == Some(""),
            Some(_) => false,
        }
}

/// Whether it is a time with a zone.
fn zoned(text: &str) -> bool {
    match clock(text) {
        Some("Z") => true,
        Some(zone) => {
            let Some(zone) = zone.strip_prefix(['-', '+']) else { return false };
            let parts = zone.split_once(':').map(|(hours, minutes)| (number(hours, 2), number(minutes, 2)));
            matches!(parts, Some((Some(0..=24), Some(0..=59))))
        }
        None => false,
    }
}

/// What is behind hours, minutes and seconds.
fn clock(text: &str) -> Option<&str> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, rest) = rest.split_once(':')?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (seconds, rest) = rest.split_at(end);
    let fits = short(hours)? < 24 && short(minutes)? < 60 && short(seconds)? < 60;
    let rest = match rest.strip_prefix('.') {
        Some(fraction) => {
            let rest = fraction.trim_start_matches(|letter: char| letter.is_ascii_digit());
            (rest.len() < fraction.len()).then_some(rest)?
        }
        None => rest,
    };
    fits.then_some(rest)
}

/// A number of one or two digits.
fn short(text: &str) -> Option<u32> {
    number(text, text.len().clamp(1, 2))
}

/// A number of so many digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// How many days a month has.
fn days(year: u32, month: u32) -> Option<u32> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}
