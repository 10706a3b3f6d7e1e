//! The token, the authority and the namespace in each Secret that asks for a token.

use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::{ACCOUNT_NAME, ACCOUNT_UID, TokenMinter, TokenSubject, annotation, owns, refers};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, uid};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Keys are those of Secrets.
pub(crate) struct FillController {
    client: Client,
    caches: Arc<Caches>,
    root_ca: Option<watch::Receiver<String>>,
    mint: Option<TokenMinter>,
}

/// What is to be done with a Secret.
#[derive(Debug, PartialEq)]
enum Action {
    Nothing,
    Delete,
    Write(Box<Secret>),
}

/// What a Secret is to hold besides its token.
struct Wanted<'a> {
    root_ca: Option<&'a str>,
    mint: &'a TokenMinter,
}

fn plan(secret: &Secret, account: Option<&ServiceAccount>, wanted: &Wanted<'_>) -> Action {
    if secret.metadata.deletion_timestamp.is_some() {
        return Action::Nothing;
    }
    let Some(account) = account.filter(|account| owns(account, secret)) else { return Action::Delete };
    let mut filled = secret.clone();
    let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
    let annotations = filled.metadata.annotations.get_or_insert_default();
    annotations.insert(ACCOUNT_NAME.to_owned(), account.name_any());
    annotations.insert(ACCOUNT_UID.to_owned(), uid(&account.metadata).to_owned());
    let data = filled.data.get_or_insert_default();
    if let Some(root_ca) = wanted.root_ca {
        data.insert("ca.crt".to_owned(), ByteString(root_ca.as_bytes().to_vec()));
    }
    data.insert("namespace".to_owned(), ByteString(namespace.as_bytes().to_vec()));
    if data.get("token").is_none_or(|token| token.0.is_empty()) {
        let account = account.name_any();
        let subject = TokenSubject {
            namespace: &namespace,
            secret: &name,
            account: &account,
            uid: annotation(&filled, ACCOUNT_UID),
        };
        let Some(token) = (wanted.mint)(&subject) else { return Action::Nothing };
        let data = filled.data.get_or_insert_default();
        data.insert("token".to_owned(), ByteString(token.into_bytes()));
    }
    if filled == *secret { Action::Nothing } else { Action::Write(Box::new(filled)) }
}

impl Controller for FillController {
    const NAME: &'static str = "serviceaccount-token-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.token_secrets.on_change(move |change| {
            if let Some(secret) = change.last() {
                wake.add(Key::of(&**secret));
            }
        });
        let (wake, secrets) = (queue.clone(), context.caches.token_secrets.clone());
        context.caches.service_accounts.on_change(move |change| {
            let Some(old) = change.old else { return };
            if change.new.is_none_or(|new| new.metadata.uid != old.metadata.uid) {
                let name = old.name_any();
                let concerned = |secret: &Secret| annotation(secret, ACCOUNT_NAME) == name;
                for secret in secrets.select(&old.namespace().unwrap_or_default(), concerned) {
                    wake.add(Key::of(&*secret));
                }
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            root_ca: context.config.root_ca.clone(),
            mint: context.config.token_minter.clone(),
        }
    }

    async fn wake(&self, queue: &Queue<Key>) {
        let Some(mut root_ca) = self.root_ca.clone() else { return };
        while root_ca.changed().await.is_ok() {
            for secret in self.caches.token_secrets.all() {
                queue.add(Key::of(&*secret));
            }
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(mint) = &self.mint else { return Ok(Next::OnChange) };
        let Some(secret) = self.caches.token_secrets.get(key) else {
            self.forget(key).await?;
            return Ok(Next::OnChange);
        };
        let account = self.account(&secret).await?;
        let root_ca = self.root_ca.as_ref().map(|root_ca| root_ca.borrow().clone());
        let wanted = Wanted { root_ca: root_ca.as_deref(), mint };
        let api = Api::<Secret>::namespaced(self.client.clone(), &key.namespace);
        match plan(&secret, account.as_deref(), &wanted) {
            Action::Nothing => {}
            Action::Write(filled) => {
                let written = api.replace(&key.name, &PostParams::default(), &filled).await;
                match written {
                    Err(error) if is_not_found(&error) => {}
                    written => self.caches.token_secrets.note(written.step("writing the token of a Secret")?),
                }
            }
            Action::Delete => {
                let deleted = delete(&api, &secret.metadata, Only::This, DeleteParams::default()).await;
                deleted.step("deleting the token of a ServiceAccount that is gone")?;
            }
        }
        Ok(Next::OnChange)
    }
}

impl FillController {
    /// Whose token it is. Before a Secret is deleted for want of its ServiceAccount the server is asked.
    async fn account(&self, secret: &Secret) -> Result<Option<Arc<ServiceAccount>>, ReconcileError> {
        let namespace = secret.namespace().unwrap_or_default();
        let name = annotation(secret, ACCOUNT_NAME);
        let known = self.caches.service_accounts.get(&Key::new(&*namespace, name));
        if known.as_ref().is_some_and(|account| owns(account, secret)) || name.is_empty() {
            return Ok(known);
        }
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), &namespace);
        Ok(api.get_opt(name).await.step("reading a ServiceAccount")?.map(Arc::new))
    }

    /// Takes a Secret that is gone off the lists of ServiceAccounts.
    async fn forget(&self, key: &Key) -> Result<(), ReconcileError> {
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), &key.namespace);
        for account in self.caches.service_accounts.select(&key.namespace, |one| refers(one, &key.name)) {
            let mut account = (*account).clone();
            account.secrets.get_or_insert_default().retain(|one| one.name.as_deref() != Some(&*key.name));
            match api.replace(&account.name_any(), &PostParams::default(), &account).await {
                Err(error) if is_not_found(&error) => {}
                written => drop(written.step("taking a Secret off the list of a ServiceAccount")?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(more: serde_json::Value) -> Secret {
        let mut secret = json!({
            "metadata": {"name": "s", "namespace": "ns", "annotations": {ACCOUNT_NAME: "robot"}},
        });
        json_patch_into(&mut secret, more);
        serde_json::from_value(secret).unwrap()
    }

    fn json_patch_into(target: &mut serde_json::Value, more: serde_json::Value) {
        let serde_json::Value::Object(fields) = more else {
            *target = more;
            return;
        };
        for (name, value) in fields {
            json_patch_into(&mut target[name], value);
        }
    }

    fn robot() -> ServiceAccount {
        serde_json::from_value(json!({"metadata": {"name": "robot", "namespace": "ns", "uid": "u-1"}}))
            .unwrap()
    }

    fn decide(secret: &Secret, account: Option<&ServiceAccount>) -> Action {
        let mint: TokenMinter = Arc::new(|of| Some([of.namespace, of.secret, of.account, of.uid].join("/")));
        plan(secret, account, &Wanted { root_ca: Some("PEM"), mint: &mint })
    }

    #[test]
    fn a_secret_gets_its_token_once() {
        let Action::Write(filled) = decide(&secret(json!({})), Some(&robot())) else {
            panic!("nothing written")
        };
        let data = filled.data.clone().unwrap();
        assert_eq!(data["token"].0, b"ns/s/robot/u-1");
        assert_eq!((&*data["ca.crt"].0, &*data["namespace"].0), (&b"PEM"[..], &b"ns"[..]));
        assert_eq!(annotation(&filled, ACCOUNT_UID), "u-1");
        assert_eq!(decide(&filled, Some(&robot())), Action::Nothing);
        let mut other = (*filled).clone();
        other.data.as_mut().unwrap().insert("ca.crt".into(), ByteString(b"OLD".to_vec()));
        let Action::Write(mended) = decide(&other, Some(&robot())) else { panic!("nothing written") };
        assert_eq!(mended, filled);
    }

    #[test]
    fn a_secret_goes_with_its_account() {
        assert_eq!(decide(&secret(json!({})), None), Action::Delete);
        let of_another = secret(json!({"metadata": {"annotations": {ACCOUNT_UID: "u-0"}}}));
        assert_eq!(decide(&of_another, Some(&robot())), Action::Delete);
        let going = secret(json!({"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}));
        assert_eq!(decide(&going, None), Action::Nothing);
    }
}
