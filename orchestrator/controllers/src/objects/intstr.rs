//! Numbers that may be given as percentages.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// The number, or the percentage of `of`; nothing for what is neither.
pub(crate) fn scaled(value: &IntOrString, of: i32, round_up: bool) -> i32 {
    let percent = match value {
        IntOrString::Int(number) => return (*number).max(0),
        IntOrString::String(text) => text.strip_suffix('%').and_then(|text| text.parse::<i64>().ok()),
    };
    let scaled = percent.unwrap_or(0).max(0).saturating_mul(i64::from(of));
    let rounded = if round_up { scaled.saturating_add(99) / 100 } else { scaled / 100 };
    i32::try_from(rounded).unwrap_or(i32::MAX)
}
