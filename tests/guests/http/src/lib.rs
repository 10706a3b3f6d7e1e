//! A wasi:http component whose path says what it does. Run as a command beside its server, it prints its arguments, and
//! fails if it has none.
//!
//! ```text
//! /            greets                        /count        counts the requests this instance has seen
//! /trap        executes `unreachable`        /spin         never returns
//! /silent      returns without an answer     /alloc/MiB    allocates and touches that much
//! /echo        sends the body back           /stream/N     sends N chunks, a line each
//! /half        traps in the middle of a body /get/HOST:PORT/PATH  fetches it and passes the answer on
//! /env/NAME    that variable                 /log/TEXT     prints to stdout and stderr
//! /sleep/MS    answers after that time       /file/PATH    the content of that file
//! /request     shows the request that came   /trailers     a body with trailers
//! /show/METHOD/HOST:PORT/PATH   shows the answer to that request
//! /duplex/N/HOST:PORT/PATH      sends N chunks, each after the one before has come back
//! /push/HOST:PORT/PATH          sends for a moment and says how much was taken
//! /timed/N/HOST:PORT/PATH       asks N times: median, 99th percentile and sum of the times, in nanoseconds
//! ```

mod client;

use std::hint::black_box;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

wasip2::http::proxy::export!(Guest);
wasip2::cli::command::export!(Guest);

struct Guest;

impl wasip2::exports::cli::run::Guest for Guest {
    fn run() -> Result<(), ()> {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        println!("{}", arguments.join(" "));
        if arguments.is_empty() { Err(()) } else { Ok(()) }
    }
}

static SEEN: AtomicU32 = AtomicU32::new(0);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let (verb, rest) =
            path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
        match verb {
            "" => respond(out, 200, "hello"),
            "count" => respond(out, 200, &(SEEN.fetch_add(1, Ordering::Relaxed) + 1).to_string()),
            "trap" => std::arch::wasm32::unreachable(),
            "spin" => spin(),
            "silent" => {}
            "alloc" => alloc(out, number(rest)),
            "echo" => echo(&request, out),
            "stream" => stream(out, number(rest)),
            "half" => half(out),
            "get" => get(out, rest),
            "request" => respond(out, 200, &shown(&request)),
            "trailers" => trailers(out),
            "show" => ask(out, rest, |method, target| client::shown(&parsed(method), target)),
            "duplex" => ask(out, rest, |chunks, target| client::there_and_back(number(chunks), target)),
            "push" => ask(out, &format!("x/{rest}"), |_, target| client::pushed(target)),
            "timed" => ask(out, rest, |count, target| client::timed(number(count), target)),
            "env" => respond(out, 200, &std::env::var(rest).unwrap_or_else(|_| "(unset)".into())),
            "log" => {
                println!("{rest}");
                eprintln!("{rest}");
                respond(out, 200, "logged");
            }
            "sleep" => {
                std::thread::sleep(Duration::from_millis(number(rest)));
                respond(out, 200, "slept");
            }
            "file" => match std::fs::read_to_string(format!("/{rest}")) {
                Ok(text) => respond(out, 200, &text),
                Err(error) => respond(out, 500, &error.to_string()),
            },
            _ => respond(out, 404, "no such path"),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn start(out: ResponseOutparam, status: u16) -> OutgoingBody {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    body
}

fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let body = start(out, status);
    let mut stream = body.write().expect("the stream is taken once");
    let _ = stream.write_all(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn alloc(out: ResponseOutparam, mebibytes: u64) {
    let mut block = vec![0_u8; (mebibytes << 20) as usize];
    for byte in block.iter_mut().step_by(4096) {
        *byte = 1;
    }
    respond(out, 200, &format!("{} bytes", black_box(&block).len()));
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let incoming = request.consume().expect("the body is taken once");
    let body = start(out, 200);
    let mut stream = body.write().expect("the stream is taken once");
    let _ = io::copy(&mut incoming.stream().expect("the stream is taken once"), &mut stream);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn stream(out: ResponseOutparam, chunks: u64) {
    let body = start(out, 200);
    let mut stream = body.write().expect("the stream is taken once");
    for chunk in 0..chunks {
        let _ = writeln!(stream, "chunk {chunk}");
        let _ = stream.flush();
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn half(out: ResponseOutparam) {
    let body = start(out, 200);
    let mut stream = body.write().expect("the stream is taken once");
    let _ = stream.write_all(b"the first half");
    let _ = stream.flush();
    std::arch::wasm32::unreachable()
}

fn get(out: ResponseOutparam, target: &str) {
    let answered = client::fetch(&Method::Get, target).and_then(|response| {
        let status = response.status();
        Ok((status, client::read(&response.consume().expect("the body is taken once"))?))
    });
    match answered {
        Ok((status, text)) => respond(out, status, &text),
        Err(problem) => respond(out, 502, &problem),
    }
}

/// Answers with what a request of its own led to; its first word and the target are in the path.
fn ask(out: ResponseOutparam, rest: &str, asked: impl Fn(&str, &str) -> Result<String, String>) {
    let (word, target) = rest.split_once('/').unwrap_or((rest, ""));
    match asked(word, target) {
        Ok(text) => respond(out, 200, &text),
        Err(problem) => respond(out, 502, &problem),
    }
}

fn parsed(method: &str) -> Method {
    match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        other => Method::Other(other.to_owned()),
    }
}

fn shown(request: &IncomingRequest) -> String {
    let (path, authority) = (request.path_with_query(), request.authority());
    let said = (path.unwrap_or_default(), authority.unwrap_or_default());
    format!("{:?} {} {} {:?}\n{}", request.method(), said.0, said.1, request.scheme(), client::listed(&request.headers()))
}

fn trailers(out: ResponseOutparam) {
    let fields = Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).expect("valid fields");
    let response = OutgoingResponse::new(fields);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is taken once");
    let _ = stream.write_all(b"summed");
    drop(stream);
    let sum = Fields::from_list(&[("x-sum".to_owned(), b"42".to_vec())]).expect("valid fields");
    let _ = OutgoingBody::finish(body, Some(sum));
}
