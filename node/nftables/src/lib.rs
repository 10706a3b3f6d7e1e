//! Applies scripts in the language of `nft` to the kernel as one transaction: all of a script is in force afterwards, or nothing is.
//!
//! The program `nft` reads back whole tables before it changes one rule, so that a change takes longer the more there is. This
//! crate reads nothing: what a script says is all that the kernel is told (nf_tables, by `NETLINK_NETFILTER`).
//!
//! It knows the part of the language that a node's rules are written in (`nft(8)`): tables of `ip`, `ip6` and `inet`, chains, sets and
//! maps with their elements; matches of addresses, protocols, ports, interfaces, marks, connection states and local addresses; verdict
//! maps, `numgen random`, `dnat`, `masquerade`, `reject`, `update`. Anything else is refused with its line before the kernel is
//! asked. What the kernel has in the end is what `nft` would have made of the script; `tests/` compares them.
//!
//! - `lexer`, `words`, `parser`, `rules`, `values`: the text as [`syntax`] (pure).
//! - `encode`, `expressions`, `intervals`, `message`: that as netlink messages (pure).
//! - `socket`: hands them to the kernel.

mod encode;
mod expressions;
mod intervals;
mod lexer;
mod message;
mod parser;
mod rules;
mod socket;
mod syntax;
mod values;
mod words;

use std::io;

use socket::Socket;

/// Why a script was not applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not understood.
    #[error("line {line} of a change of nftables is not understood: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The kernel refused it.
    #[error("the kernel refused line {line} of a change: {text}")]
    Refused {
        /// Counted from 1.
        line: usize,
        /// What it says.
        text: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel cannot be asked.
    #[error("cannot {step}")]
    Socket {
        /// What failed.
        step: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Changes the rules of one network namespace: that of the thread which opened it.
pub struct Connection {
    socket: Socket,
}

impl Connection {
    /// To the rules of the calling thread's network namespace.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open()? })
    }

    /// Applies a script. The calling thread waits until it is in force.
    pub fn apply(&mut self, script: &str) -> Result<(), Error> {
        let batch = compile(script)?;
        self.socket.transact(&batch)?.map_or(Ok(()), |refused| {
            let text =
                script.lines().nth(refused.line.saturating_sub(1)).unwrap_or_default().trim().to_owned();
            Err(Error::Refused { line: refused.line, text, source: refused.error })
        })
    }
}

/// The messages of a script.
fn compile(script: &str) -> Result<message::Batch, Error> {
    encode::encode(parser::parse(script)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LANGUAGE: &str = include_str!("../tests/scripts/language.nft");

    fn refusal(script: &str) -> (usize, String) {
        match compile(script) {
            Err(Error::Syntax { line, message }) => (line, message),
            other => panic!("{script}: {other:?}"),
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        let long = format!("add table ip {}", "n".repeat(256));
        let cases = [
            ("frobnicate", 1, "the command frobnicate is not known"),
            ("add table arp t", 1, "arp is no family; ip, ip6 and inet are"),
            ("\n\nflush table ip t", 3, "flush table is not known"),
            ("add chain ip t", 1, "there is the end of the statement instead of a name"),
            ("add chain ip t c now", 1, "there is now instead of its end"),
            ("add rule ip t c", 1, "there is the end of the statement instead of a rule"),
            ("add rule ip t c ip saddr fd00::1 accept", 1, "fd00::1 is no value of what is compared"),
            ("add rule ip t c ip saddr 10.0.0.0/33 accept", 1, "10.0.0.0/33 is no value of what is compared"),
            ("add rule ip t c th dport 9-8 accept", 1, "9-8 is no value of what is compared"),
            ("add rule ip t c th dport 65536 accept", 1, "65536 is no value of what is compared"),
            ("add rule ip t c dnat ip to [::1]:80", 1, "[::1]:80 is no address of that family"),
            (
                "add rule ip t c ip saddr . th dport 10.0.0.1 accept",
                1,
                "there is 10.0.0.1 instead of the name of a set",
            ),
            ("add rule ip t c numgen random mod 0 vmap { 0 : drop }", 1, "there is no number below 0"),
            (
                "add rule inet t c dnat to ip daddr map @m",
                1,
                "a table of inet says dnat ip to, or dnat ip6 to",
            ),
            ("add set ip t s { type colour; }", 1, "the type colour is not known"),
            ("add map ip t m { type ipv4_addr; }", 1, "a set has a type, a map one and what it leads to"),
            ("add element ip t s { }", 1, "there is } instead of a value"),
            ("add element ip t s { here }", 1, "here is no address, protocol or port"),
            ("table ip t {\n chain c {\n policy drop; } }", 3, "only base chains have a policy"),
            ("table ip t {\n chain c { accept", 2, "there is the end of the script instead of a rule"),
            (&long, 1, "a name has at most 255 bytes"),
        ];
        for (script, line, message) in cases {
            assert_eq!(refusal(script), (line, message.to_owned()), "{script}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = compile(&text);
        }

        /// Words of the language in any order.
        #[test]
        fn any_words_are_read_or_refused(picked in proptest::collection::vec(any::<prop::sample::Index>(), 0..40)) {
            let words: Vec<&str> = LANGUAGE.split(' ').collect();
            let script: Vec<&str> = picked.iter().map(|index| *index.get(&words)).collect();
            let _ = compile(&script.join(" "));
        }

        /// A script in which something is cut out.
        #[test]
        fn a_script_that_lacks_something_is_read_or_refused(from: prop::sample::Index, length in 1_usize..30) {
            let from = from.index(LANGUAGE.len());
            let Some(rest) = LANGUAGE.get((from + length).min(LANGUAGE.len())..) else { return Ok(()) };
            let _ = compile(&format!("{}{rest}", &LANGUAGE[..from]));
        }
    }
}
