//! Static bearer tokens: the file of `--token-auth-file`.
//!
//! One user a line, as CSV: `token,name,uid,"group1,group2"`; the groups may be left out. Read once, at the start.

use std::collections::HashMap;

use crate::auth::UserInfo;

/// Users by the token they present.
#[derive(Clone, Default)]
pub struct Tokens {
    users: HashMap<String, UserInfo>,
}

/// What is wrong with a token file.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It is not CSV.
    #[error("the token file is not valid CSV")]
    Csv(#[from] csv::Error),
    /// A line lacks columns.
    #[error("line {line} of the token file has {columns} columns; write token,user,uid[,\"group1,group2\"]")]
    Columns {
        /// Which line, from 1.
        line: u64,
        /// How many columns it has.
        columns: usize,
    },
    /// A line has no token.
    #[error("line {line} of the token file has an empty token")]
    Empty {
        /// Which line, from 1.
        line: u64,
    },
}

impl Tokens {
    /// Reads a token file. Of a token given twice the last line counts.
    pub fn parse(text: &[u8]) -> Result<Self, TokenFileError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .trim(csv::Trim::All)
            .comment(Some(b'#'))
            .from_reader(text);
        let mut users = HashMap::new();
        for row in reader.records() {
            let row = row?;
            let line = row.position().map_or(0, csv::Position::line);
            if row.len() < 3 {
                return Err(TokenFileError::Columns { line, columns: row.len() });
            }
            if row[0].is_empty() {
                return Err(TokenFileError::Empty { line });
            }
            let groups = row.get(3).unwrap_or_default().split(',').map(str::trim).filter(|g| !g.is_empty());
            let user = UserInfo {
                name: row[1].to_owned(),
                uid: row[2].to_owned(),
                groups: groups.map(str::to_owned).collect(),
                ..UserInfo::default()
            };
            users.insert(row[0].to_owned(), user);
        }
        Ok(Self { users })
    }

    /// The user of a token.
    pub(crate) fn user(&self, token: &str) -> Option<&UserInfo> {
        self.users.get(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_gives_a_user_with_uid_and_groups() {
        let tokens = Tokens::parse(b"t1,alice,u1,\"dev,ops\"\n# nobody\nt2,carol,u2\n").unwrap();
        let alice = tokens.user("t1").unwrap();
        assert_eq!((alice.name.as_str(), alice.uid.as_str()), ("alice", "u1"));
        assert_eq!(alice.groups, ["dev", "ops"]);
        assert!(tokens.user("t2").unwrap().groups.is_empty());
        assert!(tokens.user("nobody").is_none());
    }

    #[test]
    fn a_bad_line_is_named() {
        let short = Tokens::parse(b"t1,alice,u1\nt2,bob\n").err().unwrap();
        assert!(short.to_string().starts_with("line 2 of the token file has 2 columns"), "{short}");
        let empty = Tokens::parse(b",alice,u1\n").err().unwrap();
        assert_eq!(empty.to_string(), "line 1 of the token file has an empty token");
    }

    proptest! {
        #[test]
        fn any_bytes_are_tokens_or_are_refused(bytes: Vec<u8>) {
            let _ = Tokens::parse(&bytes);
        }
    }
}
