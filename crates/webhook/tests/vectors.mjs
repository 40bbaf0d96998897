// Wrote vectors.json, with nothing but Node's own crypto: `node vectors.mjs > vectors.json`. Not run by the tests, which
// compare our crate with the file.
import { createHmac, createPrivateKey, createPublicKey, sign } from "node:crypto";

const PKCS8 = Buffer.from("302e020100300506032b657004220420", "hex"); // what stands before an Ed25519 seed in PKCS #8

function keyPair(seed) {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, Buffer.from(seed, "hex")]), format: "der", type: "pkcs8" });
  const raw = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x, "base64url");
  return { key, signing_key: "whsk_" + Buffer.from(seed, "hex").toString("base64"), public_key: "whpk_" + raw.toString("base64") };
}

function vector({ about, id, timestamp, secret, seed, event, data, body }) {
  const pair = keyPair(seed);
  const signature = data && createHmac("sha256", secret).update(data).digest("hex");
  body ??= `{"event":${JSON.stringify(event)},"data":${data},"signature":"${signature}"}`;
  const signed = `${id}.${timestamp}.${body}`;
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
  return {
    about, id, timestamp, body, secret,
    signing_key_seed: seed, signing_key: pair.signing_key, public_key: pair.public_key,
    v1: "v1," + createHmac("sha256", key).update(signed).digest("base64"),
    v1a: "v1a," + sign(null, Buffer.from(signed), pair.key).toString("base64"),
    body_signature: signature ?? null,
  };
}

const RFC_8032 = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"; // its test 1
const OTHER = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OWN = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const experiment = (key, rest = {}) => JSON.stringify({ experiment_id: 42, experiment_key: key, ...rest });
const metaData = {
  status: "success", is_manual_refresh: false, is_data_updated: true, time_taken_seconds: 12.34,
  is_traffic_imbalance: false, assignments_scan_start_date: "2026-11-01", assignments_scan_end_date: "2026-11-23",
};

const vectors = [
  { about: "the example of Standard Webhooks itself; its body is no webhook of Bellwether's", id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    timestamp: 1614265330, secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", seed: RFC_8032, body: '{"test": 2432232314}' },
  { about: "an ordinary event", id: "evt_06f2", timestamp: 1795420800, secret: OWN, seed: OTHER,
    event: "experiment.status.updated", data: experiment("checkout-cta") },
  { about: "the end of a run, with numbers", id: "evt_06f3", timestamp: 1795420801, secret: OWN, seed: OTHER,
    event: "experiment.calculated_metrics.updated", data: experiment("checkout-cta", { meta_data: metaData }) },
  { about: "a key with quotes, a backslash, control characters, U+2028 and emoji", id: "evt_06f4", timestamp: 1795420802,
    secret: OWN, seed: RFC_8032, event: "experiment.metric.updated",
    data: experiment('Zoë "👩‍👩‍👧" \\ \u0001\n\t\u007f \u2028 مرحبا') },
  { about: "a secret that a user brought: its text is the key of both", id: "evt_06f5", timestamp: 1795420803,
    secret: "mein Schlüssel 🗝", seed: OTHER, event: "experiment.configuration.updated", data: experiment("checkout-cta") },
  { about: "an event without an experiment", id: "evt_06f6", timestamp: 1795420804, secret: OWN, seed: OTHER,
    event: "webhook.ping", data: '{"endpoint_id":"ep_06f2"}' },
].map(vector);

console.log(JSON.stringify(vectors, null, 2));
