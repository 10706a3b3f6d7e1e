//! The text of an expression and what is wrong with it: [`Issues`] print as cel-go prints them, with the line and a
//! caret below the place.

use std::fmt;

/// The most problems one text is told about.
const MAX_ISSUES: usize = 100;

/// One problem, at a byte of the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Issue {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// Why an expression was refused. Prints one `ERROR: <input>:LINE:COLUMN: ...` with a caret for each problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    text: String,
    issues: Vec<Issue>,
}

impl Issues {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), issues: Vec::new() }
    }

    pub(crate) fn report(&mut self, offset: usize, message: impl Into<String>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue { offset: offset.min(self.text.len()), message: message.into() });
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.issues.is_empty()
    }

    /// The texts of the problems without their places, in the order of the places.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.issues.iter().map(|issue| issue.message.as_str())
    }

    /// These problems in the order of their places, or none.
    pub(crate) fn into_result(mut self) -> Result<(), Self> {
        self.issues.sort_by_key(|issue| issue.offset);
        if self.issues.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, issue) in self.issues.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write_issue(f, &self.text, issue)?;
        }
        Ok(())
    }
}

fn write_issue(f: &mut fmt::Formatter<'_>, text: &str, issue: &Issue) -> fmt::Result {
    let before = &text[..issue.offset];
    let number = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = text[start..issue.offset].chars().count();
    let line = text[start..].split('\n').next().unwrap_or_default();
    write!(f, "ERROR: <input>:{number}:{}: {}", column + 1, issue.message)?;
    write!(f, "\n | {}\n | ", line.replace('\t', " "))?;
    let mut marks = line.chars();
    for mark in marks.by_ref().take(column) {
        f.write_str(if mark.len_utf8() > 1 { "\u{ff0e}" } else { "." })?;
    }
    f.write_str(if marks.next().is_some_and(|mark| mark.len_utf8() > 1) { "\u{ff3e}" } else { "^" })
}

#[cfg(test)]
mod tests {
    use super::Issues;

    #[test]
    fn an_issue_prints_its_line_and_a_caret() {
        let mut issues = Issues::new("a &&\n\tb + c");
        issues.report(8, "wrong");
        assert_eq!(issues.to_string(), "ERROR: <input>:2:4: wrong\n |  b + c\n | ...^");
    }

    #[test]
    fn wide_characters_get_wide_marks() {
        let mut issues = Issues::new("'é' + é");
        issues.report("'é' + ".len(), "wrong");
        assert_eq!(issues.to_string(), "ERROR: <input>:1:7: wrong\n | 'é' + é\n | .\u{ff0e}....\u{ff3e}");
    }
}
