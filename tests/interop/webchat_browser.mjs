// Web chats, in Chromium. Converse.js is served by the server itself from a folder; ana and ben
// log in by its form, chat, reload and still have what they wrote, first over WebSocket, then by BOSH. Then
// two strophe.js on one page write to each other.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const PATIENCE = 60_000;
const text = { type: "string" };
const { values: server } = parseArgs({
  options: {
    domain: { type: "string", default: "chat.example" },
    starttls: text, // a port of 127.0.0.1
    tls: text, // a port of 127.0.0.1
    web: text, // the port for browsers, in the clear
    ca: text,
    "wrong-ca": text,
    ana: text, // the password of ana
    ben: text, // the password of ben
    packages: text, // the folder with node_modules
    pictures: text, // where pictures are kept
  },
});
// Two green pixels beside each other.
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAADUlEQVR4nGPQmGYDRAAGtQH1rSge9gAAAABJRU5ErkJggg==",
  "base64",
);
const origin = `http://127.0.0.1:${server.web}`;

function ok(step) {
  console.log(`ok ${step}`);
}

// Logs in with the form, as a person does.
async function login(browser, name, by) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1200, height: 900 } });
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (line) => {
    const isOurs = /Content Security Policy|stream error|bad-request|terminate/i.test(line.text());
    if (line.type() === "error" && isOurs) page.faults.push(line.text());
  });
  page.setDefaultTimeout(PATIENCE);
  await page.goto(`${origin}/?by=${by}`);
  await page.fill("converse-login-form input[name=jid]", `${name}@${server.domain}`);
  await page.fill("converse-login-form input[name=password]", server[name]);
  await page.screenshot({ path: `${server.pictures}/converse-${by}-login.png` });
  await page.click("converse-login-form [type=submit]");
  await connected(page);
  return page;
}

const connected = (page) => page.waitForFunction(() => globalThis.seen?.connection.connected());
const sees = (page, words) =>
  page.waitForFunction(
    (words) => [...document.querySelectorAll(".chat-msg__text")].some((e) => e.innerText.includes(words)),
    words,
  );

// Waits until a picture from this server is really there.
const shows = (page, by) =>
  page.waitForFunction(
    ({ origin, name }) =>
      [...document.querySelectorAll("converse-chat-message img")].some(
        ({ src, naturalWidth }) =>
          src.startsWith(`${origin}/upload/`) && src.endsWith(name) && naturalWidth === 2,
      ),
    { origin, name: `/${by}.png` },
  );

// Writes to somebody, or into a room.
async function write(page, words) {
  await page.fill("textarea.chat-textarea", words);
  await page.press("textarea.chat-textarea", "Enter");
}

async function converse(browser, by) {
  const [ana, ben] = [await login(browser, "ana", by), await login(browser, "ben", by)];
  ok(`${by}-login`);
  for (const [page, other] of [[ana, "ben"], [ben, "ana"]]) {
    await page.evaluate((jid) => void globalThis.seen.chats.open(jid, {}, true), `${other}@${server.domain}`);
    await page.waitForSelector("textarea.chat-textarea");
  }
  await write(ana, `Hello by ${by}`);
  await sees(ben, `Hello by ${by}`);
  await write(ben, `And back by ${by}`);
  await sees(ana, `And back by ${by}`);
  ok(`${by}-chat`);
  await ana.setInputFiles("converse-chat input[type=file]", {
    name: `${by}.png`,
    mimeType: "image/png",
    buffer: PICTURE,
  });
  for (const page of [ana, ben]) await shows(page, by);
  ok(`${by}-picture`);
  await ana.reload();
  await connected(ana);
  await sees(ana, `Hello by ${by}`);
  await sees(ana, `And back by ${by}`);
  await shows(ana, by);
  await write(ana, `Still there by ${by}`);
  await sees(ben, `Still there by ${by}`);
  await ana.screenshot({ path: `${server.pictures}/converse-${by}-chat.png` });
  ok(`${by}-reload`);
  const room = `garden-${by}@rooms.${server.domain}`;
  for (const [page, nick] of [[ana, "ana"], [ben, "ben"]]) {
    await page.evaluate(({ room, nick }) => void globalThis.seen.rooms.open(room, { nick }, true), { room, nick });
    await page.waitForSelector("converse-muc textarea.chat-textarea");
  }
  await ana.fill("converse-muc textarea.chat-textarea", `To all by ${by}`);
  await ana.press("converse-muc textarea.chat-textarea", "Enter");
  for (const page of [ana, ben]) await sees(page, `To all by ${by}`);
  await ben.screenshot({ path: `${server.pictures}/converse-${by}-room.png` });
  ok(`${by}-room`);
  for (const page of [ana, ben]) {
    assert.deepEqual(page.faults, [], by);
    await page.context().close();
  }
}

// Two of strophe.js, ana's and ben's.
async function strophe(browser, by) {
  const page = await browser.newPage();
  await page.goto(`${origin}/strophe.html`);
  const service = by === "bosh" ? `${origin}/http-bind` : `${origin.replace("http", "ws")}/xmpp-websocket`;
  const got = await page.evaluate(
    async ({ service, domain, passwords }) => {
      const { Strophe, $msg, $pres } = globalThis.strophe ?? globalThis;
      const log = (name) =>
        new Promise((done, failed) => {
          const connection = new Strophe.Connection(service);
          connection.connect(`${name}@${domain}`, passwords[name], (status, why) => {
            if (status === Strophe.Status.CONNECTED) done(connection);
            if (status === Strophe.Status.AUTHFAIL || status === Strophe.Status.CONNFAIL) failed(new Error(why));
          });
        });
      const [ana, ben] = [await log("ana"), await log("ben")];
      const heard = new Promise((done) => {
        ben.addHandler((message) => done(Strophe.getText(message.querySelector("body"))), null, "message", "chat");
      });
      ben.send($pres());
      ana.send($msg({ to: ben.jid, type: "chat" }).c("body").t("Hello <&> from strophe"));
      const text = await heard;
      ana.disconnect("done");
      ben.disconnect("done");
      return text;
    },
    { service, domain: server.domain, passwords: { ana: server.ana, ben: server.ben } },
  );
  // Strophe gives texts as they would stand in XML.
  assert.equal(got, "Hello &lt;&amp;&gt; from strophe");
  await page.context().close();
  ok(`strophe-${by}`);
}

const { chromium } = createRequire(`${server.packages}/`)("playwright-core");
mkdirSync(server.pictures, { recursive: true });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  await converse(browser, "websocket");
  await converse(browser, "bosh");
  await strophe(browser, "websocket");
  await strophe(browser, "bosh");
} finally {
  await browser.close();
}
