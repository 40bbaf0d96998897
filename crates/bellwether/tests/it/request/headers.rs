//! What is sent: the contract's headers, the operator's own, and the signatures of every key in force.

use bellwether_webhook::{SigningKey, Verifier, header};
use http::{HeaderName, HeaderValue};

use super::*;

/// Sends one message to a receiver that keeps what it got; gives the lines of its head, and its body.
async fn sent(change: impl FnOnce(&mut Target), message: &Message<'_>) -> (Vec<String>, String) {
    let (requests, mut received) = tokio::sync::mpsc::unbounded_channel();
    let raw = Raw::start(move |mut stream| {
        let requests = requests.clone();
        async move {
            let _ = requests.send(read_request(&mut stream).await);
            let _ = stream.write_all(NO_CONTENT).await;
        }
    })
    .await;
    let mut target = target(raw.url());
    change(&mut target);
    let client = Client::connect(target, &outbound(&OutboundSettings::default())).unwrap();
    assert_eq!(code(&client.send(message, NOW).await), 204);
    let request = received.recv().await.unwrap().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    (head.lines().map(|line| line.replace(&raw.address.to_string(), "HOST")).collect(), body.to_owned())
}

fn value<'h>(head: &'h [String], name: &str) -> Vec<&'h str> {
    head.iter().filter_map(|line| line.split_once(": ")).filter(|(of, _)| *of == name).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn the_contract_and_nothing_else() {
    let (mut head, body) = sent(|_| (), &MESSAGE).await;
    assert_eq!(head.remove(0), "POST /hooks?a=b HTTP/1.1");
    head.sort();
    let signature = value(&head, header::SIGNATURE)[0].to_owned();
    let expected = [
        "bellwether-attempt: 1",
        "bellwether-revision: 17",
        &format!("content-length: {}", body.len()),
        "content-type: application/json",
        "host: HOST",
        "user-agent: Bellwether/0.1.0",
        "webhook-id: evt_06f2",
        &format!("webhook-signature: {signature}"),
        "webhook-timestamp: 1795420800",
    ];
    assert_eq!(head, expected);
    let verifier = Verifier::new(&Secret::parse(SECRET).unwrap());
    let get = |name: &str| value(&head, name).first().copied();
    assert_eq!(verifier.verify(get, body.as_bytes(), 1_795_420_800).unwrap().revision, Some(17));
}

#[tokio::test]
async fn a_message_without_revision_has_no_such_header() {
    let (head, _) = sent(|_| (), &Message { revision: None, ..MESSAGE }).await;
    assert_eq!(value(&head, header::REVISION), [""; 0]);
}

#[tokio::test]
async fn own_headers_are_sent_but_win_over_nothing() {
    let own = [
        ("authorization", "Bearer x"),
        ("x-twice", "1"),
        ("x-twice", "2"),
        ("webhook-id", "forged"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("host", "elsewhere"),
        ("connection", "upgrade"),
        ("user-agent", "other"),
    ];
    let own = own.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let (head, body) = sent(|target| target.headers = own.to_vec(), &MESSAGE).await;
    assert_eq!(value(&head, "authorization"), ["Bearer x"]);
    assert_eq!(value(&head, "x-twice"), ["1", "2"]);
    assert_eq!(value(&head, "webhook-id"), ["evt_06f2"]);
    assert_eq!(value(&head, "content-length"), [body.len().to_string()]);
    assert_eq!(value(&head, "host"), ["HOST"]);
    assert_eq!(value(&head, "user-agent"), ["Bellwether/0.1.0"]);
    assert!(value(&head, "transfer-encoding").is_empty() && value(&head, "connection").is_empty());
}

#[tokio::test]
async fn every_key_in_force_signs() {
    let secret = |text: &str| Secret::parse(text).unwrap();
    let pair = SigningKey::from_bytes(&[7; 32]);
    let key = |text: &str, until: Option<i64>| {
        let until = until.map(|seconds| Timestamp::from_micros(NOW.as_micros() + seconds * 1_000_000));
        MessageKey { secret: secret(text), signing_key: None, until }
    };
    let keys = vec![
        MessageKey { signing_key: Some(pair.clone()), ..key("newest", None) },
        key("rotated away", Some(1)),
        key("past", Some(0)),
    ];
    let (head, body) = sent(|target| target.credentials.message = keys, &MESSAGE).await;
    let signatures = value(&head, header::SIGNATURE)[0];
    let kinds: Vec<_> = signatures.split(' ').map(|signature| signature.split_once(',').unwrap().0).collect();
    assert_eq!(kinds, ["v1", "v1a", "v1"]);
    let get = |name: &str| value(&head, name).first().copied();
    let fits = |verifier: &Verifier| verifier.verify(get, body.as_bytes(), NOW.as_seconds()).is_ok();
    assert!(fits(&Verifier::with_public_key(&pair.public_key())));
    assert!(fits(&Verifier::new(&secret("newest"))) && fits(&Verifier::new(&secret("rotated away"))));
    assert!(!fits(&Verifier::new(&secret("past"))) && !fits(&Verifier::new(&secret(SECRET))));
}

#[tokio::test]
async fn a_url_that_is_none_is_refused() {
    let outbound = outbound(&OutboundSettings::default());
    for url in ["", "hooks", "https://", "https://exa mple/"] {
        assert!(Client::connect(target(url), &outbound).is_err(), "{url}");
    }
}
