//! What the namespace of a Pod is held to, by Kubernetes' levels of Pod security.

/// The levels, least held to first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Level {
    /// Nothing.
    #[default]
    Privileged,
    /// No way to be more than a Pod.
    Baseline,
    /// Nothing but what is asked for.
    Restricted,
}

impl Level {
    /// As the API server writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "privileged" => Some(Self::Privileged),
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}
