//! One Pod's question to the plugins, with what was prepared for it.

use crate::cluster::{Cluster, NodeInfo, Symbol, SymbolSelector, Symbols};
use crate::pod::{NodeTerm, Template};

use super::Args;

/// What a Pod asks of a node's labels, in symbols.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    selector: Vec<(Option<Symbol>, Option<Symbol>)>,
    required: Option<Terms>,
    /// What the profile requires besides.
    added: Option<Terms>,
    preferred: Vec<(i64, Term)>,
    /// How many symbols there were.
    symbols: usize,
}

/// Terms of which one must match.
type Terms = Vec<Term>;

#[derive(Clone, Debug)]
struct Term {
    labels: SymbolSelector,
    source: NodeTerm,
}

impl Term {
    fn new(source: &NodeTerm, symbols: &Symbols) -> Self {
        Self { labels: SymbolSelector::new(&source.labels, symbols), source: source.clone() }
    }

    fn matches(&self, node: &NodeInfo, symbols: &Symbols) -> bool {
        self.source.admits(&node.name) && self.labels.matches(&node.labels, symbols)
    }
}

impl Prepared {
    pub(crate) fn new(template: &Template, args: &Args, symbols: &Symbols) -> Self {
        let terms =
            |terms: &Vec<NodeTerm>| terms.iter().map(|term| Term::new(term, symbols)).collect::<Terms>();
        let selector = template.node_selector.iter();
        let preferred = template.preferred_nodes.iter().chain(&args.added_preferred);
        Self {
            selector: selector.map(|(key, value)| (symbols.get(key), symbols.get(value))).collect(),
            required: template.required_nodes.as_ref().map(terms),
            added: args.added_required.as_ref().map(terms),
            preferred: preferred.map(|(weight, term)| (*weight, Term::new(term, symbols))).collect(),
            symbols: symbols.len(),
        }
    }

    /// Whether there are symbols that were not known when this was prepared.
    pub(crate) fn is_outdated(&self, symbols: &Symbols) -> bool {
        self.symbols != symbols.len()
    }
}

/// See the module's documentation.
pub(crate) struct Ask<'a> {
    pub(crate) template: &'a Template,
    pub(crate) prepared: &'a Prepared,
    pub(crate) args: &'a Args,
    pub(crate) cluster: &'a Cluster,
}

impl Ask<'_> {
    /// Whether a node's labels and name are as the Pod requires.
    pub(crate) fn is_asked_for(&self, node: &NodeInfo) -> bool {
        let has = |(key, value): &(Option<Symbol>, Option<Symbol>)| {
            value.is_some() && key.and_then(|key| node.labels.get(key)) == *value
        };
        self.prepared.selector.iter().all(has) && self.has_one_of(self.prepared.required.as_ref(), node)
    }

    /// Whether they are as the Pod and the profile require.
    pub(crate) fn may_be_on(&self, node: &NodeInfo) -> bool {
        self.is_asked_for(node) && self.has_one_of(self.prepared.added.as_ref(), node)
    }

    fn has_one_of(&self, terms: Option<&Terms>, node: &NodeInfo) -> bool {
        terms.is_none_or(|terms| terms.iter().any(|term| term.matches(node, &self.cluster.symbols)))
    }

    /// The sum of the weights of the wishes that a node satisfies.
    pub(crate) fn wishes_for(&self, node: &NodeInfo) -> i64 {
        let symbols = &self.cluster.symbols;
        let satisfied = self.prepared.preferred.iter().filter(|(_, term)| term.matches(node, symbols));
        satisfied.map(|(weight, _)| *weight).sum()
    }

    /// Whether the Pod bears all taints that keep Pods away.
    pub(crate) fn bears_taints_of(&self, node: &NodeInfo) -> bool {
        let tolerations = &self.template.tolerations;
        let mut keeping = node.taints.iter().filter(|taint| taint.is_hard());
        keeping.all(|taint| tolerations.iter().any(|toleration| toleration.tolerates(taint)))
    }
}

/// Puts a question about a Pod that nothing was prepared for.
pub(super) fn with_ask<T>(
    template: &Template,
    cluster: &Cluster,
    args: &Args,
    question: impl FnOnce(&Ask<'_>) -> T,
) -> T {
    let prepared = Prepared::new(template, args, &cluster.symbols);
    question(&Ask { template, prepared: &prepared, args, cluster })
}
