// What happens elsewhere shows on open pages, and one stream serves all of them.
"use strict";

const { walk, api, assert, see, seeText, edit } = require("./browser.js");

walk(async (visitor, { url, key, link, experiment, other }) => {
  const lia = await visitor();
  const list = await lia.logIn(link);
  const page = await lia.open(`experiments/${experiment}`);
  const form = await lia.open(`experiments/${experiment}/configuration`);
  const elsewhere = await lia.open(`experiments/${other}`);
  for (const each of [list, page, form, elsewhere]) await each.evaluate(() => { window.isSamePage = true; });
  // Only what is seen is fetched anew: each page is brought to the front before it is looked at.
  await form.bringToFront();
  await edit(form, "What it is");
  await form.getByLabel("Hypothesis").fill("Half written");

  await api("PATCH", `experiments/${experiment}`, { name: "Checkout button, renamed", owner: "Grace" });
  await see(form.getByRole("heading", { name: "Checkout button, renamed" }));
  assert.equal(await form.getByLabel("Hypothesis").inputValue(), "Half written", "what is being written stays");
  await page.bringToFront();
  await see(page.getByRole("heading", { name: "Checkout button, renamed" }));
  await list.bringToFront();
  await see(list.getByRole("link", { name: "Checkout button, renamed" }));
  await api("POST", `experiments/${experiment}/decide`, { outcome: "rollback" });
  await see(list.locator(".badge.concluded"));
  await page.bringToFront();
  await see(page.locator(".badge.concluded"));
  await see(page.getByRole("button", { name: "Reopen" }));

  // The stream begins anew where it broke off.
  await lia.context.setOffline(true);
  await api("PATCH", `experiments/${experiment}`, { name: "Renamed while away" });
  await lia.context.setOffline(false);
  await seeText(page, "Renamed while away");

  // A form stays the same one while nothing of its part has changed, or while it is sent: clicks do not get lost.
  const endpoint = await api("POST", "endpoints", { url: "http://127.0.0.1:9/", events: ["webhook.endpoint.recovered"], enabled: false });
  const still = await lia.open(`endpoints/${endpoint.id}`);
  await still.evaluate(() => {
    document.querySelector("[data-part] form").isSameForm = true;
    const parse = DOMParser.prototype.parseFromString;
    // What is parsed is put in place before anything else happens.
    DOMParser.prototype.parseFromString = function (...given) { window.refreshes = (window.refreshes ?? 0) + 1; return parse.apply(this, given); };
  });
  const refreshed = async (name) => {
    const before = await still.evaluate(() => window.refreshes ?? 0);
    await api("PATCH", `experiments/${experiment}`, { name });
    await still.waitForFunction((seen) => window.refreshes > seen, before);
    return still.evaluate(() => document.querySelector("[data-part] form").isSameForm === true);
  };
  assert.equal(await refreshed("Renamed once more"), true, "another token is no change");
  await still.evaluate(() => { document.querySelector("[data-part] form").dataset.sent = "yes"; });
  await api("POST", `endpoints/${endpoint.id}/enable`, { from: "now" });
  assert.equal(await refreshed("Renamed while it is sent"), true, "what is sent is left alone");
  await still.evaluate(() => { delete document.querySelector("[data-part] form").dataset.sent; });
  assert.equal(await refreshed("Renamed at last"), false);
  await see(still.getByRole("button", { name: "Disable" }));
  await still.close();

  for (const each of [list, page, form, elsewhere]) assert.equal(await each.evaluate(() => window.isSamePage), true, "no page was loaded again");
  const counted = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${key}` } })).text();
  assert.equal(/^bellwether_event_streams (\d+)/m.exec(counted)?.[1], "1", "one stream for four pages");
});
