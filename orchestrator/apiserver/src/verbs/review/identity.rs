//! Who somebody is: the client itself, or whoever has a token.

use wherry_schema::Value;

use super::{Cx, show_user};
use crate::auth::{self, AUTHENTICATED, UserInfo};
use crate::error::Failure;
use crate::object::Fields;

/// Answers a SelfSubjectReview.
pub(super) fn who(cx: &Cx<'_>, user: &UserInfo) -> Value {
    let mut answer = Value::object();
    answer.put("metadata.creationTimestamp", cx.state.timestamp());
    answer.put("status.userInfo", show_user(user));
    answer
}

/// Answers a TokenReview.
pub(super) async fn token(cx: &Cx<'_>, mut review: Value) -> Result<Value, Failure> {
    let token = review.text("spec.token");
    if token.is_empty() {
        let text = "token is required for TokenReview in authentication";
        return Err(Failure::BadRequest(text.to_owned()));
    }
    let audiences: Vec<String> =
        review.items("spec.audiences").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let mut status = Value::object();
    let asked = (!audiences.is_empty()).then_some(&*audiences);
    match auth::bearer_of(cx.state, token, asked).await {
        Ok(mut bearer) => {
            bearer.user.join(AUTHENTICATED);
            status.put("authenticated", true);
            status.put("user", show_user(&bearer.user));
            if !bearer.audiences.is_empty() {
                status.put("audiences", bearer.audiences);
            }
        }
        Err(refused) => {
            status.put("user", Value::object());
            status.put("error", refused.to_string());
        }
    }
    review.put("status", status);
    Ok(review)
}
