//! Flags of the audit log, named as upstream's, and the configuration they make.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use wherry_orchestrator::audit::{
    AuditConfig, LogConfig, LogTarget, Mode, Policy, Receiver, Throttle, WebhookConfig,
};

#[derive(Debug, Args)]
#[expect(clippy::struct_field_names, reason = "flags are named after their fields, as upstream names them")]
#[command(next_help_heading = "Audit")]
pub(crate) struct AuditArgs {
    /// What is recorded of which requests: a Policy of audit.k8s.io/v1. Nothing is recorded without it.
    #[arg(long)]
    audit_policy_file: Option<PathBuf>,
    /// Where events are written, one a line; `-` is standard output.
    #[arg(long, allow_hyphen_values = true)]
    audit_log_path: Option<PathBuf>,
    /// MiB a log file holds before it is set aside; 0 is 100.
    #[arg(long, default_value_t = 0)]
    audit_log_maxsize: u64,
    /// How many files set aside are kept; 0 is all of them.
    #[arg(long, default_value_t = 0)]
    audit_log_maxbackup: usize,
    /// How many days files set aside are kept; 0 is for ever.
    #[arg(long, default_value_t = 0)]
    audit_log_maxage: u32,
    /// Whether answers wait until their events are written.
    #[arg(long, value_enum, default_value_t = ModeArg::Blocking)]
    audit_log_mode: ModeArg,
    /// How many events wait to be written; in batch mode, others are dropped.
    #[arg(long, default_value_t = 10_000)]
    audit_log_batch_buffer_size: usize,
    /// How many events are written at once, in batch mode.
    #[arg(long, default_value_t = 1)]
    audit_log_batch_max_size: usize,
    /// How long an event waits for others, in batch mode.
    #[arg(long, default_value = "0s", value_parser = duration)]
    audit_log_batch_max_wait: Duration,
    /// Where events are sent: a kubeconfig.
    #[arg(long)]
    audit_webhook_config_file: Option<PathBuf>,
    /// Whether answers wait until their events are taken.
    #[arg(long, value_enum, default_value_t = ModeArg::Batch)]
    audit_webhook_mode: ModeArg,
    /// How many events wait to be sent; in batch mode, others are dropped.
    #[arg(long, default_value_t = 10_000)]
    audit_webhook_batch_buffer_size: usize,
    /// How many events are sent at once, in batch mode.
    #[arg(long, default_value_t = 400)]
    audit_webhook_batch_max_size: usize,
    /// How long an event waits for others, in batch mode.
    #[arg(long, default_value = "30s", value_parser = duration)]
    audit_webhook_batch_max_wait: Duration,
    /// Whether there is a limit on batches a second.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    audit_webhook_batch_throttle_enable: bool,
    /// Batches a second, on average.
    #[arg(long, default_value_t = 10.0)]
    audit_webhook_batch_throttle_qps: f64,
    /// Batches at one moment, after silence.
    #[arg(long, default_value_t = 15)]
    audit_webhook_batch_throttle_burst: u32,
    /// How long the second attempt to send events waits after the first.
    #[arg(long, default_value = "10s", value_parser = duration)]
    audit_webhook_initial_backoff: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    /// Nothing waits; events are dropped when there are too many.
    Batch,
    /// Answers wait.
    Blocking,
    /// Answers wait, and requests that cannot be recorded are refused.
    BlockingStrict,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Batch => Self::Batch,
            ModeArg::Blocking => Self::Blocking,
            ModeArg::BlockingStrict => Self::BlockingStrict,
        }
    }
}

/// A length of time such as `1m30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: jiff::SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())
}

impl AuditArgs {
    /// What the flags ask for; none without a policy, or with nowhere to record anything.
    pub(crate) fn config(&self) -> anyhow::Result<Option<AuditConfig>> {
        let Some(path) = &self.audit_policy_file else {
            if self.audit_log_path.is_some() || self.audit_webhook_config_file.is_some() {
                tracing::warn!("nothing is recorded for audit: there is no --audit-policy-file");
            }
            return Ok(None);
        };
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let policy = Policy::parse(&bytes).with_context(|| format!("cannot use {}", path.display()))?;
        let (log, webhook) = (self.log()?, self.webhook()?);
        if log.is_none() && webhook.is_none() {
            tracing::warn!(
                "nothing is recorded for audit: give --audit-log-path or --audit-webhook-config-file"
            );
            return Ok(None);
        }
        Ok(Some(AuditConfig { policy, log, webhook }))
    }

    fn log(&self) -> anyhow::Result<Option<LogConfig>> {
        let Some(path) = &self.audit_log_path else { return Ok(None) };
        let target = LogTarget::parse(path)
            .with_context(|| format!("cannot write {}; choose another --audit-log-path", path.display()))?;
        let mut config = LogConfig::new(target);
        if self.audit_log_maxsize > 0 {
            config.max_size = self.audit_log_maxsize;
        }
        (config.max_backups, config.max_age) = (self.audit_log_maxbackup, self.audit_log_maxage);
        config.delivery.mode = self.audit_log_mode.into();
        config.delivery.buffer = self.audit_log_batch_buffer_size;
        config.delivery.max_batch = self.audit_log_batch_max_size;
        config.delivery.max_wait = self.audit_log_batch_max_wait;
        Ok(Some(config))
    }

    fn webhook(&self) -> anyhow::Result<Option<WebhookConfig>> {
        let Some(path) = &self.audit_webhook_config_file else { return Ok(None) };
        let receiver = Receiver::load(path).with_context(|| format!("cannot use {}", path.display()))?;
        let mut config = WebhookConfig::new(receiver);
        config.initial_backoff = self.audit_webhook_initial_backoff;
        config.delivery.mode = self.audit_webhook_mode.into();
        config.delivery.buffer = self.audit_webhook_batch_buffer_size;
        config.delivery.max_batch = self.audit_webhook_batch_max_size;
        config.delivery.max_wait = self.audit_webhook_batch_max_wait;
        let throttle = Throttle {
            qps: self.audit_webhook_batch_throttle_qps,
            burst: self.audit_webhook_batch_throttle_burst,
        };
        config.delivery.throttle = self.audit_webhook_batch_throttle_enable.then_some(throttle);
        Ok(Some(config))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(flags: &[&str]) -> AuditArgs {
        let words = ["wherry", "apiserver"].iter().chain(flags);
        let Command::Apiserver(args) = Cli::try_parse_from(words).unwrap().command else { panic!() };
        args.server.audit
    }

    #[test]
    fn nothing_is_recorded_unless_asked_for() {
        assert!(parse(&[]).config().unwrap().is_none());
    }

    #[test]
    fn flags_are_named_as_upstream_names_them() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.yaml");
        std::fs::write(&policy, "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Metadata}]}")
            .unwrap();
        let policy = format!("--audit-policy-file={}", policy.display());
        let flags = [
            policy.as_str(),
            "--audit-log-path=-",
            "--audit-log-maxage=3",
            "--audit-log-maxbackup=2",
            "--audit-log-mode=blocking-strict",
            "--audit-webhook-batch-throttle-enable=false",
            "--audit-webhook-initial-backoff=1m30s",
        ];
        let args = parse(&flags);
        assert_eq!(args.audit_webhook_initial_backoff, Duration::from_secs(90));
        let log = args.config().unwrap().unwrap().log.unwrap();
        assert_eq!((log.target, log.max_size, log.max_backups, log.max_age), (LogTarget::Stdout, 100, 2, 3));
        assert_eq!(log.delivery.mode, Mode::BlockingStrict);
    }
}
