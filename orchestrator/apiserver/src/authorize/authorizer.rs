//! [`Authorizer`]: who is asked whether something may be done, one after the other until somebody decides.
//!
//! Members of `system:masters` may do everything. Of all others, the first link of the chain that allows or denies
//! decides; a link without an opinion may give a reason. What roles, nodes and the links that know nothing decide is at
//! hand; only a webhook has to be waited for.
//!
//! # Guarantees
//! A decision is made by one chain: a chain that takes its place meanwhile counts for the next decision.

use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::runtime::{Handle, RuntimeFlavor};
use wherry_store::Store;

use super::config::{AuthorizationConfiguration, Configured, Means as Wanted};
use super::counts::{Counts, Reloads};
use super::node::{self, Nodes};
use super::rbac::Rbac;
use super::rule::Question;
use super::webhook::Webhook;
use super::{Attributes, Decision, Granted, Object, PolicyRule, aggregate};
use crate::auth::{MASTERS, UserInfo};
use crate::config::Authorization;
use crate::state::State;

/// Who decides.
pub(crate) struct Authorizer {
    links: RwLock<Arc<[Link]>>,
    /// What outlasts a chain, because it is long to make.
    nodes: Option<Box<Nodes>>,
    rbac: Option<Rbac>,
    /// What links count, whichever chain they belong to.
    pub(crate) counts: Mutex<Vec<Arc<Counts>>>,
    /// The file that says who is asked, if there is one, and how often it was read again.
    pub(super) source: Option<AuthorizationConfiguration>,
    pub(crate) reloads: Reloads,
    state: Weak<State>,
}

/// Somebody who is asked.
struct Link {
    means: Means,
    counts: Arc<Counts>,
}

enum Means {
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook(Box<Webhook>),
}

/// A decision on its way along a chain.
struct Walk {
    links: Arc<[Link]>,
    at: usize,
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl Walk {
    /// Takes note of what the current link says; a decision if that is one.
    fn hear(&mut self, said: Decision) -> Option<Decision> {
        if said.is_final() {
            self.links[self.at].counts.decided(said.allowed);
            return Some(said);
        }
        self.at += 1;
        self.reasons.extend(Some(said.reason).filter(|reason| !reason.is_empty()));
        self.errors.extend(Some(said.error).filter(|error| !error.is_empty()));
        None
    }

    /// What comes of it when nobody decided.
    fn end(&mut self) -> Decision {
        let errors = std::mem::take(&mut self.errors);
        let error = if errors.is_empty() { String::new() } else { aggregate(errors) };
        Decision { reason: self.reasons.join("\n"), error, ..Decision::default() }
    }
}

impl Authorizer {
    /// Who decides under this configuration.
    pub(crate) fn new(configured: Authorization, store: &Store, state: Weak<State>) -> Self {
        let configured = configured.into_configuration();
        let has = |wanted: fn(&Wanted) -> bool| configured.authorizers.iter().any(|one| wanted(&one.means));
        // Those who hand out roles are held to their own, whoever decides.
        let roles = has(|means| !matches!(means, Wanted::AlwaysAllow));
        let authorizer = Self {
            nodes: has(|means| matches!(means, Wanted::Node)).then(|| Box::new(Nodes::new(store.clone()))),
            rbac: roles.then(|| Rbac::new(store)),
            links: RwLock::new(Arc::new([])),
            counts: Mutex::default(),
            reloads: Reloads::default(),
            source: None,
            state,
        };
        *authorizer.links.write() = authorizer.chain(&configured);
        Self { source: Some(configured).filter(|configured| configured.file.is_some()), ..authorizer }
    }

    /// Lets everybody do everything.
    #[cfg(test)]
    pub(crate) fn lenient() -> Self {
        Self {
            links: RwLock::new(Arc::new([Link {
                means: Means::AlwaysAllow,
                counts: Arc::new(Counts::new("AlwaysAllow", "alwaysallow")),
            }])),
            nodes: None,
            rbac: None,
            counts: Mutex::default(),
            source: None,
            reloads: Reloads::default(),
            state: Weak::new(),
        }
    }

    /// The chain that a configuration asks for. It names nobody who was not named when the server started.
    fn chain(&self, configured: &AuthorizationConfiguration) -> Arc<[Link]> {
        configured.authorizers.iter().map(|one| self.link(one)).collect()
    }

    fn link(&self, configured: &Configured) -> Link {
        let counts = self.counts_of(configured);
        let means = match &configured.means {
            Wanted::AlwaysAllow => Means::AlwaysAllow,
            Wanted::AlwaysDeny => Means::AlwaysDeny,
            Wanted::Node => Means::Node,
            Wanted::Rbac => Means::Rbac,
            Wanted::Webhook(config) => {
                let webhook = Webhook::new(Arc::clone(config), Arc::clone(&counts), self.state.clone());
                Means::Webhook(Box::new(webhook))
            }
        };
        Link { means, counts }
    }

    /// The counters of one who is asked, which may have been asked before.
    fn counts_of(&self, configured: &Configured) -> Arc<Counts> {
        let (kind, mut all) = (configured.means.name(), self.counts.lock());
        if let Some(known) = all.iter().find(|one| one.is_of(kind, &configured.name)) {
            return Arc::clone(known);
        }
        let new = Arc::new(Counts::new(kind, &configured.name));
        all.push(Arc::clone(&new));
        new
    }

    /// Asks others from now on.
    pub(super) fn replace(&self, configured: &AuthorizationConfiguration) {
        *self.links.write() = self.chain(configured);
    }

    /// Whether a file says who is asked, and may say something else later.
    pub(crate) fn is_followed(&self) -> bool {
        self.source.is_some()
    }

    /// Whether those may ask who do not say who they are. Where everybody may do everything, nobody else may.
    pub(crate) fn admits_anonymous(&self) -> bool {
        !self.links.read().iter().any(|link| matches!(link.means, Means::AlwaysAllow))
    }

    /// Whether nodes may write only what is theirs.
    pub(crate) fn restricts_nodes(&self) -> bool {
        self.nodes.is_some()
    }

    /// The roles and bindings, unless everybody may do everything.
    pub(crate) fn rbac(&self) -> Option<&Rbac> {
        self.rbac.as_ref()
    }

    /// Whether something may be done.
    pub(crate) async fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        match self.at_hand(attributes) {
            Ok(decision) => decision,
            Err(walk) => Box::pin(self.finish(walk, attributes)).await,
        }
    }

    /// The same for those who cannot wait: the thread is lent meanwhile.
    pub(crate) fn decide_now(&self, attributes: &Attributes<'_>) -> Decision {
        let walk = match self.at_hand(attributes) {
            Ok(decision) => return decision,
            Err(walk) => walk,
        };
        let runtime = Handle::try_current().ok();
        let Some(runtime) =
            runtime.filter(|runtime| runtime.runtime_flavor() != RuntimeFlavor::CurrentThread)
        else {
            let error = "a webhook cannot be asked on the only thread there is".to_owned();
            return Decision { denied: true, error, ..Decision::default() };
        };
        tokio::task::block_in_place(|| runtime.block_on(self.finish(walk, attributes)))
    }

    /// What can be decided without waiting; else how far it went.
    fn at_hand(&self, attributes: &Attributes<'_>) -> Result<Decision, Walk> {
        if attributes.user.groups.iter().any(|group| group == MASTERS) {
            return Ok(Decision::yes(String::new()));
        }
        let links = Arc::clone(&self.links.read());
        let mut walk = Walk { links, at: 0, reasons: Vec::new(), errors: Vec::new() };
        self.go_on(&mut walk, attributes).ok_or(walk)
    }

    /// Goes on to the next link that has to be waited for; a decision if there is none.
    fn go_on(&self, walk: &mut Walk, attributes: &Attributes<'_>) -> Option<Decision> {
        while let Some(link) = walk.links.get(walk.at) {
            let said = match &link.means {
                Means::AlwaysAllow => Decision::yes(String::new()),
                Means::AlwaysDeny => Decision::unsaid("Everything is forbidden.".to_owned()),
                Means::Node => self.nodes.as_ref().map(|nodes| nodes.decide(attributes)).unwrap_or_default(),
                Means::Rbac => self.rbac.as_ref().map(|rbac| by_roles(rbac, attributes)).unwrap_or_default(),
                Means::Webhook(_) => return None,
            };
            if let Some(decision) = walk.hear(said) {
                return Some(decision);
            }
        }
        Some(walk.end())
    }

    /// Asks whoever is left, and waits for them.
    async fn finish(&self, mut walk: Walk, attributes: &Attributes<'_>) -> Decision {
        loop {
            let links = Arc::clone(&walk.links);
            if let Some(Link { means: Means::Webhook(webhook), .. }) = links.get(walk.at)
                && let Some(decision) = walk.hear(webhook.decide(attributes).await)
            {
                return decision;
            }
            if let Some(decision) = self.go_on(&mut walk, attributes) {
                return decision;
            }
        }
    }

    /// The rules that allow a user what they may do in a namespace and outside of all, and whether there is more.
    pub(crate) fn granted(&self, user: &UserInfo, namespace: &str) -> (Granted, bool) {
        let (mut all, mut incomplete) = (Granted::default(), false);
        let unresolved = |what: &str| format!("{what} authorizer does not support user rule resolution");
        for link in self.links.read().iter() {
            match &link.means {
                Means::AlwaysAllow => {
                    all.rules.extend([PolicyRule::every_resource(), PolicyRule::every_path()]);
                }
                Means::Rbac => {
                    let rbac = self.rbac.as_ref().map(|rbac| rbac.index().granted(user, namespace));
                    let Granted { rules, errors } = rbac.unwrap_or_default();
                    all.rules.extend(rules);
                    all.errors.extend(errors);
                }
                Means::Node if node::node_of(user).is_none() => {}
                Means::Node => {
                    all.errors.push(unresolved("node"));
                    incomplete = true;
                }
                Means::Webhook(_) => {
                    all.errors.push(unresolved("webhook"));
                    incomplete = true;
                }
                Means::AlwaysDeny => {}
            }
        }
        (all, incomplete)
    }
}

fn by_roles(rbac: &Rbac, attributes: &Attributes<'_>) -> Decision {
    let namespace = match attributes.object {
        Object::Resource(resource) => resource.namespace,
        Object::Path(_) => "",
    };
    match rbac.index().decide(&Question::new(attributes), attributes.user, namespace) {
        Ok(reason) => Decision::yes(reason),
        Err(errors) if errors.is_empty() => Decision::default(),
        Err(errors) => Decision::unsaid(format!("RBAC: {}", aggregate(errors))),
    }
}
