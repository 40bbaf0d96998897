//! What independent implementations make of our webhooks: Node's own JSON and HMAC, and the published
//! `standardwebhooks` packages for Rust, Node and Python.
//!
//! Each test asks one process about many generated cases. A failure prints its case whole, so that it can become a
//! fixed test.

#![allow(clippy::unwrap_used, clippy::expect_used)] // Outside `#[test]`, but a test none the less.

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use bellwether_webhook::{
    Event, EventType, MetaData, Secret, Signer, SigningKey, Verifier, body, ecma, header, verify_body_signature,
};
use serde::Deserialize;
use serde_json::{Value, json};

mod ask;
mod generate;

use ask::{ask, node, python};
use generate::{foreign_json, generate, sent};

/// One webhook as sent, and all that an oracle needs to judge it.
#[derive(Debug)]
struct Sent {
    secret: Secret,
    signing_key: SigningKey,
    id: String,
    timestamp: i64,
    data: String,
    body: String,
    event_type: EventType,
    key: String,
    meta_data: Option<MetaData>,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    /// What `JSON.stringify(JSON.parse(body).data)` prints; from Node alone.
    data: Option<String>,
    data_signature: String,
    message_signature: String,
    /// By the key pair; from Node alone.
    key_pair_signature: Option<String>,
    /// Whether Node's own verification accepts ours; from Node alone.
    key_pair_fits: Option<bool>,
    refusal: String,
    refusal_of_another_body: String,
}

impl Sent {
    fn message_signature(&self) -> String {
        Signer::new(&self.secret).sign_message(&self.id, self.timestamp, self.body.as_bytes())
    }

    fn key_pair_signature(&self) -> String {
        self.signing_key.sign_message(&self.id, self.timestamp, self.body.as_bytes())
    }

    fn question(&self) -> Value {
        json!({
            "signing_key": self.signing_key.text(),
            "public_key": self.signing_key.public_key().text(),
            "key_pair_signature": self.key_pair_signature(),
            "body": self.body,
            "data": self.data,
            "text": self.secret.text(),
            "standard_form": self.secret.standard_form(),
            "headers": {
                header::ID: self.id,
                header::TIMESTAMP: self.timestamp.to_string(),
                header::SIGNATURE: self.message_signature(),
            },
        })
    }

    fn assert_agrees(&self, verdict: &Verdict) {
        let same_data = verdict.data.as_ref().is_none_or(|data| data == &self.data);
        let same_signatures = verdict.data_signature == Signer::new(&self.secret).sign_data(self.data.as_bytes())
            && verdict.message_signature == self.message_signature()
            && verdict.key_pair_signature.as_ref().is_none_or(|signature| *signature == self.key_pair_signature())
            && verdict.key_pair_fits.unwrap_or(true);
        let same_judgement = verdict.refusal.is_empty() && !verdict.refusal_of_another_body.is_empty();
        assert!(
            same_data && same_signatures && same_judgement,
            "same data: {same_data}, signatures: {same_signatures}, judgement: {same_judgement}\n\
             secret {:?}\n{self:#?}\n{verdict:#?}",
            self.secret.text()
        );
    }

    /// Our own receiver reads what was put in, from the signatures that the oracle made.
    fn assert_received(&self, verdict: &Verdict) {
        self.assert_accepted(&Verifier::new(&self.secret), &verdict.message_signature);
        if let Some(signature) = &verdict.key_pair_signature {
            self.assert_accepted(&Verifier::with_public_key(&self.signing_key.public_key()), signature);
        }
        verify_body_signature(self.body.as_bytes(), &self.secret).unwrap();
    }

    fn assert_accepted(&self, verifier: &Verifier, message_signature: &str) {
        let timestamp = self.timestamp.to_string();
        let headers = |name: &str| match name {
            header::ID => Some(self.id.as_str()),
            header::TIMESTAMP => Some(timestamp.as_str()),
            header::SIGNATURE => Some(message_signature),
            _ => None,
        };
        let webhook = verifier.verify(headers, self.body.as_bytes(), self.timestamp).unwrap();
        let Event::Experiment(event) = webhook.event else { panic!("{self:?}") };
        assert_eq!((event.event_type, &event.experiment_key), (self.event_type, &self.key));
        assert_eq!(event.meta_data, self.meta_data);
    }
}

#[expect(clippy::disallowed_methods, reason = "the published packages compare with the machine's clock")]
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap()
}

fn assert_agrees(oracle: Command) {
    let cases = generate(&sent(now()));
    let questions: Vec<_> = cases.iter().map(Sent::question).collect();
    for (sent, verdict) in cases.iter().zip(ask(oracle, &questions)) {
        sent.assert_agrees(&verdict);
        sent.assert_received(&verdict);
    }
}

#[test]
fn node_agrees() {
    assert_agrees(node());
}

#[test]
fn python_agrees() {
    assert_agrees(python());
}

#[test]
fn the_rust_package_agrees() {
    for sent in generate(&sent(now())) {
        let webhook = standardwebhooks::Webhook::new(&sent.secret.standard_form()).unwrap();
        let signature = sent.message_signature();
        assert_eq!(webhook.sign(&sent.id, sent.timestamp, sent.body.as_bytes()).unwrap(), signature);
        let mut headers = http::HeaderMap::new();
        headers.insert(header::ID, sent.id.parse().unwrap());
        headers.insert(header::TIMESTAMP, sent.timestamp.into());
        headers.insert(header::SIGNATURE, signature.parse().unwrap());
        webhook.verify(sent.body.as_bytes(), &headers).unwrap();
        assert!(webhook.verify(b"{}", &headers).is_err());
    }
}

#[test]
fn stringify_prints_what_node_prints_for_any_json() {
    let secret = Secret::parse("any").unwrap();
    let datas = generate(&foreign_json());
    let question = |data: &String| {
        json!({
            "body": body("any", data, ""),
            "text": secret.text(),
            "standard_form": secret.standard_form(),
            "headers": { header::ID: "evt", header::TIMESTAMP: "1795420800", header::SIGNATURE: "v1," },
        })
    };
    let questions: Vec<_> = datas.iter().map(question).collect();
    for (data, verdict) in datas.iter().zip(ask(node(), &questions)) {
        let value: Value = serde_json::from_str(data).unwrap();
        let printed = ecma::stringify(&value);
        assert_eq!(Some(&printed), verdict.data.as_ref(), "for {data}");
        let sent = body("any", data, &verdict.data_signature);
        verify_body_signature(sent.as_bytes(), &secret).unwrap();
    }
}
