//! Netlink messages: a header each, then attributes (`netlink(7)`, `linux/netfilter/nfnetlink.h`).

use crate::syntax::Family;

const HEADER: usize = 16;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
/// Of netfilter's parts, this is nftables.
const NFTABLES: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NESTED: u16 = 0x8000;
const ERROR: u16 = 2;

/// A transaction as bytes: all its messages.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// The line of each change, in the order of their numbers, which begin with 1.
    pub(crate) lines: Vec<usize>,
    /// Where the last message begins.
    last: usize,
}

impl Batch {
    /// An empty transaction.
    pub(crate) fn new() -> Self {
        let mut batch = Self::default();
        batch.begin(BATCH_BEGIN, REQUEST, 0, [0, NFTABLES]);
        batch.end();
        batch
    }

    /// Adds a message about a table of this family.
    pub(crate) fn message(
        &mut self,
        (kind, flags): (u16, u16),
        line: usize,
        family: Family,
        write: impl FnOnce(&mut Attributes<'_>),
    ) {
        self.lines.push(line);
        self.begin(u16::from(NFTABLES) << 8 | kind, REQUEST | flags, family.number(), [0; 2]);
        write(&mut Attributes { bytes: &mut self.bytes });
        self.end();
    }

    /// Ends the transaction; the kernel is to answer to its last message.
    pub(crate) fn finish(&mut self) {
        if let Some([low, high]) = self.bytes.get_mut(self.last + 6..self.last + 8) {
            [*low, *high] = (u16::from_ne_bytes([*low, *high]) | ACK).to_ne_bytes();
        }
        self.begin(BATCH_END, REQUEST, 0, [0, NFTABLES]);
        self.end();
    }

    /// Messages are numbered as their lines are; that of the start is 0.
    fn begin(&mut self, kind: u16, flags: u16, family: u8, resource: [u8; 2]) {
        self.last = self.bytes.len();
        let number = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        // The length is written when it is known.
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend(number.to_ne_bytes());
        self.bytes.extend([0; 4]);
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource);
    }

    fn end(&mut self) {
        let length = u32::try_from(self.bytes.len() - self.last).unwrap_or(u32::MAX);
        self.bytes[self.last..self.last + 4].copy_from_slice(&length.to_ne_bytes());
    }
}

impl Family {
    /// The number by which the kernel knows it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
        }
    }
}

/// The attributes of a message, or of one that holds others.
pub(crate) struct Attributes<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// How long the message is so far, with all before it.
    pub(crate) fn written(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |attributes| attributes.bytes.extend(value));
    }

    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn long(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    pub(crate) fn text(&mut self, kind: u16, text: &str) {
        self.attribute(kind, |attributes| {
            attributes.bytes.extend(text.as_bytes());
            attributes.bytes.push(0);
        });
    }

    /// One that holds others.
    pub(crate) fn nested(&mut self, kind: u16, write: impl FnOnce(&mut Attributes<'_>)) {
        self.attribute(kind | NESTED, |attributes| write(attributes));
    }

    fn attribute(&mut self, kind: u16, write: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        write(&mut Attributes { bytes: self.bytes });
        // Whoever writes keeps what is longer apart.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One answer of the kernel to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The number of the message.
    pub(crate) number: usize,
    /// The number of the error; 0 is none.
    pub(crate) error: i32,
}

/// The answers in a datagram; what does not hold together ends it.
pub(crate) fn answers(datagram: &[u8]) -> Vec<Answer> {
    let (mut answers, mut rest) = (Vec::new(), datagram);
    while let Some((kind, number, body)) = next(&mut rest) {
        let error = body.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes).saturating_neg());
        answers.extend(error.filter(|_| kind == ERROR).map(|error| Answer { number, error }));
    }
    answers
}

/// The kind, the number and the body of the next message.
fn next<'a>(datagram: &mut &'a [u8]) -> Option<(u16, usize, &'a [u8])> {
    let header: &[u8; HEADER] = datagram.first_chunk()?;
    let at = |place: usize| [header[place], header[place + 1], header[place + 2], header[place + 3]];
    let length = usize::try_from(u32::from_ne_bytes(at(0))).ok()?;
    let number = usize::try_from(u32::from_ne_bytes(at(8))).ok()?;
    let body = datagram.get(HEADER..length)?;
    *datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((u16::from_ne_bytes([header[4], header[5]]), number, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_are_laid_out_as_the_kernel_reads_them() {
        let mut batch = Batch::new();
        batch.message((0, 0x400), 7, Family::Ip6, |attributes| {
            attributes.text(1, "t");
            attributes.nested(2, |inner| inner.number(3, 5));
        });
        batch.finish();
        let expected: &[u8] = &[
            // The header: length, kind, flags, number, port; then family, version, resource.
            &[20, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10][..],
            &[40, 0, 0, 0, 0, 10, 5, 4, 1, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0],
            &[6, 0, 1, 0, b't', 0, 0, 0],
            &[12, 0, 2, 0x80, 8, 0, 3, 0, 0, 0, 0, 5],
            &[20, 0, 0, 0, 0x11, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10],
        ]
        .concat();
        assert_eq!(batch.bytes, expected);
        assert_eq!(batch.lines, [7]);
    }

    #[test]
    fn an_answer_says_which_message_failed() {
        let mut datagram = vec![36, 0, 0, 0, 2, 0, 0, 3, 9, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend((-17_i32).to_ne_bytes());
        datagram.extend([20, 0, 0, 0, 0, 10, 5, 4, 9, 0, 0, 0, 0, 0, 0, 0]);
        let other = [20, 0, 0, 0, 3, 0, 0, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend(other);
        let done = [20, 0, 0, 0, 2, 0, 0, 1, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        datagram.extend(done);
        let expected = [Answer { number: 9, error: 17 }, Answer { number: 10, error: 0 }];
        assert_eq!(answers(&datagram), expected);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_to_its_end(datagram in proptest::collection::vec(any::<u8>(), 0..200)) {
            answers(&datagram);
        }

        #[test]
        fn whatever_an_error_holds_is_read_to_its_end(body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut datagram = Vec::from(u32::try_from(16 + body.len()).unwrap().to_ne_bytes());
            datagram.extend(ERROR.to_ne_bytes());
            datagram.extend([0; 10]);
            datagram.extend(&body);
            prop_assert_eq!(answers(&datagram).len(), usize::from(body.len() >= 4));
        }
    }
}
