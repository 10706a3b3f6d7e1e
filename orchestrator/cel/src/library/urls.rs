//! URLs and their parts.

use std::any::Any;
use std::rc::Rc;

use super::go_url::{Url, parse_request};
use crate::env::Row;
use crate::error::Error;
use crate::value::{Entries, Key, Map, Opaque, Text, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("url", "string_to_url", "(string) -> kubernetes.URL", url),
    ("isURL", "is_url_string", "(string) -> bool", is_url),
    ("getScheme", "url_get_scheme", "kubernetes.URL.() -> string", scheme),
    ("getHost", "url_get_host", "kubernetes.URL.() -> string", host),
    ("getHostname", "url_get_hostname", "kubernetes.URL.() -> string", hostname),
    ("getPort", "url_get_port", "kubernetes.URL.() -> string", port),
    ("getEscapedPath", "url_get_escaped_path", "kubernetes.URL.() -> string", escaped_path),
    ("getQuery", "url_get_query", "kubernetes.URL.() -> map(string, list(string))", query),
];

impl Opaque for Url {
    fn type_name(&self) -> &'static str {
        "kubernetes.URL"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

fn url<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text)] = args else { return Err(Error::no_overload()) };
    let wrong = |why| Error::other(format!("URL parse error during conversion from string: {why}"));
    parse_request(text).map(Value::opaque).map_err(wrong)
}

fn is_url<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text)] = args else { return Err(Error::no_overload()) };
    Ok(Value::Bool(parse_request(text).is_ok()))
}

fn of<'v>(args: &'v [Value<'_>]) -> Result<&'v Url> {
    args.first().and_then(Value::as_opaque).ok_or_else(Error::no_overload)
}

fn scheme<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::from(of(args)?.scheme.clone()))
}

fn host<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::from(of(args)?.host.clone()))
}

fn hostname<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::from(of(args)?.hostname().to_owned()))
}

fn port<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::from(of(args)?.port().to_owned()))
}

fn escaped_path<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::from(of(args)?.escaped_path()))
}

fn query<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let entry = |(name, values): (String, Vec<String>)| {
        let values = Value::list(values.into_iter().map(Value::from).collect());
        (Key::String(Text::Shared(name.into())), values)
    };
    let entries: Entries<'a> = of(args)?.parameters().into_iter().map(entry).collect();
    Ok(Value::Map(Map::Entries(Rc::new(entries))))
}
