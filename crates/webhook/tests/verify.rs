//! A receiver's view: what is accepted, what is refused, and what the refusal says.

#![allow(clippy::unwrap_used)] // Outside `#[test]`, but a test none the less.

use std::{collections::BTreeMap, time::Duration};

use bellwether_webhook::{
    Event, EventType, Secret, Signer, SigningKey, Verifier, VerifyError, Webhook, body, data, header,
    verify_body_signature,
};

const SENT_AT: i64 = 1_795_420_800;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

/// A request as the server sends it, which each test then spoils in one place.
struct Request {
    headers: BTreeMap<&'static str, String>,
    body: Vec<u8>,
}

impl Request {
    fn of_event(event: &str, data: &str) -> Request {
        let signer = Signer::new(&secret(SECRET));
        let body = body(event, data, &signer.sign_data(data.as_bytes())).into_bytes();
        let headers = BTreeMap::from([
            (header::ID, "evt_06f2".to_owned()),
            (header::TIMESTAMP, SENT_AT.to_string()),
            (header::SIGNATURE, signer.sign_message("evt_06f2", SENT_AT, &body)),
            (header::REVISION, "17".to_owned()),
            (header::ATTEMPT, "1".to_owned()),
        ]);
        Request { headers, body }
    }

    fn status_updated() -> Request {
        Request::of_event("experiment.status.updated", &data(42, "checkout-cta", None))
    }

    fn verify_at(&self, verifier: &Verifier, now: i64) -> Result<Webhook, VerifyError> {
        verifier.verify(|name| self.headers.get(name).map(String::as_str), &self.body, now)
    }

    fn verify(&self) -> Result<Webhook, VerifyError> {
        self.verify_at(&Verifier::new(&secret(SECRET)), SENT_AT)
    }
}

#[test]
fn a_genuine_request_becomes_a_typed_event() {
    let webhook = Request::status_updated().verify().unwrap();
    assert_eq!(
        (webhook.id.as_str(), webhook.timestamp, webhook.revision, webhook.attempt),
        ("evt_06f2", SENT_AT, Some(17), Some(1))
    );
    let Event::Experiment(event) = webhook.event else { panic!("{:?}", webhook.event) };
    assert_eq!(event.event_type, EventType::StatusUpdated);
    assert_eq!((event.experiment_id, event.experiment_key.as_str()), (42, "checkout-cta"));
}

#[test]
fn a_ping_has_no_revision_and_keeps_its_data() {
    let mut request = Request::of_event("webhook.ping", r#"{"endpoint_id":"ep_1"}"#);
    request.headers.remove(header::REVISION);
    let webhook = request.verify().unwrap();
    assert_eq!(webhook.revision, None);
    let Event::Other { event, data } = webhook.event else { panic!("{:?}", webhook.event) };
    assert_eq!((event.as_str(), data["endpoint_id"].as_str()), ("webhook.ping", Some("ep_1")));
}

#[test]
fn the_tolerance_counts_both_ways() {
    let request = Request::status_updated();
    let verifier = Verifier::new(&secret(SECRET));
    for apart in [-300, 300] {
        assert!(request.verify_at(&verifier, SENT_AT + apart).is_ok());
    }
    for apart in [-301, 301] {
        let refused = request.verify_at(&verifier, SENT_AT + apart).unwrap_err();
        assert!(matches!(refused, VerifyError::StaleTimestamp { timestamp: SENT_AT, .. }), "{refused}");
    }
    let strict = verifier.with_tolerance(Duration::from_secs(1));
    assert!(request.verify_at(&strict, SENT_AT + 2).is_err());
}

#[test]
fn every_byte_that_is_signed_matters() {
    let spoil: [fn(&mut Request); 4] = [
        |request| request.body[3] ^= 1,
        |request| request.body.push(b' '),
        |request| *request.headers.get_mut(header::ID).unwrap() += "x",
        |request| *request.headers.get_mut(header::TIMESTAMP).unwrap() = (SENT_AT + 1).to_string(),
    ];
    for spoil in spoil {
        let mut request = Request::status_updated();
        spoil(&mut request);
        let refused = request.verify().unwrap_err();
        assert!(matches!(refused, VerifyError::SignatureMismatch), "{refused}");
    }
}

#[test]
fn while_a_secret_rotates_either_side_may_know_both() {
    let old = secret(SECRET);
    let new = secret("brought from elsewhere");
    let mut request = Request::status_updated();
    let by_new = Signer::new(&new).sign_message("evt_06f2", SENT_AT, &request.body);
    let by_both = format!("{} {by_new} v1a,later", request.headers[header::SIGNATURE]);
    let both = Verifier::new(&old).accept_also(&new);

    request.headers.insert(header::SIGNATURE, by_both);
    for verifier in [&Verifier::new(&old), &Verifier::new(&new), &both] {
        request.verify_at(verifier, SENT_AT).unwrap();
    }
    request.headers.insert(header::SIGNATURE, by_new);
    request.verify_at(&both, SENT_AT).unwrap();
    assert!(matches!(request.verify().unwrap_err(), VerifyError::SignatureMismatch));
}

#[test]
fn while_a_key_pair_rotates_either_side_may_know_both() {
    let (old, new) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let mut request = Request::status_updated();
    let by = |key: &SigningKey| key.sign_message("evt_06f2", SENT_AT, &request.body);
    let (by_old, by_new) = (by(&old), by(&new));
    let knows_old = Verifier::with_public_key(&old.public_key());
    let knows_both = knows_old.clone().accept_also_public_key(&new.public_key());

    let signatures = format!("v2,later v1,AAAA {by_new} nonsense {by_old}");
    request.headers.insert(header::SIGNATURE, signatures);
    request.verify_at(&knows_old, SENT_AT).unwrap();
    request.headers.insert(header::SIGNATURE, by_new.clone());
    request.verify_at(&knows_both, SENT_AT).unwrap();
    assert!(matches!(request.verify_at(&knows_old, SENT_AT), Err(VerifyError::SignatureMismatch)));
    // Whoever sends thousands of signatures does not have them all tried.
    request.headers.insert(header::SIGNATURE, format!("{}{by_old}", format!("{by_new} ").repeat(16)));
    assert!(matches!(request.verify_at(&knows_old, SENT_AT), Err(VerifyError::SignatureMismatch)));
}

#[test]
fn headers_that_are_missing_or_malformed_are_named() {
    for name in [header::ID, header::TIMESTAMP, header::SIGNATURE] {
        let mut request = Request::status_updated();
        request.headers.remove(name);
        let refused = request.verify().unwrap_err();
        assert!(matches!(refused, VerifyError::MissingHeader { name: missing } if missing == name), "{refused}");
    }
    for name in [header::TIMESTAMP, header::SIGNATURE, header::REVISION, header::ATTEMPT] {
        let mut request = Request::status_updated();
        request.headers.insert(name, "soon".to_owned());
        let refused = request.verify().unwrap_err();
        assert!(matches!(refused, VerifyError::MalformedHeader { name: named, .. } if named == name), "{refused}");
    }
}

#[test]
fn a_signed_body_that_is_no_webhook_is_malformed() {
    let refused = Request::of_event("experiment.status.updated", r#"{"experiment_id":42}"#).verify().unwrap_err();
    assert!(matches!(refused, VerifyError::MalformedBody(_)), "{refused}");
}

#[test]
fn the_bodys_signature_holds_however_the_body_is_spaced() {
    let own = secret("brought from elsewhere");
    let data = data(42, "Zoë \"🎉\" \u{2028}", None);
    let sent = body("experiment.status.updated", &data, &Signer::new(&own).sign_data(data.as_bytes()));
    verify_body_signature(sent.as_bytes(), &own).unwrap();
    verify_body_signature(sent.replace("\":", "\" : ").as_bytes(), &own).unwrap();

    let other_data = sent.replacen("42", "43", 1);
    assert!(matches!(verify_body_signature(other_data.as_bytes(), &own), Err(VerifyError::SignatureMismatch)));
    assert!(matches!(verify_body_signature(sent.as_bytes(), &secret(SECRET)), Err(VerifyError::SignatureMismatch)));
    assert!(matches!(verify_body_signature(b"{}", &own), Err(VerifyError::MalformedBody(_))));
}
