//! What is counted of those who decide what may be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::render::Text;
use crate::authorize::Authorizer;
use crate::authorize::counts::{Counts, Durations, Outcome};

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// A family of one counter for each who decides.
fn family(text: &mut Text, (name, help): (&str, &str), all: &[Arc<Counts>], of: fn(&Counts) -> &AtomicU64) {
    text.family(name, "counter", help);
    for counts in all.iter().filter(|counts| read(of(counts)) > 0) {
        text.sample(name, &format!("name=\"{}\",type=\"{}\"", counts.name, counts.kind), read(of(counts)));
    }
}

/// Writes all families.
pub(super) fn render(text: &mut Text, authorizer: &Authorizer) {
    let all = authorizer.counts.lock().clone();
    let name = "apiserver_authorization_decisions_total";
    text.family(name, "counter", "[ALPHA] Total number of terminal decisions made by an authorizer split by authorizer type, name, and decision.");
    for counts in &all {
        for (decision, count) in [("allowed", &counts.allowed), ("denied", &counts.denied)] {
            if read(count) > 0 {
                let labels =
                    format!("decision=\"{decision}\",name=\"{}\",type=\"{}\"", counts.name, counts.kind);
                text.sample(name, &labels, read(count));
            }
        }
    }
    if all.iter().any(|counts| counts.kind == "Webhook") {
        conditions(text, &all);
        webhooks(text, &all);
    }
    if authorizer.is_followed() {
        reloads(text, authorizer);
    }
}

fn conditions(text: &mut Text, all: &[Arc<Counts>]) {
    let broken = (
        "apiserver_authorization_match_condition_evaluation_errors_total",
        "[ALPHA] Total number of errors when an authorization webhook encounters a match condition error split by authorizer type and name.",
    );
    family(text, broken, all, |counts| &counts.broken);
    let excluded = (
        "apiserver_authorization_match_condition_exclusions_total",
        "[ALPHA] Total number of exclusions when an authorization webhook is skipped because match conditions exclude it.",
    );
    family(text, excluded, all, |counts| &counts.excluded);
    let name = "apiserver_authorization_match_condition_evaluation_seconds";
    text.family(name, "histogram", "[ALPHA] Authorization match condition evaluation time in seconds, split by authorizer type and name.");
    for counts in all {
        let labels = format!("name=\"{}\",type=\"{}\"", counts.name, counts.kind);
        histogram(text, name, &labels, &counts.conditions);
    }
}

fn webhooks(text: &mut Text, all: &[Arc<Counts>]) {
    let each = || all.iter().flat_map(|counts| (0..Outcome::NAMES.len()).map(move |at| (counts, at)));
    let labels =
        |counts: &Counts, at: usize| format!("name=\"{}\",result=\"{}\"", counts.name, Outcome::NAMES[at]);
    let name = "apiserver_authorization_webhook_duration_seconds";
    text.family(name, "histogram", "[BETA] Request latency in seconds.");
    for (counts, at) in each() {
        histogram(text, name, &labels(counts, at), &counts.calls[at]);
    }
    let name = "apiserver_authorization_webhook_evaluations_fail_open_total";
    text.family(name, "counter", "[BETA] NoOpinion results due to webhook timeout or error.");
    for (counts, at) in each().filter(|(counts, at)| read(&counts.passed[*at]) > 0) {
        text.sample(name, &labels(counts, at), read(&counts.passed[at]));
    }
    let name = "apiserver_authorization_webhook_evaluations_total";
    text.family(name, "counter", "[BETA] Round-trips to authorization webhooks.");
    for (counts, at) in each() {
        let (_, total, _) = counts.calls[at].read();
        if total > 0 {
            text.sample(name, &labels(counts, at), total);
        }
    }
}

fn histogram<const N: usize>(text: &mut Text, name: &str, labels: &str, durations: &Durations<N>) {
    let (classes, total, nanoseconds) = durations.read();
    if total == 0 {
        return;
    }
    for (bound, count) in classes {
        let le = Duration::from_millis(bound).as_secs_f64();
        text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{le}\""), count);
    }
    text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), total);
    text.sample(&format!("{name}_sum"), labels, Duration::from_nanos(nanoseconds).as_secs_f64());
    text.sample(&format!("{name}_count"), labels, total);
}

fn reloads(text: &mut Text, authorizer: &Authorizer) {
    let reloads = &authorizer.reloads;
    let all = [("failure", &reloads.failed), ("success", &reloads.done)];
    let used = all.into_iter().filter(|(_, (count, _))| read(count) > 0);
    let name = "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds";
    text.family(name, "gauge", "[BETA] Timestamp of the last automatic reload of authorization configuration split by status and apiserver identity.");
    for (status, (_, last)) in used.clone() {
        let last = jiff::SignedDuration::from_millis(last.load(Ordering::Relaxed)).as_secs_f64();
        text.sample(name, &format!("status=\"{status}\""), last);
    }
    let name = "apiserver_authorization_config_controller_automatic_reloads_total";
    text.family(name, "counter", "[BETA] Total number of automatic reloads of authorization configuration split by status and apiserver identity.");
    for (status, (count, _)) in used {
        text.sample(name, &format!("status=\"{status}\""), read(count));
    }
}
