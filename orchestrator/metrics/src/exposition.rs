//! Reads the text format of Prometheus, as far as nodes write it.

use std::borrow::Cow;

use jiff::Timestamp;

/// Names and values of labels.
type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A sample of a page.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    pub(crate) name: &'a str,
    pub(crate) labels: Labels<'a>,
    pub(crate) value: f64,
    /// When it was taken, if the page says.
    pub(crate) at: Option<Timestamp>,
}

impl Sample<'_> {
    /// The value of a label.
    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| *label == name).map(|(_, value)| value.as_ref())
    }
}

/// A line that is none of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no sample of Prometheus' text format")]
pub(crate) struct NoSample {
    /// Which, counted from 1.
    pub(crate) line: usize,
}

/// All samples of a page, in its order.
pub(crate) fn samples(page: &str) -> impl Iterator<Item = Result<Sample<'_>, NoSample>> {
    let lines = page.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(line, text)| sample(text).ok_or(NoSample { line }))
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let end = line.find(|letter: char| letter == '{' || letter.is_ascii_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let mut numbers = rest.split_ascii_whitespace();
    let value = numbers.next()?.parse().ok()?;
    let at = match numbers.next() {
        Some(millis) => Some(Timestamp::from_millisecond(millis.parse().ok()?).ok()?),
        None => None,
    };
    (!name.is_empty() && numbers.next().is_none()).then_some(Sample { name, labels, value, at })
}

/// The labels up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Some((found, after));
        }
        let (label, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        found.push((label.trim(), value));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').or_else(|| rest.starts_with('}').then_some(rest))?;
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut letters = text.char_indices();
    let mut plain = String::new();
    let mut copied = 0;
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' if plain.is_empty() && copied == 0 => {
                return Some((Cow::Borrowed(&text[..at]), &text[at + 1..]));
            }
            '"' => {
                plain.push_str(&text[copied..at]);
                return Some((Cow::Owned(plain), &text[at + 1..]));
            }
            '\\' => {
                plain.push_str(&text[copied..at]);
                let (at, escaped) = letters.next()?;
                plain.push(if escaped == 'n' { '\n' } else { escaped });
                copied = at + escaped.len_utf8();
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nodes_write_is_read() {
        let page = "# HELP a What it is.\n# TYPE a counter\na{x=\"1\\\"\\\\\\n\",y=\"\"} 1.5\n\na 2 3000\nb{} +Inf\n";
        let read: Vec<Sample<'_>> = samples(page).map(Result::unwrap).collect();
        assert_eq!((read[0].name, read[0].value, read[0].at), ("a", 1.5, None));
        assert_eq!(
            (read[0].label("x"), read[0].label("y"), read[0].label("z")),
            (Some("1\"\\\n"), Some(""), None)
        );
        assert_eq!((read[1].value, read[1].at), (2.0, Timestamp::from_second(3).ok()));
        assert!(read[2].value.is_infinite() && read[2].labels.is_empty() && read.len() == 3);
    }

    #[test]
    fn what_is_no_sample_is_told_by_its_line() {
        for line in ["a", "a{x=1} 1", "a{x=\"1} 1", "a{x=\"1\" 1", "a 1 2 3", "a one", "{x=\"1\"} 1"] {
            let read: Vec<_> = samples(&format!("# c\n{line}\n")).map(|read| read.map(drop)).collect();
            assert_eq!(read, [Err(NoSample { line: 2 })], "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_value_of_a_label_comes_back(value: String, number in -1e12..1e12_f64) {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            // A line ends where lines end: the format escapes no other end of a line.
            prop_assume!(!escaped.contains('\r'));
            let page = format!("name{{first=\"{escaped}\",second=\"2\"}} {number} 1\n");
            let read: Vec<Sample<'_>> = samples(&page).map(Result::unwrap).collect();
            prop_assert_eq!(read[0].label("first"), Some(value.as_str()));
            prop_assert_eq!(read[0].label("second"), Some("2"));
            prop_assert_eq!(read[0].value.to_bits(), number.to_bits());
        }

        #[test]
        fn any_page_is_read_to_its_end(page in "[a-z{}=\",\\\\ \n0-9#]{0,80}") {
            for read in samples(&page) {
                if let Err(NoSample { line }) = read {
                    prop_assert!(line <= page.lines().count());
                }
            }
        }
    }
}
