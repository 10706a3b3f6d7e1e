//! Filters of rules and of their backends: what they change of requests and answers.

use http::{HeaderName, HeaderValue, StatusCode};
use wherry_ingress::{Fraction, HeaderEdits, PathEdit, Redirect, Rewrite};

use super::route::{End, Filters};
use super::written::{self, BackendRef, Filter, Headers, Text};

/// Reads the filters of a rule; what of them is not built.
pub(super) fn read(written: &[Filter]) -> Result<Filters, String> {
    let mut filters = Filters::default();
    written.iter().try_for_each(|filter| add(filter, &mut filters))?;
    Ok(filters)
}

/// Reads where a rule leads, with the filters of that backend alone; what of them is not built.
pub(super) fn end(written: &BackendRef) -> Result<End, String> {
    let is_built =
        |filter: &&Filter| matches!(filter.kind.as_str(), "RequestHeaderModifier" | "ResponseHeaderModifier");
    if let Some(other) = written.filters.iter().find(|filter| !is_built(filter)) {
        return Err(format!("filters of type {} are not built at backends", other.kind));
    }
    let Filters { request, response, .. } = read(&written.filters)?;
    Ok(End { to: written.to.clone(), request, response })
}

/// The header that a text names.
pub(super) fn header(text: &Text) -> Result<(HeaderName, HeaderValue), String> {
    let name = text.name.parse().map_err(|_| format!("{:?} is no name of a header", text.name))?;
    let value = text.value.as_deref().unwrap_or_default();
    Ok((name, value.parse().map_err(|_| format!("{value:?} is no value of a header"))?))
}

fn add(filter: &Filter, filters: &mut Filters) -> Result<(), String> {
    let missing = || format!("a filter of type {} says nothing", filter.kind);
    match filter.kind.as_str() {
        "RequestHeaderModifier" => {
            filters.request = edits(filter.request_header_modifier.as_ref().ok_or_else(missing)?)?;
        }
        "ResponseHeaderModifier" => {
            filters.response = edits(filter.response_header_modifier.as_ref().ok_or_else(missing)?)?;
        }
        "RequestRedirect" => {
            filters.redirect = Some(redirect(filter.request_redirect.as_ref().ok_or_else(missing)?)?);
        }
        "URLRewrite" => {
            let rewrite = filter.rewrite.as_ref().ok_or_else(missing)?;
            let host = rewrite.hostname.as_deref().map(str::parse);
            let host = host.transpose().map_err(|_| "the hostname of a rewrite is none".to_owned())?;
            filters.rewrite = Rewrite { host, path: rewrite.path.as_ref().and_then(path) };
        }
        "RequestMirror" => {
            let mirror = filter.request_mirror.as_ref().ok_or_else(missing)?;
            filters.mirrors.push((fraction(mirror), mirror.backend_ref.clone()));
        }
        other => return Err(format!("filters of type {other} are not built")),
    }
    Ok(())
}

fn edits(filter: &Headers) -> Result<HeaderEdits, String> {
    let all = |texts: &[Text]| texts.iter().map(header).collect::<Result<Vec<_>, _>>();
    let name = |name: &String| name.parse().map_err(|_| format!("{name:?} is no name of a header"));
    let removed = filter.remove.iter().map(name).collect::<Result<Vec<HeaderName>, _>>()?;
    let edits = HeaderEdits::new(all(&filter.set)?, all(&filter.add)?, removed);
    edits.map_err(|name| format!("the header {name} is the gateway's own to set"))
}

fn redirect(filter: &written::Redirect) -> Result<Redirect, String> {
    let scheme = filter.scheme.as_deref().map(str::parse);
    let status = StatusCode::from_u16(filter.status_code.unwrap_or(302));
    Ok(Redirect {
        scheme: scheme.transpose().map_err(|_| "the scheme of a redirect is none".to_owned())?,
        host: filter.hostname.clone(),
        port: filter.port,
        path: filter.path.as_ref().and_then(path),
        // Known with the listener.
        came_to: 0,
        status: status.map_err(|_| "the status of a redirect is none".to_owned())?,
    })
}

fn path(filter: &written::Path) -> Option<PathEdit> {
    let whole = filter.replace_full_path.clone().map(PathEdit::Whole);
    whole.or_else(|| filter.replace_prefix_match.clone().map(PathEdit::Prefix))
}

fn fraction(mirror: &written::Mirror) -> Fraction {
    match (&mirror.fraction, mirror.percent) {
        (Some(part), _) => Fraction { of: part.numerator, all: part.denominator.unwrap_or(100) },
        (None, Some(percent)) => Fraction { of: percent, all: 100 },
        (None, None) => Fraction::ALL,
    }
}
