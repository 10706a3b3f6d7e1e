//! Who a container runs as: numbers from the request, else from the image, looked up in the image's files.

use wherry_runtime_api::UserSpec;

/// The ids of the container's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// The image's `/etc/passwd` and `/etc/group`; empty where there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    pub(crate) passwd: String,
    pub(crate) group: String,
}

struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
}

impl Accounts {
    fn account(&self, wanted: impl Fn(&Account<'_>) -> bool) -> Option<Account<'_>> {
        let parse = |line: &str| -> Option<(usize, u32, u32)> {
            let mut fields = line.split(':');
            let name = fields.next()?.len();
            let _password = fields.next()?;
            Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        };
        let accounts = self.passwd.lines().filter_map(|line| {
            let (name, uid, gid) = parse(line)?;
            Some(Account { name: &line[..name], uid, gid })
        });
        accounts.into_iter().find(|account| wanted(account))
    }

    /// Name, id and members of each group.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let id = fields.nth(1)?.parse().ok()?;
            Some((name, id, fields.next().unwrap_or_default()))
        })
    }

    fn memberships(&self, name: &str) -> impl Iterator<Item = u32> {
        self.groups()
            .filter(move |(_, _, members)| members.split(',').any(|m| m == name))
            .map(|(_, id, _)| id)
    }
}

/// Resolves the request against the image's `USER` (`user`, `uid`, `user:group`, ..).
pub(crate) fn resolve(request: &UserSpec, image_user: &str, accounts: &Accounts) -> Result<Identity, String> {
    let (user, group) = match image_user.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (image_user, None),
    };
    let account = match request.uid {
        Some(uid) => accounts.account(|account| account.uid == uid).ok_or(uid),
        None => by_text(user, accounts)?,
    };
    let (uid, primary, name) = match account {
        Ok(account) => (account.uid, account.gid, Some(account.name)),
        Err(uid) => (uid, 0, None),
    };
    let gid = match (request.gid, request.uid, group) {
        (Some(gid), _, _) => gid,
        // The image's group belongs to the image's user.
        (None, None, Some(group)) => group_id(group, accounts)?,
        (None, _, _) => primary,
    };
    let of_image = name.filter(|_| !request.only_these_groups);
    let of_image = of_image.into_iter().flat_map(|name| accounts.memberships(name));
    let mut groups: Vec<u32> = of_image.chain(request.supplemental_groups.iter().copied()).collect();
    let mut seen = Vec::new();
    groups.retain(|group| {
        *group != gid && !seen.contains(group) && {
            seen.push(*group);
            true
        }
    });
    Ok(Identity { uid, gid, groups })
}

/// The account of a name or number; a number needs none.
fn by_text<'a>(user: &str, accounts: &'a Accounts) -> Result<Result<Account<'a>, u32>, String> {
    if user.is_empty() {
        return Ok(accounts.account(|account| account.uid == 0).ok_or(0));
    }
    if let Some(account) = accounts.account(|account| account.name == user) {
        return Ok(Ok(account));
    }
    let missing = |_| format!("the image's user {user:?} is not in its /etc/passwd");
    let uid = user.parse::<u32>().map_err(missing)?;
    Ok(accounts.account(|account| account.uid == uid).ok_or(uid))
}

fn group_id(group: &str, accounts: &Accounts) -> Result<u32, String> {
    let found = accounts.groups().find(|(name, _, _)| *name == group).map(|(_, id, _)| id);
    let missing = || format!("the image's group {group:?} is not in its /etc/group");
    found.or_else(|| group.parse().ok()).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> Accounts {
        Accounts {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34::/:\n7:x:70:71::/:\n".into(),
            group: "root:x:0:\nwww:x:34:\nlogs:x:50:other,web\nmore:x:51:web\n".into(),
        }
    }

    fn of(image_user: &str) -> Result<(u32, u32, Vec<u32>), String> {
        let found = resolve(&UserSpec::default(), image_user, &accounts())?;
        Ok((found.uid, found.gid, found.groups))
    }

    #[test]
    fn the_images_user_is_looked_up_by_name_and_number() {
        for (text, expected) in [
            ("", (0, 0, vec![])),
            ("web", (33, 34, vec![50, 51])),
            ("web:logs", (33, 50, vec![51])),
            ("33", (33, 34, vec![50, 51])),
            ("33:12", (33, 12, vec![50, 51])),
            ("1234", (1234, 0, vec![])),
            ("7", (70, 71, vec![])),
        ] {
            assert_eq!(of(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_unknown_name_is_refused() {
        assert_eq!(of("nobody").unwrap_err(), "the image's user \"nobody\" is not in its /etc/passwd");
        assert_eq!(of("web:gone").unwrap_err(), "the image's group \"gone\" is not in its /etc/group");
    }

    #[test]
    fn the_request_wins_over_the_image() {
        let request = UserSpec { uid: Some(33), supplemental_groups: vec![9, 50], ..UserSpec::default() };
        let found = resolve(&request, "1:2", &accounts()).unwrap();
        assert_eq!(found, Identity { uid: 33, gid: 34, groups: vec![50, 51, 9] });
        let request = UserSpec { uid: Some(5), gid: Some(6), ..UserSpec::default() };
        assert_eq!(
            resolve(&request, "web", &accounts()).unwrap(),
            Identity { uid: 5, gid: 6, groups: vec![] }
        );
    }

    #[test]
    fn the_images_groups_may_be_left_out() {
        let request = UserSpec {
            uid: Some(33),
            supplemental_groups: vec![9],
            only_these_groups: true,
            ..UserSpec::default()
        };
        assert_eq!(resolve(&request, "", &accounts()).unwrap().groups, [9]);
    }
}
