//! How the scheduler is configured: the file that kube-scheduler takes as `--config`.

use std::path::{Path, PathBuf};

use wherry_scheduler::{Configuration, ConfigurationError};

/// Why a configuration of the scheduler cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerConfigError {
    /// The file.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is neither YAML nor JSON.
    #[error("{} is no document: {why}", path.display())]
    Syntax {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// It says something wrong.
    #[error("{} does not configure the scheduler", path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        source: ConfigurationError,
    },
}

/// Reads a `KubeSchedulerConfiguration`; without a file the defaults hold.
pub fn scheduler_configuration(path: Option<&Path>) -> Result<Configuration, SchedulerConfigError> {
    let Some(path) = path else { return Ok(Configuration::default()) };
    let owned = || path.to_owned();
    let text = std::fs::read(path).map_err(|source| SchedulerConfigError::Read { path: owned(), source })?;
    let document = wherry_apiserver::from_yaml(&text);
    let document = document.map_err(|why| SchedulerConfigError::Syntax { path: owned(), why })?;
    Configuration::parse(document).map_err(|source| SchedulerConfigError::Document { path: owned(), source })
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn read(text: &str) -> Result<Configuration, SchedulerConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scheduler.yaml");
        std::fs::write(&path, text).unwrap();
        scheduler_configuration(Some(&path))
    }

    #[test]
    fn files_are_read_strictly() {
        let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
        assert_eq!(read(head).unwrap(), scheduler_configuration(None).unwrap());
        let error = read(&format!("{head}profiles:\n- plugin: {{}}\n")).unwrap_err();
        let cause = error.source().unwrap().to_string();
        assert_eq!(cause, "strict decoding error: unknown field \"profiles[0].plugin\"");
        assert!(read(&format!("{head}kind: twice\n")).unwrap_err().to_string().contains("scheduler.yaml"));
        assert!(scheduler_configuration(Some(Path::new("/nowhere"))).is_err());
    }
}
