//! Why a reconcile failed: which step, and what the API answered.

use kube::Error as ApiError;

/// A reconcile that has to be tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// A call to the API failed.
    #[error("{step} failed")]
    Api {
        /// What was being done.
        step: &'static str,
        /// What the API client said.
        source: ApiError,
    },
    /// The selector in the object cannot be understood.
    #[error("the selector is invalid: {message}")]
    Selector {
        /// What is wrong with it.
        message: String,
    },
    /// A certificate could not be signed.
    #[error("signing a certificate failed")]
    Sign(#[from] crate::certificates::SignError),
    /// Something this step depends on is not there yet.
    #[error("{what} is not ready")]
    NotReady {
        /// What is missing.
        what: &'static str,
    },
}

/// Names the step a call to the API belonged to.
pub(crate) trait Step<T> {
    /// Turns the API's error into a [`ReconcileError`] of this step.
    fn step(self, step: &'static str) -> Result<T, ReconcileError>;
}

impl<T> Step<T> for Result<T, ApiError> {
    fn step(self, step: &'static str) -> Result<T, ReconcileError> {
        self.map_err(|source| ReconcileError::Api { step, source })
    }
}

impl ReconcileError {
    /// Whether what was asked for may have happened.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Api { source, .. } if !is_refusal(source))
    }

    /// Whether this only says that what we saw is out of date.
    pub(crate) fn is_stale(&self) -> bool {
        matches!(self, Self::Api { source, .. } if is_conflict(source) || is_already_exists(source))
    }
}

fn has(error: &ApiError, code: u16, reason: &str) -> bool {
    matches!(error, ApiError::Api(status) if status.code == code && status.reason == reason)
}

pub(crate) fn is_not_found(error: &ApiError) -> bool {
    matches!(error, ApiError::Api(status) if status.code == 404)
}

pub(crate) fn is_conflict(error: &ApiError) -> bool {
    has(error, 409, "Conflict")
}

pub(crate) fn is_already_exists(error: &ApiError) -> bool {
    has(error, 409, "AlreadyExists")
}

/// Whether the API refused, so that nothing was changed. Otherwise the outcome is unknown.
pub(crate) fn is_refusal(error: &ApiError) -> bool {
    matches!(error, ApiError::Api(status) if status.code < 500)
}

/// Whether the API refused to create something because the namespace is being deleted.
pub(crate) fn is_namespace_terminating(error: &ApiError) -> bool {
    let ApiError::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// What the API said, as a user should read it.
pub(crate) fn text(error: &ApiError) -> String {
    match error {
        ApiError::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Whether the API refused because the object would not be valid.
pub(crate) fn is_invalid(error: &ApiError) -> bool {
    matches!(error, ApiError::Api(status) if status.code == 422)
}
