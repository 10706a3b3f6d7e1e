//! Requests that the component makes itself.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};

const CHUNK: usize = 1000;

/// Sends a request whose body is to follow.
fn begin(method: &Method, target: &str) -> Result<(FutureIncomingResponse, OutgoingBody), String> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(method).expect("a valid method");
    request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    request.set_authority(Some(authority)).map_err(|()| format!("bad authority {authority:?}"))?;
    let path = format!("/{path}");
    request.set_path_with_query(Some(&path)).map_err(|()| format!("bad path {path:?}"))?;
    let body = request.body().expect("the body is taken once");
    Ok((outgoing_handler::handle(request, None).map_err(|code| format!("{code:?}"))?, body))
}

fn answer(pending: &FutureIncomingResponse) -> Result<IncomingResponse, String> {
    pending.subscribe().block();
    pending.get().expect("it is ready").expect("it is taken once").map_err(|code| format!("{code:?}"))
}

/// Asks without a body.
pub(crate) fn fetch(method: &Method, target: &str) -> Result<IncomingResponse, String> {
    let (pending, body) = begin(method, target)?;
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    answer(&pending)
}

/// The whole body, or how far it came.
pub(crate) fn read(body: &IncomingBody) -> Result<String, String> {
    let mut text = String::new();
    let read = body.stream().expect("the stream is taken once").read_to_string(&mut text);
    read.map_err(|error| format!("{error} after {text:?}"))?;
    Ok(text)
}

/// What arrives of a response: its status, its headers in order, its body and its trailers, a line each.
pub(crate) fn shown(method: &Method, target: &str) -> Result<String, String> {
    let response = fetch(method, target)?;
    let mut text = format!("{}\n{}", response.status(), listed(&response.headers()));
    let body = response.consume().expect("the body is taken once");
    text += &format!("body {:?}\n", read(&body)?);
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = trailers.get().expect("it is ready").expect("it is taken once");
    if let Some(trailers) = trailers.map_err(|code| format!("{code:?}"))? {
        text += &format!("trailers {}", listed(&trailers));
    }
    Ok(text)
}

/// Fields in order, a line each.
pub(crate) fn listed(fields: &Fields) -> String {
    let mut lines: Vec<_> =
        fields.entries().iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))).collect();
    lines.sort();
    lines.concat()
}

/// Sends chunks to who echoes them, each after the one before has come back.
pub(crate) fn there_and_back(chunks: u64, target: &str) -> Result<String, String> {
    let (pending, body) = begin(&Method::Post, target)?;
    let mut there = body.write().expect("the stream is taken once");
    let response = answer(&pending)?;
    let incoming = response.consume().expect("the body is taken once");
    let mut back = incoming.stream().expect("the stream is taken once");
    for number in 0..chunks {
        let sent = vec![number as u8; CHUNK];
        there.write_all(&sent).and_then(|()| io::Write::flush(&mut there)).map_err(|error| format!("to: {error}"))?;
        let mut got = vec![0; CHUNK];
        back.read_exact(&mut got).map_err(|error| format!("back: {error}"))?;
        if got != sent {
            return Err(format!("chunk {number} came back as another"));
        }
    }
    drop(there);
    OutgoingBody::finish(body, None).map_err(|code| format!("{code:?}"))?;
    let rest = back.read_to_end(&mut Vec::new()).map_err(|error| format!("the end: {error}"))?;
    Ok(format!("{chunks} chunks there and back, and {rest} bytes more"))
}

/// Sends as much as is taken within a moment to who takes nothing: says how much that was.
pub(crate) fn pushed(target: &str) -> Result<String, String> {
    let (_pending, body) = begin(&Method::Post, target)?;
    let stream = body.write().expect("the stream is taken once");
    let (mut taken, began) = (0, Instant::now());
    while began.elapsed() < Duration::from_millis(300) {
        let room = stream.check_write().map_err(|error| format!("{error:?}"))?;
        let piece = room.min(1 << 16) as usize;
        if piece == 0 {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        stream.write(&vec![0; piece]).map_err(|error| format!("{error:?}"))?;
        taken += piece;
    }
    Ok(taken.to_string())
}

/// Asks so often, one after the other: the median and the 99th percentile of how long it took, and all of it, in nanoseconds.
pub(crate) fn timed(count: u64, target: &str) -> Result<String, String> {
    let (mut took, began) = (Vec::new(), Instant::now());
    for _ in 0..count {
        let asked = Instant::now();
        let response = fetch(&Method::Get, target)?;
        read(&response.consume().expect("the body is taken once"))?;
        took.push(asked.elapsed().as_nanos());
    }
    let all = began.elapsed().as_nanos();
    took.sort_unstable();
    let within = |thousandth: usize| took[(took.len() - 1) * thousandth / 1000];
    Ok(format!("{} {} {all}", within(500), within(990)))
}
