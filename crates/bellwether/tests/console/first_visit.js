// From an empty server to the first delivered event, as the welcome page leads.
"use strict";

const path = require("node:path");
const { walk, assert, see, seeText, press, follow, led } = require("./browser.js");

walk(async (visitor, { link, given, receiver }) => {
  const admin = await visitor();
  const began = Date.now();
  const page = await admin.logIn(link);
  const welcome = () => led(page, () => page.goto(new URL("/welcome", page.url()).href));

  await follow(page, "Begin with data");
  await press(page, "Make them");
  const files = ["assignments", "orders"].map((name) => path.join(given, `${name}.csv`));
  const upload = page.getByLabel("Put CSV or Parquet files there");
  await upload.setInputFiles(files);
  await seeText(page, "assignments.csv is there; orders.csv is there");
  for (const name of ["assignments", "orders"]) await see(page.getByRole("link", { name: `${name} has assignments` }));
  await upload.setInputFiles(files[1]);
  await seeText(page, "orders.csv has taken the place of the one that was there");

  await follow(page, "assignments has assignments");
  await page.getByLabel("Name", { exact: true }).fill("Assignments");
  await page.getByLabel("Entity", { exact: true }).selectOption({ label: "User" });
  for (const [label, column] of [["subject", "user_id"], ["time", "at"], ["experiment's key", "experiment"], ["variation", "variation"]]) {
    await page.getByLabel(`Column of the ${label}`, { exact: true }).fill(column);
  }
  await press(page, "Make");
  await see(page.getByRole("status").getByText("The assignment source is made."));

  await welcome();
  await follow(page, "orders has facts");
  await page.getByLabel("Name", { exact: true }).fill("Orders");
  await page.getByLabel("Column of the time").fill("at");
  await page.getByLabel("Entity", { exact: true }).first().selectOption({ label: "User" });
  await page.getByLabel("Column of its subject").first().fill("user_id");
  await page.getByLabel("Fact", { exact: true }).first().fill("Revenue");
  await page.getByLabel("Column of its value").first().fill("amount");
  await press(page, "Make");
  await see(page.getByRole("status").getByText("The fact source is made."));

  await welcome();
  await follow(page, "Make a metric");
  await page.getByLabel("Name", { exact: true }).fill("Revenue per user");
  assert.equal(await page.getByLabel("Entity", { exact: true }).locator("option:checked").innerText(), "User");
  const measured = page.getByRole("group", { name: /^What is measured/ });
  await measured.getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Revenue" });
  await measured.getByLabel("What of a subject's facts").selectOption("sum");
  await press(page, "Make");
  await see(page.getByRole("status").getByText("The metric is made."));

  await welcome();
  await follow(page, "Make an endpoint");
  await page.getByLabel("URL").fill(`${receiver}/first`);
  await press(page, "Make it, and show its secret");
  await press(page, "Send the test event");
  await seeText(page, "The endpoint is enabled");

  await welcome();
  await follow(page, "Experiments in the data");
  await press(page, "Look");
  await press(page, "Add checkout-cta");
  await page.getByRole("combobox", { name: "Metric" }).selectOption({ label: "Revenue per user" });
  await page.getByLabel("primary: it decides").check();
  await led(page, () => page.locator("form", { has: page.getByRole("heading", { name: "Attach a metric" }) }).getByRole("button", { name: "Attach" }).click());
  await seeText(page, "★ primary");
  await follow(page, "results");
  await press(page, "Start");
  await see(page.locator(".head .badge.running"));

  await welcome();
  await see(page.getByText("Its events arrive"));
  assert.equal(await page.locator("ol.steps > li").count(), await page.locator("ol.steps > li.done").count(), "every step is ticked");
  console.log(`from the link to the first event: ${((Date.now() - began) / 1000).toFixed(1)} s`);

  await follow(page, "deliveries");
  await see(page.locator(".badge.delivered"));
  await led(page, () => page.goto(new URL("/experiments/1", page.url()).href));
  await press(page, "Run now");
  await see(page.locator(".badge.success"));
  await follow(page, "checkout-cta");
  await see(page.getByRole("region", { name: "Verdict" }));
});
