// From a new endpoint to the delivery that came at last.
"use strict";

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { Webhook } = require("standardwebhooks");
const { walk, api, assert, see, seeText, press, follow, led } = require("./browser.js");

const HARM = "<script>window.pwned=1</script>";

// A server at `port`, or any free one.
async function listen(answer, port = 0) {
  const server = http.createServer(answer);
  await new Promise((resolve) => { server.listen(port, "127.0.0.1", resolve); });
  return server;
}

const close = (server) => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); });

const accepts = (port) => new Promise((resolve) => {
  const socket = net.connect(port, "127.0.0.1", () => { socket.destroy(); resolve(true); }).on("error", () => resolve(false));
});

// Runs the code that the page shows, as its reader would: pasted into a file, with the secret.
async function paste(code, secret, port) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pasted-"));
  fs.writeFileSync(path.join(folder, "receiver.mjs"), code);
  fs.symlinkSync(process.env.NODE_PATH, path.join(folder, "node_modules"));
  const program = spawn(process.execPath, ["receiver.mjs"], { cwd: folder, env: { WEBHOOK_SECRET: secret, PORT: String(port) }, stdio: ["ignore", "pipe", "inherit"] });
  process.on("exit", () => program.kill());
  const ended = new Promise((resolve) => { program.on("exit", resolve); });
  while (!(await accepts(port))) assert.equal(program.exitCode, null, "the pasted receiver runs");
  let said = "";
  program.stdout.on("data", (text) => { said += text; });
  return { said: () => said, end: async () => { program.kill(); await ended; fs.rmSync(folder, { recursive: true }); } };
}

walk(async (visitor, { link, experiment }) => {
  const ivo = await visitor();
  const page = await ivo.logIn(link);
  const free = await listen(() => {});
  const { port } = free.address();
  await close(free);

  await follow(page, "Webhooks");
  await follow(page, "New endpoint");
  await page.getByLabel("URL").fill("not an address");
  await page.getByLabel("Description").fill("Flags");
  await press(page, "Make it, and show its secret");
  assert.equal(await page.getByLabel("URL").getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByLabel("Description").inputValue(), "Flags", "the input is kept");
  await page.getByLabel("URL").fill(`http://127.0.0.1:${port}/flags`);
  await press(page, "Make it, and show its secret");

  const secret = await page.locator("#secret").textContent();
  assert.match(secret, /^whsec_/);
  const summaries = await page.locator("summary").allInnerTexts();
  assert.deepEqual(summaries, ["Node", "Python", "Rust"]);
  const code = await page.locator("#snippet-Node").textContent();

  // Nobody listens yet: that is said, and nothing is enabled.
  await press(page, "Send the test event");
  await seeText(page, "The test event was not answered well");
  const receiver = await paste(code, secret, port);
  await press(page, "Test again");
  await see(page.getByRole("heading", { name: "The test event was answered" }));
  await seeText(page, "The endpoint is enabled");
  assert.match(receiver.said(), /webhook\.ping/);
  await receiver.end();
  const { items } = await api("GET", "endpoints");
  const endpoint = items.find(({ description }) => description === "Flags");
  assert.equal(endpoint.enabled, true);
  await follow(page, "To the endpoint");
  assert.equal(await page.getByText(secret).count(), 0, "the secret is shown once");

  // Now it fails, with an answer that is shown as it is.
  const came = [];
  let status = 500;
  const flags = await listen(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    new Webhook(secret).verify(Buffer.concat(chunks).toString(), request.headers);
    came.push(request.headers["webhook-id"]);
    response.writeHead(status, { "x-harm": HARM }).end(HARM);
  }, port);
  await api("PATCH", `experiments/${experiment}`, { owner: "Grace" });

  await follow(page, "events");
  await led(page, () => page.getByRole("link", { name: "experiment.configuration.updated" }).first().click());
  await seeText(page, "Grace");
  assert.match(await page.locator("#data").textContent(), /"experiment_key":"checkout-cta"/);
  const told = page.locator("li", { has: page.getByRole("link", { name: "Flags", exact: true }) });
  await see(told);
  await led(page, () => told.locator(".badge").click());

  // The delivery: what was sent, what was answered, when it is tried again.
  await see(page.getByText("500").first());
  assert.match(await page.locator("#body").textContent(), /^{"event":"experiment\.configuration\.updated","data":{/);
  const attempt = page.locator("details", { hasText: "Attempt 1" });
  assert.match(await attempt.innerText(), /webhook-signature/);
  assert.equal((await attempt.innerText()).includes(HARM), true, "the answer is shown as it is");
  await seeText(page, "Next attempt");

  status = 204;
  await press(page, "Send again");
  await see(page.locator(".badge.delivered"));
  assert.equal(new Set(came).size, 1, "what is sent again has the same id");
  await follow(page, "endpoints");
  const row = page.getByRole("row", { name: /Flags/ });
  await see(row);
  await close(flags);
  assert.equal(await page.evaluate(() => window.pwned), undefined);
});
