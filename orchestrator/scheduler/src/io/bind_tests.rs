//! Tests of what a binding comes to when answers are lost.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;

/// What the server does with a binding, and whether it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Granted,
    /// It is granted, and the answer lost.
    GrantedUnheard,
    /// It does not arrive.
    Lost,
    /// Somebody else was faster.
    Taken,
    /// The Pod was replaced by one of the same name, and the answer lost.
    Replaced,
    Denied,
}

struct Server {
    answers: Vec<Answer>,
    posts: AtomicUsize,
    gets: AtomicUsize,
    node: parking_lot::Mutex<Option<&'static str>>,
    uid: parking_lot::Mutex<&'static str>,
}

fn reply(code: u16, body: &Value) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(StatusCode::from_u16(code).unwrap()).body(body).unwrap()
}

fn status(code: u16, message: &str) -> Response<Body> {
    reply(
        code,
        &json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code }),
    )
}

impl Server {
    fn answer(&self, method: &Method) -> Response<Body> {
        if method == Method::GET {
            // The first look fails as well.
            if self.gets.fetch_add(1, Ordering::Relaxed) == 0 {
                return status(503, "not now");
            }
            let spec = json!({ "nodeName": *self.node.lock(), "containers": [] });
            return reply(
                200,
                &json!({ "metadata": { "name": "p", "uid": *self.uid.lock() }, "spec": spec }),
            );
        }
        let at = self.posts.fetch_add(1, Ordering::Relaxed);
        let answer = self.answers[at];
        if matches!(answer, Answer::Granted | Answer::GrantedUnheard) {
            if self.node.lock().is_some() {
                return status(409, "already assigned");
            }
            *self.node.lock() = Some("n");
        }
        match answer {
            Answer::Granted => reply(201, &json!({ "kind": "Status", "status": "Success" })),
            Answer::GrantedUnheard | Answer::Lost => status(500, "lost"),
            Answer::Taken => {
                *self.node.lock() = Some("other");
                status(409, "already assigned")
            }
            Answer::Replaced => {
                *self.uid.lock() = "another";
                status(504, "lost")
            }
            Answer::Denied => status(403, "denied"),
        }
    }
}

#[rstest]
#[case::granted(&[Answer::Granted], None, 1)]
#[case::granted_unheard(&[Answer::GrantedUnheard], None, 1)]
#[case::lost(&[Answer::Lost, Answer::Lost, Answer::Granted], None, 3)]
#[case::lost_then_taken(&[Answer::Lost, Answer::Taken], Some("the Pod is on another node"), 2)]
#[case::taken(&[Answer::Taken], Some("already assigned"), 1)]
#[case::replaced(&[Answer::Replaced], Some("the Pod is gone"), 1)]
#[case::denied(&[Answer::Denied], Some("denied"), 1)]
#[tokio::test(start_paused = true)]
async fn a_binding_is_certain(
    #[case] answers: &[Answer],
    #[case] refused: Option<&str>,
    #[case] posts: usize,
) {
    let server = Arc::new(Server {
        answers: answers.to_vec(),
        posts: AtomicUsize::new(0),
        gets: AtomicUsize::new(0),
        node: parking_lot::Mutex::new(None),
        uid: parking_lot::Mutex::new("u"),
    });
    let serving = server.clone();
    let service =
        tower::service_fn(move |request: Request<Body>| -> BoxFuture<'static, Result<_, Infallible>> {
            let answer = serving.answer(request.method());
            Box::pin(async move { Ok(answer) })
        });
    let client = Client::new(service, "default");
    let pod =
        json!({ "metadata": { "name": "p", "namespace": "ns", "uid": "u" }, "spec": { "containers": [] } });
    let pod = Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())));
    let outcome = bind(client, pod, "n".to_owned()).await;
    assert_eq!(outcome.err().map(|refused| refused.to_string()).as_deref(), refused);
    assert_eq!(server.posts.load(Ordering::Relaxed), posts);
}
