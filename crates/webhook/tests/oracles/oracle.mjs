// Answers for each request on standard input, one JSON object a line, what a receiver in Node makes of it.
// The packages come from the folder in argv[2], not from beside this file.
import { createHmac } from "node:crypto";
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

for await (const line of createInterface({ input: process.stdin })) {
  const { body, headers, text, standard_form } = JSON.parse(line);
  const data = JSON.stringify(JSON.parse(body).data);
  const id = headers["webhook-id"];
  const signed_at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  const webhook = new Webhook(standard_form);
  const answer = {
    data,
    data_signature: createHmac("sha256", text).update(data).digest("hex"),
    message_signature: webhook.sign(id, signed_at, body),
    refusal: accepted(() => webhook.verify(body, headers)),
    refusal_of_another_body: accepted(() => webhook.verify(body + " ", headers)),
  };
  process.stdout.write(JSON.stringify(answer) + "\n");
}
