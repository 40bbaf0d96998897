// From the link to the decision.
"use strict";

const { walk, assert, see, seeText, press, follow, led, edit } = require("./browser.js");

const TABS = { "over time": "Lift against the control", traffic: "Nothing says that subjects did not come", metrics: "Attached", runs: "by the key 'first admin'" };

walk(async (visitor, { link, experiment }) => {
  const ada = await visitor();
  const page = await ada.logIn(link);

  await page.getByRole("searchbox", { name: "Words" }).fill("button");
  await press(page, "Show");
  assert.equal(await page.locator(".list-row").count(), 1, "the search finds one of two");
  const row = await page.locator(".list-row").innerText();
  assert.match(row, /running.*▲ better.*Revenue per user \+\d+ %.*\d subjects/s, "what its results came to stands in the list");
  await follow(page, "Checkout button");

  // The verdict in words comes first, then each metric against zero.
  const verdict = await page.getByRole("region", { name: "Verdict" }).innerText();
  assert.match(verdict, /'Red button' raises 'Revenue per user' by \d+ %/);
  const metrics = page.getByRole("region", { name: "Metrics against the control" });
  assert.equal(await metrics.getByRole("img").count() >= 6, true, "a plot for each metric and treatment");
  assert.match(await metrics.locator("h3").first().innerText(), /Revenue per user.*primary/s);
  await page.getByText("All figures of Revenue per user").click();
  await see(page.getByRole("region", { name: "Figures of Revenue per user" }).getByRole("row", { name: /Grey button control/ }));

  for (const [tab, text] of Object.entries(TABS)) {
    await follow(page, tab);
    await seeText(page, text);
    assert.equal(await page.getByRole("link", { name: tab, exact: true }).getAttribute("aria-current"), "page");
  }

  // What is wrong stands beside its field, and nothing that was written is lost.
  await follow(page, "configuration");
  await edit(page, "Who is in it, and when");
  await page.getByLabel("Assignments end").fill("2099-12-31");
  await page.getByLabel("Traffic allocation").fill("7");
  await press(page, "Save");
  const allocation = page.getByLabel("Traffic allocation");
  const error = await allocation.evaluate((field) => field.getAttribute("aria-describedby").split(" ").map((id) => document.getElementById(id).textContent).join(" "));
  assert.match(error, /7/);
  assert.equal(await allocation.getAttribute("aria-invalid"), "true");
  assert.deepEqual([await allocation.inputValue(), await page.getByLabel("Assignments end").inputValue()], ["7", "2099-12-31"]);
  const stored = await page.getByRole("region", { name: "Who is in it, and when" }).locator("dl").innerText();
  assert.match(stored, /Traffic allocation\s+1\s+.*Assignments end\s+–/s, "what was not taken is not shown as if it were");
  await allocation.fill("0.8");
  await press(page, "Save");
  await see(page.getByRole("status").getByText("Saved"));
  const traffic = page.getByRole("region", { name: "Who is in it, and when" });
  assert.match(await traffic.locator("dl").innerText(), /Traffic allocation\s+0.8\s+.*Assignments end\s+2099-12-31/s);
  await edit(page, "What it is");
  await page.getByLabel("Owner").fill("Grace");
  await press(page, "Save");
  await see(page.getByRole("status").getByText("Saved"));

  await follow(page, "history");
  const latest = page.locator(".timeline > li").first();
  assert.match(await latest.innerText(), /by Ada.*owner.*Grace/s);

  // A run, followed without reloading.
  await page.evaluate(() => { window.isSamePage = true; });
  await press(page, "Run now");
  await page.evaluate(() => { window.isSamePage = true; });
  await see(page.locator(".badge.success"));
  assert.equal(await page.evaluate(() => window.isSamePage), true, "the page was not loaded again");

  await follow(page, "Checkout button");
  await page.getByLabel("Outcome").selectOption("ship");
  await page.getByLabel("Variation that is kept").selectOption({ label: "Red button" });
  await page.getByLabel("Reason").fill("It sells more, and is not sent back more often.");
  await press(page, "Decide");
  await see(page.locator(".head .badge.concluded"));
  await seeText(page, "ship “red”");
  await led(page, () => page.goto(page.url().replace(/[^/]+$/, `${experiment}/history`)));
  assert.match(await page.locator(".timeline > li").first().innerText(), /by Ada.*It sells more/s);
});
