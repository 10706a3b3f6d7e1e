//! URLs as Go's `net/url` takes them apart, which is laxer than the WHATWG's rules.

/// A URL in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    user: Option<String>,
    /// With the port.
    pub(super) host: String,
    opaque: String,
    path: String,
    raw_path: String,
    query: String,
    fragment: String,
}

/// Reads a URL that has to be absolute: a scheme, or a path from the root.
pub(super) fn parse_request(text: &str) -> Result<Url, String> {
    let wrong = |why: String| format!("parse {text:?}: {why}");
    parse_parts(text, true).map_err(wrong)?;
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let mut url = parse_parts(rest, false).map_err(wrong)?;
    url.fragment = unescape(fragment).map_err(wrong)?;
    Ok(url)
}

fn parse_parts(text: &str, request: bool) -> Result<Url, String> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    if text.is_empty() && request {
        return Err("empty url".to_owned());
    }
    let (scheme, rest) = scheme(text)?;
    let mut url = Url { scheme: scheme.to_ascii_lowercase(), ..Url::default() };
    let (mut rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    query.clone_into(&mut url.query);
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            rest.clone_into(&mut url.opaque);
            return Ok(url);
        }
        if request && rest != "*" {
            return Err("invalid URI for request".to_owned());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    if let Some(behind) = rest.strip_prefix("//")
        && (!url.scheme.is_empty() || (!request && !rest.starts_with("///")))
    {
        let end = behind.find('/').unwrap_or(behind.len());
        authority(&mut url, &behind[..end])?;
        rest = &behind[end..];
    }
    url.path = unescape(rest)?;
    if escape(&url.path) != rest {
        rest.clone_into(&mut url.raw_path);
    }
    Ok(url)
}

/// The scheme, which may be missing, and what follows.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn authority(url: &mut Url, text: &str) -> Result<(), String> {
    let host = match text.rsplit_once('@') {
        Some((user, host)) => {
            let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
            if !user.bytes().all(valid) {
                return Err("net/url: invalid userinfo".to_owned());
            }
            url.user = Some(unescape(user)?);
            host
        }
        None => text,
    };
    check_host(host)?;
    url.host = unescape(host)?;
    Ok(())
}

fn check_host(host: &str) -> Result<(), String> {
    let port = match host.rfind(']') {
        Some(end) if host.starts_with('[') => &host[end + 1..],
        _ if host.starts_with('[') => return Err("missing ']' in host".to_owned()),
        _ => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').map(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    if !port.is_empty() && digits != Some(true) {
        return Err(format!("invalid port {port:?} after host"));
    }
    let valid = |char: char| {
        !char.is_ascii() || char.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(char)
    };
    match host.chars().find(|char| !valid(*char)) {
        Some(wrong) => Err(format!("invalid character {:?} in host name", wrong.to_string())),
        None => Ok(()),
    }
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digit = |at: usize| behind.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            let shown = String::from_utf8_lossy(&behind[..behind.len().min(2)]);
            return Err(format!("invalid URL escape {:?}", format!("%{shown}")));
        };
        bytes.push(u8::try_from(high * 16 + low).unwrap_or(u8::MAX));
        rest = &behind[2..];
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A path with everything escaped that a path does not show.
fn escape(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0').to_ascii_uppercase();
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

impl Url {
    /// The host without port and brackets.
    pub(super) fn hostname(&self) -> &str {
        let host = self.split_port().0;
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The port, or nothing.
    pub(super) fn port(&self) -> &str {
        self.split_port().1
    }

    fn split_port(&self) -> (&str, &str) {
        match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, port),
            _ => (&self.host, ""),
        }
    }

    /// The path as it was written, if it was written correctly.
    pub(super) fn escaped_path(&self) -> String {
        let shown = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@[]%/".contains(&byte);
        let raw = &self.raw_path;
        if !raw.is_empty() && raw.bytes().all(shown) && unescape(raw).is_ok_and(|path| path == self.path) {
            return raw.clone();
        }
        if self.path == "*" { "*".to_owned() } else { escape(&self.path) }
    }

    /// The parameters of the query, each name once.
    pub(super) fn parameters(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Ok(name), Ok(value)) =
                (unescape(&name.replace('+', " ")), unescape(&value.replace('+', " ")))
            else {
                continue;
            };
            match all.iter_mut().find(|(known, _)| *known == name) {
                Some((_, values)) => values.push(value),
                None => all.push((name, vec![value])),
            }
        }
        all
    }
}
