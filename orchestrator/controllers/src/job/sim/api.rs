//! The simulated API server with its Pods and one Job, and the caches that follow it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::core::Status;
use parking_lot::Mutex;

use super::super::drive::Hands;
use super::super::facts::has_finalizer;
use super::super::indexes::index_of;
use super::super::memory::Memory;
use super::super::verdict::Verdict;
use super::{Truth, Uids};
use crate::objects::claim::JOB_TRACKING;
use crate::objects::jobs::ending;
use crate::objects::meta::uid;
use crate::objects::pods::{is_active, is_succeeded, is_terminal, is_terminating};
use crate::runtime::cache::Change;
use crate::runtime::objects::revision;

/// Seeded chance (xorshift).
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

pub(super) struct Api(Mutex<State>);

pub(super) struct State {
    chance: Chance,
    unfair: bool,
    revision: u64,
    pub(super) job: Job,
    pub(super) pods: BTreeMap<String, Pod>,
    /// What the watch of the Pods has yet to tell, oldest first, and since which event.
    events: Vec<Event>,
    /// Every Pod that left the counting, as it was then.
    released: Vec<Pod>,
    /// The Pods of these that were not to be counted.
    removed: Uids,
    noted: Option<Job>,
    noted_pods: Vec<Pod>,
}

#[derive(Clone)]
enum Event {
    Pod(Box<Pod>),
    Gone(String),
    Job(Box<Job>),
}

/// What happens to a request.
enum Fate {
    Done,
    ReplyLost,
    NotDone,
    /// The controller stops before, or after, it.
    Crash {
        done: bool,
    },
}

impl Api {
    pub(super) fn new(chance: Chance, job: Job) -> Self {
        Self(Mutex::new(State {
            chance,
            unfair: true,
            revision: 1,
            job,
            pods: BTreeMap::new(),
            events: Vec::new(),
            released: Vec::new(),
            removed: Uids::new(),
            noted: None,
            noted_pods: Vec::new(),
        }))
    }

    pub(super) fn draw(&self, below: u64) -> u64 {
        self.0.lock().chance.draw(below)
    }

    pub(super) fn be_fair(&self) {
        self.0.lock().unfair = false;
    }

    pub(super) fn is_unfair(&self) -> bool {
        self.0.lock().unfair
    }

    pub(super) fn job(&self) -> Job {
        self.0.lock().job.clone()
    }

    pub(super) fn begin(&self) {
        self.0.lock().noted = None;
    }

    pub(super) fn noted_pods(&self) -> Vec<Pod> {
        std::mem::take(&mut self.0.lock().noted_pods)
    }

    pub(super) fn noted(&self) -> Option<Job> {
        self.0.lock().noted.take()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock());
    }

    /// What a new list shows.
    pub(super) fn list(&self) -> View {
        let state = self.0.lock();
        let pods = state.pods.iter().map(|(uid, pod)| (uid.clone(), Arc::new(pod.clone()))).collect();
        let seen = state.events.len();
        View { job: state.job.clone(), pods, seen_pods: seen, seen_jobs: seen }
    }

    /// What must hold at any time.
    pub(super) fn check(&self) {
        let state = self.0.lock();
        let spec = state.job.spec.as_ref().unwrap();
        let active: Vec<_> = state.pods.values().filter(|pod| is_active(pod)).collect();
        let most = usize::try_from(spec.parallelism.unwrap()).unwrap();
        assert!(active.len() <= most, "{} Pods at a time, not {most}", active.len());
        let mut indexes: Vec<_> = active.iter().filter_map(|pod| index_of(pod)).collect();
        let all = indexes.len();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), all, "two Pods of one index");
    }

    pub(super) fn truth(&self) -> Truth {
        let state = self.0.lock();
        let counted: Vec<_> =
            state.released.iter().filter(|pod| !state.removed.contains(uid(&pod.metadata))).collect();
        let failed = counted.iter().filter(|pod| !is_succeeded(pod)).filter(|pod| !is_active(pod));
        let mut truth = Truth {
            succeeded: counted.iter().filter(|pod| is_succeeded(pod)).count(),
            failed: failed.clone().count(),
            failed_going: failed.clone().filter(|pod| is_terminating(pod)).count(),
            tracked: state.pods.values().filter(|pod| has_finalizer(pod)).count(),
            active: state.pods.values().filter(|pod| is_active(pod)).count(),
            indexes: counted.iter().filter(|pod| is_succeeded(pod)).filter_map(|pod| index_of(pod)).collect(),
            ..Truth::default()
        };
        for index in failed.filter_map(|pod| index_of(pod)) {
            *truth.failures_of_indexes.entry(index).or_default() += 1;
        }
        truth
    }

    async fn request<T>(
        &self,
        act: impl FnOnce(&mut State) -> Result<T, kube::Error>,
    ) -> Result<T, kube::Error> {
        let fate = self.0.lock().fate();
        let done = match fate {
            Fate::Done => return act(&mut self.0.lock()),
            Fate::ReplyLost | Fate::Crash { done: true } => true,
            Fate::NotDone | Fate::Crash { done: false } => false,
        };
        if done {
            drop(act(&mut self.0.lock()));
        }
        if matches!(fate, Fate::Crash { .. }) {
            std::future::pending::<()>().await;
        }
        Err(error(500, "InternalError"))
    }
}

fn error(code: u16, reason: &str) -> kube::Error {
    kube::Error::Api(Status::failure("simulated", reason).with_code(code).boxed())
}

impl State {
    fn fate(&mut self) -> Fate {
        if !self.unfair {
            return Fate::Done;
        }
        match self.chance.draw(24) {
            0 | 1 => Fate::ReplyLost,
            2 | 3 => Fate::NotDone,
            4 => Fate::Crash { done: true },
            5 => Fate::Crash { done: false },
            _ => Fate::Done,
        }
    }

    pub(super) fn draw(&mut self, below: u64) -> u64 {
        self.chance.draw(below)
    }

    fn next(&mut self) -> String {
        self.revision += 1;
        self.revision.to_string()
    }

    /// Stores a changed Pod, or lets it go if nothing keeps it.
    pub(super) fn put(&mut self, mut pod: Pod) {
        pod.metadata.resource_version = Some(self.next());
        let id = uid(&pod.metadata).to_owned();
        if is_terminating(&pod) && is_terminal(&pod) && !has_finalizer(&pod) {
            self.pods.remove(&id);
            self.events.push(Event::Gone(id));
        } else {
            self.pods.insert(id, pod.clone());
            self.events.push(Event::Pod(Box::new(pod)));
        }
    }

    fn create(&mut self, pod: &Pod) -> Pod {
        let mut pod = pod.clone();
        let id = format!("pod-{}", self.revision);
        (pod.metadata.name, pod.metadata.uid) = (Some(id.clone()), Some(id.clone()));
        self.put(pod);
        self.pods[&id].clone()
    }

    fn release(&mut self, pod: &Pod, unchanged: bool) -> Result<(), kube::Error> {
        let id = uid(&pod.metadata);
        let Some(found) = self.pods.get(id) else { return Err(error(404, "NotFound")) };
        if unchanged && found.metadata.resource_version != pod.metadata.resource_version {
            return Err(error(409, "Conflict"));
        }
        if !has_finalizer(found) {
            return Ok(());
        }
        let mut found = found.clone();
        if unchanged {
            assert!(is_active(&found), "what ended is to be counted");
            self.removed.insert(id.to_owned());
        }
        self.released.push(found.clone());
        found.metadata.finalizers = found.metadata.finalizers.map(|mut all| {
            all.retain(|finalizer| finalizer != JOB_TRACKING);
            all
        });
        self.put(found);
        Ok(())
    }

    fn write(&mut self, job: &Job) -> Result<Job, kube::Error> {
        if job.metadata.resource_version != self.job.metadata.resource_version {
            return Err(error(409, "Conflict"));
        }
        check_write(self.job.status.as_ref().unwrap(), job.status.as_ref().unwrap());
        assert!(ending(&self.job).is_none(), "what is over is not written again");
        self.job.status.clone_from(&job.status);
        self.job.metadata.resource_version = Some(self.next());
        self.events.push(Event::Job(Box::new(self.job.clone())));
        Ok(self.job.clone())
    }
}

/// Counts only grow.
fn check_write(old: &JobStatus, new: &JobStatus) {
    for count in [|s: &JobStatus| s.succeeded.unwrap_or(0), |s: &JobStatus| s.failed.unwrap_or(0)] {
        assert!(count(old) <= count(new), "{old:?} became {new:?}");
    }
}

impl Hands for Api {
    async fn create(&self, pod: &Pod) -> Result<(), kube::Error> {
        let created = self.request(|state| Ok(state.create(pod))).await?;
        self.0.lock().noted_pods.push(created);
        Ok(())
    }

    async fn delete(&self, pod: &Pod) -> Result<bool, kube::Error> {
        self.request(|state| {
            let Some(mut found) = state.pods.get(uid(&pod.metadata)).cloned() else { return Ok(false) };
            found.metadata.deletion_timestamp.get_or_insert_with(super::environment::some_time);
            state.put(found);
            Ok(true)
        })
        .await
    }

    async fn release(&self, pod: &Pod, unchanged: bool) -> Result<(), kube::Error> {
        self.request(|state| state.release(pod, unchanged)).await
    }

    async fn write(&self, job: &Job) -> Result<Job, kube::Error> {
        let written = self.request(|state| state.write(job)).await?;
        let mut state = self.0.lock();
        // The watch may show more at once.
        if !state.unfair || state.draw(3) > 0 {
            state.noted = Some(written.clone());
        }
        Ok(written)
    }

    fn tell_suspension(&self, _job: &Job, _suspended: bool) {}

    fn tell_end(&self, _job: &Job, _verdict: &Verdict) {}
}

/// What the caches show.
pub(super) struct View {
    job: Job,
    pods: BTreeMap<String, Arc<Pod>>,
    seen_pods: usize,
    seen_jobs: usize,
}

impl View {
    pub(super) fn job(&self) -> Job {
        self.job.clone()
    }

    pub(super) fn pods(&self) -> Vec<Arc<Pod>> {
        self.pods.values().cloned().collect()
    }

    /// Shows a Pod that was made, until the watch tells of it.
    pub(super) fn note_pod(&mut self, pod: Pod) {
        self.pods.insert(uid(&pod.metadata).to_owned(), Arc::new(pod));
    }

    pub(super) fn note(&mut self, job: Job) {
        if revision(&job) > revision(&self.job) {
            self.job = job;
        }
    }

    /// Sees some of what it has not seen yet, of Pods and of the Job as far apart as may be.
    pub(super) fn catch_up(&mut self, api: &Api, memory: &Memory) {
        let (pods, jobs) = (api.draw(6), api.draw(6));
        self.see(api, memory, usize::try_from(pods).unwrap(), usize::try_from(jobs).unwrap());
    }

    pub(super) fn see_all(&mut self, api: &Api, memory: &Memory) {
        self.see(api, memory, usize::MAX, usize::MAX);
    }

    fn see(&mut self, api: &Api, memory: &Memory, pods: usize, jobs: usize) {
        let events: VecDeque<_> = api.0.lock().events.iter().cloned().collect();
        let until = |seen: usize, more: usize| seen.saturating_add(more).min(events.len());
        let (pods, jobs) = (until(self.seen_pods, pods), until(self.seen_jobs, jobs));
        for event in events.range(self.seen_jobs..jobs) {
            if let Event::Job(job) = event {
                self.note(*job.clone());
            }
        }
        for event in events.range(self.seen_pods..pods) {
            self.see_pod(event, memory);
        }
        (self.seen_pods, self.seen_jobs) = (pods, jobs);
    }

    fn see_pod(&mut self, event: &Event, memory: &Memory) {
        let (old, new) = match event {
            Event::Job(_) => return,
            Event::Pod(pod) => {
                let new = Arc::new(*pod.clone());
                (self.pods.insert(uid(&pod.metadata).to_owned(), new.clone()), Some(new))
            }
            Event::Gone(id) => (self.pods.remove(id), None),
        };
        memory.observe(&Change { old: old.as_ref(), new: new.as_ref() });
    }
}
