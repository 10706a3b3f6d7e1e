//! Counters of requests: one slot for each resource, part, verb and scope.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::SignedDuration;
use wherry_api::kinds::{Kind, rows};

/// Verbs as metrics name them.
pub(super) const VERBS: [&str; 11] = [
    "GET",
    "LIST",
    "WATCH",
    "POST",
    "PUT",
    "PATCH",
    "APPLY",
    "DELETE",
    "DELETECOLLECTION",
    "CONNECT",
    "other",
];
/// Scopes as metrics name them.
pub(super) const SCOPES: [&str; 4] = ["", "resource", "namespace", "cluster"];
/// Codes that are counted by themselves; all others together.
pub(super) const CODES: [u16; 21] =
    [200, 201, 202, 301, 304, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 500, 503, 504, 0];
/// Upper bounds of the classes of durations, in milliseconds.
pub(super) const BOUNDS: [u64; 23] = [
    5, 25, 50, 100, 200, 400, 600, 800, 1000, 1250, 1500, 2000, 3000, 4000, 5000, 6000, 8000, 10_000, 15_000,
    20_000, 30_000, 45_000, 60_000,
];

/// What an answer is counted under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labels {
    kind: Option<usize>,
    /// Zero for the resource itself, else one more than the place of the subresource.
    part: usize,
    verb: usize,
    scope: usize,
    dry_run: bool,
}

impl Labels {
    /// A request on a resource. `verb` is as authorization names it.
    pub(crate) fn resource(kind: &Kind, subresource: Option<&str>, verb: &str) -> Self {
        let part = subresource.and_then(|name| kind.subresources.iter().position(|s| s.name == name));
        let kind = rows().position(|row| std::ptr::eq(row, kind));
        Self { kind, part: part.map_or(0, |at| at + 1), verb: verb_index(verb), scope: 0, dry_run: false }
    }

    /// A request on another path.
    pub(crate) fn path(method: &str) -> Self {
        Self { kind: None, part: 0, verb: verb_index(method), scope: 0, dry_run: false }
    }

    /// Adds what the request reaches: one object, a namespace or all.
    pub(crate) fn scoped(mut self, named: bool, namespaced: bool) -> Self {
        self.scope = match (named, namespaced) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => 3,
        };
        self
    }

    /// Adds whether nothing was to be stored.
    pub(crate) fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Whether the request is a watch.
    pub(crate) fn is_watch(self) -> bool {
        VERBS[self.verb] == "WATCH"
    }

    pub(super) fn kind_index(self) -> Option<usize> {
        self.kind
    }
}

fn verb_index(verb: &str) -> usize {
    let name = match verb {
        "create" => "POST",
        "update" => "PUT",
        other => other,
    };
    VERBS.iter().position(|known| known.eq_ignore_ascii_case(name)).unwrap_or(VERBS.len() - 1)
}

/// What is counted under one set of labels.
#[derive(Debug, Default)]
pub(super) struct Series {
    codes: [AtomicU64; CODES.len()],
    classes: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Series {
    fn record(&self, code: u16, duration: Option<SignedDuration>) {
        let at = CODES.iter().position(|known| *known == code).unwrap_or(CODES.len() - 1);
        self.codes[at].fetch_add(1, Ordering::Relaxed);
        if let Some(duration) = duration {
            let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or_default();
            let class =
                BOUNDS.iter().position(|bound| nanoseconds <= bound * 1_000_000).unwrap_or(BOUNDS.len());
            self.classes[class].fetch_add(1, Ordering::Relaxed);
            self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        }
    }

    /// Answers by code.
    pub(super) fn codes(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.codes.iter().map(|count| count.load(Ordering::Relaxed));
        CODES.iter().copied().zip(counts).filter(|(_, count)| *count > 0)
    }

    /// How many answers took at most as long as each bound and longer, and how long all took together.
    pub(super) fn durations(&self) -> ([u64; BOUNDS.len() + 1], u64) {
        let mut sum = 0;
        let cumulated = self.classes.each_ref().map(|count| {
            sum += count.load(Ordering::Relaxed);
            sum
        });
        (cumulated, self.nanoseconds.load(Ordering::Relaxed))
    }
}

/// The slots of one resource, or of all that is no resource.
type Block = Box<[OnceLock<Box<Series>>]>;

/// All slots.
pub(super) struct Table {
    /// In the order of the kinds table; the last is of paths.
    blocks: Vec<Block>,
}

impl Table {
    pub(super) fn new() -> Self {
        let parts = rows().map(|kind| kind.subresources.len() + 1).chain([1]);
        let slots = |parts: usize| parts * VERBS.len() * SCOPES.len() * 2;
        let blocks = parts.map(|parts| (0..slots(parts)).map(|_| OnceLock::new()).collect()).collect();
        Self { blocks }
    }

    pub(super) fn record(&self, labels: Labels, code: u16, duration: Option<SignedDuration>) {
        let block = &self.blocks[labels.kind.unwrap_or(self.blocks.len() - 1)];
        let slot = (labels.part * VERBS.len() + labels.verb) * SCOPES.len() + labels.scope;
        if let Some(slot) = block.get(slot * 2 + usize::from(labels.dry_run)) {
            slot.get_or_init(Box::default).record(code, duration);
        }
    }

    /// Every slot that was used, with its labels as metrics write them.
    pub(super) fn used(&self) -> impl Iterator<Item = (String, &Series)> {
        self.blocks.iter().enumerate().flat_map(|(kind, block)| {
            block.iter().enumerate().filter_map(move |(slot, series)| {
                series.get().map(|series| (labels(rows().nth(kind), slot), &**series))
            })
        })
    }
}

fn labels(kind: Option<&Kind>, slot: usize) -> String {
    let (slot, dry_run) = (slot / 2, if slot % 2 == 1 { "All" } else { "" });
    let (slot, scope) = (slot / SCOPES.len(), SCOPES[slot % SCOPES.len()]);
    let (part, verb) = (slot / VERBS.len(), VERBS[slot % VERBS.len()]);
    let (group, version, resource) = kind.map_or(("", "", ""), |k| (k.group, k.version, k.plural));
    let subresource = kind.zip(part.checked_sub(1)).map_or("", |(kind, at)| kind.subresources[at].name);
    format!(
        "component=\"apiserver\",dry_run=\"{dry_run}\",group=\"{group}\",resource=\"{resource}\",scope=\"{scope}\",\
         subresource=\"{subresource}\",verb=\"{verb}\",version=\"{version}\""
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wherry_api::kinds::by_kind;

    #[test]
    fn a_slot_gives_back_the_labels_it_was_counted_under() {
        let table = Table::new();
        let deployment = by_kind("apps", "v1", "Deployment").unwrap();
        let labels = Labels::resource(deployment, Some("scale"), "update").scoped(true, true).dry_run(true);
        table.record(labels, 200, Some(SignedDuration::from_millis(30)));
        let (text, series) = table.used().next().unwrap();
        assert_eq!(
            text,
            "component=\"apiserver\",dry_run=\"All\",group=\"apps\",resource=\"deployments\",scope=\"resource\",\
             subresource=\"scale\",verb=\"PUT\",version=\"v1\""
        );
        assert_eq!(series.codes().collect::<Vec<_>>(), [(200, 1)]);
        let (classes, nanoseconds) = series.durations();
        assert_eq!((&classes[..4], nanoseconds), (&[0, 0, 1, 1][..], 30_000_000));
        assert_eq!(table.used().count(), 1);
    }

    #[test]
    fn every_code_and_duration_is_counted_somewhere() {
        let series = Series::default();
        series.record(418, Some(SignedDuration::from_secs(3600)));
        assert_eq!(series.codes().collect::<Vec<_>>(), [(0, 1)]);
        assert_eq!(series.durations().0[BOUNDS.len()], 1);
    }
}
