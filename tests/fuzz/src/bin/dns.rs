//! Questions about names: any bytes. No panic; what is answered has the question's number, fits, and can be read; a name is
//! answered the same in capitals.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use wherry_dns::proto::op::Message;
use wherry_dns::proto::rr::Name;
use wherry_dns::{Answer, Endpoint, Face, Key, Port, Request, Service, Slice, Zone, encode, read};

static ZONE: LazyLock<Zone> = LazyLock::new(zone);

fn zone() -> Zone {
    let key = |name: &str| Key { namespace: "shop".into(), name: name.into() };
    let ports = || vec![Port { name: "http".into(), protocol: "tcp".into(), number: 80 }];
    let ranges = vec!["10.96.0.0/16".parse().expect("a range")];
    let mut zone = Zone::new("cluster.local", vec![[10, 96, 0, 10].into()], ranges).expect("a domain");
    let faces = [
        ("web", Face::Cluster(vec![[10, 96, 0, 1].into()])),
        ("pets", Face::Headless),
        ("away", Face::Alias("a.example".into())),
        ("also", Face::Alias("web.shop.svc.cluster.local".into())),
    ];
    for (name, face) in faces {
        zone.set_service(&key(name), Some(Arc::new(Service { face, ports: ports() })));
    }
    let endpoints = (1..100).map(|n| Endpoint { ip: [10, 244, 0, n].into(), hostname: (n % 2 == 0).then(|| format!("pet-{n}")) });
    let slice = Slice { service: key("pets"), ports: ports(), endpoints: endpoints.collect() };
    zone.set_slice(&key("pets-1"), Some(Arc::new(slice)));
    zone
}

fuzz_target!(|input: &[u8]| {
    let (reply, limit) = match read(input) {
        Request::Noise => return,
        Request::Refusal(reply) => (reply, 512),
        Request::Question(question) => {
            let answer = ZONE.answer(question.name(), question.wanted(), question.id());
            let capitals: Vec<Vec<u8>> = question.name().iter().map(|label| label.to_ascii_uppercase()).collect();
            let capitals = Name::from_labels(capitals).expect("it is as long as before");
            let again = ZONE.answer(&capitals, question.wanted(), question.id());
            assert_eq!(same(&answer), same(&again), "{}", question.name());
            (question.reply(answer), question.datagram())
        }
    };
    let sent = encode(reply, limit);
    assert!(sent.len() <= limit, "{} bytes", sent.len());
    assert_eq!(sent[..2], input[..2]);
    Message::from_vec(&sent).expect("what is sent can be read");
});

/// An answer without the letters of the question in it.
fn same(answer: &Answer) -> (Vec<String>, u16) {
    (answer.records.iter().map(|record| record.data.to_string()).collect(), answer.code.into())
}
