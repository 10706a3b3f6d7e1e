//! The counters as Prometheus reads them (text format 0.0.4).

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

use super::histogram::Histogram;
use super::{Attempt, Gauges, Metrics, Point};

impl Metrics {
    /// All that is counted.
    pub fn render(&self) -> String {
        let mut page = Page(String::with_capacity(16 * 1024));
        self.attempts(&mut page);
        self.durations(&mut page);
        self.preempting(&mut page);
        self.waiting(&mut page);
        page.0
    }

    fn attempts(&self, page: &mut Page) {
        let profiles = self.profiles.lock();
        page.family("schedule_attempts_total", "counter", "[STABLE] Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.");
        for (profile, counts) in &*profiles {
            for (attempt, result) in Attempt::ALL {
                let count = counts.attempts[attempt as usize].totals().last().copied().unwrap_or(0);
                if count > 0 {
                    let labels = format!("profile=\"{profile}\",result=\"{result}\"");
                    page.sample("schedule_attempts_total", &labels, count);
                }
            }
        }
        let name = "scheduling_attempt_duration_seconds";
        page.family(
            name,
            "histogram",
            "[STABLE] Scheduling attempt latency in seconds (scheduling algorithm + binding)",
        );
        for (profile, counts) in &*profiles {
            for (attempt, result) in Attempt::ALL {
                let labels = format!("profile=\"{profile}\",result=\"{result}\"");
                page.histogram(name, &labels, &counts.attempts[attempt as usize]);
            }
        }
        let name = "framework_extension_point_duration_seconds";
        page.family(
            name,
            "histogram",
            "[STABLE] Latency for running all plugins of a specific extension point.",
        );
        for (profile, counts) in &*profiles {
            for (point, text, failure) in Point::ALL {
                for (succeeded, status) in [(0, failure), (1, "Success")] {
                    let labels =
                        format!("extension_point=\"{text}\",profile=\"{profile}\",status=\"{status}\"");
                    page.histogram(name, &labels, &counts.points[point as usize][succeeded]);
                }
            }
        }
    }

    fn durations(&self, page: &mut Page) {
        let name = "scheduling_algorithm_duration_seconds";
        page.family(name, "histogram", "[ALPHA] Scheduling algorithm latency in seconds");
        page.histogram(name, "", &self.algorithm);
        let name = "pod_scheduling_sli_duration_seconds";
        page.family(name, "histogram", "[BETA] E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.");
        for (at, histogram) in self.sli.iter().enumerate() {
            let more = if at + 1 == self.sli.len() { "+" } else { "" };
            page.histogram(name, &format!("attempts=\"{}{more}\"", at + 1), histogram);
        }
        let name = "pod_scheduling_attempts";
        page.family(name, "histogram", "[STABLE] Number of attempts to successfully schedule a pod.");
        page.histogram(name, "", &self.tries);
    }

    fn preempting(&self, page: &mut Page) {
        let name = "preemption_attempts_total";
        page.family(name, "counter", "[STABLE] Total preemption attempts in the cluster till now");
        page.sample(name, "", self.preemptions.load(Ordering::Relaxed));
        let name = "preemption_victims";
        page.family(name, "histogram", "[STABLE] Number of selected preemption victims");
        page.histogram(name, "", &self.victims);
    }

    fn waiting(&self, page: &mut Page) {
        let Gauges { waiting, unschedulable, nodes, pods, assumed } = self.gauges.lock().clone();
        let name = "pending_pods";
        page.family(name, "gauge", "[STABLE] Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.");
        let queues = [
            ("active", waiting.active),
            ("backoff", waiting.backing_off),
            ("gated", waiting.gated),
            ("unschedulable", waiting.unschedulable),
        ];
        for (queue, count) in queues {
            page.sample(name, &format!("queue=\"{queue}\""), count);
        }
        let name = "queue_incoming_pods_total";
        page.family(
            name,
            "counter",
            "[STABLE] Number of pods added to scheduling queues by event and queue type.",
        );
        for (incoming, count) in &*self.incoming.lock() {
            page.sample(name, &format!("event=\"{}\",queue=\"{}\"", incoming.event, incoming.queue), count);
        }
        let name = "unschedulable_pods";
        page.family(name, "gauge", "[ALPHA] The number of unschedulable pods broken down by plugin name. A pod will increment the gauge for all plugins that caused it to not schedule and so this metric have meaning only when broken down by plugin.");
        for (plugin, count) in unschedulable {
            page.sample(name, &format!("plugin=\"{plugin}\""), count);
        }
        let name = "scheduler_cache_size";
        page.family(
            name,
            "gauge",
            "[ALPHA] Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
        );
        for (kind, count) in [("assumed_pods", assumed), ("nodes", nodes), ("pods", pods)] {
            page.sample(name, &format!("type=\"{kind}\""), count);
        }
    }
}

/// The page being written. Names come without the scheduler's prefix.
struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes everything");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.put(format_args!("# HELP scheduler_{name} {help}\n# TYPE scheduler_{name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        if labels.is_empty() {
            self.put(format_args!("scheduler_{name} {value}\n"));
        } else {
            self.put(format_args!("scheduler_{name}{{{labels}}} {value}\n"));
        }
    }

    /// A histogram, if anything was counted.
    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let totals = histogram.totals();
        let total = totals.last().copied().unwrap_or(0);
        if total == 0 {
            return;
        }
        let comma = if labels.is_empty() { "" } else { "," };
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.bounds().zip(&totals) {
            self.sample(&bucket, &format!("{labels}{comma}le=\"{bound}\""), count);
        }
        self.sample(&bucket, &format!("{labels}{comma}le=\"+Inf\""), total);
        self.sample(&format!("{name}_sum"), labels, histogram.sum());
        self.sample(&format!("{name}_count"), labels, total);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::queue::{Incoming, Waiting};

    #[test]
    fn what_was_counted_is_on_the_page() {
        let metrics = Metrics::default();
        let profile = metrics.profile("default-scheduler");
        profile.attempt(Attempt::Scheduled, Duration::from_millis(3));
        profile.attempt(Attempt::Unschedulable, Duration::from_micros(10));
        metrics.profile("default-scheduler").point(Point::Bind, true, Duration::from_millis(2));
        profile.point(Point::PreBind, false, Duration::from_millis(7));
        metrics.bound(1, Duration::from_millis(15));
        metrics.bound(40, Duration::from_mins(1));
        metrics.preemption();
        metrics.victims(2);
        metrics.incoming(&[(Incoming { queue: "active", event: "PodAdd" }, 3)].into());
        let unschedulable = [("NodeResourcesFit", 4)].into();
        let waiting = Waiting { active: 1, backing_off: 2, unschedulable: 3, gated: 4 };
        metrics.publish(Gauges { waiting, unschedulable, nodes: 5, pods: 6, assumed: 1 });
        let page = metrics.render();
        for line in [
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.002\"} 0",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",result=\"scheduled\",le=\"0.004\"} 1",
            "scheduler_framework_extension_point_duration_seconds_count{extension_point=\"Bind\",profile=\"default-scheduler\",status=\"Success\"} 1",
            "scheduler_framework_extension_point_duration_seconds_count{extension_point=\"PreBind\",profile=\"default-scheduler\",status=\"Error\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"16+\"} 1",
            "scheduler_pod_scheduling_attempts_bucket{le=\"+Inf\"} 2",
            "scheduler_preemption_attempts_total 1",
            "scheduler_preemption_victims_bucket{le=\"2\"} 1",
            "scheduler_pending_pods{queue=\"unschedulable\"} 3",
            "scheduler_queue_incoming_pods_total{event=\"PodAdd\",queue=\"active\"} 3",
            "scheduler_unschedulable_pods{plugin=\"NodeResourcesFit\"} 4",
            "scheduler_scheduler_cache_size{type=\"nodes\"} 5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
        }
    }
}
