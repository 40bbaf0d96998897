// Whoever may not do something is told kindly, and nothing is changed; whoever runs no scripts can do the same as others.
"use strict";

const http = require("node:http");
const { walk, api, assert, see, seeText, press, follow, led, edit } = require("./browser.js");

const changes = (page) => page.locator("main form[method=post] button:visible, main form[data-upload]");

walk(async (visitor, { url, reader, writer, writer_id: writerId, scriptless, experiment, draft }) => {
  const of = `experiments/${experiment}`;
  const shown = () => api("GET", of);

  // Without a session: what to do stands on the page.
  const stranger = await visitor();
  stranger.expected.add(401);
  const closed = await stranger.open(of);
  await see(closed.getByRole("heading", { name: "You are not logged in" }));
  await seeText(closed, "bellwether login-link");

  // Who may only read sees everything, and nothing to press.
  const rea = await visitor();
  const readers = await rea.logIn(reader);
  const { items: [endpoint] } = await api("GET", "endpoints");
  const places = ["experiments", of, `${of}/configuration`, `${of}/metrics`, `${of}/runs`, `${of}/history`, `experiments/${draft}`, "endpoints", `endpoints/${endpoint.id}`, "deliveries", "events", "definitions/metrics", "welcome"];
  for (const place of places) {
    await readers.goto(`${url}/${place}`);
    assert.equal(await changes(readers).count(), 0, `${place} has something to press`);
  }
  rea.expected.add(403);
  await readers.goto(`${url}/administration/keys`);
  await see(readers.getByRole("heading", { name: "Your role does not reach this" }));
  await seeText(readers, "this needs the role 'admin'");
  const before = await shown();
  rea.expected.add(403);
  // The form is not shown, but may be sent all the same.
  await readers.goto(`${url}/${of}`);
  await led(readers, () => readers.evaluate((action) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action });
    form.append(Object.assign(document.createElement("input"), { name: "outcome", value: "rollback" }));
    document.body.append(form);
    form.submit();
  }, `/${of}/decide`));
  await see(readers.getByRole("alert").getByText("this needs the role 'write'"));
  assert.deepEqual(await shown(), before);

  // Another site's form, which the browser sends along with the session where cookies are not strict.
  const wim = await visitor();
  const page = await wim.logIn(writer);
  const [session] = await wim.context.cookies();
  const other = http.createServer((_, response) => {
    response.setHeader("content-type", "text/html").end(`<form method="post" action="${url}/${of}/decide"><input name="outcome" value="ship"><button>Win a prize</button></form>`);
  });
  await new Promise((resolve) => { other.listen(0, "127.0.0.1", resolve); });
  const foreign = { origin: `http://127.0.0.1:${other.address().port}` };
  const post = async (place, headers) => {
    const answer = await fetch(`${url}/${place}`, {
      method: "POST", redirect: "manual", headers: { cookie: `${session.name}=${session.value}`, "content-type": "application/x-www-form-urlencoded", ...headers }, body: "outcome=ship&name=x&key=x&url=x",
    });
    assert(answer.status < 500 && answer.status !== 201, `${place}: ${answer.status}`);
  };
  for (const headers of [foreign, { origin: "null" }, { "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, {}]) await post(`${of}/decide`, headers);
  for (const place of [`${of}/configuration`, `${of}/delete`, "new/experiment", "new/endpoint", "welcome", `endpoints/${endpoint.id}/delete`, "new/metrics", "logout"]) await post(place, foreign);
  assert.deepEqual(await shown(), before, "another site's form changes nothing");
  assert.equal((await api("GET", "endpoints")).items.length, 1);
  assert.equal((await api("GET", "experiments")).items.length, 2);
  // The same by the browser itself: a page elsewhere on this machine is of the same site, so that the session goes along.
  wim.expected.add(403);
  const prize = await wim.context.newPage();
  await prize.goto(`http://127.0.0.1:${other.address().port}/`);
  await led(prize, () => prize.getByRole("button").click());
  assert.deepEqual(await shown(), before, "another site's button changes nothing");
  await prize.close();
  other.close();

  // A page that is not there, and a thing that is not there.
  wim.expected.add(404);
  for (const place of ["experiments/999", "experiments/nothing", "runs/run_x", "endpoints/ep_x", "definitions/nothing", "definitions/metrics/x", "deliveries/x", "events/x", "nowhere"]) {
    await page.goto(`${url}/${place}`);
    await see(page.getByRole("heading", { name: "There is no such page" }));
    await see(page.getByRole("link", { name: "To the experiments" }));
  }

  wim.expected.add(412);
  // Somebody else was faster: that is said, and what was written is kept.
  await page.goto(`${url}/${of}/configuration`);
  await edit(page, "What it is");
  await page.getByLabel("Hypothesis").fill("Mine");
  await api("PATCH", of, { owner: "Somebody else" });
  await press(page, "Save");
  await see(page.getByRole("alert"));
  assert.equal(await page.getByLabel("Hypothesis").inputValue(), "Mine");
  const section = page.getByRole("region", { name: "What it is", exact: true });
  await see(section.getByLabel("Hypothesis"));
  const stored = await section.locator("dl").innerText();
  assert.equal(stored.includes("Mine") || !stored.includes("Somebody else"), false, `what is stored is shown: ${stored}`);
  assert.equal((await shown()).hypothesis, before.hypothesis);

  // The role is taken away, then the person.
  await page.goto(`${url}/${of}`);
  await api("PATCH", `people/${writerId}`, { role: "read" });
  await press(page, "Decide");
  await see(page.getByRole("alert").getByText("this needs the role 'write'"));
  assert.equal(await changes(page).count(), 0);
  await page.goto(`${url}/experiments`);
  wim.expected.add(401);
  await api("DELETE", `people/${writerId}`);
  await api("PATCH", of, { owner: "Ada" });
  // The open page notices by itself.
  await see(page.getByRole("heading", { name: "You are not logged in" }));

  // Without script: the link's button, a filter, an edit, a decision.
  const nora = await visitor({ javaScriptEnabled: false });
  const plain = await nora.open(scriptless.slice(url.length + 1));
  await press(plain, "Log in");
  await plain.getByRole("searchbox", { name: "Words" }).fill("button");
  await press(plain, "Show");
  await follow(plain, "Checkout button");
  await follow(plain, "configuration");
  await edit(plain, "What it is");
  await plain.getByLabel("Owner").fill("Nora");
  await press(plain, "Save");
  await see(plain.getByRole("status").getByText("Saved"));
  await follow(plain, "results");
  await plain.getByLabel("Outcome").selectOption("inconclusive");
  await press(plain, "Decide");
  await see(plain.locator(".head .badge.concluded"));
  await press(plain, "Log out");
  nora.expected.add(401);
  await plain.goto(`${url}/${of}`);
  await see(plain.getByRole("heading", { name: "You are not logged in" }));
  assert.equal((await shown()).owner, "Nora");
});
