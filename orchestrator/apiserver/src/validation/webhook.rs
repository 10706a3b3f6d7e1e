//! Where webhooks are: a URL, or a Service.

use wherry_api::names;
use wherry_schema::Value;

use super::url::Url;
use super::{Errors, Path};
use crate::object::Fields;

/// The rules of a webhook's client configuration.
pub(crate) fn check_client(config: Option<&Value>, path: &Path, errors: &mut Errors) {
    let url = config.and_then(|config| config.field("url")?.as_str());
    let service = config.and_then(|config| config.field("service"));
    match (url, service) {
        (Some(url), None) => check_url(url, &path.child("url"), errors),
        (None, Some(service)) => check_service(service, &path.child("service"), errors),
        _ => errors.required(path, "exactly one of url or service is required"),
    }
}

/// The rules of a webhook's URL.
pub(crate) fn check_url(url: &str, path: &Path, errors: &mut Errors) {
    const FORM: &str = "; desired format: https://host[/path]";
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(why) => {
            errors.required(path, &format!("url must be a valid URL: {why}{FORM}"));
            return;
        }
    };
    if url.scheme != "https" {
        errors.invalid(path, &url.scheme, &format!("'https' is the only allowed URL scheme{FORM}"));
    }
    if url.host.is_empty() {
        errors.invalid(path, url.host, &format!("host must be specified{FORM}"));
    }
    if let Some(user) = url.user {
        errors.invalid(path, user, "user information is not permitted in the URL");
    }
    if !url.fragment.is_empty() {
        errors.invalid(path, url.fragment, "fragments are not permitted in the URL");
    }
    if !url.query.is_empty() {
        errors.invalid(path, url.query, "query parameters are not permitted in the URL");
    }
}

/// The rules of a reference to a webhook's Service.
pub(crate) fn check_service(service: &Value, path: &Path, errors: &mut Errors) {
    errors.some_text(service.text("name"), &path.child("name"));
    errors.some_text(service.text("namespace"), &path.child("namespace"));
    if let Some(port) = service.int("port").filter(|port| !(1..=65_535).contains(port)) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.invalid(&path.child("port"), port, detail);
    }
    if let Some(url_path) = service.field("path").and_then(Value::as_str) {
        check_path(url_path, &path.child("path"), errors);
    }
}

fn check_path(text: &str, path: &Path, errors: &mut Errors) {
    if text == "/" || text.is_empty() {
        return;
    }
    if text == "//" {
        errors.invalid(path, text, "segment[0] may not be empty");
        return;
    }
    if !text.starts_with('/') {
        errors.invalid(path, text, "must start with a '/'");
    }
    // Upstream cuts the first byte and a trailing slash, whatever the first byte is.
    let mut chars = text.chars();
    chars.next();
    let steps = chars.as_str();
    let steps = steps.strip_suffix('/').unwrap_or(steps);
    for (index, step) in steps.split('/').enumerate() {
        if step.is_empty() {
            errors.invalid(path, text, &format!("segment[{index}] may not be empty"));
        } else if let Err(reason) = names::dns1123_subdomain(step) {
            errors.invalid(path, text, &format!("segment[{index}]: {reason}"));
        }
    }
}
