//! The counters as Prometheus reads them (text format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};

use wherry_api::kinds::{KINDS, Kind, rows};

use super::authentication;
use super::named::{About, Family};
use super::process::Process;
use super::series::BOUNDS;
use super::{Metrics, authorization};
use crate::audit::{Counts, Level, Plugin};
use crate::codec;
use crate::config::Build;
use crate::flow::{Flow, Refused};
use crate::state::State;

/// All metrics of a server.
pub(crate) fn render(state: &State) -> String {
    let mut text = Text(String::with_capacity(32 * 1024));
    requests(&mut text, &state.metrics);
    under_way(&mut text, state);
    objects(&mut text, state);
    fairness(&mut text, &state.flow);
    named(&mut text, &state.metrics);
    audit(&mut text, state.audit.as_ref().map(|audit| &*audit.counts));
    authorization::render(&mut text, &state.authorizer);
    authentication::accounts(&mut text, &state.metrics.accounts);
    authentication::render(&mut text, &state.authentication);
    about(&mut text, state);
    if let Some(more) = &state.more_metrics {
        text.0.push_str(&more());
    }
    text.0
}

/// The page being written.
pub(super) struct Text(String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    pub(super) fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.put(format_args!("{name} {value}\n"));
        } else {
            self.put(format_args!("{name}{{{labels}}} {value}\n"));
        }
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes everything");
    }

    /// A family of one sample.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }
}

fn requests(text: &mut Text, metrics: &Metrics) {
    let name = "apiserver_request_total";
    text.family(name, "counter", "[STABLE] Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.");
    for (labels, series) in metrics.requests.used() {
        for (code, count) in series.codes() {
            let code = if code == 0 { "other".to_owned() } else { code.to_string() };
            text.sample(name, &format!("code=\"{code}\",{labels}"), count);
        }
    }
    let name = "apiserver_request_duration_seconds";
    text.family(name, "histogram", "[STABLE] Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.");
    for (labels, series) in metrics.requests.used() {
        let (classes, nanoseconds) = series.durations();
        let total = classes[BOUNDS.len()];
        if total == 0 {
            continue;
        }
        for (bound, count) in BOUNDS.iter().zip(classes) {
            let le = std::time::Duration::from_millis(*bound).as_secs_f64();
            text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{le}\""), count);
        }
        text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), total);
        let seconds = std::time::Duration::from_nanos(nanoseconds).as_secs_f64();
        text.sample(&format!("{name}_sum"), &labels, seconds);
        text.sample(&format!("{name}_count"), &labels, total);
    }
}

fn under_way(text: &mut Text, state: &State) {
    let metrics = &state.metrics;
    let name = "apiserver_current_inflight_requests";
    text.family(name, "gauge", "[STABLE] Maximal number of currently used inflight request limit of this apiserver per request kind in last second.");
    for (kind, count) in ["readOnly", "mutating"].iter().zip(&metrics.in_flight) {
        text.sample(name, &format!("request_kind=\"{kind}\""), count.load(Ordering::Relaxed));
    }
    let watches = watches(state);
    let name = "apiserver_longrunning_requests";
    text.family(name, "gauge", "[STABLE] Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.");
    for (kind, count) in &watches {
        let labels = format!(
            "component=\"apiserver\",group=\"{}\",resource=\"{}\",subresource=\"\",verb=\"WATCH\",version=\"{}\"",
            kind.group, kind.plural, kind.version
        );
        text.sample(name, &labels, count);
    }
    let name = "apiserver_registered_watchers";
    text.family(name, "gauge", "[ALPHA] Number of currently registered watchers for a given resources");
    for (kind, count) in &watches {
        let labels = format!("group=\"{}\",kind=\"{}\",version=\"{}\"", kind.group, kind.kind, kind.version);
        text.sample(name, &labels, count);
    }
}

/// How many watches of kinds that are watched are under way.
fn watches(state: &State) -> Vec<(&'static Kind, i64)> {
    let counts = state.metrics.watches.iter().map(|count| count.load(Ordering::Relaxed));
    let definitions = state.custom.definitions();
    let versions = definitions.all().flat_map(|definition| &definition.versions);
    let custom = versions.map(|version| (version.kind, i64::try_from(version.watches()).unwrap_or(i64::MAX)));
    rows().zip(counts).chain(custom).filter(|(_, count)| *count > 0).collect()
}

fn objects(text: &mut Text, state: &State) {
    let snapshot = state.store.snapshot();
    let definitions = state.custom.definitions();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut seen = Vec::new();
    for kind in KINDS.iter().chain(definitions.switched_on()).filter(|kind| !kind.storage.is_empty()) {
        if !seen.contains(&kind.storage) {
            seen.push(kind.storage);
            counts.insert((kind.group, kind.plural), snapshot.count(&format!("/registry/{}/", kind.storage)));
        }
    }
    for definition in definitions.all() {
        let kind = definition.storage.kind;
        counts.insert((kind.group, kind.plural), snapshot.count(&codec::prefix(kind, None)));
    }
    let name = "apiserver_resource_objects";
    text.family(name, "gauge", "[ALPHA] Number of stored objects at the time of last check split by kind.");
    for ((group, resource), count) in &counts {
        text.sample(name, &format!("group=\"{group}\",resource=\"{resource}\""), count);
    }
    let name = "apiserver_storage_objects";
    text.family(name, "gauge", "[STABLE] Number of stored objects at the time of last check split by kind.");
    for ((group, resource), count) in &counts {
        let dot = if group.is_empty() { "" } else { "." };
        text.sample(name, &format!("resource=\"{resource}{dot}{group}\""), count);
    }
}

fn fairness(text: &mut Text, flow: &Flow) {
    let (mut dispatched, mut refused, mut levels) = (Vec::new(), Vec::new(), Vec::new());
    flow.describe(
        |level, schema, counts| {
            let labels = format!("flow_schema=\"{schema}\",priority_level=\"{level}\"");
            let (let_in, others) = counts.read();
            let reasons = Refused::NAMES.iter().zip(others).filter(|(_, count)| *count > 0);
            refused.extend(reasons.map(|(why, count)| (format!("{labels},reason=\"{why}\""), count)));
            if let_in > 0 {
                dispatched.push((labels, let_in));
            }
        },
        |level, load| levels.push((format!("priority_level=\"{level}\""), load)),
    );
    let name = "apiserver_flowcontrol_dispatched_requests_total";
    text.family(name, "counter", "[BETA] Number of requests executed by API Priority and Fairness subsystem");
    for (labels, count) in &dispatched {
        text.sample(name, labels, count);
    }
    let name = "apiserver_flowcontrol_rejected_requests_total";
    text.family(name, "counter", "[BETA] Number of requests rejected by API Priority and Fairness subsystem");
    for (labels, count) in &refused {
        text.sample(name, labels, count);
    }
    let gauges = [
        (
            "apiserver_flowcontrol_current_executing_seats",
            "[BETA] Concurrency (number of seats) occupied by the currently executing (initial stage for a WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
        ),
        (
            "apiserver_flowcontrol_current_inqueue_requests",
            "[BETA] Number of requests currently pending in queues of the API Priority and Fairness subsystem",
        ),
        (
            "apiserver_flowcontrol_nominal_limit_seats",
            "[BETA] Nominal number of execution seats configured for each priority level",
        ),
    ];
    for (at, (name, help)) in gauges.iter().enumerate() {
        text.family(name, "gauge", help);
        for (labels, load) in &levels {
            text.sample(name, labels, load[at]);
        }
    }
}

/// What is counted of webhooks, policies and definitions; families of which nothing was counted are left out.
fn named(text: &mut Text, metrics: &Metrics) {
    for family in Family::ALL {
        let samples = metrics.named.samples(family);
        if samples.is_empty() {
            continue;
        }
        let About { name, help, bounds } = family.about();
        text.family(name, if bounds.is_some() { "histogram" } else { "counter" }, help);
        for (labels, sample) in samples {
            let Some(bounds) = bounds else {
                text.sample(name, &labels, sample.count);
                continue;
            };
            let mut sum = 0;
            for (bound, count) in bounds.iter().zip(&sample.classes) {
                sum += count;
                text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"{bound}\""), sum);
            }
            text.sample(&format!("{name}_bucket"), &format!("{labels},le=\"+Inf\""), sample.count);
            text.sample(&format!("{name}_sum"), &labels, sample.seconds);
            text.sample(&format!("{name}_count"), &labels, sample.count);
        }
    }
}

fn audit(text: &mut Text, counts: Option<&Counts>) {
    let Some(counts) = counts else { return };
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let name = "apiserver_audit_event_total";
    let help = "[ALPHA] Counter of audit events generated and sent to the audit backend.";
    text.single(name, "counter", help, read(&counts.events));
    let name = "apiserver_audit_error_total";
    text.family(name, "counter", "[ALPHA] Counter of audit events that failed to be audited properly. Plugin identifies the plugin affected by the error.");
    for (plugin, count) in Plugin::NAMES.iter().zip(&counts.errors) {
        text.sample(name, &format!("plugin=\"{plugin}\""), read(count));
    }
    let name = "apiserver_audit_level_total";
    text.family(name, "counter", "[ALPHA] Counter of policy levels for audit events (1 per request).");
    for (level, count) in Level::NAMES.iter().zip(&counts.levels) {
        text.sample(name, &format!("level=\"{level}\""), read(count));
    }
    let name = "apiserver_audit_requests_rejected_total";
    let help = "[ALPHA] Counter of apiserver requests rejected due to an error in audit logging backend.";
    text.single(name, "counter", help, read(&counts.rejected));
}

fn about(text: &mut Text, state: &State) {
    let name = "kubernetes_build_info";
    text.family(name, "gauge", "[ALPHA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.");
    let version = crate::about::GIT_VERSION;
    let Build { commit, date } = state.build;
    text.sample(
        name,
        &format!(
            "build_date=\"{date}\",compiler=\"rustc\",git_commit=\"{commit}\",git_version=\"{version}\",major=\"1\",minor=\"36\""
        ),
        1,
    );
    let started = state.metrics.started.as_second();
    text.single(
        "process_start_time_seconds",
        "gauge",
        "[ALPHA] Start time of the process since unix epoch in seconds.",
        started,
    );
    let Some(process) = Process::read() else { return };
    text.single(
        "process_cpu_seconds_total",
        "counter",
        "Total user and system CPU time spent in seconds.",
        process.cpu_seconds,
    );
    text.single("process_open_fds", "gauge", "Number of open file descriptors.", process.open_files);
    if let Some(max) = process.max_files {
        text.single("process_max_fds", "gauge", "Maximum number of open file descriptors.", max);
    }
    text.single(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory size in bytes.",
        process.resident_bytes,
    );
    text.single(
        "process_virtual_memory_bytes",
        "gauge",
        "Virtual memory size in bytes.",
        process.virtual_bytes,
    );
}
