//! The life of one probe of one running container.

use std::sync::Arc;
use std::time::Duration;

use super::{Check, Miss, Place, Probe, ProbeKind, Tally};

/// The first pause between additional looks; it doubles up to the probe's period.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The same for looks that cost a process.
const FIRST_PAUSE_OF_COMMANDS: Duration = Duration::from_millis(100);

/// What a probe has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// From now on it succeeds.
    Succeeds,
    /// From now on it fails.
    Fails,
    /// A look failed.
    Unhealthy(String),
}

/// What is probed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it is.
    pub(crate) place: Place,
    /// How long the container has been running.
    pub(crate) running_for: Duration,
    /// Whether it is held to be ready.
    pub(crate) is_ready: bool,
    /// Where looks are counted.
    pub(crate) tally: Arc<Tally>,
}

/// Looks again and again, and tells `tell` what it finds; ends when it is dropped, and a startup probe with its
/// first verdict.
pub(crate) async fn watch(probe: Probe, target: Target, mut tell: impl FnMut(Finding)) {
    tokio::time::sleep(probe.initial_delay.saturating_sub(target.running_for)).await;
    let mut count = Count::new(&probe, target.is_ready);
    let is_expected = probe.kind != ProbeKind::Liveness && !target.is_ready;
    let first_pause = match probe.check {
        Check::Exec(_) => FIRST_PAUSE_OF_COMMANDS,
        Check::Http(_) | Check::Tcp { .. } | Check::Grpc(_) => FIRST_PAUSE,
    };
    let mut next_pause = is_expected.then_some(first_pause);
    loop {
        let period_ends = tokio::time::Instant::now() + probe.period;
        let outcome = probe.check.run(&target.place, probe.timeout).await;
        target.tally.add(&outcome);
        let mut succeeded = outcome.is_ok();
        if let Err(miss) = &outcome {
            tell(Finding::Unhealthy(unhealthy(probe.kind, miss)));
        }
        // Where there was no looking nothing was seen.
        if !matches!(outcome, Err(Miss::Errored(_)))
            && let Some(verdict) = count.add(succeeded)
        {
            tell(verdict);
        }
        // Until the first success: looks between the regular ones.
        while !succeeded && let Some(pause) = next_pause.filter(|_| tokio::time::Instant::now() < period_ends)
        {
            tokio::time::sleep_until((tokio::time::Instant::now() + pause).min(period_ends)).await;
            next_pause = Some(pause * 2).filter(|pause| *pause < probe.period);
            if tokio::time::Instant::now() >= period_ends {
                break;
            }
            let outcome = probe.check.run(&target.place, probe.timeout).await;
            succeeded = outcome.is_ok();
            if succeeded {
                target.tally.add(&outcome);
            }
            if succeeded && let Some(verdict) = count.add(true) {
                tell(verdict);
            }
        }
        if succeeded {
            next_pause = None;
        }
        if probe.kind == ProbeKind::Startup && count.verdict.is_some() {
            return;
        }
        tokio::time::sleep_until(period_ends).await;
    }
}

fn unhealthy(kind: ProbeKind, miss: &Miss) -> String {
    let title = kind.title();
    match miss {
        Miss::Failed(message) => format!("{title} probe failed: {message}"),
        Miss::Errored(message) => format!("{title} probe errored and resulted in unknown state: {message}"),
    }
}

/// Counts outcomes in a row.
struct Count {
    success_threshold: u32,
    failure_threshold: u32,
    in_a_row: u32,
    last: Option<bool>,
    verdict: Option<bool>,
}

impl Count {
    /// Before the first verdict a container is held to be alive, and ready only if it was before.
    fn new(probe: &Probe, is_ready: bool) -> Self {
        let verdict = match probe.kind {
            ProbeKind::Startup => None,
            ProbeKind::Readiness => Some(is_ready),
            ProbeKind::Liveness => Some(true),
        };
        let Probe { success_threshold, failure_threshold, .. } = *probe;
        Self { success_threshold, failure_threshold, in_a_row: 0, last: None, verdict }
    }

    /// Adds an outcome; the verdict, if it changes.
    fn add(&mut self, succeeded: bool) -> Option<Finding> {
        self.in_a_row = if self.last == Some(succeeded) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(succeeded);
        let threshold = if succeeded { self.success_threshold } else { self.failure_threshold };
        if self.in_a_row < threshold || self.verdict == Some(succeeded) {
            return None;
        }
        self.verdict = Some(succeeded);
        Some(if succeeded { Finding::Succeeds } else { Finding::Fails })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::Check;
    use super::*;

    #[rstest]
    #[case(ProbeKind::Readiness, 1, 3, "+--+---+", "S.....FS")]
    #[case(ProbeKind::Readiness, 2, 1, "+-+++", "...S.")]
    #[case(ProbeKind::Liveness, 1, 2, "+-+---", "....F.")]
    #[case(ProbeKind::Startup, 1, 3, "--+", "..S")]
    #[case(ProbeKind::Startup, 1, 3, "---", "..F")]
    fn verdicts_change_at_their_thresholds(
        #[case] kind: ProbeKind,
        #[case] success_threshold: u32,
        #[case] failure_threshold: u32,
        #[case] outcomes: &str,
        #[case] expected: &str,
    ) {
        let probe = Probe {
            kind,
            check: Check::Tcp { host: None, port: 1 },
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            success_threshold,
            failure_threshold,
        };
        let mut count = Count::new(&probe, false);
        let told = outcomes.chars().map(|outcome| match count.add(outcome == '+') {
            Some(Finding::Succeeds) => 'S',
            Some(Finding::Fails) => 'F',
            Some(Finding::Unhealthy(_)) | None => '.',
        });
        assert_eq!(told.collect::<String>(), expected);
    }
}
