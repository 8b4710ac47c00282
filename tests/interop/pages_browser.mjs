// Two people and the pages, in Chromium: ana invites carol, who makes an account on the page of the invitation,
// with scripts off and by keyboard alone, and logs in with slixmpp. Then she looks after it on her own
// page, invites somebody, and removes it.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { look, reach, start, tab } from "./browser.mjs";

const text = { type: "string" };
const { values: server } = parseArgs({
  options: {
    domain: { type: "string", default: "chat.example" },
    starttls: text, // a port of 127.0.0.1
    tls: text, // a port of 127.0.0.1
    ca: text, // the authority of the server, PEM
    "wrong-ca": text,
    ana: text, // the password of ana
    ben: text, // the password of ben
    packages: text, // the folder with node_modules
    python: text, // the one that has slixmpp
    pictures: text, // where pictures of all pages are kept
  },
});

const lines = createInterface({ input: process.stdin });

// Has the operator do something, and returns what came of it.
async function please(wish) {
  console.log(`please ${wish}`);
  const [line] = await once(lines, "line");
  return line.replace(/^done */, "");
}

function ok(step) {
  console.log(`ok ${step}`);
}

const LOGIN = [
  `${dirname(fileURLToPath(import.meta.url))}/pages_login.py`,
  ...["--domain", server.domain, "--starttls", server.starttls, "--ca", server.ca],
];

// Logs in as people do, and returns the contacts.
function slixmpp(name, password) {
  const ran = spawnSync(server.python, [...LOGIN, name], {
    input: password,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status: ran.status, contacts: ran.stdout.trim(), said: ran.stderr };
}

// Logs in and stays until the server ends it.
async function stay(name, password) {
  const child = spawn(server.python, [...LOGIN, "--stay", name], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.end(`${password}\n`);
  await once(child.stdout, "data");
  return child;
}

const error = (page, id) => page.locator(`#${id}-error`).innerText();

const invitation = new URL(await please("invite"));
const { origin } = invitation;
const chromium = await start(server.packages, server.domain, server.pictures);
const page = await tab(chromium, origin, { scripts: false });

// The invitation.
const answer = await page.goto(invitation.href);
assert.equal(answer.status(), 200);
assert.match(await page.locator("h1").innerText(), /^ana@chat\.example invites you/);
const link = await page.getByRole("link", { name: /in my app/ }).getAttribute("href");
const token = invitation.pathname.split("/").pop();
assert.equal(link, `xmpp:ana@chat.example?roster;preauth=${token};ibr=y`);
assert.equal(await page.locator("svg.qr").count(), 1);
assert.ok((await answer.body()).length < 40_000, "the page is too large");
await look(chromium, page, "invitation");
await page.locator("summary").click();
assert.ok(await page.getByText("Conversations").isVisible());
await look(chromium, page, "invitation-apps");
ok("invitation");

// Wrong, by keyboard. What was typed stays, but no password.
await page.goto(invitation.href);
await reach(page, "name");
await page.keyboard.type("ana");
await reach(page, "password");
await page.keyboard.type("one password");
await reach(page, "repeat");
await page.keyboard.type("another password");
await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
assert.equal(await error(page, "repeat"), "The two passwords are not the same.");
assert.equal(await page.locator("#name").inputValue(), "ana");
assert.equal(await page.locator("#password").inputValue(), "");
await page.fill("#password", "one password");
await page.fill("#repeat", "one password");
await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Make the account" }).click()]);
assert.match(await error(page, "name"), /taken/);
assert.equal(await page.evaluate(() => document.activeElement.id), "name");
await look(chromium, page, "invitation-errors");
ok("errors");

// Right, by keyboard.
await page.goto(invitation.href);
await reach(page, "name");
await page.keyboard.type("Carol");
await reach(page, "password");
await page.keyboard.type("Pa55 & wörd+");
await reach(page, "repeat");
await page.keyboard.type("Pa55 & wörd+");
await reach(page, "Make the account");
await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
assert.equal(await page.locator("p.address").innerText(), "carol@chat.example");
await look(chromium, page, "welcome");
ok("account");

const first = slixmpp("carol", "Pa55 & wörd+");
assert.equal(first.status, 0, first.said);
assert.equal(first.contacts, "ana@chat.example both");
ok("slixmpp");

// The invitation is used.
const used = await page.goto(invitation.href);
assert.equal(used.status(), 404);
await look(chromium, page, "invitation-used");
ok("used");

// The own page.
await page.goto(`${origin}/account`);
await look(chromium, page, "login");
await reach(page, "address");
await page.keyboard.type("carol@chat.example");
await reach(page, "password");
await page.keyboard.type("wrong");
await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
assert.match(await page.getByRole("alert").innerText(), /wrong/);
assert.equal(await page.locator("#address").inputValue(), "carol@chat.example");
await look(chromium, page, "login-wrong");
await page.fill("#password", "Pa55 & wörd+");
await Promise.all([page.waitForURL(`${origin}/account`), page.keyboard.press("Enter")]);
assert.equal(await page.locator("p.address").innerText(), "carol@chat.example");
const [cookie] = await page.context().cookies();
assert.ok(cookie.httpOnly && cookie.secure && cookie.sameSite === "Strict", "the cookie is open");
ok("login");

// An app that is here.
const app = await stay("carol", "Pa55 & wörd+");
await page.reload();
await look(chromium, page, "account");
assert.equal(await page.getByText("connected now").count(), 1);
await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: /^Log out: / }).click()]);
assert.match(await page.getByRole("status").innerText(), /logged out/);
assert.equal(await page.getByText("connected now").count(), 0);
if (app.exitCode === null) await once(app, "exit");
await look(chromium, page, "account-revoked");
ok("revoke");

// Contacts as a file.
const [download] = await Promise.all([
  page.waitForEvent("download"),
  page.getByRole("link", { name: "Download my contacts" }).click(),
]);
assert.equal(download.suggestedFilename(), "contacts.xml");
ok("contacts");

// An invitation of her own.
await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: "Make an invitation" }).click()]);
const own = await page.locator("main a").first().getAttribute("href");
assert.ok(own.startsWith(`${origin}/invite/`), own);
await look(chromium, page, "invite");
const guest = await tab(chromium, origin, { scripts: true });
await guest.goto(own);
assert.match(await guest.locator("h1").innerText(), /^carol@chat\.example invites you/);
await look(chromium, guest, "invitation-with-scripts");
ok("invite");

// Another password.
await page.goto(`${origin}/account`);
await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: "Change the password" }).click()]);
await page.fill("#now", "not it");
await page.fill("#new", "Another 1");
await page.fill("#repeat", "Another 1");
await Promise.all([page.waitForNavigation(), page.keyboard.press("Enter")]);
assert.equal(await error(page, "now"), "This is not your password.");
await look(chromium, page, "password-wrong");
await page.fill("#now", "Pa55 & wörd+");
await page.fill("#new", "Another 1");
await page.fill("#repeat", "Another 1");
await Promise.all([page.waitForURL(/account\?password$/), page.keyboard.press("Enter")]);
assert.match(await page.getByRole("status").innerText(), /another now/);
assert.notEqual(slixmpp("carol", "Pa55 & wörd+").status, 0);
assert.equal(slixmpp("carol", "Another 1").status, 0);
ok("password");

// The end.
await Promise.all([page.waitForNavigation(), page.getByRole("link", { name: "Remove the account" }).click()]);
await look(chromium, page, "remove");
await page.fill("#now", "Another 1");
await page.check("#sure");
await Promise.all([page.waitForNavigation(), page.getByRole("button", { name: /for ever/ }).click()]);
assert.match(await page.locator("h1").innerText(), /gone/);
await look(chromium, page, "removed");
assert.notEqual(slixmpp("carol", "Another 1").status, 0);
ok("remove");

await chromium.browser.close();
lines.close();
