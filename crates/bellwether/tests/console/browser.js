// What all paths share: a browser, somebody in it, and what must hold of every page that they see.
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const told = JSON.parse(process.env.CONSOLE);
// Nothing takes so long unless it never comes.
const PATIENCE = 8_000;
const POLICY = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"];

function program() {
  const found = process.env.PATH.split(path.delimiter).map((folder) => path.join(folder, "chromium")).find((file) => fs.existsSync(file));
  assert(found, "there is no chromium; run `cargo xtask setup`");
  return found;
}

// A browser of somebody's own, with what went wrong in it.
class Visitor {
  constructor(context) {
    this.context = context;
    this.faults = [];
    // Answers that a path provokes: the browser calls each an error. A form may be refused on every path.
    this.expected = new Set([422]);
    context.on("page", (page) => this.watch(page));
  }

  watch(page) {
    page.setDefaultTimeout(PATIENCE);
    const fault = (text) => this.faults.push(`${page.url()}: ${text}`);
    page.on("pageerror", (error) => fault(`script failed: ${error.stack}`));
    page.on("console", (message) => {
      const isExpected = [...this.expected].some((status) => message.text().includes(`status of ${status}`));
      if (["error", "warning"].includes(message.type()) && !isExpected) fault(`${message.type()}: ${message.text()}`);
    });
    page.on("response", (response) => {
      if (!response.url().startsWith(told.url)) return;
      if (response.status() >= 500) fault(`${response.status()} of ${response.url()}`);
      if (!response.headers()["content-type"]?.startsWith("text/html") || response.url().endsWith("/api/docs")) return;
      const policy = response.headers()["content-security-policy"] ?? "";
      for (const part of POLICY) if (!policy.includes(part)) fault(`the policy has no ${part}: ${policy}`);
      if (policy.includes("unsafe")) fault(`the policy is unsafe: ${policy}`);
    });
  }

  async open(place = "") {
    const page = await this.context.newPage();
    await page.goto(new URL(place, told.url).href);
    return page;
  }

  // By a link, as it is sent to people.
  async logIn(link) {
    const page = await this.context.newPage();
    await page.goto(link);
    await page.waitForURL("**/experiments");
    return page;
  }
}

// Fails when a whole path takes too long.
const overdue = () => new Promise((_, reject) => { setTimeout(reject, 10 * PATIENCE, new Error("the path does not come to its end")); });

async function walk(steps) {
  const began = Date.now();
  const browser = await chromium.launch({ executablePath: program(), args: ["--headless", "--no-sandbox", "--disable-gpu", ...(told.args ?? [])] });
  const visitors = [];
  const visitor = async (options = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", timezoneId: "UTC", ...options });
    const someone = new Visitor(context);
    visitors.push(someone);
    return someone;
  };
  try {
    await Promise.race([steps(visitor, told), overdue()]);
    assert.deepEqual(visitors.flatMap(({ faults }) => faults), []);
    console.log(`${path.basename(process.argv[1])}: ${((Date.now() - began) / 1000).toFixed(1)} s`);
  } catch (error) {
    console.error(error.stack ?? error);
    for (const fault of visitors.flatMap(({ faults }) => faults)) console.error(fault);
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      const picture = path.join(process.env.CONSOLE_FAILURES, `failed-${path.basename(process.argv[1], ".js")}.png`);
      await page.screenshot({ path: picture, fullPage: true }).catch(() => {});
      console.error(`${page.url()} (${picture}) says:\n${await page.locator("body").innerText({ timeout: 1000 }).catch(String)}`);
    }
    process.exitCode = 1;
  }
  await browser.close();
  // Whatever a path has left open.
  process.exit();
}

// The API, as programs use it.
async function api(method, place, body) {
  const answer = await fetch(`${told.url}/api/v1/${place}`, {
    method, headers: { authorization: `Bearer ${told.key}`, "content-type": "application/json" }, body: body && JSON.stringify(body),
  });
  assert(answer.ok, `${method} ${place}: ${answer.status} ${await answer.clone().text()}`);
  return answer.status === 204 ? null : answer.json();
}

// Waits until it is seen.
const see = (locator) => locator.first().waitFor({ state: "visible" });
const seeText = (page, text) => see(page.getByText(text));
// What a click or Enter leads to, once that is there.
async function led(page, act) {
  await Promise.all([page.waitForEvent("load"), act()]);
}
const press = (page, name, within = page) => led(page, () => within.getByRole("button", { name, exact: true }).first().click());
const follow = (page, name, within = page) => led(page, () => within.getByRole("link", { name, exact: true }).first().click());

// Opens the form of a section of the configuration, unless it is open.
async function edit(page, title) {
  const section = page.getByRole("region", { name: title, exact: true });
  if (await section.locator("details").getAttribute("open") === null) await section.locator("summary").click();
}

module.exports = { walk, api, assert, see, seeText, led, press, follow, edit };
