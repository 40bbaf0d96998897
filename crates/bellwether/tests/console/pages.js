// Every page, in light and dark, wide and on a phone: what axe says of it, that nothing of it lies outside the window, what it is
// like (as pictures, for whoever wants to look), and that no name does harm.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { walk, assert } = require("./browser.js");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const RULES = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] };
const THEMES = ["light", "dark"];
const WIDTHS = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };

// What each page's pictures are called, and where it is.
function places(ids) {
  const [running, hostile, uneven] = [ids.running, ids.hostile, ids.uneven].map((number) => `experiments/${number}`);
  const of = (kind, id) => `definitions/${kind}/${id}`;
  return {
    experiments: "experiments", "experiments-none": "experiments?search=nowhere", "new-experiment": "new/experiment",
    results: running, time: `${running}/time`, traffic: `${running}/traffic`, configuration: `${running}/configuration`,
    metrics: `${running}/metrics`, attachment: `${running}/metrics/${ids.metric}`, history: `${running}/history`, runs: `${running}/runs`, run: `runs/${ids.run}`,
    draft: `experiments/${ids.draft}`, uneven, "uneven-traffic": `${uneven}/traffic`,
    hostile, "hostile-time": `${hostile}/time`, "hostile-traffic": `${hostile}/traffic`, "hostile-configuration": `${hostile}/configuration`,
    "hostile-metrics": `${hostile}/metrics`, "hostile-history": `${hostile}/history`,
    welcome: "welcome", "list-of-metrics": "definitions/metrics", "new-metric": "new/metrics", metric: of("metrics", ids.metric),
    collections: "definitions/collections", collection: of("collections", ids.collection), "new-collection": "new/collections",
    "fact-source": of("fact_sources", ids.fact_source), "fact-rows": `${of("fact_sources", ids.fact_source)}/rows`,
    "assignment-source": of("assignment_sources", ids.assignment_source), "assignment-rows": `${of("assignment_sources", ids.assignment_source)}/rows`,
    found: `${of("assignment_sources", ids.assignment_source)}/found`,
    "new-assignment-source": `new/assignment_sources?warehouse=${ids.warehouse}&table=assignments`,
    warehouse: of("warehouses", ids.warehouse), tables: `${of("warehouses", ids.warehouse)}/tables`,
    schedules: "definitions/schedules", entity: of("entities", ids.entity), teams: "definitions/teams",
    endpoints: "endpoints", "new-endpoint": "new/endpoint", endpoint: `endpoints/${ids.endpoint}`, "failing-endpoint": `endpoints/${ids.failing_endpoint}`,
    events: "events", event: `events/${ids.event}`, deliveries: "deliveries", delivery: `deliveries/${ids.delivery}`, "failed-delivery": `deliveries/${ids.failed_delivery}`,
    people: "administration/people", keys: "administration/keys", audit: "administration/audit", system: "administration/system",
    "no-such-page": "experiments/999", login: "login",
  };
}

// The whole page. By the browser's own protocol, which has a fast way to write what is not to be small.
async function picture(page, protocol, file) {
  const { cssContentSize: { width, height } } = await protocol.send("Page.getLayoutMetrics");
  const taken = await protocol.send("Page.captureScreenshot", { optimizeForSpeed: true, captureBeyondViewport: true, clip: { x: 0, y: 0, width, height, scale: 1 } });
  fs.writeFileSync(file, Buffer.from(taken.data, "base64"));
}

walk(async (visitor, { url, link, pictures, ids, hostile }) => {
  const ada = await visitor();
  ada.expected.add(404);
  const page = await ada.logIn(link);
  const cdp = await ada.context.newCDPSession(page);
  const problems = [];
  // How much of the window moved after it was first seen, from 0 to 1.
  await ada.context.addInitScript(() => {
    window.shift = 0;
    new PerformanceObserver((list) => { for (const { value } of list.getEntries()) window.shift += value; }).observe({ type: "layout-shift", buffered: true });
  });
  let bytes = 0;
  const all = Object.entries(places(ids));
  for (const [name, place] of all) {
    await page.setViewportSize(WIDTHS.wide);
    const answer = await page.goto(`${url}/${place}`);
    bytes = Math.max(bytes, (await answer.body()).length);
    await page.evaluate(() => new Promise((seen) => { requestAnimationFrame(() => requestAnimationFrame(seen)); }));
    const shift = await page.evaluate(() => window.shift);
    if (shift > 0.001) problems.push(`${name}: ${shift} of it moved after it was first seen`);
    // All that can be opened is a part of the page.
    await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
    // As its author wrote it: the policy is in force, so that only what the page itself may do is done.
    await page.evaluate(AXE);
    for (const theme of THEMES) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: "reduce" });
      for (const [size, viewport] of Object.entries(WIDTHS)) {
        await page.setViewportSize(viewport);
        if (size === "wide") {
          const found = await page.evaluate((rules) => axe.run(document, rules), RULES);
          assert(found.passes.length > 5, `axe looked at ${name}`);
          for (const { id, nodes } of found.violations) problems.push(`${name}, ${theme}, ${size}: ${id}: ${nodes.slice(0, 3).map(({ html, any }) => `${html.slice(0, 200)} ${any[0]?.message ?? ""}`).join("\n    ")}`);
        }
        const [inner, outer] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        if (inner > outer) problems.push(`${name}, ${size}: ${inner} pixels wide, ${outer} are there`);
        await picture(page, cdp, path.join(pictures, `${name}-${size}-${theme}.png`));
      }
    }
    for (const text of await page.locator(".notice.error").allInnerTexts()) problems.push(`${name}: ${text}`);
    const pwned = await page.evaluate(() => window.pwned);
    if (pwned !== undefined) problems.push(`${name}: a name was run as a script`);
    if (name.startsWith("hostile")) assert((await page.locator("h1").textContent()).includes(hostile.name), `${name} shows the name as it is`);
  }
  // That axe does find what is wrong.
  await page.evaluate(() => { document.querySelector("main").append(new Image()); });
  const { violations } = await page.evaluate((rules) => axe.run(document, rules), RULES);
  assert.deepEqual(violations.map(({ id }) => id), ["image-alt"]);
  await page.goto(`${url}/experiments/${ids.hostile}/configuration`);
  assert.equal(await page.getByLabel("Hypothesis").inputValue(), hostile.text, "10,000 characters come back as they were");
  console.log(`${all.length} pages in ${THEMES.length} themes and ${Object.keys(WIDTHS).length} widths, the largest of ${bytes} bytes; pictures are in ${pictures}`);
  assert.deepEqual(problems, [], problems.join("\n"));
});
