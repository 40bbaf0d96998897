//! Webhooks and JSON at their worst, for the oracles to judge.

use bellwether_webhook::{EventType, MetaData, RunStatus, Secret, Signer, SigningKey, begin_data, body};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::Sent;

const CASES: usize = 1000;

/// Text as users invent it, at its worst.
fn text() -> impl Strategy<Value = String> {
    let awkward = prop::sample::select(vec![
        "\"",
        "\\",
        "\\u0041",
        "/",
        "🎉",
        "👩‍👩‍👧",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{7f}",
        "\u{85}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{10ffff}",
        "__proto__",
        "constructor",
        "</script>",
        "é",
        "e\u{301}",
        "مرحبا",
        " ",
        "0",
        "checkout",
    ]);
    let piece = prop_oneof![
        4 => awkward.prop_map(str::to_owned),
        2 => (0_u8..0x20).prop_map(|control| char::from(control).to_string()),
        2 => any::<char>().prop_map(String::from),
        1 => (1_usize..2000).prop_map(|length| "long ".repeat(length)),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn secret() -> impl Strategy<Value = Secret> {
    prop_oneof![
        vec(any::<u8>(), 1..80).prop_map(|bytes| Secret::from_bytes(&bytes).unwrap()),
        text().prop_map(|text| Secret::parse(&format!("own {text}")).unwrap()),
    ]
}

fn meta_data() -> impl Strategy<Value = MetaData> {
    // Up to what a double holds exactly to the millisecond; small ones as often as large ones.
    let time_taken_ms = (0_u64..1 << 50, 0_u32..50).prop_map(|(ms, shift)| ms >> shift);
    let day = "20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9])";
    (any::<[bool; 4]>(), time_taken_ms, day, day).prop_map(|(flags, time_taken_ms, first_day, last_day)| MetaData {
        status: if flags[0] { RunStatus::Success } else { RunStatus::Failure },
        is_manual_refresh: flags[1],
        is_data_updated: flags[2],
        time_taken_ms,
        is_traffic_imbalance: flags[3],
        assignments_scan_start_date: first_day,
        assignments_scan_end_date: last_day,
    })
}

pub fn sent(now: i64) -> impl Strategy<Value = Sent> {
    let detail = option::of((any::<u64>(), any::<f64>(), text()));
    let keys = (secret(), any::<[u8; 32]>().prop_map(|seed| SigningKey::from_bytes(&seed)));
    let webhook = (keys, "evt_[0-9a-z]{26}", -200_i64..200, 0_u64..1 << 53, text(), option::of(meta_data()), detail);
    webhook.prop_map(move |((secret, signing_key), id, seconds_off, experiment_id, key, meta_data, detail)| {
        let event_type =
            if meta_data.is_some() { EventType::CalculatedMetricsUpdated } else { EventType::ConfigurationUpdated };
        let mut data = begin_data(experiment_id, &key, meta_data.as_ref());
        if let Some((revision, p_value, actor)) = detail {
            data.integer("revision", revision).number("p_value", p_value).string("actor", &actor);
        }
        let data = data.finish();
        let body = body(event_type.as_str(), &data, &Signer::new(&secret).sign_data(data.as_bytes()));
        Sent { secret, signing_key, id, timestamp: now + seconds_off, data, body, event_type, key, meta_data }
    })
}

/// JSON as text, as any program may print it: spaces, escapes, equal names, names that are array indices.
pub fn foreign_json() -> impl Strategy<Value = String> {
    let quoted = |text: String| serde_json::to_string(&text).unwrap();
    let number = prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
    ];
    let leaf = prop_oneof![
        4 => number,
        2 => text().prop_map(quoted),
        1 => prop::sample::select(vec!["true", "false", "null", "-0", "\"\\u00e9\\/\\u2028\""]).prop_map(str::to_owned),
    ];
    let name = prop_oneof![
        text(),
        any::<u32>().prop_map(|index| index.to_string()),
        "[0-9]{1,2}",
        prop::sample::select(vec!["4294967294", "4294967295", "4294967296", "-1", "01", "a", "b"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 20, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|items| format!("[ {} ]", items.join(" , "))),
            vec((name.clone().prop_map(quoted), inner), 0..6).prop_map(|properties| {
                let properties: Vec<_> = properties.iter().map(|(name, value)| format!("{name}\t:\n{value}")).collect();
                format!("{{{}}}", properties.join(","))
            }),
        ]
    })
}

pub fn generate<S: Strategy>(strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::default();
    (0..CASES).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}
