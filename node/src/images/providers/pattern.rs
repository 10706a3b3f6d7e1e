//! Which images a pattern means, as kubelet's `matchImages`: `*.dkr.ecr.*.amazonaws.com`, `registry.io:8080/path`.
//!
//! The host is compared part by part, each of which may have `*`, `?` and `[...]`; the port has to be the same; a path is the
//! beginning of the image's.

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    host: Vec<String>,
    port: Option<String>,
    path: String,
    length: usize,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// It says how to connect.
    #[error("it must not have a scheme")]
    Scheme,
    /// It names no host.
    #[error("it names no registry")]
    Host,
    /// A set of letters has no end.
    #[error("its [ has no ]")]
    Set,
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains("://") {
            return Err(PatternError::Scheme);
        }
        let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.to_owned())),
            None => (authority, None),
        };
        if host.is_empty() {
            return Err(PatternError::Host);
        }
        let host: Vec<String> = host.split('.').map(str::to_owned).collect();
        if host.iter().any(|part| glob(part, "").is_none()) {
            return Err(PatternError::Set);
        }
        Ok(Self { host, port, path: path.to_owned(), length: text.len() })
    }

    /// How many letters it has: the longest that matches is the most particular.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// Whether it means the image, which is written as patterns are.
    pub(super) fn matches(&self, image: &str) -> bool {
        let (authority, path) = image.split_at(image.find('/').unwrap_or(image.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let parts: Vec<&str> = host.split('.').collect();
        parts.len() == self.host.len()
            && self.port.as_deref() == port
            && path.starts_with(&self.path)
            && self.host.iter().zip(parts).all(|(pattern, part)| glob(pattern, part) == Some(true))
    }
}

/// Whether a part of a host is as the pattern says; `None` if the pattern is none.
fn glob(pattern: &str, text: &str) -> Option<bool> {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let atoms = atoms(&pattern)?;
    // Where the pattern may be after each letter: all positions at once, so that stars cost no trying.
    let mut at: Vec<bool> = vec![false; atoms.len() + 1];
    at[0] = true;
    pass_stars(&atoms, &mut at);
    for letter in text {
        let mut next = vec![false; atoms.len() + 1];
        for (index, atom) in atoms.iter().enumerate().filter(|(index, _)| at[*index]) {
            match atom {
                Atom::Star => next[index] = true,
                Atom::One(set) if set.has(letter) => next[index + 1] = true,
                Atom::One(_) => {}
            }
        }
        pass_stars(&atoms, &mut next);
        at = next;
    }
    at.last().copied()
}

/// A star may stand for nothing.
fn pass_stars(atoms: &[Atom<'_>], at: &mut [bool]) {
    for (index, atom) in atoms.iter().enumerate() {
        if at[index] && matches!(atom, Atom::Star) {
            at[index + 1] = true;
        }
    }
}

/// What stands for a letter, or for many.
enum Atom<'a> {
    Star,
    One(Set<'a>),
}

/// Letters one of which is meant.
enum Set<'a> {
    Any,
    Letter(char),
    Listed { letters: &'a [char], negated: bool },
}

impl Set<'_> {
    fn has(&self, letter: char) -> bool {
        match self {
            Self::Any => true,
            Self::Letter(wanted) => *wanted == letter,
            Self::Listed { letters, negated } => listed(letters, letter) != *negated,
        }
    }
}

/// Whether a set such as `a-cx` lists a letter.
fn listed(letters: &[char], letter: char) -> bool {
    match letters {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&letter) || listed(rest, letter),
        [one, rest @ ..] => *one == letter || listed(rest, letter),
        [] => false,
    }
}

fn atoms(pattern: &[char]) -> Option<Vec<Atom<'_>>> {
    let mut found = Vec::new();
    let mut rest = pattern;
    while let [first, after @ ..] = rest {
        rest = after;
        found.push(match first {
            '*' => Atom::Star,
            '?' => Atom::One(Set::Any),
            '[' => {
                let negated = after.first() == Some(&'^');
                let letters = if negated { &after[1..] } else { after };
                let end = letters.iter().position(|letter| *letter == ']').filter(|end| *end > 0)?;
                rest = &letters[end + 1..];
                Atom::One(Set::Listed { letters: &letters[..end], negated })
            }
            letter => Atom::One(Set::Letter(*letter)),
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(
        "123456789.dkr.ecr.us-east-1.amazonaws.com",
        "123456789.dkr.ecr.us-east-1.amazonaws.com/app",
        true
    )]
    #[case("*.dkr.ecr.*.amazonaws.com", "1.dkr.ecr.eu.amazonaws.com/app", true)]
    #[case("*.azurecr.io", "azurecr.io/app", false)]
    #[case("*.azurecr.io", "a.b.azurecr.io/app", false)]
    #[case("*", "gcr.io/app", false)]
    #[case("*.*.registry.io", "a.b.registry.io/x", true)]
    #[case("app*.k8s.io", "app1.k8s.io/x", true)]
    #[case("registry.io:8080/path", "registry.io:8080/path/app", true)]
    #[case("registry.io:8080/path", "registry.io:8080/other", false)]
    #[case("registry.io", "registry.io:8080/app", false)]
    #[case("registry.io:8080", "registry.io/app", false)]
    #[case("r[a-ce].io", "rb.io/app", true)]
    #[case("r[^a-ce].io", "rb.io/app", false)]
    #[case("r?.io", "rb.io/app", true)]
    fn patterns_mean_what_kubelets_mean(#[case] pattern: &str, #[case] image: &str, #[case] meant: bool) {
        assert_eq!(Pattern::parse(pattern).unwrap().matches(image), meant);
    }

    #[rstest]
    #[case("https://gcr.io", PatternError::Scheme)]
    #[case("/path", PatternError::Host)]
    #[case("", PatternError::Host)]
    #[case("a[bc.io", PatternError::Set)]
    fn what_is_no_pattern_is_refused(#[case] pattern: &str, #[case] error: PatternError) {
        assert_eq!(Pattern::parse(pattern), Err(error));
    }

    proptest! {
        #[test]
        fn a_name_means_itself_and_a_star_whatever_stands_there(name in "[a-z0-9-]{0,8}", stars in "[a-z*?]{0,12}") {
            prop_assert_eq!(glob(&name, &name), Some(true));
            prop_assert_eq!(glob("*", &name), Some(true));
            prop_assert_eq!(glob(&format!("*{name}*"), &format!("x{name}y")), Some(true));
            let least = stars.chars().filter(|letter| *letter != '*').count();
            if glob(&stars, &name) == Some(true) {
                prop_assert!(name.len() >= least);
            }
        }

        #[test]
        fn any_text_is_read(pattern: String, image: String) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&image);
            }
        }
    }
}
