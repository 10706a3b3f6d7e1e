//! HTML: the links of a page, found and replaced where they stand; all else stays byte for byte.

/// Elements and their attributes that hold a link.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["formaction", "src", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("track", &["src"]),
    ("video", &["poster", "src"]),
];
/// Elements whose content is text whatever it looks like.
const TEXT: [&str; 4] = ["script", "style", "textarea", "title"];
/// What is written otherwise in the value of an attribute.
const ESCAPES: [(&str, &str); 5] =
    [("&amp;", "&"), ("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">")];

/// A page with those links replaced for which `replace` has another.
pub(super) fn rewrite(page: &[u8], replace: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 16);
    let mut left = page;
    while let Some(at) = left.iter().position(|byte| *byte == b'<') {
        out.extend_from_slice(&left[..at]);
        left = &left[at..];
        let length = if left.starts_with(b"<!--") {
            end_of(left, b"-->")
        } else if left.get(1).is_some_and(u8::is_ascii_alphabetic) {
            tag(left, &replace, &mut out)
        } else if matches!(left.get(1), Some(b'!' | b'?' | b'/')) {
            end_of(left, b">")
        } else {
            Part { length: 1, written: false }
        };
        if !length.written {
            out.extend_from_slice(&left[..length.length]);
        }
        left = &left[length.length..];
    }
    out.extend_from_slice(left);
    out
}

/// A piece of the page.
struct Part {
    length: usize,
    /// Whether it is in the output already.
    written: bool,
}

/// What goes up to the end of this text, or of the page.
fn end_of(page: &[u8], text: &[u8]) -> Part {
    let end = page.windows(text.len()).position(|window| window == text);
    Part { length: end.map_or(page.len(), |end| end + text.len()), written: false }
}

/// Writes a tag, with the text it begins if its element is one of text.
fn tag(page: &[u8], replace: &impl Fn(&str) -> Option<String>, out: &mut Vec<u8>) -> Part {
    let mut at = 1 + run(&page[1..], |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>'));
    let name = String::from_utf8_lossy(&page[1..at]).to_ascii_lowercase();
    let links = LINKS.iter().find(|(element, _)| *element == name).map_or(&[][..], |(_, names)| *names);
    out.extend_from_slice(&page[..at]);
    while at < page.len() && page[at] != b'>' {
        let attribute = Attribute::read(&page[at..]);
        let whole = &page[at..at + attribute.length];
        at += attribute.length;
        let value = attribute.value.and_then(|(from, to)| {
            let name = String::from_utf8_lossy(attribute.name).to_ascii_lowercase();
            let value = std::str::from_utf8(&whole[from..to]).ok()?;
            let value = links.contains(&name.as_str()).then(|| replace(&unescape(value)))??;
            Some((from, to, escape(&value)))
        });
        match value {
            Some((from, to, value)) => {
                let quoted = from > 0 && matches!(whole[from - 1], b'"' | b'\'');
                out.extend_from_slice(&whole[..from]);
                let mark = if quoted { "" } else { "\"" };
                out.extend_from_slice(format!("{mark}{value}{mark}").as_bytes());
                out.extend_from_slice(&whole[to..]);
            }
            None => out.extend_from_slice(whole),
        }
    }
    if TEXT.contains(&name.as_str()) {
        let close = format!("</{name}");
        let text = &page[at..];
        let end = text.windows(close.len()).position(|window| window.eq_ignore_ascii_case(close.as_bytes()));
        let end = end.unwrap_or(text.len());
        out.extend_from_slice(&text[..end]);
        at += end;
    }
    Part { length: at, written: true }
}

/// An attribute, or what stands between two.
struct Attribute<'a> {
    name: &'a [u8],
    /// Where in it the value begins and ends, without its quotes.
    value: Option<(usize, usize)>,
    /// How long it is with all that belongs to it; at least one.
    length: usize,
}

impl<'a> Attribute<'a> {
    fn read(text: &'a [u8]) -> Self {
        let space = run(text, |byte| byte.is_ascii_whitespace() || byte == b'/');
        if space > 0 {
            return Self { name: &[], value: None, length: space };
        }
        // The first byte belongs to the name whatever it is.
        let more = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'/' | b'>' | b'=');
        let end = 1 + run(&text[1..], more);
        let name = &text[..end];
        let mut at = end + run(&text[end..], |byte| byte.is_ascii_whitespace());
        if text.get(at) != Some(&b'=') {
            return Self { name, value: None, length: end };
        }
        at += 1;
        at += run(&text[at..], |byte| byte.is_ascii_whitespace());
        if let Some(&quote @ (b'"' | b'\'')) = text.get(at) {
            let from = at + 1;
            let to = from + run(&text[from..], |byte| byte != quote);
            return Self { name, value: Some((from, to)), length: text.len().min(to + 1) };
        }
        let to = at + run(&text[at..], |byte| !byte.is_ascii_whitespace() && byte != b'>');
        Self { name, value: Some((at, to)), length: to }
    }
}

/// How many bytes from the beginning on are like that.
fn run(text: &[u8], like: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|byte| !like(*byte)).unwrap_or(text.len())
}

fn unescape(value: &str) -> String {
    // The ampersand last, so that nothing is unescaped twice.
    ESCAPES.iter().rev().fold(value.to_owned(), |text, (written, meant)| text.replace(written, meant))
}

fn escape(value: &str) -> String {
    ESCAPES.iter().fold(value.to_owned(), |text, (written, meant)| text.replace(meant, written))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn prefixed(page: &str) -> String {
        let replace = |link: &str| link.starts_with('/').then(|| format!("/p{link}"));
        String::from_utf8(rewrite(page.as_bytes(), replace)).unwrap()
    }

    #[rstest]
    #[case(r#"<a href="/x">"#, r#"<a href="/p/x">"#)]
    #[case("<A class=b HREF = '/x' id>y</A>", "<A class=b HREF = '/p/x' id>y</A>")]
    #[case("<img src=/x>", r#"<img src="/p/x">"#)]
    #[case(r#"<a href="/x?a=1&amp;b=2">"#, r#"<a href="/p/x?a=1&amp;b=2">"#)]
    #[case(r#"<a href="x"><p title="/y">"#, r#"<a href="x"><p title="/y">"#)]
    #[case(r#"<!-- <a href="/x"> --><a href="/y">"#, r#"<!-- <a href="/x"> --><a href="/p/y">"#)]
    #[case(
        r#"<script src="/s">"<a href='/x'>"</script><link href="/c">"#,
        r#"<script src="/p/s">"<a href='/x'>"</script><link href="/p/c">"#
    )]
    #[case("1 < 2 <a href=\"/x", "1 < 2 <a href=\"/p/x")]
    fn links_are_replaced_where_they_stand(#[case] page: &str, #[case] expected: &str) {
        assert_eq!(prefixed(page), expected);
    }

    proptest! {
        #[test]
        fn without_links_to_replace_a_page_stays_as_it_is(
            page in "(<|</|<!--|-->|>|a|script| |=|href|\"|'|/|&amp;|\\PC){0,40}"
        ) {
            prop_assert_eq!(rewrite(page.as_bytes(), |_| None), page.as_bytes());
        }

        #[test]
        fn any_bytes_are_a_page(page in proptest::collection::vec(any::<u8>(), 0..60)) {
            rewrite(&page, |link| Some(link.to_owned()));
        }
    }
}
