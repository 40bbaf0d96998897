//! The console without a browser: its headers, its refusals, and that a form changes what the API would. What people do there is
//! tested in a real browser, in `tests/console`.

use bellwether::store::Tx;
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use http::Method;
use serde_json::json;

use crate::api::people::{Browser, log_in, person};
use crate::server::{Answer, Server, draft};

/// What a browser says it would like.
const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// The form of an endpoint as a browser sends it.
const ENDPOINT: &str = "url=http%3A%2F%2F127.0.0.1%3A9%2Fx&description=&format=eppo&event%3A=%5B%5D&entity%3A=%5B%5D&run%3A=%5B%5D\
                        &filter.experiment_keys=&filter.tags=&ordering=experiment&retry_schedule=5%2C+300&max_in_flight=8&rate_limit=\
                        &hold_seconds=60&headers%5B0%5D.name=&headers%5B0%5D.value=";

async fn look(server: &Server, browser: &Browser, place: &str) -> Answer {
    server.raw(Method::GET, &format!("//{place}"), &[("cookie", &browser.cookie), HTML], "").await
}

async fn send(server: &Server, browser: &Browser, place: &str, origin: Option<&str>, form: &str) -> Answer {
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let mut headers = vec![("cookie", browser.cookie.as_str()), kind];
    headers.extend(origin.map(|origin| ("origin", origin)));
    server.raw(Method::POST, &format!("//{place}"), &headers, form.to_owned()).await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// What tells the forms of this page from those of any other.
fn token(page: &Answer) -> String {
    let html = text(page);
    let (_, rest) = html.split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn pages_may_do_nothing_but_their_own(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let id = server.experiment(draft("k")).await;
    let first = look(&server, &ada, "").await;
    assert_eq!((first.status, first.header("location")), (303, "experiments"));
    for place in
        ["experiments", &format!("experiments/{id}"), "endpoints", "definitions/metrics", "administration/people"]
    {
        let page = look(&server, &ada, place).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{place}");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{place}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"),
            "{place}: {policy}"
        );
        let kept = (page.header("cache-control"), page.header("x-content-type-options"));
        assert_eq!(kept, ("no-store", "nosniff"), "{place}");
        // Nothing that the policy forbids is tried, and nothing comes from elsewhere.
        let html = text(&page);
        for forbidden in [" style=", "<style", " onclick=", "javascript:", "src=\"http", "href=\"http", "src=\"//"] {
            assert!(!html.contains(forbidden), "{place} has {forbidden}");
        }
    }
    server.stop().await;
}

async fn pages_are_packed_for_whoever_unpacks_them(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "read").await).await;
    let plain = look(&server, &ada, "experiments").await;
    let headers = [("cookie", ada.cookie.as_str()), ("accept-encoding", "br, gzip")];
    let packed = server.raw(Method::GET, "//experiments", &headers, "").await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "accept-encoding"));
    assert!(3 * packed.body.len() < plain.body.len() * 2, "{} of {} bytes", packed.body.len(), plain.body.len());
    let unpacked = std::io::read_to_string(flate2::read::GzDecoder::new(&packed.body[..])).unwrap();
    let (_, rest) = unpacked.split_once("name=\"form_token\" value=\"").unwrap();
    let other = rest.split('"').next().unwrap();
    assert_ne!(other, token(&plain), "each page has one of its own");
    assert_eq!(unpacked.replace(other, ""), text(&plain).replace(&token(&plain), ""));
    // Of what is asked of the API, nothing is touched.
    let api = server.raw(Method::GET, "/experiments", &headers, "").await;
    assert_eq!((api.status, api.header("content-encoding")), (200, ""));
    server.stop().await;
}

async fn what_is_not_there_is_told_as_whoever_asks_reads_it(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "read").await).await;
    for place in ["nowhere", "experiments/1", "experiments/1/nothing", "definitions/nothing", "api", "/", "new/nothing"]
    {
        let page = look(&server, &ada, place).await;
        assert_eq!((page.status, page.header("content-type")), (404, "text/html; charset=utf-8"), "{place}");
        assert!(text(&page).contains("There is no such page"), "{place}: {page:?}");
    }
    let stranger = server.raw(Method::GET, "//nowhere", &[HTML], "").await;
    assert_eq!(stranger.status, 404, "{stranger:?}");
    assert!(!text(&stranger).contains("Log out"));
    for (method, place) in [(Method::GET, "nowhere"), (Method::POST, "nowhere"), (Method::GET, "api/v1/nowhere")] {
        let program = server.raw(method, &format!("//{place}"), &[("cookie", &ada.cookie)], "").await;
        assert_eq!((program.status, program.header("content-type")), (404, "application/problem+json"), "{place}");
    }
    // Below the API, a browser too is told as programs are.
    let below = look(&server, &ada, "api/v1/nowhere").await;
    assert_eq!((below.status, below.header("content-type")), (404, "application/problem+json"));
    let not_allowed = send(&server, &ada, "experiments", Some(&ada.origin), "").await;
    assert_eq!(not_allowed.status, 405, "{not_allowed:?}");
    server.stop().await;
}

async fn a_form_changes_what_its_sender_may_and_from_its_own_pages_alone(database: Database) {
    let server = Server::start(&database).await;
    let writer = log_in(&server, &person(&server, "Wim", "write").await).await;
    let reader = log_in(&server, &person(&server, "Rea", "read").await).await;
    let form = "name=One&key=one&traffic_allocation=1&variations%5B0%5D.key=control&variations%5B0%5D.weight=1&variations%5B0%5D.is_control=on\
                &analysis_plan.method=fixed&analysis_plan.confidence_level=0.95&analysis_plan.correction=none\
                &analysis_plan.primary_weight=0.5&analysis_plan.prior_sd=0.05";
    let count = async || server.get("/experiments").await["items"].as_array().unwrap().len();
    for origin in [None, Some("null"), Some("https://elsewhere.example")] {
        let page = send(&server, &writer, "new/experiment", origin, form).await;
        assert!(text(&page).contains("own pages alone"), "{origin:?}: {page:?}");
    }
    let page = send(&server, &reader, "new/experiment", Some(&reader.origin), form).await;
    assert!(text(&page).contains("this needs the role"), "{page:?}");
    assert_eq!(count().await, 0);

    let made = send(&server, &writer, "new/experiment", Some(&writer.origin), form).await;
    assert_eq!((made.status, made.header("location")), (303, "../experiments/1/metrics"), "{}", text(&made));
    assert_eq!(count().await, 1);
    // What was done is told once, by the page that is seen next.
    let notice = made.header("set-cookie").split(';').next().unwrap().to_owned();
    let cookie = format!("{}; {notice}", writer.cookie);
    let next = server.raw(Method::GET, "//experiments/1/metrics", &[("cookie", &cookie)], "").await;
    assert!(text(&next).contains("The draft is made.") && next.header("set-cookie").contains("Max-Age=0"), "{next:?}");

    // What no browser sends changes nothing, and is told.
    for body in [
        "",
        "version=1",
        "section=99&name=x",
        "section=1&name=%00",
        "section=1",
        "section=3&variations%5B5%5D.key=x",
        "name=%00",
        "name=%ff",
        "variations%5B999999999%5D.key=x",
        "variations%5Bx%5D.key=x&name=One",
    ] {
        let refused = send(&server, &writer, "experiments/1/configuration", Some(&writer.origin), body).await;
        assert!(refused.status < 500, "{body}: {refused:?}");
    }
    assert_eq!(server.get("/experiments/1").await["revision"], 1, "nothing of that was taken");
    server.stop().await;
}

async fn a_form_that_is_sent_twice_is_carried_out_once(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let count = async |list: &str| server.get(list).await["items"].as_array().unwrap().len();
    for (place, form, list) in [
        ("new/teams", "name=Growth", "/teams"),
        ("new/entities", "name=Visitor", "/entities"),
        ("new/endpoint", ENDPOINT, "/endpoints"),
        ("administration/keys", "name=ci&role=read", "/keys"),
        ("administration/people", "name=Bo&role=read", "/people"),
        (
            "new/experiment",
            "name=One&key=one&traffic_allocation=1&analysis_plan.method=fixed&analysis_plan.confidence_level=0.95\
          &analysis_plan.correction=none&analysis_plan.primary_weight=0.5&analysis_plan.prior_sd=0.05",
            "/experiments",
        ),
    ] {
        let token = token(&look(&server, &ada, place).await);
        let before = count(list).await;
        let form = format!("{form}&form_token={token}");
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(send(&server, &ada, place, Some(&ada.origin), &form).await);
        }
        assert!(answers[0].status < 400, "{place}: {}", text(&answers[0]));
        assert_eq!(count(list).await, before + 1, "{place}");
        assert_eq!(
            (answers[1].status, answers[1].header("location")),
            (answers[0].status, answers[0].header("location"))
        );
        if answers[0].status == 303 {
            assert!(answers[1].header("set-cookie").contains("more%20than%20once"), "{place}: {:?}", answers[1]);
            continue;
        }
        // What is shown once is shown to whoever loads its page anew, and it is the same.
        let secret = |answer: &Answer| {
            let html = text(answer);
            let at = ["bw_", "whsec_", "/login?token="].into_iter().find_map(|start| html.find(start)).unwrap();
            html[at..].split(['<', '"', '\'', '&']).next().unwrap().to_owned()
        };
        assert_eq!(secret(&answers[0]), secret(&answers[1]), "{place}");
        // Another form, though the same is written into it, is another wish: of people, one that is refused, for the name is taken.
        let other = send(&server, &ada, place, Some(&ada.origin), &format!("{form}x")).await;
        let is_tried = if list == "/people" { other.status >= 400 } else { count(list).await == before + 2 };
        assert!(is_tried, "{place}: {}", text(&other));
    }
    server.stop().await;
}

/// What is done with an endpoint, one wish after the other.
async fn an_endpoint_is_recovered_and_its_secret_rotated_once_by_a_form(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let id = server.post("/endpoints", json!({"url": "http://127.0.0.1:9/x"})).await.expect(201)["id"].clone();
    let place = format!("endpoints/{}", id.as_str().unwrap());
    let token = token(&look(&server, &ada, &place).await);
    let twice = async |act: &str, form: &str| {
        let (place, form) = (format!("{place}/{act}"), format!("{form}&form_token={token}"));
        let first = send(&server, &ada, &place, Some(&ada.origin), &form).await;
        (first, send(&server, &ada, &place, Some(&ada.origin), &form).await)
    };
    let (first, again) = twice("recover", "since=2026-01-01T00:00:00Z").await;
    assert_eq!((first.status, again.status), (303, 303), "{}", text(&first));
    assert!(again.header("set-cookie").contains("more%20than%20once"), "{again:?}");
    assert_eq!(server.get(&format!("/{place}/recoveries")).await["items"].as_array().unwrap().len(), 1);
    let (first, again) = twice("rotate", "").await;
    let secret = |answer: &Answer| text(answer).split_once("whsec_").unwrap().1.split('<').next().unwrap().to_owned();
    assert_eq!(secret(&first), secret(&again));
    let (first, again) = twice("promote", "").await;
    assert_eq!((first.status, again.status), (303, 303), "{}", text(&first));
    assert!(again.header("set-cookie").contains("more%20than%20once"), "{again:?}");
    server.stop().await;
}

/// Told as people say it, and never taken for what it was before.
async fn what_is_cleared_in_an_endpoint_is_told(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let made = server.post("/endpoints", json!({"url": "http://127.0.0.1:9/x"})).await.expect(201);
    let place = format!("endpoints/{}", made["id"].as_str().unwrap());
    for (field, is_refused) in
        [("hold_seconds=60", true), ("max_in_flight=8", true), ("retry_schedule=5%2C+300", false)]
    {
        let (name, _) = field.split_once('=').unwrap();
        let form = format!(
            "{}&version={}",
            ENDPOINT.replace(field, &format!("{name}=")),
            server.get(&format!("/{place}")).await["version"]
        );
        let page = send(&server, &ada, &place, Some(&ada.origin), &form).await;
        assert_eq!(page.status, if is_refused { 422 } else { 303 }, "{field}: {}", text(&page));
        assert_eq!(text(&page).contains("nothing is filled in"), is_refused, "{field}: {}", text(&page));
    }
    // A new one may have a secret that is known elsewhere.
    let given = format!("{ENDPOINT}&secret=one+that+is+known+elsewhere");
    let own = send(&server, &ada, "new/endpoint", Some(&ada.origin), &given).await;
    assert!(text(&own).contains("one that is known elsewhere"), "{}", text(&own));
    let now = server.get(&format!("/{place}")).await;
    assert_eq!((&now["retry_schedule"], &now["hold_seconds"]), (&json!([]), &made["hold_seconds"]));
    let twice = format!(
        "{ENDPOINT}&headers%5B1%5D.name=x-a&headers%5B1%5D.value=1&headers%5B2%5D.name=X-A&headers%5B2%5D.value=2&version={}",
        now["version"]
    );
    let page = send(&server, &ada, &place, Some(&ada.origin), &twice).await;
    assert_eq!(page.status, 422);
    let html = text(&page);
    let (_, error) = html.split_once("id=\"headers[2].name-error\">").unwrap_or_else(|| panic!("{html}"));
    assert!(error.starts_with("&#39;X-A&#39; is given twice"), "{error}");
    server.stop().await;
}

async fn of_a_form_that_is_sent_many_times_at_once_all_show_the_same(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let before = server.get("/keys").await["items"].as_array().unwrap().len();
    for round in 0..5 {
        let token = token(&look(&server, &ada, "administration/keys").await);
        let form = format!("name=ci{round}&role=read&form_token={token}");
        let sent = (0..4).map(|_| send(&server, &ada, "administration/keys", Some(&ada.origin), &form));
        let answers = futures_util::future::join_all(sent).await;
        let shown = |answer: &Answer| {
            let html = text(answer);
            html.split_once("id=\"issued\"").map(|(_, rest)| rest.split('<').next().unwrap().to_owned())
        };
        assert!(shown(&answers[0]).is_some_and(|shown| shown.contains("bw_")), "{:?}", answers[0]);
        assert!(answers.iter().all(|answer| shown(answer) == shown(&answers[0])), "{answers:?}");
    }
    // Where the answer was lost, as in a crash, that is told in a person's words, and nothing is done again.
    let token = token(&look(&server, &ada, "administration/keys").await);
    let form = format!("name=lost&role=read&form_token={token}");
    send(&server, &ada, "administration/keys", Some(&ada.origin), &form).await;
    let forget = |tx: &mut dyn Tx| tx.execute("UPDATE idempotency_keys SET answer = NULL", &[]);
    crate::store::write(&database.open().await, forget).await.unwrap();
    let again = send(&server, &ada, "administration/keys", Some(&ada.origin), &form).await;
    assert!(text(&again).contains("this form was sent more than once; it was done once"), "{}", text(&again));
    assert_eq!(server.get("/keys").await["items"].as_array().unwrap().len(), before + 6);
    server.stop().await;
}

async fn what_cannot_be_read_is_told_by_a_page(database: Database) {
    let server = Server::start(&database).await;
    let ada = log_in(&server, &person(&server, "Ada", "admin").await).await;
    let large = format!("name={}", "x".repeat(1024 * 1024));
    let many = "a=1&".repeat(4000);
    for (method, place, form, status, says) in [
        (Method::GET, "experiments/%ff", "", 400, "UTF-8"),
        (Method::GET, "endpoints/%ff", "", 400, "UTF-8"),
        (Method::GET, "experiments?search=a&search=b", "", 400, "search"),
        (Method::GET, "deliveries?state=a&state=b", "", 400, "state"),
        (Method::GET, "experiments/1/start", "", 405, "begin at that page"),
        (Method::GET, "runs/run_1/cancel", "", 405, "begin at that page"),
        (Method::POST, "experiments", "", 405, "begin at that page"),
        (Method::POST, "new/teams", large.as_str(), 413, "1048576"),
        (Method::POST, "new/teams", many.as_str(), 400, "more fields"),
        (Method::POST, "experiments/%ff/decide", "a=b", 400, "UTF-8"),
    ] {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [("cookie", ada.cookie.as_str()), ("origin", ada.origin.as_str()), kind, HTML];
        let page = server.raw(method, &format!("//{place}"), &headers, form.to_owned()).await;
        assert_eq!(
            (page.status, page.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{place}: {page:?}"
        );
        assert!(text(&page).contains(says) && text(&page).contains("Log out"), "{place}: {}", text(&page));
    }
    assert_eq!(server.get("/teams").await["items"], json!([]));
    server.stop().await;
}

on_both!(
    an_endpoint_is_recovered_and_its_secret_rotated_once_by_a_form,
    what_is_cleared_in_an_endpoint_is_told,
    a_form_that_is_sent_twice_is_carried_out_once,
    what_cannot_be_read_is_told_by_a_page,
    of_a_form_that_is_sent_many_times_at_once_all_show_the_same,
    pages_may_do_nothing_but_their_own,
    pages_are_packed_for_whoever_unpacks_them,
    what_is_not_there_is_told_as_whoever_asks_reads_it,
    a_form_changes_what_its_sender_may_and_from_its_own_pages_alone,
);
