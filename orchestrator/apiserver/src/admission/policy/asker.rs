//! [`Asker`]: the `authorizer` of expressions, which asks the server's own.

use std::fmt;
use std::sync::Arc;

use wherry_api::selector::FieldSelector;
use wherry_cel::{Check, Decision, Target};

use crate::auth::{AUTHENTICATED, UserInfo};
use crate::authorize::{Attributes, Authorizer, Object, Resource};
use crate::service_accounts::claims::{user_groups, user_name};

/// Asks what the one who writes, or a ServiceAccount, may do.
pub(super) struct Asker {
    authorizer: Arc<Authorizer>,
    user: UserInfo,
}

impl Asker {
    pub(super) fn new(authorizer: &Arc<Authorizer>, user: Option<&UserInfo>) -> Self {
        Self { authorizer: Arc::clone(authorizer), user: user.cloned().unwrap_or_default() }
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Asker({})", self.user.name)
    }
}

/// The user that a ServiceAccount is.
fn service_account(namespace: &str, name: &str) -> UserInfo {
    let mut user =
        UserInfo { groups: user_groups(namespace), ..UserInfo::new(&user_name(namespace, name), &[]) };
    user.join(AUTHENTICATED);
    user
}

impl wherry_cel::Authorizer for Asker {
    fn authorize(&self, check: &Check) -> Decision {
        let other = check.service_account.as_ref().map(|(namespace, name)| service_account(namespace, name));
        let fields = match &check.target {
            Target::Path(_) => FieldSelector::default(),
            Target::Resource(resource) => FieldSelector::parse(&resource.field_selector).unwrap_or_default(),
        };
        let object = match &check.target {
            Target::Path(path) => Object::Path(path),
            Target::Resource(resource) => Object::Resource(Resource {
                group: &resource.group,
                plural: &resource.resource,
                part: &resource.subresource,
                namespace: &resource.namespace,
                name: &resource.name,
                fields: fields.requirements(),
                labels: &resource.label_selector,
                ..Resource::default()
            }),
        };
        let user = other.as_ref().unwrap_or(&self.user);
        let decided = self.authorizer.decide_now(&Attributes { user, verb: &check.verb, object });
        Decision {
            allowed: decided.allowed,
            reason: decided.reason,
            error: Some(decided.error).filter(|error| !error.is_empty()),
        }
    }
}
