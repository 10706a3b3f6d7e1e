//! The queue beside a model that looks at every Pod each time.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::plugins::Plugin;

const PODS: usize = 8;
const PLUGINS: [Plugin; 3] = [Plugin::NodeResourcesFit, Plugin::NodePorts, Plugin::TaintToleration];

/// A plugin that an event is for, and how sure it is.
type Event = (Plugin, Help);

#[derive(Clone, Copy, Debug)]
enum Step {
    Set {
        pod: usize,
        priority: i32,
        gated: bool,
        variant: u8,
    },
    Remove(usize),
    Pop,
    /// What becomes of the Pod that has been in its cycle for the longest time.
    Park(Plugin),
    BackOff,
    Decide,
    Wake(Event),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let plugin = prop::sample::select(&PLUGINS[..]);
    let help = prop::sample::select(&[Help::No, Help::Maybe, Help::Surely][..]);
    prop_oneof![
        4 => (0..PODS, 0..3_i32, prop::bool::weighted(0.1), 0..2_u8)
            .prop_map(|(pod, priority, gated, variant)| Step::Set { pod, priority, gated, variant }),
        1 => (0..PODS).prop_map(Step::Remove),
        6 => Just(Step::Pop),
        4 => plugin.clone().prop_map(Step::Park),
        1 => Just(Step::BackOff),
        1 => Just(Step::Decide),
        4 => (plugin, help).prop_map(Step::Wake),
        2 => (0..400_u64).prop_map(|seconds| Step::Advance(seconds * seconds / 400)),
    ]
}

fn pod(pod: usize, priority: i32, gated: bool, variant: u8) -> Arc<PodInfo> {
    let gates = if gated { json!([{ "name": "g" }]) } else { json!([]) };
    let object = json!({
        "metadata": { "name": pod.to_string(), "uid": pod.to_string() },
        "spec": {
            "priority": priority, "containers": [], "schedulingGates": gates,
            "nodeSelector": { "v": variant.to_string() },
        },
    });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(object).unwrap())))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Gated,
    Active,
    Resting,
    Failed,
    Parked(Plugin, Instant),
    Cycle,
    Leaving,
}

#[derive(Clone, Debug)]
struct Known {
    at: Where,
    priority: i32,
    asks: (bool, u8),
    number: u64,
    misfits: u32,
    failures: u32,
    rested: Instant,
    /// Of its cycle.
    seen: Vec<Event>,
}

#[derive(Default)]
struct Model {
    pods: BTreeMap<usize, Known>,
    cycles: Vec<usize>,
    numbers: u64,
}

fn backoff(count: u32) -> Duration {
    Duration::from_secs((1 << (count - 1).min(8)).min(10))
}

impl Model {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn set(&mut self, pod: usize, priority: i32, asks: (bool, u8), now: Instant) {
        let at = if asks.0 { Where::Gated } else { Where::Active };
        if let Some(known) = self.pods.get_mut(&pod) {
            let changed = known.asks != asks || known.priority != priority;
            (known.asks, known.priority) = (asks, priority);
            match known.at {
                Where::Gated => known.at = at,
                Where::Parked(..) if changed => known.help(Help::Maybe, now),
                _ => {}
            }
            return;
        }
        let number = self.number();
        let known =
            Known { at, priority, asks, number, misfits: 0, failures: 0, rested: now, seen: Vec::new() };
        self.pods.insert(pod, known);
    }

    fn pop(&mut self, now: Instant) -> Option<usize> {
        for known in self.pods.values_mut() {
            match known.at {
                Where::Resting | Where::Failed if known.rested <= now => known.at = Where::Active,
                Where::Parked(_, until) if until <= now => known.at = Where::Active,
                _ => {}
            }
        }
        let best = |at: Where| {
            let standing = self.pods.iter().filter(move |(_, known)| known.at == at);
            standing
                .max_by_key(|(_, known)| (known.priority, Reverse(known.number)))
                .map(|(pod, known)| (*pod, known.priority))
        };
        let (active, resting) = (best(Where::Active), best(Where::Resting));
        let rests = resting.map(|(_, priority)| priority) > active.map(|(_, priority)| priority);
        let (pod, _) = if rests { resting? } else { active? };
        let known = self.pods.get_mut(&pod).unwrap();
        (known.at, known.seen) = (Where::Cycle, Vec::new());
        self.cycles.push(pod);
        Some(pod)
    }

    /// The Pod whose cycle ends, if it is still in one.
    fn end(&mut self) -> Option<usize> {
        if self.cycles.is_empty() {
            return None;
        }
        let pod = self.cycles.remove(0);
        self.pods.get(&pod).filter(|known| known.at == Where::Cycle).map(|_| pod)
    }

    fn park(&mut self, pod: usize, plugin: Plugin, now: Instant) {
        let number = self.number();
        let known = self.pods.get_mut(&pod).unwrap();
        known.misfits += 1;
        (known.failures, known.number) = (0, number);
        known.rested = now + backoff(known.misfits);
        known.at = Where::Parked(plugin, now + Duration::from_mins(5));
        let help = known.seen.iter().filter(|(of, _)| *of == plugin).map(|(_, help)| *help).max();
        known.help(help.unwrap_or(Help::No), now);
    }

    fn wake(&mut self, event: Event, now: Instant) {
        for known in self.pods.values_mut() {
            match known.at {
                Where::Parked(plugin, _) if plugin == event.0 => known.help(event.1, now),
                Where::Cycle => known.seen.push(event),
                _ => {}
            }
        }
    }
}

impl Known {
    fn help(&mut self, help: Help, now: Instant) {
        self.at = match help {
            Help::No => return,
            Help::Maybe if self.rested > now => Where::Resting,
            Help::Maybe | Help::Surely => Where::Active,
        };
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the queue hands out references to what happened")]
fn help(event: &Event, _: &PodInfo, rejection: PluginSet) -> Help {
    if rejection.contains(event.0) { event.1 } else { Help::No }
}

fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut now = Instant::now();
    let (mut queue, mut model) = (Queue::<Event>::new(Backoff::default()), Model::default());
    for step in steps {
        match step {
            Step::Set { pod: name, priority, gated, variant } => {
                // A Pod keeps its priority, and never gets gates later.
                let known = model.pods.get(&name);
                let priority = known.map_or(priority, |known| known.priority);
                let gated = gated && known.is_none_or(|known| known.at == Where::Gated);
                queue.set(pod(name, priority, gated, variant), now);
                model.set(name, priority, (gated, variant), now);
            }
            Step::Remove(pod) => {
                queue.remove(&pod.to_string());
                model.pods.remove(&pod);
            }
            Step::Pop => {
                let popped = queue.pop(now).map(|popped| popped.pod.name.clone());
                prop_assert_eq!(popped, model.pop(now).map(|pod| pod.to_string()));
            }
            Step::Park(plugin) => {
                if let Some(pod) = model.end() {
                    queue.park(&pod.to_string(), [plugin].into_iter().collect(), now, help);
                    model.park(pod, plugin, now);
                }
            }
            Step::BackOff => {
                if let Some(pod) = model.end() {
                    queue.back_off(&pod.to_string(), now);
                    let number = model.number();
                    let known = model.pods.get_mut(&pod).unwrap();
                    known.failures += 1;
                    (known.at, known.number) = (Where::Failed, number);
                    known.rested = now + backoff(known.failures);
                }
            }
            Step::Decide => {
                if let Some(pod) = model.end() {
                    queue.decided(&pod.to_string());
                    model.pods.get_mut(&pod).unwrap().at = Where::Leaving;
                }
            }
            Step::Wake(event) => {
                queue.wake(&event, (now, "Test"), |rejection| rejection.contains(event.0), help);
                model.wake(event, now);
            }
            Step::Advance(seconds) => now += Duration::from_secs(seconds),
        }
        let count = |of: fn(Where) -> bool| model.pods.values().filter(|known| of(known.at)).count();
        let expected = Waiting {
            active: count(|at| at == Where::Active),
            backing_off: count(|at| matches!(at, Where::Resting | Where::Failed)),
            unschedulable: count(|at| matches!(at, Where::Parked(..))),
            gated: count(|at| at == Where::Gated),
        };
        prop_assert_eq!(queue.waiting(), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn does_what_the_model_does(steps in prop::collection::vec(step(), 1..120)) {
        run(steps)?;
    }
}
