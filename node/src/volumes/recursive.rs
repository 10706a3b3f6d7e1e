//! Whether a mount makes what is mounted below it read-only, too.

use k8s_openapi::api::core::v1::VolumeMount;

/// The first Linux that can do it.
const SINCE: (u32, u32) = (5, 12);

/// Whether it is asked for and possible here; `None` if it is asked for and not possible.
pub(crate) fn is_wanted(mount: &VolumeMount) -> Option<bool> {
    decide(mount.recursive_read_only.as_deref(), is_possible())
}

fn decide(wanted: Option<&str>, possible: bool) -> Option<bool> {
    match wanted {
        Some("Enabled") => possible.then_some(true),
        Some("IfPossible") => Some(possible),
        _ => Some(false),
    }
}

/// Whether the kernel can do it.
pub(crate) fn is_possible() -> bool {
    rustix::system::uname().release().to_str().is_ok_and(|release| version(release) >= Some(SINCE))
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_possible_is_done_only_if_it_must_not_be() {
        let decided = [None, Some("Disabled"), Some("IfPossible"), Some("Enabled")]
            .map(|wanted| [decide(wanted, false), decide(wanted, true)]);
        let no = Some(false);
        assert_eq!(decided, [[no, no], [no, no], [no, Some(true)], [None, Some(true)]]);
    }

    #[test]
    fn releases_begin_with_two_numbers() {
        assert_eq!(version("6.1.0-21-amd64"), Some((6, 1)));
        assert_eq!(version("5.12-rc1"), Some((5, 12)));
        assert!(version("5.4.0") < Some(SINCE) && version("unknown") < Some(SINCE));
    }
}
