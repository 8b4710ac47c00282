// Files that would like to run in a browser, in Chromium: ana sends them by a page of the server's own
// origin, where ben is logged in to his account. Whoever opens a link, or puts it into a page of that
// origin, runs nothing of it. That each would run elsewhere is looked at first.

import assert from "node:assert/strict";
import { parseArgs } from "node:util";

import { start } from "./browser.mjs";

const PATIENCE = 60_000;
const text = { type: "string" };
const { values: server } = parseArgs({
  options: {
    domain: { type: "string", default: "chat.example" },
    starttls: text, // a port of 127.0.0.1
    tls: text, // a port of 127.0.0.1
    web: text, // the port for browsers, with TLS
    ca: text,
    "wrong-ca": text,
    ana: text, // the password of ana
    ben: text, // the password of ben
    packages: text, // the folder with node_modules
    pictures: text, // where pictures are kept
  },
});
const origin = `https://${server.domain}:${server.web}`;
const PICTURE = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAIAAAB7QOjdAAAADUlEQVR4nGPQmGYDRAAGtQH1rSge9gAAAABJRU5ErkJggg==",
  "base64",
);

function ok(step) {
  console.log(`ok ${step}`);
}

// What tells that it runs, and tries to read the account of who opens it. It stands in HTML and in XML.
const runs = (name) =>
  `console.log("ran ${name}");fetch("/account?stolen=${name}",{credentials:"include"})`;
const html = (name) => `<!doctype html><title>x</title><script>${runs(name)}</script>`;
const svg = (name) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>${runs(name)}</script></svg>`;
const xhtml = (name) =>
  `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title><script>${runs(name)}</script></head></html>`;
const gif = (name) => `GIF89a/*\x01\x01\x80\x01\x01*/=1;${runs(name)}`;
const styled = (name, style) =>
  `<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="${style}"?><a>${name}</a>`;
const style = (name) =>
  `<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">
   <html><body><script>${runs(name)}</script></body></html></xsl:template></xsl:stylesheet>`;
const pdf = (name) => `%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\("ran ${name}"\\))>>>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj
trailer<</Root 1 0 R>>
%%EOF`;

// What each file is, what its slot is asked for (`slot`), what it is sent as (`sent`), and what becomes of it: it
// is saved under a name, or `shown` as a type.
const FILES = [
  { id: "html", name: "page.html", slot: "text/html", sent: "text/html", body: html, saved: "page.html" },
  { id: "charset", name: "a.html", slot: "text/html; charset=utf-7", sent: "text/html;charset=utf-7", body: html, saved: "a.html" },
  { id: "capitals", name: "A.HTML", slot: "TEXT/HTML", sent: "Text/HTML", body: html, saved: "A.HTML" },
  { id: "typeless", name: "b.html", body: html, saved: "b.html" },
  { id: "only-sent", name: "c.htm", sent: "text/html", body: html, saved: "c.htm" },
  { id: "nameless", name: "page", sent: "text/html", body: html, saved: "page" },
  { id: "as-picture", name: "d.html", slot: "image/png", sent: "image/png", body: html, shown: "image/png" },
  { id: "as-gif", name: "e.gif", slot: "image/gif", sent: "image/gif", body: html, shown: "image/gif" },
  { id: "as-film", name: "f.html", slot: "video/mp4", sent: "video/mp4", body: html, shown: "video/mp4" },
  { id: "as-text", name: "g.html", slot: "text/plain", sent: "text/plain", body: html, shown: "text/plain; charset=utf-8" },
  { id: "behind-type", name: "h.html", slot: "image/png;text/html", sent: "image/png; x=text/html", body: html, shown: "image/png" },
  { id: "svg", name: "a.svg", slot: "image/svg+xml", sent: "image/svg+xml", body: svg, saved: "a.svg" },
  { id: "svg-capitals", name: "b.SVG", slot: "IMAGE/SVG+XML", sent: "Image/Svg+Xml", body: svg, saved: "b.SVG" },
  { id: "svg-as-png", name: "c.svg", slot: "image/png", sent: "image/png", body: svg, shown: "image/png" },
  { id: "svg-typeless", name: "d.svg", body: svg, saved: "d.svg" },
  { id: "xhtml", name: "a.xhtml", slot: "application/xhtml+xml", sent: "application/xhtml+xml", body: xhtml, saved: "a.xhtml" },
  { id: "xml", name: "a.xml", slot: "text/xml", sent: "text/xml", body: xhtml, saved: "a.xml" },
  { id: "xslt-style", name: "a.xsl", slot: "text/xsl", sent: "text/xsl", body: style, saved: "a.xsl" },
  { id: "xslt", name: "b.xml", slot: "application/xml", sent: "application/xml", body: styled, saved: "b.xml" },
  { id: "script", name: "a.js", slot: "text/javascript", sent: "text/javascript", body: runs, saved: "a.js" },
  { id: "script-old", name: "b.js", slot: "application/x-javascript", sent: "application/x-javascript", body: runs, saved: "b.js" },
  { id: "module", name: "a.mjs", slot: "application/javascript", sent: "application/javascript", body: runs, saved: "a.mjs" },
  { id: "script-as-text", name: "c.js", slot: "text/plain", sent: "text/plain", body: runs, shown: "text/plain; charset=utf-8" },
  { id: "script-typeless", name: "d.js", body: runs, saved: "d.js" },
  { id: "gif", name: "a.gif", slot: "image/gif", sent: "image/gif", body: gif, shown: "image/gif" },
  { id: "gif-script", name: "b.gif", slot: "text/javascript", sent: "text/javascript", body: gif, saved: "b.gif" },
  { id: "pdf", name: "Invoice.pdf", slot: "application/pdf", sent: "application/pdf", body: pdf, saved: "Invoice.pdf" },
  { id: "mixed", name: "a.mht", slot: "multipart/related", sent: "multipart/related", body: html, saved: "a.mht" },
  { id: "replace", name: "a.bin", slot: "multipart/x-mixed-replace", sent: "multipart/x-mixed-replace; boundary=x",
    body: (name) => `--x\r\nContent-Type: text/html\r\n\r\n${html(name)}\r\n--x--`, saved: "a.bin" },
  // Names that are more than names.
  { id: "path", name: "../../account", slot: "text/html", sent: "text/html", body: html, saved: "account" },
  { id: "escaped-path", name: "%2e%2e%2faccount", slot: "text/html", sent: "text/html", body: html, saved: /^[^/]*account$/ },
  { id: "quotes", name: 'a"; filename="b.html', slot: "text/html", sent: "text/html", body: html, saved: /^a/ },
  { id: "lines", name: "a\r\nContent-Type: text/html\r\n\r\n.html", sent: "text/html", body: html, saved: /\.html$/ },
  { id: "direction", name: "gpj.\u202elmth.html", sent: "text/html", body: html, saved: /^gpj\..lmth\.html$/ },
  { id: "tag", name: "<script>a.html", sent: "text/html", body: html, saved: /script/ },
];

const chromium = await start(server.packages, server.domain, server.pictures);
const context = await chromium.browser.newContext({ ignoreHTTPSErrors: true, locale: "en-GB" });
context.setDefaultTimeout(PATIENCE);
// What ran since it was last looked at.
let ran = [];
context.on("console", (line) => line.text().startsWith("ran ") && ran.push(line.text().slice(4)));
context.on("request", (request) => {
  const stolen = new URL(request.url()).searchParams.get("stolen");
  if (stolen) ran.push(stolen);
});
context.on("dialog", (dialog) => {
  ran.push(dialog.message());
  dialog.dismiss();
});

// Ben is logged in to his account: what runs in his browser could read it.
const page = await context.newPage();
await page.goto(`${origin}/account`);
await page.fill("#address", `ben@${server.domain}`);
await page.fill("#password", server.ben);
await Promise.all([page.waitForURL(`${origin}/account`), page.keyboard.press("Enter")]);
assert.equal(await page.locator("p.address").innerText(), `ben@${server.domain}`);
// Ana has a page of the web chat.
const ana = await context.newPage();
await ana.goto(`${origin}/strophe.html`);
await ana.evaluate(
  ({ service, jid, password }) =>
    new Promise((done, failed) => {
      const { Strophe } = globalThis.strophe ?? globalThis;
      globalThis.ana = new Strophe.Connection(service);
      globalThis.ana.connect(jid, password, (status, why) => {
        if (status === Strophe.Status.CONNECTED) done();
        if (status === Strophe.Status.AUTHFAIL || status === Strophe.Status.CONNFAIL) failed(new Error(why));
      });
    }),
  {
    service: `${origin.replace("https", "wss")}/xmpp-websocket`,
    jid: `ana@${server.domain}`,
    password: server.ana,
  },
);
ok("login");

// A page of the origin without any policy, whose frames and scripts nothing holds back but what the files say.
await context.route(`${origin}/bare.html`, (route) =>
  route.fulfill({ contentType: "text/html", body: "<!doctype html><title>x</title><body></body>" }),
);
// The same files from a server that believes what it is told.
await context.route(`${origin}/naive/*`, (route) => {
  const id = new URL(route.request().url()).pathname.split("/").pop();
  const { sent, body } = FILES.find((file) => file.id === id);
  return route.fulfill({ contentType: sent ?? "text/html", body: body(id, `${origin}/naive/xslt-style`) });
});

// Puts links into a page in all ways that could run them, and waits until each is done with.
const embed = (page, links) =>
  page.evaluate(async (links) => {
    const waits = [];
    const wait = (promise) =>
      waits.push(Promise.race([promise, new Promise((done) => setTimeout(done, 5000))]).catch(() => {}));
    const add = (name, attrs) => {
      const element = document.createElement(name);
      Object.assign(element, attrs);
      wait(new Promise((done) => (element.onload = element.onerror = done)));
      document.body.append(element);
    };
    for (const link of links) {
      add("script", { src: link });
      add("script", { src: link, type: "module" });
      add("script", { src: link, charset: "utf-16" });
      add("iframe", { src: link });
      add("iframe", { srcdoc: `<script src="${link}"></script><object data="${link}"></object>` });
      for (const type of ["", "text/html", "image/svg+xml"]) add("object", { data: link, type });
      for (const type of ["", "text/html", "application/pdf"]) add("embed", { src: link, type });
      add("img", { src: link });
      add("link", { rel: "stylesheet", href: link });
      wait(import(link));
      wait(new Promise((done, failed) => {
        const worker = new Worker(link);
        worker.onmessage = done;
        worker.onerror = failed;
      }));
      wait(navigator.serviceWorker.register(link));
    }
    await Promise.all(waits);
  }, links);

// Returns the scripts that stand behind pages of the origin. What was only asked for is none.
const workers = () =>
  page.evaluate(async () =>
    (await navigator.serviceWorker.getRegistrations())
      .map(({ active, waiting, installing }) => (active ?? waiting ?? installing)?.scriptURL)
      .filter(Boolean),
  );

// The files would run elsewhere.
for (const id of ["html", "svg", "xhtml", "xml", "xslt"]) {
  await page.goto(`${origin}/naive/${id}`);
  await page.waitForTimeout(200);
}
await page.goto(`${origin}/bare.html`);
await embed(page, ["script", "gif-script"].map((id) => `${origin}/naive/${id}`));
await page.waitForTimeout(200);
const would = [...new Set(ran)].sort();
assert.deepEqual(would, ["gif-script", "html", "script", "svg", "xhtml", "xml", "xslt-style"]);
assert.equal((await workers()).length, 1);
await page.evaluate(async () => {
  for (const worker of await navigator.serviceWorker.getRegistrations()) await worker.unregister();
});
ran = [];
ok("would-run");

// Asks for a slot and puts a file there. Returns the link.
const send = (name, slot, sent, bytes) =>
  ana.evaluate(
    async ({ domain, name, slot, sent, bytes }) => {
      const { $iq } = globalThis.strophe ?? globalThis;
      const body = Uint8Array.from(bytes);
      const attrs = { xmlns: "urn:xmpp:http:upload:0", filename: name, size: String(body.length) };
      if (slot) attrs["content-type"] = slot;
      const answer = await new Promise((done, failed) =>
        globalThis.ana.sendIQ($iq({ type: "get", to: domain }).c("request", attrs), done, (error) =>
          failed(new Error(error?.outerHTML ?? "no answer")),
        ),
      );
      const url = answer.querySelector("put").getAttribute("url");
      const put = await fetch(url, { method: "PUT", body, headers: sent ? { "Content-Type": sent } : {} });
      if (put.status !== 201) throw new Error(`${name}: ${put.status} ${await put.text()}`);
      return answer.querySelector("get").getAttribute("url");
    },
    { domain: server.domain, name, slot, sent, bytes: [...bytes] },
  );
for (const file of FILES) {
  const body = file.body(file.id, FILES.find(({ id }) => id === "xslt-style").link);
  file.link = await send(file.name, file.slot, file.sent, Buffer.from(body, "utf8"));
  assert.ok(file.link.startsWith(`${origin}/upload/`), file.link);
}
ok("sent");

// Whoever opens a link gets a file to save, or sees something that does nothing.
for (const { id, link, saved, shown } of FILES) {
  const download = page.waitForEvent("download").catch(() => null);
  let type;
  try {
    type = (await page.goto(link)).headers()["content-type"];
  } catch (why) {
    assert.match(String(why), /Download is starting|ERR_ABORTED/, id);
  }
  if (shown) {
    assert.equal(type, shown, id);
    await page.waitForTimeout(100);
  } else {
    const name = (await download).suggestedFilename();
    assert.ok(saved instanceof RegExp ? saved.test(name) : name === saved, `${id}: saved as ${name}`);
    assert.doesNotMatch(name, /[\/\\"\p{Cc}\p{Bidi_C}]/u, id);
  }
  await page.goto("about:blank");
}
assert.deepEqual(ran, []);
ok("opened");

const links = FILES.map(({ link }) => link);
for (const path of ["bare.html", "strophe.html"]) {
  await page.goto(`${origin}/${path}`);
  await embed(page, links);
  assert.deepEqual(ran, [], path);
  assert.deepEqual(await workers(), [], path);
}
// Nor does it from another page that sends its visitors on, nor in a window of its own.
const popup = context.waitForEvent("page");
await page.evaluate((link) => void window.open(link), FILES.find(({ id }) => id === "as-text").link);
await (await popup).waitForLoadState();
assert.deepEqual(ran, []);
ok("embedded");

// Pictures and films are shown, by themselves and in pages.
const film = await ana.evaluate(async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [64, 48];
  const brush = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm" });
  const parts = [];
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const stopped = new Promise((done) => (recorder.onstop = done));
  recorder.start();
  for (let step = 0; step < 20; step += 1) {
    brush.fillStyle = `hsl(${step * 18}, 100%, 50%)`;
    brush.fillRect(0, 0, 64, 48);
    await new Promise((done) => setTimeout(done, 40));
  }
  recorder.stop();
  await stopped;
  return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
});
const [picture, video] = [
  await send("Ein Bild.png", "image/png", "image/png", PICTURE),
  await send("film.webm", "video/webm", "video/webm", film),
];
const wide = (page, selector) =>
  page.waitForFunction((selector) => {
    const element = document.querySelector(selector);
    return (element?.naturalWidth || element?.videoWidth || 0) > 0;
  }, selector);
await page.goto(picture);
await wide(page, "img");
assert.equal(await page.evaluate(() => document.images[0].naturalWidth), 2);
await page.goto(video);
await wide(page, "video");
await page.screenshot({ path: `${server.pictures}/upload-film.png` });
await page.goto(`${origin}/strophe.html`);
await page.evaluate(
  ({ picture, video }) => {
    document.body.append(Object.assign(document.createElement("img"), { src: picture }));
    document.body.append(Object.assign(document.createElement("video"), { src: video }));
  },
  { picture, video },
);
for (const selector of ["img", "video"]) await wide(page, selector);
await page.screenshot({ path: `${server.pictures}/upload-inside.png` });
ok("shown");

await chromium.browser.close();
