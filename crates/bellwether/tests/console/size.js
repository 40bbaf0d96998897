// How much is sent for the page of an experiment with many metrics, and how soon it is painted.
"use strict";

const { walk, assert } = require("./browser.js");

const MOST_BYTES = 100_000;

walk(async (visitor, { url, link, experiment }) => {
  const ada = await visitor();
  await ada.logIn(link);
  // With nothing in the browser's store.
  const page = await ada.context.newPage();
  const protocol = await ada.context.newCDPSession(page);
  await protocol.send("Network.clearBrowserCache");
  await page.goto(`${url}/experiments/${experiment}`);
  assert.equal(await page.locator("section.metric").count(), 30);
  const { all, html, painted } = await page.evaluate(() => {
    const [document] = performance.getEntriesByType("navigation");
    const parts = performance.getEntriesByType("resource").filter(({ name }) => name.includes("/assets/"));
    const [paint] = performance.getEntriesByType("paint");
    return { html: document.encodedBodySize, all: parts.reduce((sum, part) => sum + part.encodedBodySize, document.encodedBodySize), painted: paint?.startTime };
  });
  console.log(`30 metrics, 3 variations: ${html} bytes, ${all} with looks and scripts; first painted after ${painted?.toFixed(0)} ms`);
  assert(all < MOST_BYTES, `${all} bytes are sent`);
  // Nothing moves when the script has run.
  const shifted = await page.evaluate(() => new Promise((resolve) => {
    new PerformanceObserver((list) => resolve(list.getEntries().reduce((sum, { value }) => sum + value, 0))).observe({ type: "layout-shift", buffered: true });
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(0)));
  }));
  assert(shifted < 0.02, `the layout shifts by ${shifted}`);
});
