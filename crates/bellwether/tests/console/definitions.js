// What experiments are made of, by forms.
"use strict";

const { walk, api, assert, see, seeText, press, follow, led, edit } = require("./browser.js");

const KINDS = ["metrics", "collections", "fact_sources", "assignment_sources", "warehouses", "entities", "schedules", "teams"];

walk(async (visitor, { url, link, experiment }) => {
  const dora = await visitor();
  const page = await dora.logIn(link);
  const field = (label) => page.getByLabel(label, { exact: true });
  const begin = async (kind) => {
    await page.goto(`${url}/definitions/${kind}`);
    await led(page, () => page.getByRole("link", { name: /^New / }).click());
  };
  const made = async (what) => {
    await press(page, "Make");
    await see(page.getByRole("status").getByText(`The ${what} is made.`));
  };

  await begin("teams");
  await press(page, "Make");
  await see(field("Name"));
  assert.equal(await field("Name").getAttribute("aria-invalid"), "true", "a name is needed");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("role")), "alert", "who hears the page is told first");
  await field("Name").fill("Growth");
  await made("team");
  await begin("entities");
  await field("Name").fill("Household");
  await made("entity");
  await begin("schedules");
  await field("Name").fill("Nightly");
  await field("Cron expression").fill("every night");
  await press(page, "Make");
  assert.equal(await field("Cron expression").getAttribute("aria-invalid"), "true");
  await field("Cron expression").fill("0 3 * * *");
  await field("Time zone").fill("Europe/Berlin");
  await made("schedule");

  await begin("metrics");
  await field("Name").fill("Value of an order");
  await field("Entity").selectOption({ label: "User" });
  await field("Kind").selectOption("ratio");
  const part = (title) => page.locator("details", { has: page.locator("summary", { hasText: title }) });
  const group = (within, name) => within.getByRole("group", { name, exact: true });
  const measured = page.getByRole("group", { name: /^What is measured/ });
  await measured.getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Revenue" });
  await measured.getByLabel("What of a subject's facts").selectOption("sum");
  await press(page, "Make");
  await see(page.locator("p.error, [role=alert]"));
  assert.equal(await field("Name").inputValue(), "Value of an order", "the input is kept");
  const denominator = part("Denominator");
  assert.match(await page.getByRole("alert").innerText(), /^Denominator.*: it is missing/, "what is missing is called as on the page");
  assert.notEqual(await denominator.getAttribute("open"), null, "what is missing stands open");
  await group(denominator, "Denominator").getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Order" });
  await group(denominator, "Denominator").getByLabel("What of a subject's facts").selectOption("count");
  const bounds = part("Which facts count");
  await bounds.locator("summary").click();
  await group(bounds, "Timeframe").getByLabel("Facts count from").fill("5");
  await group(bounds, "Timeframe").getByLabel("to", { exact: true }).fill("a week");
  await press(page, "Make");
  const end = group(bounds, "Timeframe").getByLabel("to", { exact: true });
  await see(end);
  assert.equal(await end.getAttribute("aria-invalid"), "true", "this is no number");
  assert.equal(await end.inputValue(), "a week");
  await end.fill("7");
  await bounds.getByLabel("Upper percentile").fill("0.99");
  await field("Smallest lift that matters").fill("0.02");
  await made("metric");
  const last = async () => (await api("GET", "metrics?sort=-created_at")).items[0];
  const { numerator } = await last();
  assert.deepEqual(numerator.timeframe, { start: 5, end: 7, unit: "days", only_aged: false });
  assert.equal(numerator.winsorization.upper_percentile, 0.99);
  // What is cleared is gone.
  await end.fill("");
  await group(bounds, "Timeframe").getByLabel("Facts count from").fill("");
  await press(page, "Save");
  assert.equal((await last()).numerator.timeframe, null);

  await begin("metrics");
  await field("Name").fill("Dear orders");
  await field("Entity").selectOption({ label: "User" });
  await field("Kind").selectOption("percentile");
  const percentile = part(/^Percentile$/);
  await percentile.locator("summary").click();
  await group(percentile, "Percentile").getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Revenue" });
  await group(percentile, "Percentile").getByLabel("Level").fill("0.9");
  await made("metric");
  assert.equal((await last()).percentile.level, 0.9);

  await begin("metrics");
  await field("Name").fill("Orders twice");
  await field("Entity").selectOption({ label: "User" });
  await field("Kind").selectOption("funnel");
  const funnel = part(/^Funnel$/);
  await funnel.locator("summary").click();
  await group(funnel, "Step 1").getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Order" });
  await group(funnel, "Step 2").getByLabel("Fact", { exact: true }).selectOption({ label: "Orders: Order" });
  await group(funnel, "Step 2").getByLabel("Name of the step").fill("Once more");
  await group(funnel, "Conversion window").getByLabel("All steps within").fill("3");
  await made("metric");
  const steps = (await last()).funnel;
  assert.deepEqual(steps.steps.map((step) => step.name), [null, "Once more"]);
  assert.deepEqual(steps.conversion_window, { length: 3, unit: "days", from: "assignment" });

  await begin("collections");
  await field("Name").fill("Sales");
  await press(page, "Make");
  await see(page.getByRole("alert").getByText("a collection holds from 1"));
  for (const name of ["Revenue per user", "Value of an order"]) await page.getByRole("checkbox", { name, exact: true }).check();
  await made("collection");
  await page.goto(`${url}/experiments/${experiment}/metrics`);
  await field("Collection").selectOption({ label: "Sales" });
  await led(page, () => page.locator("form", { has: page.getByRole("heading", { name: "Attach a collection" }) }).getByRole("button").click());
  await seeText(page, "of the collection Sales");
  await press(page, "Detach the collection Sales");
  assert.equal(await page.getByText("of the collection Sales").count(), 0);

  // What a form shows, it sends back as it was, whatever the kind.
  for (const kind of KINDS) {
    for (const { id, name } of (await api("GET", kind)).items) {
      const before = await api("GET", `${kind}/${id}`);
      await page.goto(`${url}/definitions/${kind}/${id}`);
      await press(page, "Save");
      await see(page.getByRole("status").getByText("Saved"));
      assert.deepEqual(await api("GET", `${kind}/${id}`), before, `${name} is as it was`);
    }
  }
  const { items: [endpoint] } = await api("GET", "endpoints");
  const settings = await api("GET", `endpoints/${endpoint.id}`);
  await page.goto(`${url}/endpoints/${endpoint.id}`);
  await press(page, "Save");
  await see(page.getByRole("status").getByText("Saved"));
  assert.equal((await api("GET", `endpoints/${endpoint.id}`)).version, settings.version, "the endpoint is as it was");
  const more = part("Filters, order");
  await more.locator("summary").click();
  await group(more, "Only experiments of these entities").getByLabel("User").check();
  await group(more, "Of the ends of runs, only those").getByLabel("that failed").check();
  await group(more, "Header 1").getByLabel("Name").fill("x-token");
  await group(more, "Header 1").getByLabel("Value").fill("secret");
  await more.getByLabel("Retries").fill("5, soon");
  await press(page, "Save");
  assert.equal(await more.getByLabel("Retries").getAttribute("aria-invalid"), "true", "that is no number");
  await more.getByLabel("Retries").fill("5, 300");
  await press(page, "Save");
  await see(page.getByRole("status").getByText("Saved"));
  const saved = await api("GET", `endpoints/${endpoint.id}`);
  assert.deepEqual([saved.filter.runs, saved.filter.entity_ids.length, saved.headers, saved.retry_schedule], [["failure"], 1, { "x-token": "[hidden]" }, [5, 300]]);
  const shown = await api("GET", `experiments/${experiment}`);
  await page.goto(`${url}/experiments/${experiment}/configuration`);
  for (const title of ["What it is", "Who is in it, and when", "Variations", "Analysis plan"]) {
    await edit(page, title);
    await press(page, "Save");
    await see(page.getByRole("status").getByText("Saved"));
  }
  assert.deepEqual(await api("GET", `experiments/${experiment}`), shown, "the experiment is as it was");

  // A new experiment, made as one that is to be refused first; a variation that is added is active.
  await page.goto(`${url}/new/experiment`);
  await field("Name").first().fill("Basket");
  await field("Key").first().fill("basket");
  await field("Weight").first().fill("-1");
  await press(page, "Make a draft");
  await see(page.locator("p.error"));
  assert.equal(await field("Key").first().inputValue(), "basket");
  await field("Weight").first().fill("1");
  await press(page, "Make a draft");
  await seeText(page, "The draft is made.");
  await follow(page, "configuration");
  await edit(page, "Variations");
  const third = page.getByRole("group", { name: "Variation 3" });
  await third.getByLabel("Key").fill("third");
  await third.getByLabel("Weight").fill("2");
  await press(page, "Save");
  await see(page.getByRole("status").getByText("Saved"));
  assert.equal((await api("GET", "experiments/key:basket")).variations[2].is_active, true);

  // A query that is wrong, in the words of the database beside it; one that is right shows its rows.
  await page.goto(`${url}/definitions/fact_sources`);
  await follow(page, "Orders");
  await field("SQL").fill("SELECT nothing FROM orders");
  await press(page, "Save");
  await see(page.locator("p.error", { hasText: "No field named nothing" }));
  assert.equal(await field("SQL").inputValue(), "SELECT nothing FROM orders");
  await follow(page, "First rows");
  await see(page.getByRole("region", { name: "Rows" }).getByText("u0", { exact: true }));

  // What is in use is not deleted, and says by what; the rest is.
  await page.goto(`${url}/definitions/entities`);
  await follow(page, "User");
  page.on("dialog", (dialog) => dialog.accept());
  await press(page, "Delete");
  await see(page.getByRole("alert"));
  await page.goto(`${url}/definitions/teams`);
  await follow(page, "Growth");
  await press(page, "Delete");
  await see(page.getByRole("status").getByText("The team is deleted."));
  assert.equal(await page.getByRole("link", { name: "Growth" }).count(), 0);

  // The steps of a funnel stand beside its lift, once a run has come to its end.
  const twice = (await api("GET", "metrics?search=twice")).items[0];
  await api("POST", `experiments/${experiment}/metrics`, { metric_id: twice.id });
  await page.goto(`${url}/experiments/${experiment}`);
  await api("POST", `experiments/${experiment}/runs`, { mode: "full" });
  await page.getByText("Steps of Orders twice").click();
  const shares = page.getByRole("region", { name: "Steps of Orders twice" });
  await see(shares.getByRole("row", { name: /^Once more \d+(\.\d+)? % / }));

  // Certificates of an endpoint's own are asked for, and told when they cannot be used.
  await page.goto(`${url}/endpoints/${endpoint.id}`);
  const certificates = part("Certificates of its own");
  await certificates.locator("summary").click();
  await certificates.getByLabel("Certificate to show").fill("no certificate");
  await press(page, "Save");
  await see(page.getByRole("alert").getByText("a client certificate needs its key"));
  assert.equal(await certificates.getByLabel("Certificate to show").inputValue(), "no certificate");

  // An experiment's events are found by its key, and a search that cannot be made keeps the page.
  await page.goto(`${url}/events`);
  await page.getByLabel("Experiment", { exact: true }).fill("basket");
  await press(page, "Show");
  await seeText(page, "revision 1");
  await page.goto(`${url}/experiments?search=${encodeURIComponent("a b c d e f g h i j k l")}`);
  await see(page.getByRole("alert"));
  assert.equal(await page.getByRole("searchbox", { name: "Words" }).inputValue(), "a b c d e f g h i j k l");
});
