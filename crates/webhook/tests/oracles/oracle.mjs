// Answers for each request on standard input, one JSON object a line, what a receiver in Node makes of it.
// The packages come from the folder in argv[2], not from beside this file.
import { createHmac, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Webhook } = createRequire(process.argv[2] + "/")("standardwebhooks");

function accepted(check) {
  try {
    check();
    return "";
  } catch (error) {
    return String(error);
  }
}

// Ed25519 keys stand in PKCS #8 and SPKI after a fixed beginning.
function key(create, prefix, type, text) {
  const der = Buffer.concat([Buffer.from(prefix, "hex"), Buffer.from(text.slice(5), "base64")]);
  return create({ key: der, format: "der", type });
}

function keyPair({ signing_key, public_key, key_pair_signature }, message) {
  if (signing_key === undefined) return {};
  const signing = key(createPrivateKey, "302e020100300506032b657004220420", "pkcs8", signing_key);
  const verifying = key(createPublicKey, "302a300506032b6570032100", "spki", public_key);
  return {
    key_pair_signature: "v1a," + sign(null, message, signing).toString("base64"),
    key_pair_fits: verify(null, message, verifying, Buffer.from(key_pair_signature.slice(4), "base64")),
  };
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  const { body, headers, text, standard_form } = question;
  const data = JSON.stringify(JSON.parse(body).data);
  const id = headers["webhook-id"];
  const signed_at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  const webhook = new Webhook(standard_form);
  const answer = {
    data,
    data_signature: createHmac("sha256", text).update(data).digest("hex"),
    message_signature: webhook.sign(id, signed_at, body),
    ...keyPair(question, Buffer.from(`${id}.${headers["webhook-timestamp"]}.${body}`)),
    refusal: accepted(() => webhook.verify(body, headers)),
    refusal_of_another_body: accepted(() => webhook.verify(body + " ", headers)),
  };
  process.stdout.write(JSON.stringify(answer) + "\n");
}
