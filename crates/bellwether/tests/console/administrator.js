// Who may come in, by what; secrets; what was given up; and how the installation fares.
"use strict";

const { walk, api, assert, see, seeText, press, follow, led } = require("./browser.js");

walk(async (visitor, { url, key, link, receiver }) => {
  const root = await visitor();
  const page = await root.logIn(link);
  page.on("dialog", (dialog) => dialog.accept());

  // A key, shown once, in force, and then not any more.
  await follow(page, "Administration");
  await follow(page, "keys");
  await page.getByLabel("Name").fill("Dashboard");
  await page.getByLabel("Expires").fill("tomorrow");
  await press(page, "Make a key");
  assert.equal(await page.getByLabel("Expires").getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByLabel("Name").inputValue(), "Dashboard");
  await page.getByLabel("Expires").fill("");
  await press(page, "Make a key");
  const issued = await page.locator("#issued").textContent();
  const status = async () => (await fetch(`${url}/api/v1/experiments`, { headers: { authorization: `Bearer ${issued}` } })).status;
  assert.equal(await status(), 200);
  await led(page, () => page.goto(`${url}/administration/keys`));
  assert.equal(await page.getByText(issued).count(), 0, "the key is shown once");
  await press(page, "Revoke Dashboard");
  await seeText(page, "The key is revoked");
  // A key that was looked up is believed for a second at most.
  while ((await status()) === 200);
  assert.equal(await status(), 401);

  // Somebody new, by the link that the page shows; another role counts at once, and who is deleted is out.
  await follow(page, "people");
  await page.getByLabel("Name").fill("Newcomer");
  await led(page, () => page.locator("form", { has: page.getByLabel("Name") }).getByRole("button").click());
  const newcomer = await visitor();
  const theirs = await newcomer.logIn(await page.locator("#link").textContent());
  assert.equal(await theirs.getByRole("link", { name: "New experiment" }).count(), 0);
  await led(page, () => page.goto(`${url}/administration/people`));
  await page.getByRole("combobox", { name: "Role of Newcomer" }).selectOption("write");
  await press(page, "Set role of Newcomer");
  await seeText(page, "The role counts at once.");
  await theirs.reload();
  await see(theirs.getByRole("link", { name: "New experiment" }));
  newcomer.expected.add(401);
  await press(page, "Delete Newcomer");
  await seeText(page, "They are out");
  await theirs.goto(`${url}/experiments`);
  await see(theirs.getByRole("heading", { name: "You are not logged in" }));

  // A secret is rotated in two steps.
  await follow(page, "Webhooks");
  await follow(page, "Rollout service");
  await press(page, "Rotate");
  assert.match(await page.locator("#secret").textContent(), /^whsec_/);
  await follow(page, "To the endpoint");
  await press(page, "Promote the new secret");
  await seeText(page, "The new secret signs now.");

  // What is refused is said, and what fails is disabled, enabled, recovered and replayed.
  await page.getByLabel("Since").first().fill("yesterday");
  await press(page, "Recover");
  await see(page.getByRole("alert").getByText("since"));
  await page.getByLabel("Since").first().fill("2026-01-01T00:00:00Z");
  await press(page, "Recover");
  await see(page.getByRole("status"));
  await page.getByLabel("Since").nth(1).fill("2026-01-01T00:00:00Z");
  await press(page, "Replay");
  await see(page.getByRole("status"));
  await press(page, "Disable");
  await see(page.locator(".head .badge", { hasText: "disabled" }));
  await press(page, "Enable, and send what it missed");
  await see(page.locator(".head .badge", { hasText: "sending" }));

  // The trail tells all of it, and the system how it fares.
  await follow(page, "Administration");
  await follow(page, "audit");
  const trail = await page.getByRole("region", { name: "Changes" }).innerText();
  for (const name of ["Dashboard", "Newcomer", "Rollout service", "promoted", "recovery requested"]) assert(trail.includes(name), `the trail speaks of ${name}: ${trail}`);
  assert(!trail.includes(issued) && !trail.includes("whsec_"), "no secret stands in the trail");
  await follow(page, "system");
  await press(page, "Look");
  await see(page.getByRole("row", { name: /database/ }));

  const { items: [endpoint] } = await api("GET", "endpoints");
  const { items: [sent] } = await api("GET", `deliveries?endpoint=${endpoint.id}&limit=1`);
  await page.goto(`${url}/endpoints/${endpoint.id}`);
  await press(page, "Delete");
  await seeText(page, "The endpoint is deleted.");
  await seeText(page, "Nobody is told yet");
  // What it was sent is still told of.
  await page.goto(`${url}/events/${sent.event_id}`);
  await seeText(page, "An endpoint that is deleted");
});
