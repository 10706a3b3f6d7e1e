//! The text format of Prometheus, as far as the node writes it.

use std::fmt::{Display, Write};

use jiff::Timestamp;

/// What a family of samples is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A page of families.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    /// Begins a family; samples of it follow.
    pub(super) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // A text takes all that is written to it.
        let _infallible = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// A sample; `at` is when it was taken, if that is not now.
    pub(super) fn sample(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        value: impl Display,
        at: Option<Timestamp>,
    ) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            self.0.push_str(label);
            self.0.push_str("=\"");
            escape(text, &mut self.0);
            self.0.push('"');
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _infallible = write!(self.0, "{close} {value}");
        if let Some(at) = at {
            let _infallible = write!(self.0, " {}", at.as_millisecond());
        }
        self.0.push('\n');
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

fn escape(text: &str, to: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            other => to.push(other),
        }
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(nanos: u64) -> impl Display {
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let fraction = format!("{rest:09}");
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        digits => format!("{whole}.{digits}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_written_as_prometheus_reads_them() {
        let mut page = Page::default();
        page.family("a_total", Kind::Counter, "What a is.");
        page.sample("a_total", &[("x", "1\"\\\n"), ("y", "")], seconds(1_500_000_000), None);
        page.sample("a_total", &[], seconds(2_000_000_000), Timestamp::from_second(3).ok());
        let expected = "# HELP a_total What a is.\n# TYPE a_total counter\na_total{x=\"1\\\"\\\\\\n\",y=\"\"} 1.5\na_total 2 3000\n";
        assert_eq!(page.into_text(), expected);
    }
}
