//! Durations of the Gateway API (GEP-2257), as in `1h30m` or `500ms`.

use std::time::Duration;

/// What the text says; none if it is no such duration.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut parts = 0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok().filter(|_| digits <= 5)?;
        let behind = &rest[digits..];
        let unit = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        total += match &behind[..unit] {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        };
        rest = &behind[unit..];
        parts += 1;
    }
    (1..=4).contains(&parts).then_some(total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0s", Some(0))]
    #[case("500ms", Some(500))]
    #[case("1h30m", Some(5_400_000))]
    #[case("1h2m3s4ms", Some(3_723_004))]
    #[case("", None)]
    #[case("5", None)]
    #[case("1.5s", None)]
    #[case("-1s", None)]
    #[case("1d", None)]
    #[case("100000s", None)]
    fn durations_are_read_as_upstream(#[case] text: &str, #[case] millis: Option<u64>) {
        assert_eq!(parse(text), millis.map(Duration::from_millis));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in proptest::collection::vec((0..100_000_u64, "h|m|s|ms"), 1..5), noise in ".{0,12}") {
            let parts = parts.iter().map(|(number, unit)| format!("{number}{unit}"));
            let text = parts.collect::<Vec<_>>().concat();
            prop_assert!(parse(&text).is_some());
            let _ = parse(&noise);
        }
    }
}
