//! The wasm half of the example: asks the back end through its Service and answers with both greetings.
//!
//! The Service is found as every Kubernetes program finds one: `BACKEND_SERVICE_HOST` and
//! `BACKEND_SERVICE_PORT` in the environment. `/healthz` answers without the back end.

use std::io::{Read as _, Write as _};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};

wasip2::http::proxy::export!(Frontend);

struct Frontend;

impl wasip2::exports::http::incoming_handler::Guest for Frontend {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.path_with_query().as_deref() == Some("/healthz") {
            return respond(out, 200, "ok\n");
        }
        let pod = env("POD_NAME");
        match ask_backend() {
            Ok(answer) => respond(
                out,
                200,
                &format!("frontend: hello from wasm, pod {pod}\nbackend: {}\n", answer.trim_end()),
            ),
            Err(problem) => respond(out, 502, &format!("frontend: pod {pod}\nbackend: {problem}\n")),
        }
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| "unknown".into())
}

/// GET / of the back end; an error is a sentence for the person who asked.
fn ask_backend() -> Result<String, String> {
    let authority = format!("{}:{}", env("BACKEND_SERVICE_HOST"), env("BACKEND_SERVICE_PORT"));
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| "the scheme was refused")?;
    request.set_authority(Some(&authority)).map_err(|()| format!("{authority:?} is no address"))?;
    request.set_path_with_query(Some("/")).map_err(|()| "the path was refused")?;

    let failed = |cause: &dyn std::fmt::Debug| format!("GET http://{authority}/ failed: {cause:?}");
    let pending = outgoing_handler::handle(request, None).map_err(|code| failed(&code))?;
    pending.subscribe().block();
    let response = pending
        .get()
        .ok_or("no response")?
        .map_err(|()| "the response was taken before")?
        .map_err(|code| failed(&code))?;
    let text = read(response.consume().map_err(|()| "no body")?).map_err(|error| failed(&error))?;
    match response.status() {
        200..=299 => Ok(text),
        status => Err(format!("GET http://{authority}/ answered {status}: {}", text.trim_end())),
    }
}

fn read(body: IncomingBody) -> std::io::Result<String> {
    let mut text = String::new();
    body.stream().expect("the stream is taken once").read_to_string(&mut text)?;
    Ok(text)
}

fn respond(out: ResponseOutparam, status: u16, text: &str) {
    let headers = Fields::new();
    headers.append("content-type", b"text/plain; charset=utf-8").expect("a valid header");
    headers.append("content-length", text.len().to_string().as_bytes()).expect("a valid header");
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).expect("a valid status");
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let mut stream = body.write().expect("the stream is taken once");
    // A client that went away is no reason to fail.
    let _ = stream.write_all(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}
