//! Questions as bytes and replies as bytes.

use std::net::Ipv4Addr;

use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

fn query(payload: Option<u16>) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii("Web.example.").unwrap(), RecordType::A));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

fn question(payload: Option<u16>) -> Question {
    match read(&query(payload).to_vec().unwrap()) {
        Request::Question(question) => *question,
        other => panic!("{other:?}"),
    }
}

fn refusal(bytes: &[u8]) -> ResponseCode {
    match read(bytes) {
        Request::Refusal(message) => message.metadata.response_code,
        other => panic!("{other:?}"),
    }
}

/// An answer with so many addresses.
fn answer(records: u8) -> Answer {
    let name = Name::from_ascii("web.example.").unwrap();
    let record = |last| Record::from_rdata(name.clone(), 5, RData::A(A(Ipv4Addr::new(10, 0, 0, last))));
    Answer { records: (0..records).map(record).collect(), additional: vec![record(255)], ..Answer::default() }
}

#[test]
fn a_question_is_answered_under_its_name_and_number() {
    let question = question(None);
    assert_eq!(
        (question.name().to_string().as_str(), question.wanted(), question.id()),
        ("Web.example.", RecordType::A, 7)
    );
    let reply = Message::from_vec(&encode(question.reply(answer(2)), question.datagram())).unwrap();
    assert!(
        reply.metadata.authoritative
            && reply.metadata.recursion_desired
            && reply.metadata.recursion_available
    );
    assert_eq!((reply.metadata.id, reply.metadata.message_type), (7, MessageType::Response));
    assert!(reply.queries[0].name.eq_case(question.name()));
    assert_eq!((reply.answers.len(), reply.additionals.len(), reply.edns), (2, 1, None));
}

#[rstest]
#[case(None, 512)]
#[case(Some(100), 512)]
#[case(Some(600), 600)]
#[case(Some(4096), 1232)]
fn a_datagram_is_as_long_as_both_can(#[case] named: Option<u16>, #[case] expected: usize) {
    assert_eq!(question(named).datagram(), expected);
}

#[test]
fn what_does_not_fit_is_left_out_and_told_of() {
    let question = question(Some(1232));
    let cut = encode(question.reply(answer(200)), question.datagram());
    assert!(cut.len() <= 1232 && cut.len() > 1100, "{}", cut.len());
    let cut = Message::from_vec(&cut).unwrap();
    assert!(cut.metadata.truncation && !cut.answers.is_empty() && cut.edns.is_some());
    let whole = Message::from_vec(&encode(question.reply(answer(200)), 65535)).unwrap();
    assert!(!whole.metadata.truncation && whole.answers.len() == 200);
    let exact = encode(question.reply(Answer { additional: Vec::new(), ..answer(20) }), 1232).len();
    let without_additional = Message::from_vec(&encode(question.reply(answer(20)), exact)).unwrap();
    assert_eq!((without_additional.metadata.truncation, without_additional.answers.len()), (false, 20));
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_reason() {
    let sent = |change: fn(&mut Message)| {
        let mut message = query(Some(1232));
        change(&mut message);
        message.to_vec().unwrap()
    };
    assert_eq!(refusal(&sent(|message| message.metadata.op_code = OpCode::Update)), ResponseCode::NotImp);
    assert_eq!(refusal(&sent(|message| message.queries.clear())), ResponseCode::FormErr);
    assert_eq!(
        refusal(&sent(|message| message.queries.push(message.queries[0].clone()))),
        ResponseCode::FormErr
    );
    assert_eq!(
        refusal(&sent(|message| message.queries[0].query_class = DNSClass::CH)),
        ResponseCode::Refused
    );
    let newer = sent(|message| {
        message.edns.as_mut().unwrap().set_version(1);
    });
    assert_eq!(refusal(&newer), ResponseCode::BADVERS);
    let mut cut = query(None).to_vec().unwrap();
    cut.truncate(20);
    assert_eq!(refusal(&cut), ResponseCode::FormErr);
    let mut many = query(None).to_vec().unwrap();
    many[4..6].fill(255);
    assert_eq!(refusal(&many), ResponseCode::FormErr);
}

#[test]
fn nobody_answers_noise_or_answers() {
    assert_eq!(read(b"short"), Request::Noise);
    let reply = question(None).reply(answer(1));
    assert_eq!(read(&reply.to_vec().unwrap()), Request::Noise);
}

#[test]
fn a_failure_tells_its_reason_to_those_who_understand() {
    let reason = ExtendedError { code: 23, text: "nobody to ask" };
    let reply = question(Some(1232)).failure(ResponseCode::ServFail, Some(reason));
    let reply = Message::from_vec(&reply.to_vec().unwrap()).unwrap();
    let edns = reply.edns.unwrap();
    let option = edns.option(EXTENDED_ERROR.into());
    assert_eq!(option, Some(&EdnsOption::Unknown(EXTENDED_ERROR, b"\x00\x17nobody to ask".to_vec())));
    assert_eq!(question(None).failure(ResponseCode::ServFail, Some(reason)).edns, None);
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_their_number_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let reply = match read(&bytes) {
            Request::Noise => return Ok(()),
            Request::Refusal(reply) => reply,
            Request::Question(question) => question.reply(Answer::default()),
        };
        let sent = encode(reply, 512);
        prop_assert!(sent.len() <= 512);
        prop_assert_eq!(&sent[..2], &bytes[..2]);
        prop_assert!(Message::from_vec(&sent).is_ok());
    }

    #[test]
    fn damaged_questions_do_no_harm(at in 0usize..40, byte: u8, length in 0usize..60) {
        let mut bytes = query(Some(1232)).to_vec().unwrap();
        if let Some(place) = bytes.get_mut(at) {
            *place = byte;
        }
        bytes.truncate(length);
        if let Request::Question(question) = read(&bytes) {
            let reply = encode(question.reply(answer(100)), question.datagram());
            prop_assert!(reply.len() <= question.datagram());
            prop_assert!(Message::from_vec(&reply).is_ok());
        }
    }
}
