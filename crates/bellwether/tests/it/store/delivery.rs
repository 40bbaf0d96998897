//! Endpoints, deliveries and their attempts.

use std::sync::Arc;

use bellwether::domain::delivery::{Attempt, DeliveryState, Origin, Outcome};
use bellwether::domain::endpoint::{Endpoint, EndpointState, Settings};
use bellwether::domain::event::Format;
use bellwether::domain::id::{DeliveryId, EndpointId, EventId};
use bellwether::domain::signing::{Keys, Signing};
use bellwether::platform::secret::Vault;
use bellwether::store::pending::{self, Cursor, Look, Owed, Pending};
use bellwether::store::{Db, StoreError, deliveries, endpoints, experiments, lanes, outcomes, undelivered};
use bellwether_testkit::databases::Database;
use bellwether_testkit::on_both;
use bellwether_webhook::EventType;
use serde_json::json;

use super::{CountedIds, at, event_of, new_experiment, read, record, write};

pub fn endpoint(id: u128, url: &str) -> Endpoint {
    let settings: Settings =
        serde_json::from_value(json!({"url": url, "description": "ünï", "events": ["experiment.status.updated"],
                                      "retry_schedule": [], "format": "detailed", "ordering": "none", "headers": {"x-token": "t0ps3cret"},
                                      "filter": {"tags": ["growth"]}, "rate_limit": 2.5}))
        .unwrap();
    Endpoint {
        id: EndpointId::of(id),
        settings,
        signing: Signing::with(Keys { secret: "the user's own".into(), seed: Some([id as u8; 32]) }),
        state: EndpointState::Enabled,
        disabled_reason: None,
        version: 1,
        created_at: at(1),
        updated_at: at(2),
    }
}

pub async fn save(db: &Db, vault: &Arc<Vault>, endpoint: &Endpoint) {
    let (vault, endpoint) = (vault.clone(), endpoint.clone());
    let ids = CountedIds::from(endpoint.version.unsigned_abs() * 1000);
    write(db, move |tx| {
        endpoints::save(tx, &vault, &ids, &endpoint)?;
        if endpoint.version == 1 { lanes::insert(tx, endpoint.id) } else { Ok(()) }
    })
    .await
    .unwrap();
}

fn shown(endpoint: &Endpoint) -> impl PartialEq + std::fmt::Debug {
    let Endpoint { id, settings, signing, state, disabled_reason, version, created_at, updated_at } = endpoint.clone();
    (
        id,
        settings,
        (signing.current.secret, signing.current.seed),
        state,
        disabled_reason,
        version,
        created_at,
        updated_at,
    )
}

async fn an_endpoint_is_kept_encrypted_until_deleted(database: Database) {
    let db = database.open().await;
    let vault = Arc::new(Vault::with_key([7; 32]));
    let mut made = endpoint(1, "https://example.com/hooks?token=t0ps3cret");
    let get = async |id: u128| {
        let vault = vault.clone();
        read(&db, move |tx| endpoints::get(tx, &vault, EndpointId::of(id))).await.unwrap()
    };
    save(&db, &vault, &made).await;
    save(&db, &vault, &endpoint(2, "https://example.org")).await;
    assert_eq!(shown(&get(1).await.unwrap()), shown(&made));
    let generation = read(&db, endpoints::generation).await.unwrap();
    assert!(!generation.is_empty());

    made.settings.url = "https://example.com/other".into();
    (made.state, made.disabled_reason) = (EndpointState::Disabled, Some("by hand".into()));
    (made.version, made.updated_at) = (2, at(3));
    save(&db, &vault, &made).await;
    let locking = vault.clone();
    let locked = write(&db, move |tx| endpoints::lock(tx, &locking, EndpointId::of(1))).await.unwrap().unwrap();
    assert_eq!(shown(&locked), shown(&made));
    assert_ne!(read(&db, endpoints::generation).await.unwrap(), generation, "every change makes another generation");
    let subscriptions = read(&db, endpoints::subscriptions).await.unwrap();
    let told: Vec<_> = subscriptions.iter().map(|it| (it.endpoint, it.lane, it.settings.url.as_str())).collect();
    assert_eq!(told, [(EndpointId::of(1), 1, ""), (EndpointId::of(2), 2, "")], "with no URL, for it may hold a token");

    made.state = EndpointState::Deleted;
    made.version = 3;
    save(&db, &vault, &made).await;
    assert!(get(1).await.is_none());
    let listing = vault.clone();
    let listed = read(&db, move |tx| endpoints::list(tx, &listing, "", 9)).await.unwrap();
    assert_eq!(listed.iter().map(|endpoint| endpoint.id()).collect::<Vec<_>>(), [EndpointId::of(2)]);
    let listing = vault.clone();
    let after = EndpointId::of(2).to_string();
    assert!(read(&db, move |tx| endpoints::list(tx, &listing, &after, 9)).await.unwrap().is_empty());
    assert_eq!(read(&db, endpoints::subscriptions).await.unwrap().len(), 1);

    let other = Arc::new(Vault::with_key([8; 32]));
    let error = read(&db, move |tx| endpoints::get(tx, &other, EndpointId::of(2))).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { table: "endpoints", column: "url", .. }), "{error:?}");
}

/// Of the event that with_deliveries makes for experiment × 100 + revision × 10.
pub const fn event_id(place: u128) -> EventId {
    EventId::of(place << 32)
}

/// Of its delivery to the endpoint whose number is the last digit.
pub fn delivery_id(number: u128) -> DeliveryId {
    let lane = u32::try_from(number % 10).unwrap();
    DeliveryId::of_event(event_id(number - number % 10), lane)
}

/// Two endpoints, and two experiments with the revisions 1 to 3 each, all of them owed to both.
pub async fn with_deliveries(db: &Db) -> [i64; 2] {
    let vault = Arc::new(Vault::with_key([7; 32]));
    for id in [1, 2] {
        save(db, &vault, &endpoint(id, "https://example.com")).await;
    }
    let mut numbers = [0; 2];
    for (index, key) in ["a", "b"].into_iter().enumerate() {
        let id = new_experiment(db, key).await;
        numbers[index] = id;
        let experiment = read(db, move |tx| experiments::get(tx, id)).await.unwrap().unwrap();
        // Stored against their order, for nothing may depend on it.
        for revision in [3, 1, 2] {
            let place = u128::from(id.unsigned_abs()) * 100 + u128::from(revision as u32) * 10;
            let id = u128::from_be_bytes(event_id(place).to_bytes());
            let event = event_of(&experiment, id, EventType::StatusUpdated, revision);
            let owed = [1, 2].map(|lane| (DeliveryId::of_event(event.id, lane), lane));
            write(db, move |tx| {
                record(tx, &event)?;
                deliveries::insert(tx, &event, Origin::Change, event.occurred_at, &owed)
            })
            .await
            .unwrap();
        }
    }
    numbers
}

fn ids(pending: &[Pending]) -> Vec<DeliveryId> {
    pending.iter().map(|pending| pending.id).collect()
}

pub fn delivery_ids(numbers: &[u128]) -> Vec<DeliveryId> {
    numbers.iter().map(|number| delivery_id(*number)).collect()
}

pub const OWED: Owed = Owed { endpoint: EndpointId::of(1), lane: 1, is_behind: false };

/// Behind all deliveries of this revision.
pub fn behind(experiment: i64, revision: i64) -> Cursor {
    Cursor { experiment, revision, delivery: DeliveryId::of(u128::MAX) }
}

async fn what_is_owed_comes_in_order_of_experiment_and_revision(database: Database) {
    let db = database.open().await;
    assert_eq!(with_deliveries(&db).await, [1, 2]);
    let look = |after, limit| Look { owed: OWED, after, due_by: at(0), reach: 100, limit, format: Format::Eppo };
    let page = async |look| read(&db, move |tx| pending::read(tx, &look)).await.unwrap();
    let pending = async |after, limit| page(look(after, limit)).await;
    let all = pending(Cursor::START, 100).await;
    assert_eq!(ids(&all), delivery_ids(&[111, 121, 131, 211, 221, 231]));
    assert_eq!((all[4].attempt_count, all[4].due_at, all[4].event.revision), (0, at(102), 2));
    assert_eq!(all[4].event.data, r#"{"experiment_id":2,"experiment_key":"b"}"#);
    assert_eq!(all[4].event.detailed, "", "only what is sent is read");
    let detailed = page(Look { format: Format::Detailed, ..look(behind(2, 1), 1) }).await;
    assert!(
        detailed[0].event.detailed.contains(r#""revision":2"#) && detailed[0].event.data.is_empty(),
        "{detailed:?}"
    );
    assert_eq!(ids(&pending(behind(1, 2), 2).await), delivery_ids(&[131, 211]));
    assert_eq!(ids(&pending(behind(1, i64::MAX), 1).await), delivery_ids(&[211]));
    assert!(pending(behind(2, 3), 9).await.is_empty());
    // With little reach there is one row more, which tells that there are more, and then the next experiment's turn.
    let reaching = async |after, reach| ids(&page(Look { reach, ..look(after, 100) }).await);
    assert_eq!(reaching(Cursor::START, 1).await, delivery_ids(&[111, 121, 211, 221]));
    assert_eq!(reaching(Cursor::START, 2).await, delivery_ids(&[111, 121, 131, 211, 221, 231]));
    assert_eq!(reaching(behind(1, 1), 1).await, delivery_ids(&[121, 131, 211, 221]));
    // A part that begins within an experiment, and pages that end within one.
    assert_eq!(reaching(Cursor::START, 3).await, delivery_ids(&[111, 121, 131, 211, 221, 231]));
    assert_eq!(ids(&page(Look { reach: 2, ..look(Cursor::START, 2) }).await), delivery_ids(&[111, 121]));
    assert_eq!(ids(&page(Look { reach: 1, ..look(behind(1, 2), 2) }).await), delivery_ids(&[131, 211]));
    // One that was tried waits for its time; the others are due whatever the clock says.
    let failed = Outcome { due_at: at(1000), ..outcome(121, 1, DeliveryState::Pending) };
    write(&db, move |tx| outcomes::record(tx, &[&failed])).await.unwrap();
    assert_eq!(ids(&pending(behind(1, 1), 2).await), delivery_ids(&[131, 211]));
    let due = page(Look { due_by: at(1000), ..look(behind(1, 1), 1) }).await;
    assert_eq!(ids(&due), delivery_ids(&[121]));
    assert_eq!(read(&db, |tx| undelivered::count_pending(tx, EndpointId::of(1))).await.unwrap(), 6);
    assert_eq!(read(&db, |tx| undelivered::count_pending(tx, EndpointId::of(9))).await.unwrap(), 0);
}

/// The place of a delivery of with_deliveries.
pub fn place(number: u128) -> Cursor {
    let part = |of: u128| i64::try_from(of).unwrap();
    Cursor { experiment: part(number / 100), revision: part(number / 10 % 10), delivery: delivery_id(number) }
}

pub fn outcome(delivery: u128, number: u32, state: DeliveryState) -> Outcome {
    let is_ended = state != DeliveryState::Pending;
    let lane = u32::try_from(delivery % 10).unwrap();
    Outcome {
        position: Owed { endpoint: EndpointId::of(delivery % 10), lane, is_behind: false }.position(place(delivery)),
        attempt: Attempt {
            number,
            started_at: at(500),
            duration_us: 1234,
            status_code: is_ended.then_some(204),
            error_class: (!is_ended).then(|| "timeout".into()),
            error: (!is_ended).then(|| "it took too long".into()),
            request_headers: Some("webhook-id: evt_1\n".to_owned()),
            response_headers: None,
            response_body: Some("ok \u{2028}".into()),
        },
        state,
        failure_count: number * u32::from(!is_ended),
        due_at: at(900),
        ended_at: is_ended.then(|| at(600)),
    }
}

async fn outcomes_move_what_is_pending_and_nothing_else(database: Database) {
    let db = database.open().await;
    with_deliveries(&db).await;
    let get = async |id: u128| read(&db, move |tx| deliveries::get(tx, delivery_id(id))).await.unwrap().unwrap();
    let attempts = async |id: u128| read(&db, move |tx| outcomes::attempts(tx, delivery_id(id), 9)).await.unwrap();
    let record = async |outcomes: Vec<Outcome>| -> Result<(), StoreError> {
        db.write_outcomes(move |tx| outcomes::record(tx, &outcomes.iter().collect::<Vec<_>>())).await
    };
    record(vec![
        outcome(111, 1, DeliveryState::Pending),
        outcome(121, 1, DeliveryState::Delivered),
        outcome(211, 1, DeliveryState::Exhausted),
    ])
    .await
    .unwrap();
    let waiting = get(111).await;
    assert_eq!((waiting.state, waiting.attempt_count, waiting.due_at), (DeliveryState::Pending, 1, Some(at(900))));
    assert_eq!((waiting.failure_count, waiting.origin, waiting.is_behind), (1, Origin::Change, false));
    let delivered = get(121).await;
    assert_eq!((delivered.state, delivered.attempt_count, delivered.due_at), (DeliveryState::Delivered, 1, None));
    assert_eq!(delivered.ended_at, Some(at(500 + 1234)), "when its attempt was answered");
    assert_eq!((get(211).await.state, get(211).await.ended_at), (DeliveryState::Exhausted, Some(at(600))));

    // The same outcome again, and one of a delivery that has ended, change nothing but the log of attempts.
    record(vec![outcome(121, 1, DeliveryState::Exhausted), outcome(121, 2, DeliveryState::Pending)]).await.unwrap();
    assert_eq!((get(121).await.state, get(121).await.ended_at), (DeliveryState::Delivered, Some(at(500 + 1234))));
    let expected = [outcome(121, 1, DeliveryState::Delivered).attempt, outcome(121, 2, DeliveryState::Pending).attempt];
    assert_eq!(attempts(121).await, expected);

    let cancelled =
        write(&db, |tx| undelivered::cancel_some(tx, EndpointId::of(1), "deleted", at(700), 9)).await.unwrap();
    assert_eq!(cancelled, 4, "all of the six but those that have ended");
    let one = get(111).await;
    assert_eq!(
        (one.state, one.reason.as_deref(), one.ended_at),
        (DeliveryState::Cancelled, Some("deleted"), Some(at(700)))
    );
    assert_eq!(get(112).await.state, DeliveryState::Pending, "another endpoint's");
    record(vec![outcome(111, 2, DeliveryState::Delivered)]).await.unwrap();
    assert_eq!(get(111).await.state, DeliveryState::Cancelled, "what was cancelled stays so");
    // One that retention has removed does not keep out the others.
    record(vec![outcome(999, 1, DeliveryState::Delivered), outcome(112, 1, DeliveryState::Delivered)]).await.unwrap();
    assert_eq!(get(112).await.state, DeliveryState::Delivered);
    assert!(attempts(999).await.is_empty());
    // Of two attempts in one batch the last says where it stands, and both are kept.
    record(vec![outcome(122, 1, DeliveryState::Pending), outcome(122, 2, DeliveryState::Exhausted)]).await.unwrap();
    assert_eq!((get(122).await.state, get(122).await.attempt_count), (DeliveryState::Exhausted, 2));
    assert_eq!(attempts(122).await.len(), 2);
}

/// An outcome that had to wait is written behind that of a later attempt: it is kept, and moves nothing back.
async fn an_outcome_that_comes_late_moves_nothing_back(database: Database) {
    let db = database.open().await;
    with_deliveries(&db).await;
    for number in [2, 1] {
        write(&db, move |tx| outcomes::record(tx, &[&outcome(131, number, DeliveryState::Pending)])).await.unwrap();
    }
    let (found, attempts) = read(&db, |tx| {
        let id = delivery_id(131);
        Ok((deliveries::get(tx, id)?.expect("it is there"), outcomes::attempts(tx, id, 9)?))
    })
    .await
    .unwrap();
    assert_eq!(found.attempt_count, 2);
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
}

on_both!(
    an_outcome_that_comes_late_moves_nothing_back,
    an_endpoint_is_kept_encrypted_until_deleted,
    what_is_owed_comes_in_order_of_experiment_and_revision,
    outcomes_move_what_is_pending_and_nothing_else,
);
