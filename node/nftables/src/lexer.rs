//! The words of a script.

/// One word, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) kind: Kind<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// Whatever stands between blanks and the signs below.
    Word(&'a str),
    /// What stood in quotes.
    Quoted(&'a str),
    Open,
    Close,
    Comma,
    /// A semicolon or the end of a line.
    End,
}

/// The words of `text`; comments end with their line.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for (index, whole) in text.lines().enumerate() {
        let line = index + 1;
        let mut rest = whole.trim_start();
        while let Some(first) = rest.chars().next() {
            let (kind, length) = match first {
                '#' => break,
                '{' => (Kind::Open, 1),
                '}' => (Kind::Close, 1),
                ',' => (Kind::Comma, 1),
                ';' => (Kind::End, 1),
                '"' => {
                    let text = &rest[1..];
                    let (text, closed) = text.find('"').map_or((text, 0), |end| (&text[..end], 1));
                    (Kind::Quoted(text), 1 + text.len() + closed)
                }
                _ => {
                    let end = rest.find(|sign: char| sign.is_whitespace() || "{},;\"#".contains(sign));
                    let word = &rest[..end.unwrap_or(rest.len())];
                    (Kind::Word(word), word.len())
                }
            };
            tokens.push(Token { line, kind });
            rest = rest[length..].trim_start();
        }
        tokens.push(Token { line, kind: Kind::End });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::Kind::{Close, Comma, End, Open, Quoted, Word};
    use super::*;

    #[test]
    fn words_are_told_apart_by_blanks_and_signs() {
        let kinds = |text| tokens(text).into_iter().map(|token| (token.line, token.kind)).collect::<Vec<_>>();
        let expected = vec![
            (1, Word("a")),
            (1, Open),
            (1, Word("10.0.0.1:80")),
            (1, Comma),
            (1, Word(".")),
            (1, Quoted("l o")),
            (1, Close),
            (1, End),
            (1, End),
            (2, End),
            (3, Word("b")),
            (3, End),
        ];
        assert_eq!(kinds("a{10.0.0.1:80,. \"l o\"}; # and {\n\n b#c"), expected);
        assert_eq!(kinds("\"open"), vec![(1, Quoted("open")), (1, End)]);
    }
}
