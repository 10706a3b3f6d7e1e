//! Rules of DeviceClasses.

use wherry_schema::Value;

use super::{MAX_ITEMS, check_configuration, check_selectors, each};
use crate::object::Fields;
use crate::validation::{Errors, Path};

/// The rules every DeviceClass keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    let Some(spec) = object.field("spec") else { return };
    check_selectors(spec, &path, errors);
    each(spec, ("config", MAX_ITEMS), &path, errors, check_configuration);
    if let Some(name) = spec.field("extendedResourceName").and_then(Value::as_str)
        && !is_extended(name)
    {
        let detail = "must be a valid extended resource name";
        errors.invalid(&path.child("extendedResourceName"), name, detail);
    }
}

/// Names of resources outside Kubernetes' own domains.
fn is_extended(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
    let quota = format!("requests.{name}");
    !own && !name.starts_with("requests.") && crate::validation::names::qualified(&quota).is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_extended;

    #[test]
    fn extended_resources_have_a_domain_of_their_own() {
        assert!(is_extended("example.com/gpu"));
        for name in
            ["gpu", "kubernetes.io/gpu", "a.kubernetes.io/b", "requests.example.com/a", "example.com/"]
        {
            assert!(!is_extended(name), "{name}");
        }
    }
}
