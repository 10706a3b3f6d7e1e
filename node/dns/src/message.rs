//! Messages: what clients send, and what they get.

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::EdnsOption;
use hickory_proto::rr::{DNSClass, Name, RecordType};

use crate::Answer;

/// The length of a header.
const HEADER: usize = 12;
/// The longest datagram for clients that name no size.
const PLAIN: u16 = 512;
/// The longest datagram at all: what passes everywhere in one piece.
const DATAGRAM: u16 = 1232;
/// The code of extended errors (RFC 8914) among options.
const EXTENDED_ERROR: u16 = 15;

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A question that can be answered.
    Question(Box<Question>),
    /// What can only be answered so.
    Refusal(Message),
    /// What must not be answered.
    Noise,
}

/// One question.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
}

/// Why there is no answer, in words (RFC 8914).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtendedError {
    /// The registered code.
    pub code: u16,
    /// The words.
    pub text: &'static str,
}

/// Reads what a client sent.
pub fn read(bytes: &[u8]) -> Request {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Request::Noise };
    let id = u16::from_be_bytes([header[0], header[1]]);
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return Request::Noise;
    }
    let op_code = OpCode::from_u8(header[2] >> 3 & 0x0f);
    if op_code != OpCode::Query {
        return Request::Refusal(Message::error_msg(id, op_code, ResponseCode::NotImp));
    }
    let malformed = || Request::Refusal(Message::error_msg(id, op_code, ResponseCode::FormErr));
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // Room is made for as many queries as are announced. A question is one, with at most its options and a signature.
    if (count(4), count(6), count(8)) != (1, 0, 0) || count(10) > 2 {
        return malformed();
    }
    let Ok(message) = Message::from_vec(bytes) else { return malformed() };
    let (metadata, edns) = (message.metadata, message.edns.clone());
    let Some(query) = message.queries.into_iter().next() else { return malformed() };
    let question = Question { metadata, query, edns };
    match question.obstacle() {
        Some(code) => Request::Refusal(question.failure(code, None)),
        None => Request::Question(Box::new(question)),
    }
}

impl Question {
    /// The name asked for, as the client wrote it.
    pub fn name(&self) -> &Name {
        &self.query.name
    }

    /// The type of records asked for.
    pub fn wanted(&self) -> RecordType {
        self.query.query_type
    }

    /// The number the client gave it.
    pub fn id(&self) -> u16 {
        self.metadata.id
    }

    /// How long an answer by datagram may be.
    pub fn datagram(&self) -> usize {
        let named = self.edns.as_ref().map_or(PLAIN, |edns| edns.max_payload().min(DATAGRAM));
        named.max(PLAIN).into()
    }

    /// The message that says this.
    pub fn reply(&self, answer: Answer) -> Message {
        let mut message = self.empty_reply();
        message.metadata.response_code = answer.code;
        message.metadata.authoritative = answer.elsewhere.is_none();
        message.answers = answer.records;
        message.authorities = answer.authority.into_iter().collect();
        message.additionals = answer.additional;
        message
    }

    /// The message that says that there is no answer, and why.
    pub fn failure(&self, code: ResponseCode, reason: Option<ExtendedError>) -> Message {
        let mut message = self.empty_reply();
        message.metadata.response_code = code;
        if let (Some(edns), Some(reason)) = (&mut message.edns, reason) {
            let payload = [&reason.code.to_be_bytes(), reason.text.as_bytes()].concat();
            edns.options_mut().insert(EdnsOption::Unknown(EXTENDED_ERROR, payload));
        }
        message
    }

    fn empty_reply(&self) -> Message {
        let mut message = Message::new(self.metadata.id, MessageType::Response, OpCode::Query);
        message.metadata = Metadata::response_from_request(&self.metadata);
        message.metadata.recursion_available = true;
        message.queries = vec![self.query.clone()];
        message.edns = self.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM);
            edns
        });
        message
    }

    /// Why nobody can answer it.
    fn obstacle(&self) -> Option<ResponseCode> {
        if self.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Some(ResponseCode::BADVERS);
        }
        match self.query.query_class {
            DNSClass::IN | DNSClass::ANY => None,
            _ => Some(ResponseCode::Refused),
        }
    }
}

/// The bytes of a reply, at most so many. What does not fit is left out: first what was not asked for, then records, which the
/// reply then says of itself.
pub fn encode(mut message: Message, limit: usize) -> Vec<u8> {
    let mut bytes = to_bytes(&message);
    if bytes.len() > limit {
        message.additionals.clear();
        bytes = to_bytes(&message);
    }
    if bytes.len() > limit {
        message.metadata.truncation = true;
        message.authorities.clear();
        bytes = longest_beginning(message, limit);
    }
    bytes
}

/// The reply with as many of its answers as fit.
fn longest_beginning(mut message: Message, limit: usize) -> Vec<u8> {
    let answers = std::mem::take(&mut message.answers);
    let (mut bytes, mut fitting, mut too_many) = (to_bytes(&message), 0, answers.len());
    while too_many - fitting > 1 {
        let middle = fitting.midpoint(too_many);
        message.answers = answers[..middle].to_vec();
        let attempt = to_bytes(&message);
        if attempt.len() > limit {
            too_many = middle;
        } else {
            (bytes, fitting) = (attempt, middle);
        }
    }
    bytes
}

/// Records of others may be such that they cannot be written.
fn to_bytes(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_else(|_| {
        let Metadata { id, op_code, .. } = message.metadata;
        Message::error_msg(id, op_code, ResponseCode::ServFail).to_vec().unwrap_or_default()
    })
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
