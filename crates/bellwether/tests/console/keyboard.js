// From the login to the decision by keyboard alone; where one is is always to be seen.
"use strict";

const { walk, assert, see, led } = require("./browser.js");

walk(async (visitor, { link }) => {
  const kay = await visitor();
  const page = await kay.logIn(link);
  let presses = 0;

  // Where the focus is, and whether that shows: an outline around what lies within the window, and not under the bar.
  const focused = () => page.evaluate(() => {
    const field = document.activeElement;
    const box = field.getBoundingClientRect();
    const style = getComputedStyle(field);
    const x = Math.min(Math.max(box.x + Math.min(box.width / 2, 20), 0), innerWidth - 1);
    const top = document.elementFromPoint(x, box.y + Math.min(box.height / 2, 10));
    return {
      name: (field.getAttribute("aria-label") ?? field.labels?.[0]?.textContent ?? field.textContent).trim().replace(/\s+/g, " "),
      isSeen: box.width > 0 && box.top >= 0 && box.top < innerHeight && (field.contains(top) || top?.contains(field) === true),
      isMarked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    };
  });
  const tabTo = async (name) => {
    for (let i = 0; i < 80; i += 1) {
      await page.keyboard.press("Tab");
      presses += 1;
      const at = await focused();
      assert(at.isSeen && at.isMarked, `the focus on “${at.name}” does not show: ${JSON.stringify(at)}`);
      if (at.name.startsWith(name)) return;
    }
    assert.fail(`no Tab leads to “${name}”`);
  };
  const enter = () => led(page, () => page.keyboard.press("Enter"));

  await tabTo("Skip to the content");
  await page.keyboard.press("Enter");
  await tabTo("Words");
  await page.keyboard.type("button");
  await enter();
  await tabTo("Checkout button");
  await enter();
  await tabTo("configuration");
  await enter();
  await tabTo("Edit: What it is");
  await page.keyboard.press("Space");
  await tabTo("Owner");
  await page.keyboard.press("Control+A");
  await page.keyboard.type("Kay");
  await tabTo("Save");
  await led(page, () => page.keyboard.press("Space"));
  await see(page.getByRole("status").getByText("Saved"));
  await tabTo("results");
  await enter();
  await tabTo("Outcome");
  await page.keyboard.type("roll");
  await tabTo("Reason");
  await page.keyboard.type("Nothing is gained.");
  await tabTo("Decide");
  await led(page, () => page.keyboard.press("Space"));
  await see(page.locator(".head .badge.concluded"));
  await see(page.getByText("keep the control"));
  console.log(`${presses} times Tab`);
});
