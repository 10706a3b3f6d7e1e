//! Devices that Pods claim. Nothing allocates them yet, so Pods that claim some go nowhere, rather than without them.

use super::volumes::RefusedEverywhere;
use super::{Plugin, Profile};
use crate::pod::Template;

const REASON: &str = "the Pod claims devices, which are not allocated by this scheduler";

/// The no to a Pod that claims devices.
pub(crate) fn check(template: &Template, profile: &Profile) -> Result<(), RefusedEverywhere> {
    if template.claims_devices && profile.filters.contains(Plugin::DynamicResources) {
        return Err(RefusedEverywhere { plugin: Plugin::DynamicResources, text: REASON.to_owned() });
    }
    Ok(())
}
