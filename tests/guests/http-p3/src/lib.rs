//! A server of WASI 0.3 (`wasi:http/handler@0.3.0`) whose path says what it does.
//!
//! ```text
//! /            greets                        /count        counts the requests this instance has seen
//! /trap        executes `unreachable`        /spin         never returns
//! /fail        answers with an error code    /alloc/MiB    allocates and touches that much
//! /echo        reads the body and sends it   /pass         gives the body that comes as the one that goes
//! /stream/N    sends N chunks, a line each   /half         traps in the middle of a body
//! /trailers    a body with trailers          /sum          the bytes that came, and the trailers
//! /sleep/MS    answers after that time       /after/MS     answers, then goes on for that time and prints
//! /env/NAME    that variable                 /handles      opens streams without end
//! /get/HOST:PORT/PATH  fetches it and passes the answer on
//! /post/HOST:PORT/PATH sends the body that comes there, with a trailer, and passes the answer on
//! ```

mod bindings {
    wit_bindgen::generate!({ path: "../wit", world: "server", generate_all });
    use super::Guest;
    export!(Guest);
}

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use bindings::exports::wasi::http::handler;
use bindings::wasi::cli::environment;
use bindings::wasi::clocks::monotonic_clock;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use bindings::{wit_future, wit_stream};
use wit_bindgen::{StreamReader, StreamResult, StreamWriter};

struct Guest;

static SEEN: AtomicU32 = AtomicU32::new(0);

impl handler::Guest for Guest {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let path = path.trim_start_matches('/');
        let (verb, rest) = path.split_once('/').unwrap_or((path, ""));
        match verb {
            "" => Ok(text(200, "hello")),
            "count" => Ok(text(200, &(SEEN.fetch_add(1, Ordering::Relaxed) + 1).to_string())),
            "trap" => std::arch::wasm32::unreachable(),
            "spin" => spin(),
            "fail" => Err(ErrorCode::LoopDetected),
            "alloc" => Ok(text(200, &format!("{} bytes", alloc(number(rest))))),
            "echo" => Ok(echo(request)),
            "pass" => Ok(pass(request)),
            "stream" => {
                let chunks = number(rest);
                Ok(writing(async move |body| {
                    for chunk in 0..chunks {
                        if !body.write_all(format!("chunk {chunk}\n").into_bytes()).await.is_empty() {
                            return;
                        }
                    }
                }))
            }
            "half" => Ok(writing(async |body| {
                body.write_all(b"the first half".to_vec()).await;
                std::arch::wasm32::unreachable()
            })),
            "trailers" => Ok(trailers()),
            "sum" => Ok(sum(request).await),
            "sleep" => {
                monotonic_clock::wait_for(number(rest) * 1_000_000).await;
                Ok(text(200, "slept"))
            }
            "after" => {
                let time = number(rest) * 1_000_000;
                wit_bindgen::spawn(async move {
                    monotonic_clock::wait_for(time).await;
                    println!("went on");
                });
                Ok(text(200, "answered"))
            }
            "env" => {
                let found = environment::get_environment().into_iter().find(|(name, _)| name == rest);
                Ok(text(200, &found.map_or_else(|| "(unset)".into(), |(_, value)| value)))
            }
            "handles" => {
                let all: Vec<_> = std::iter::repeat_with(wit_stream::new::<u8>).take(1_000_000).collect();
                Ok(text(200, &all.len().to_string()))
            }
            "get" => Ok(passed_on(ask(Method::Get, rest, None).await)),
            "post" => Ok(passed_on(ask(Method::Post, rest, Some(request)).await)),
            _ => Ok(text(404, "no such path")),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

fn text(status: u16, text: &str) -> Response {
    let text = text.as_bytes().to_vec();
    let response = writing(async |body| {
        body.write_all(text).await;
    });
    response.set_status_code(status).expect("a valid status");
    response
}

/// A response whose body is written while it is sent.
fn writing(write: impl AsyncFnOnce(&mut StreamWriter<u8>) + 'static) -> Response {
    let (mut writer, body) = wit_stream::new();
    wit_bindgen::spawn(async move { write(&mut writer).await });
    responding(body, Ok(None))
}

fn responding(body: StreamReader<u8>, trailers: Result<Option<Trailers>, ErrorCode>) -> Response {
    let (sender, at_the_end) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(Fields::new(), Some(body), at_the_end);
    wit_bindgen::spawn(async move {
        let _ = sender.write(trailers).await;
    });
    response
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn alloc(mebibytes: u64) -> usize {
    let mut block = vec![0_u8; (mebibytes << 20) as usize];
    for byte in block.iter_mut().step_by(4096) {
        *byte = 1;
    }
    black_box(&block).len()
}

fn echo(request: Request) -> Response {
    writing(async move |body| copy(request, body).await)
}

/// Writes what comes with a request.
async fn copy(request: Request, to: &mut StreamWriter<u8>) {
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (mut incoming, _) = Request::consume_body(request, consumed);
    loop {
        let (result, bytes) = incoming.read(Vec::with_capacity(64 * 1024)).await;
        if !to.write_all(bytes).await.is_empty() || !matches!(result, StreamResult::Complete(_)) {
            return;
        }
    }
}

fn pass(request: Request) -> Response {
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (incoming, trailers) = Request::consume_body(request, consumed);
    Response::new(Fields::new(), Some(incoming), trailers).0
}

fn trailers() -> Response {
    let (mut writer, body) = wit_stream::new();
    wit_bindgen::spawn(async move {
        writer.write_all(b"summed".to_vec()).await;
    });
    let announced = Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).expect("valid fields");
    let (sender, at_the_end) = wit_future::new(|| Ok(None));
    let (response, _) = Response::new(announced, Some(body), at_the_end);
    wit_bindgen::spawn(async move {
        let sum = Fields::from_list(&[("x-sum".to_owned(), b"42".to_vec())]).expect("valid fields");
        let _ = sender.write(Ok(Some(sum))).await;
    });
    response
}

async fn sum(request: Request) -> Response {
    let (_, consumed) = wit_future::new(|| Ok(()));
    let (incoming, trailers) = Request::consume_body(request, consumed);
    let bytes = incoming.collect().await.len();
    let trailers = match trailers.await {
        Ok(Some(fields)) => fields.copy_all(),
        Ok(None) => Vec::new(),
        Err(code) => return text(502, &format!("{code:?}")),
    };
    let named: Vec<_> =
        trailers.iter().map(|(name, value)| format!(" {name}: {}", String::from_utf8_lossy(value))).collect();
    text(200, &format!("{bytes} bytes{}", named.concat()))
}

/// Asks; of another request, its body is sent.
async fn ask(method: Method, target: &str, of: Option<Request>) -> Result<Response, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let body = of.map(|request| {
        let (mut writer, body) = wit_stream::new();
        wit_bindgen::spawn(async move { copy(request, &mut writer).await });
        body
    });
    let (sender, at_the_end) = wit_future::new(|| Ok(None));
    let with_body = body.is_some();
    let headers = if with_body { vec![("trailer".to_owned(), b"x-end".to_vec())] } else { Vec::new() };
    let headers = Fields::from_list(&headers).expect("valid fields");
    let (request, _) = Request::new(headers, body, at_the_end, None);
    request.set_method(&method).expect("a valid method");
    request.set_scheme(Some(&Scheme::Http)).expect("a valid scheme");
    request.set_authority(Some(authority)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    wit_bindgen::spawn(async move {
        let end = Fields::from_list(&[("x-end".to_owned(), b"yes".to_vec())]).expect("valid fields");
        let _ = sender.write(Ok(with_body.then_some(end))).await;
    });
    client::send(request).await
}

fn passed_on(answer: Result<Response, ErrorCode>) -> Response {
    match answer {
        Ok(answer) => {
            let status = answer.get_status_code();
            let (_, consumed) = wit_future::new(|| Ok(()));
            let (body, trailers) = Response::consume_body(answer, consumed);
            let response = Response::new(Fields::new(), Some(body), trailers).0;
            response.set_status_code(status).expect("a valid status");
            response
        }
        Err(code) => text(502, &format!("{code:?}")),
    }
}
