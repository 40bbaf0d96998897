//! What is done to endpoints and deliveries by a button. Each is one command of the API.

use axum::extract::Path;
use axum::http::Method;
use axum::response::Response;
use serde_json::{Value, json};

use super::endpoint::secret_page;
use crate::console::failure::{Failure, Reason};
use crate::console::form::Fields;
use crate::console::page::escaped;
use crate::console::visit::Visit;

pub async fn endpoint(
    visit: Visit,
    Path((id, action)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Failure> {
    let since = || json!({ "since": moment(&fields.text("since")) });
    let (body, said) = match action.as_str() {
        "enable" => (json!({ "from": fields.text("from") }), "It is sent to again."),
        "disable" => (json!({}), "Nothing is sent there any more; what it is owed is kept."),
        "promote" => (json!({}), "The new secret signs now."),
        "recover" => (since(), "What failed since then is sent again, behind live traffic."),
        "replay" => (since(), "Events since then that it wants and never got are sent, behind live traffic."),
        _ => return Err(Reason::not_found().on(&visit.frame)),
    };
    let path = format!("/endpoints/{}/{action}", escaped(&id));
    let outcome: Result<Value, Reason> = visit.send(Method::POST, &path, body).await;
    visit.told(&format!("../{}", escaped(&id)), outcome, said)
}

/// A time as the API takes it, of one as people write it: a day, or a day and a time of the day, in UTC.
fn moment(text: &str) -> String {
    let text = text.trim();
    let (day, time) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let is_time = |time: &str| time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    let is_day = day.len() == 10 && day.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    match time.len() {
        _ if !is_day => text.to_owned(),
        5 if is_time(time) => format!("{day}T{time}:00Z"),
        8 if is_time(time) => format!("{day}T{time}Z"),
        _ => text.to_owned(),
    }
}

pub async fn rotate(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let path = format!("/endpoints/{}/rotate", escaped(&id));
    let outcome: Result<Value, Reason> = visit.send(Method::POST, &path, json!({})).await;
    match outcome {
        Ok(made) => Ok(secret_page(&visit, &made, false)),
        Err(reason) => visit.told::<Value>(&format!("../{}", escaped(&id)), Err(reason), ""),
    }
}

pub async fn delete(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::DELETE, &format!("/endpoints/{}", escaped(&id)), json!({})).await;
    let place = if outcome.is_ok() { "../../endpoints".to_owned() } else { format!("../{}", escaped(&id)) };
    visit.told(&place, outcome, "The endpoint is deleted.")
}

pub async fn resend(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::POST, &format!("/deliveries/{}/resend", escaped(&id)), json!({})).await;
    let made = outcome.as_ref().ok().and_then(|made| made["id"].as_str()).map(str::to_owned);
    let place = format!("../{}", made.unwrap_or_else(|| escaped(&id)));
    visit.told(&place, outcome, "It is sent again: this is the new delivery.")
}

pub async fn cancel(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::POST, &format!("/deliveries/{}/cancel", escaped(&id)), json!({})).await;
    visit.told(&format!("../{}", escaped(&id)), outcome, "It is not sent any more.")
}

pub async fn stop_recovery(visit: Visit, Path((endpoint, id)): Path<(String, String)>) -> Result<Response, Failure> {
    let outcome: Result<Value, Reason> =
        visit.send(Method::POST, &format!("/recoveries/{}/stop", escaped(&id)), json!({})).await;
    visit.told(&format!("../../{}", escaped(&endpoint)), outcome, "The recovery is stopped.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_as_people_write_them() {
        for (written, sent) in [
            ("2026-11-29", "2026-11-29T00:00:00Z"),
            (" 2026-11-29 09:00 ", "2026-11-29T09:00:00Z"),
            ("2026-11-29T09:00:05", "2026-11-29T09:00:05Z"),
            ("2026-11-29T09:00:05+02:00", "2026-11-29T09:00:05+02:00"),
            ("2026-11-29T09:00:05.5Z", "2026-11-29T09:00:05.5Z"),
            ("yesterday", "yesterday"),
        ] {
            assert_eq!(moment(written), sent);
        }
    }
}
