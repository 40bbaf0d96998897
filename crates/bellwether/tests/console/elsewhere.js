// The console over https, by the server's own TLS or behind a proxy that puts it deeper: the same pages, and nothing asked for
// outside of where it lies.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { walk, assert, see, press, follow, led } = require("./browser.js");

const DEEPER = "/tools/bellwether";

// Takes the path away, as docs/operating.md asks of proxies.
async function proxyTo(server, { certificate, key }) {
  const outside = [];
  const front = https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, (request, response) => {
    if (!request.url.startsWith(`${DEEPER}/`)) {
      outside.push(request.url);
      response.writeHead(404).end();
      return;
    }
    const headers = { ...request.headers, "x-forwarded-proto": "https", "x-forwarded-for": request.socket.remoteAddress };
    const passed = http.request(new URL(request.url.slice(DEEPER.length), server), { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    response.on("close", () => passed.destroy());
    request.pipe(passed);
  });
  await new Promise((listening) => { front.listen(0, "127.0.0.1", listening); });
  return { base: `https://127.0.0.1:${front.address().port}${DEEPER}`, outside };
}

walk(async (visitor, told) => {
  const proxy = told.proxied ? await proxyTo(told.url, told) : { base: told.url, outside: [] };
  const { base, outside } = proxy;
  const link = `${base}/login?${new URL(told.link).searchParams}`;
  const eve = await visitor({ ignoreHTTPSErrors: true });
  for (const status of [401, 404]) eve.expected.add(status);
  const asked = [];
  eve.context.on("request", (request) => asked.push(request.url()));

  const list = await eve.logIn(link);
  const [cookie] = await eve.context.cookies();
  assert.deepEqual([cookie.name, cookie.secure, cookie.httpOnly, cookie.path], ["__Host-bellwether_session", true, true, "/"]);

  // A form leads on to where it should, and the other page hears of it.
  const page = await eve.context.newPage();
  await page.goto(`${base}/new/experiment`);
  await page.getByLabel("Name", { exact: true }).first().fill("Basket");
  await page.getByLabel("Key", { exact: true }).first().fill("basket");
  await press(page, "Make a draft");
  await see(page.getByRole("status").getByText("The draft is made."));
  assert.equal(page.url(), `${base}/experiments/1/metrics`);
  await list.bringToFront();
  await see(list.getByRole("link", { name: "Basket" }));

  for (const section of ["Webhooks", "Definitions", "Administration", "Experiments"]) {
    await follow(page, section, page.getByRole("navigation", { name: "Sections" }));
    await see(page.locator("h1"));
  }
  await follow(page, "The API");
  await see(page.locator("h1"));
  await page.goto(`${base}/nowhere`);
  await see(page.getByRole("heading", { name: "There is no such page" }));
  await led(page, () => page.getByRole("link", { name: "To the experiments" }).click());
  await press(page, "Log out");
  await page.goto(`${base}/experiments`);
  await see(page.getByRole("heading", { name: "You are not logged in" }));

  assert.deepEqual(asked.filter((url) => !url.startsWith(`${base}/`)), [], "nothing lies elsewhere");
  assert.deepEqual(outside, []);
});
