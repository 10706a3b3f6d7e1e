//! A unified diff by longest matching blocks, as Python's `difflib` and its Go port make it.
//!
//! In long texts, lines that are very frequent do not start a match; the result depends on it, so it is kept.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

const CONTEXT: usize = 3;
/// Texts of so many lines have frequent lines left out.
const LONG: usize = 200;

/// Lines `a1..a2` of the old text have become `b1..b2` of the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    same: bool,
    a1: usize,
    a2: usize,
    b1: usize,
    b2: usize,
}

struct Matcher<'t> {
    a: &'t [&'t str],
    b: &'t [&'t str],
    /// Where in `b` each line is, frequent lines left out.
    places: HashMap<&'t str, Vec<usize>>,
}

impl<'t> Matcher<'t> {
    fn new(a: &'t [&'t str], b: &'t [&'t str]) -> Self {
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, line) in b.iter().enumerate() {
            places.entry(line).or_default().push(index);
        }
        if b.len() >= LONG {
            let most = b.len() / 100 + 1;
            let frequent: HashSet<&str> =
                places.iter().filter(|(_, at)| at.len() > most).map(|(line, _)| *line).collect();
            places.retain(|line, _| !frequent.contains(line));
        }
        Self { a, b, places }
    }

    /// The longest block of equal lines in these ranges: where it begins in either, and its length.
    fn longest(
        &self,
        (a_low, a_high): (usize, usize),
        (b_low, b_high): (usize, usize),
    ) -> (usize, usize, usize) {
        let (mut best_a, mut best_b, mut size) = (a_low, b_low, 0);
        let mut lengths: HashMap<usize, usize> = HashMap::new();
        for i in a_low..a_high {
            let mut next = HashMap::new();
            for &j in self.places.get(self.a[i]).map_or(&[][..], Vec::as_slice) {
                if j < b_low {
                    continue;
                }
                if j >= b_high {
                    break;
                }
                let length = 1 + if j == 0 { 0 } else { lengths.get(&(j - 1)).copied().unwrap_or(0) };
                next.insert(j, length);
                if length > size {
                    (best_a, best_b, size) = (i + 1 - length, j + 1 - length, length);
                }
            }
            lengths = next;
        }
        while best_a > a_low && best_b > b_low && self.a[best_a - 1] == self.b[best_b - 1] {
            (best_a, best_b, size) = (best_a - 1, best_b - 1, size + 1);
        }
        while best_a + size < a_high
            && best_b + size < b_high
            && self.a[best_a + size] == self.b[best_b + size]
        {
            size += 1;
        }
        (best_a, best_b, size)
    }

    fn blocks(&self) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        let mut open = vec![((0, self.a.len()), (0, self.b.len()))];
        while let Some((a, b)) = open.pop() {
            let (i, j, size) = self.longest(a, b);
            if size == 0 {
                continue;
            }
            if a.0 < i && b.0 < j {
                open.push(((a.0, i), (b.0, j)));
            }
            if i + size < a.1 && j + size < b.1 {
                open.push(((i + size, a.1), (j + size, b.1)));
            }
            found.push((i, j, size));
        }
        found.sort_unstable();
        found.push((self.a.len(), self.b.len(), 0));
        found
    }

    fn changes(&self) -> Vec<Change> {
        let (mut i, mut j) = (0, 0);
        let mut changes: Vec<Change> = Vec::new();
        for (a, b, size) in self.blocks() {
            if i < a || j < b {
                changes.push(Change { same: false, a1: i, a2: a, b1: j, b2: b });
            }
            (i, j) = (a + size, b + size);
            match changes.last_mut() {
                // Blocks that touch are one.
                Some(last) if size > 0 && last.same && last.a2 == a && last.b2 == b => {
                    (last.a2, last.b2) = (i, j);
                }
                _ if size > 0 => changes.push(Change { same: true, a1: a, a2: i, b1: b, b2: j }),
                _ => {}
            }
        }
        changes
    }
}

/// Changes with what is around them; far ones are apart.
fn hunks(mut changes: Vec<Change>) -> Vec<Vec<Change>> {
    if let Some(first) = changes.first_mut().filter(|c| c.same) {
        first.a1 = first.a1.max(first.a2.saturating_sub(CONTEXT));
        first.b1 = first.b1.max(first.b2.saturating_sub(CONTEXT));
    }
    if let Some(last) = changes.last_mut().filter(|c| c.same) {
        last.a2 = last.a2.min(last.a1 + CONTEXT);
        last.b2 = last.b2.min(last.b1 + CONTEXT);
    }
    let mut groups = Vec::new();
    let mut group = Vec::new();
    for change in changes {
        if change.same && change.a2 - change.a1 > 2 * CONTEXT {
            let (a2, b2) = ((change.a1 + CONTEXT).min(change.a2), (change.b1 + CONTEXT).min(change.b2));
            group.push(Change { a2, b2, ..change });
            groups.push(std::mem::take(&mut group));
            let (a1, b1) = (change.a2 - CONTEXT, change.b2 - CONTEXT);
            group.push(Change { a1, b1, ..change });
        } else {
            group.push(change);
        }
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|change| !change.same));
    groups
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        length => format!("{},{length}", start + 1),
    }
}

/// The difference of two texts.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut out = String::new();
    for group in hunks(Matcher::new(&a, &b).changes()) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        writeln!(out, "@@ -{} +{} @@", range(first.a1, last.a2), range(first.b1, last.b2))
            .expect("a String takes everything");
        for change in &group {
            if change.same {
                print(&mut out, ' ', &a[change.a1..change.a2]);
            } else {
                print(&mut out, '-', &a[change.a1..change.a2]);
                print(&mut out, '+', &b[change.b1..change.b2]);
            }
        }
    }
    out
}

fn print(out: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        out.push(sign);
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_texts_do_not_differ() {
        assert_eq!(unified("a\nb\n", "a\nb\n"), "");
    }

    #[test]
    fn far_changes_are_apart() {
        let old: Vec<String> = (0..30).map(|n| format!("line {n}")).collect();
        let mut new = old.clone();
        new[2] = "x".to_owned();
        new[25] = "y".to_owned();
        let text = unified(&old.join("\n"), &new.join("\n"));
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("@@")).collect();
        assert_eq!(heads, ["@@ -1,6 +1,6 @@", "@@ -23,7 +23,7 @@"]);
    }

    proptest! {
        #[test]
        fn the_changes_make_the_new_text_of_the_old(a in "([abc]\n){0,40}", b in "([abc]\n){0,40}") {
            let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
            let mut made: Vec<&str> = Vec::new();
            for change in Matcher::new(&a, &b).changes() {
                let from = if change.same { &a[change.a1..change.a2] } else { &b[change.b1..change.b2] };
                made.extend(from);
            }
            prop_assert_eq!(made, b);
        }
    }
}
