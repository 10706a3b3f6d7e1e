//! Figures as lines, and the arithmetic behind them.

use std::io::Write;
use std::time::Duration;

/// Prints a figure.
pub(crate) fn figure(name: &str, value: f64, unit: &str, baseline: &str) {
    let precision = if value < 100.0 { 2 } else { 0 };
    writeln!(std::io::stdout(), "figure: {name} = {value:.precision$} {unit}, baseline {baseline}")
        .expect("standard output");
}

/// A count as a number to divide.
pub(crate) fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).expect("a short run"))
}

/// A time in milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The value that so many percent of the values do not exceed.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent / 100).min(values.len() - 1)]
}
