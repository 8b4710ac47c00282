// Debian's Chromium, and what is looked at on every page in it: no fault that axe finds, nothing wider
// than the screen, nothing from elsewhere, no complaint of the browser. In light and dark, on a phone and
// on a large screen; a picture of each is kept for people to look at.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

// Light and dark, on a phone and on a large screen.
const SHAPES = ["light", "dark"].flatMap((colorScheme) =>
  [390, 1200].map((width) => ({ colorScheme, width, height: width < 600 ? 844 : 900 })),
);
// How long all of it may take on a busy machine, in milliseconds.
const PATIENCE = 400_000;

// Starts Chromium with the packages of the folder that `setup` made. The domain leads to this machine.
export async function start(packages, domain, pictures) {
  setTimeout(() => assert.fail("it takes too long"), PATIENCE).unref();
  const find = createRequire(`${packages}/`);
  const { chromium } = find("playwright-core");
  const axe = readFileSync(find.resolve("axe-core/axe.min.js"), "utf8");
  const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", `--host-resolver-rules=MAP ${domain} 127.0.0.1`],
  });
  mkdirSync(pictures, { recursive: true });
  // axe is a script, and pages are looked at as they are without: it gets a copy.
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const copy = await context.newPage();
  return { browser, axe, copy, pictures };
}

// Opens a tab of a browser of its own, which fails when anything comes from elsewhere.
export async function tab({ browser }, origin, { scripts }) {
  const context = await browser.newContext({
    ignoreHTTPSErrors: true, // the test's own authority
    javaScriptEnabled: scripts,
    locale: "en-GB",
  });
  const page = await context.newPage();
  page.faults = [];
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== origin) page.faults.push(`asked for ${request.url()}`);
  });
  page.on("console", (line) => {
    // What a test answers with an error on purpose.
    const isStatus = line.text().startsWith("Failed to load resource: the server responded");
    if (line.type() === "error" && !isStatus) page.faults.push(`console: ${line.text()}`);
  });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  return page;
}

// Looks at a page in all shapes. `name` is what its pictures are called.
export async function look({ axe, copy, pictures }, page, name) {
  const body = await page.content();
  const address = `${new URL(page.url()).origin}/copy`;
  await copy.route(address, (route) => route.fulfill({ contentType: "text/html", body }));
  await copy.goto(address);
  await copy.unroute(address);
  await copy.evaluate(`${axe}; undefined`);
  for (const { colorScheme, width, height } of SHAPES) {
    const what = `${name}-${colorScheme}-${width}`;
    for (const one of [page, copy]) {
      await one.setViewportSize({ width, height });
      await one.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    }
    await page.screenshot({ path: `${pictures}/${what}.png`, fullPage: true });
    const wide = await copy.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `${what} is ${wide} px wide`);
    const { violations } = await copy.evaluate(() => globalThis.axe.run());
    const said = violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map((n) => n.html)}`);
    assert.deepEqual(said, [], what);
  }
  assert.deepEqual(page.faults, [], name);
}

// Goes on by keyboard alone until the element with this id, or with this text, has the focus, and sees to
// it that people see that it has.
export async function reach(page, wanted) {
  for (let step = 0; step < 60; step += 1) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const { id, innerText } = document.activeElement;
      const style = getComputedStyle(document.activeElement);
      const outline = parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== "none";
      return { id, text: (innerText ?? "").trim(), outline };
    });
    if (at.id === wanted || at.text === wanted) {
      assert.ok(at.outline, `nobody sees that ${wanted} has the focus`);
      return;
    }
  }
  assert.fail(`${wanted} cannot be reached by keyboard`);
}
