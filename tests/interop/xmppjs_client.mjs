// @xmpp/client, as somebody writes a client with it: SASL2 and Bind 2 where the server has them.
// It reconnects and resumes by itself. The story is the one of story.py; with a port for browsers all of it
// goes over WebSocket.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { webcrypto } from "node:crypto";
import dns from "node:dns";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

// How long something that will happen may take on a busy machine, in milliseconds.
const PATIENCE = 30_000;

const text = { type: "string" };
const { values: server } = parseArgs({
  options: {
    domain: { type: "string", default: "chat.example" },
    starttls: text, // a port of 127.0.0.1
    tls: text, // a port of 127.0.0.1
    web: text, // a port of 127.0.0.1 with HTTPS
    ca: text, // the authority of the server, PEM
    "wrong-ca": text, // some other authority, PEM
    ana: text, // the password of ana
    ben: text, // the password of ben
    packages: text, // the folder with node_modules
    "only-login": text, // "starttls" or "tls"; then nothing else is done
    verbose: { type: "boolean" }, // show what is sent
  },
});

globalThis.crypto ??= webcrypto; // Node 18 of Debian 12
const find = createRequire(`${server.packages}/`);
const { client, xml } = await import(find.resolve("@xmpp/client"));
// As in a browser; that of newer Node cannot be cut off.
if (server.web) globalThis.WebSocket = find("ws");

// What somebody logs in over the next time.
const OTHER = { starttls: "tls", tls: "starttls", web: "web" };

// Stands for the DNS, which does not know the domain of the test.
dns.lookup = (name, options, callback) => {
  assert.equal(name, server.domain);
  if (options.all) callback(null, [{ address: "127.0.0.1", family: 4 }]);
  else callback(null, "127.0.0.1", 4);
};

// Things that came in and wait to be looked at.
class Inbox {
  items = [];
  wake = () => {};

  put(item) {
    this.items.push(item);
    this.wake();
  }

  async get(what) {
    if (this.items.length === 0) await soon(new Promise((wake) => (this.wake = wake)), what);
    return this.items.shift();
  }
}

// Waits, but not for ever.
async function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${PATIENCE} ms`)), PATIENCE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class Person {
  texts = new Inbox(); // {from, body, delayed}
  presences = new Inbox(); // {from, kind, status}
  unsent = [];
  requests = 0;
  mechanisms = []; // [namespace, mechanism] of each login, and [namespace] of each answer in one

  constructor(name) {
    this.name = name;
    this.jid = `${name}@${server.domain}`;
    this.password = server[name];
  }

  async login(transport) {
    const scheme = { starttls: "xmpp", tls: "xmpps", web: "wss" }[transport];
    const path = transport === "web" ? "/xmpp-websocket" : "";
    const { name: username, password } = this;
    const service = `${scheme}://${server.domain}:${server[transport]}${path}`;
    this.transport = transport;
    this.client = client({ service, domain: server.domain, username, password });
    this.client.reconnect.delay = 200;
    this.client.timeout = PATIENCE;
    this.client.on("error", () => {}); // start() throws it as well
    this.client.on("online", () => this.texts.put({ from: "", body: "a new session" }));
    this.client.on("stanza", (stanza) => this.hear(stanza));
    this.client.on("send", (element) => this.note(element));
    if (server.verbose) this.trace();
    await soon(this.client.start(), `${this.name} logs in over ${transport}`);
    assert.equal((await this.texts.get()).body, "a new session");
    // It miscounts a stanza that comes in one packet with <enabled/>, so none may come before.
    while (!this.client.streamManagement.enabled) await new Promise((wake) => setTimeout(wake, 10));
    this.presence();
  }

  trace() {
    this.client.on("send", (element) => console.error(`${this.name} > ${element}`));
    this.client.on("element", (element) => console.error(`${this.name} < ${element}`));
  }

  note(element) {
    if (["auth", "authenticate"].includes(element.name)) {
      this.mechanisms.push([element.getNS(), element.attrs.mechanism]);
    } else if (element.name === "response") {
      this.mechanisms.push([element.getNS()]);
    }
  }

  hear(stanza) {
    const { from, type } = stanza.attrs;
    const child = (name) => stanza.getChildText(name);
    if (stanza.name === "message") {
      const delayed = stanza.getChild("delay", "urn:xmpp:delay") !== undefined;
      this.texts.put({ from, body: child("body"), delayed });
    } else if (stanza.name === "presence") {
      this.presences.put({ from, kind: type ?? child("show") ?? "available", status: child("status") });
    }
  }

  async logout() {
    await this.client.stop();
  }

  async roster() {
    // Not with its iqCaller: answers that go there are missing in what it acknowledges, and what is
    // not acknowledged comes again.
    const id = `roster${(this.requests += 1)}`;
    const answer = new Promise((resolve) => {
      this.client.on("stanza", (stanza) => stanza.attrs.id === id && resolve(stanza));
    });
    this.send(xml("iq", { type: "get", id }, xml("query", { xmlns: "jabber:iq:roster" })));
    const result = await soon(answer, `${this.name} gets the roster`);
    assert.equal(result.attrs.type, "result");
    const items = result.getChild("query").getChildren("item");
    return Object.fromEntries(items.map(({ attrs }) => [attrs.jid, attrs.subscription]));
  }

  presence({ to, type, show, status } = {}) {
    this.send(xml("presence", { to, type }, show && xml("show", {}, show), status && xml("status", {}, status)));
  }

  text(to, body) {
    this.send(xml("message", { to, type: "chat" }, xml("body", {}, body)));
  }

  // The library queues what it wrote until it is acknowledged; what it could not write is ours.
  send(stanza) {
    this.client.send(stanza).catch(() => this.unsent.push(stanza));
  }

  // Breaks the connection as a lost network does: without the end of the stream.
  cut() {
    this.willResume();
    const { socket } = this.client;
    const inner = socket.socket ?? socket;
    if (this.transport === "web") inner.terminate();
    else inner.destroy();
  }

  willResume() {
    this.resumed = new Promise((resolve) => this.client.streamManagement.once("resumed", resolve));
  }

  async resume() {
    await soon(this.resumed, `${this.name} resumes`);
    for (const stanza of this.unsent.splice(0)) this.send(stanza);
  }

  // Expects exactly these texts next, in this order; returns which of them were delayed.
  async reads(sender, ...bodies) {
    const delays = [];
    for (const body of bodies) {
      const got = await this.texts.get(`${this.name} reads ${body}`);
      assert.deepEqual([got.from.split("/")[0], got.body], [sender, body], this.name);
      delays.push(got.delayed);
    }
    return delays;
  }

  // Waits for this presence of somebody.
  async sees(sender, kind, status) {
    for (;;) {
      const got = await this.presences.get(`${this.name} sees ${sender} ${kind}`);
      const isIt = got.from.split("/")[0] === sender && got.kind === kind;
      if (isIt && (status === undefined || status === got.status)) return;
    }
  }
}

function ok(step) {
  console.log(`ok ${step}`);
}

// Asks whoever runs this to do something with the server, and waits until it is done.
async function please(wish) {
  console.log(`please ${wish}`);
  const lines = createInterface({ input: process.stdin });
  const answer = await new Promise((resolve) => lines.once("line", resolve).once("close", resolve));
  lines.close();
  assert.equal(answer, "done", `nobody there to ${wish}`);
}

// Runs this program with another authority, for Node reads it only when it starts.
function rerun(authority, ...more) {
  const own = fileURLToPath(import.meta.url);
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: authority };
  const stdio = more.length > 0 ? "pipe" : "inherit";
  const options = { env, stdio, encoding: "utf8" };
  return spawnSync(process.execPath, [own, ...process.argv.slice(2), ...more], options);
}

async function refusals() {
  for (const transport of ["starttls", "tls"]) {
    const { status, stderr } = rerun(server["wrong-ca"], "--only-login", transport);
    assert.equal(status, 1, "a foreign certificate was taken");
    assert.match(stderr, /certificate/);
  }
  ok("foreign-certificate");
  // In a program of its own too: the library rejects a promise that nobody can wait for.
  for (const transport of ["starttls", "tls"]) {
    const { status, stderr } = rerun(server.ca, "--only-login", transport, "--ana", "wrong");
    assert.equal(status, 1, "a wrong password was taken");
    assert.match(stderr, /not-authorized/);
  }
  ok("wrong-password");
}

async function contacts(ana, ben) {
  assert.deepEqual(await ana.roster(), {});
  assert.deepEqual(await ben.roster(), {});
  ok("roster");

  ana.presence({ to: ben.jid, type: "subscribe" });
  await ben.sees(ana.jid, "subscribe");
  ben.presence({ to: ana.jid, type: "subscribed" });
  await ana.sees(ben.jid, "subscribed");
  await ana.sees(ben.jid, "available");
  ben.presence({ to: ana.jid, type: "subscribe" });
  await ana.sees(ben.jid, "subscribe");
  ana.presence({ to: ben.jid, type: "subscribed" });
  await ben.sees(ana.jid, "subscribed");
  await ben.sees(ana.jid, "available");
  assert.deepEqual(await ana.roster(), { [ben.jid]: "both" });
  assert.deepEqual(await ben.roster(), { [ana.jid]: "both" });
  ok("subscribe");

  ana.presence({ show: "away", status: "At the café & bakery" });
  await ben.sees(ana.jid, "away", "At the café & bakery");
  ben.presence({ show: "dnd" });
  await ana.sees(ben.jid, "dnd");
  ana.presence();
  await ben.sees(ana.jid, "available");
  ok("presence");
}

async function chat(ana, ben) {
  const there = ["Hello Ben", "<b>&amp;</b> 'quoted' \"twice\"", "Ünïcödé 🐦"];
  for (const body of there) ana.text(ben.jid, body);
  assert.deepEqual(await ben.reads(ana.jid, ...there), [false, false, false]);
  ben.text(ana.jid, "Hello Ana");
  await ana.reads(ben.jid, "Hello Ana");
  ok("chat");

  await ben.logout();
  await ana.sees(ben.jid, "unavailable");
  const kept = ["offline 0", "offline 1", "offline 2"];
  for (const body of kept) ana.text(ben.jid, body);
  await ana.roster(); // its answer says that the server has them
  await ben.login(OTHER[ben.transport]);
  await ana.sees(ben.jid, "available");
  assert.deepEqual(await ben.reads(ana.jid, ...kept), [true, true, true]);
  await ana.logout();
  await ben.sees(ana.jid, "unavailable");
  await ana.login(OTHER[ana.transport]);
  await ben.sees(ana.jid, "available");
  ok("offline");
}

async function cuts(ana, ben) {
  for (const [here, gone] of [[ana, ben], [ben, ana]]) {
    gone.text(here.jid, "before the cut");
    const logins = gone.mechanisms.length;
    gone.cut();
    const kept = ["while cut 0", "while cut 1", "while cut 2"];
    for (const body of kept) here.text(gone.jid, body);
    await here.roster();
    await gone.resume();
    // One round trip by the token that it got with its password (XEP-0484), and nothing else.
    if (gone.mechanisms[0][0] === "urn:xmpp:sasl:2") {
      const fast = [["urn:xmpp:sasl:2", "HT-SHA-256-NONE"]];
      assert.deepEqual(gone.mechanisms.slice(logins), fast, gone.name);
    }
    await gone.reads(here.jid, ...kept);
    gone.text(here.jid, "back again");
    await here.reads(gone.jid, "before the cut", "back again");
  }
  if (ana.mechanisms[0][0] === "urn:xmpp:sasl:2") ok("fast");
  ok("resume-after-cut");
}

async function kill(ana, ben) {
  ana.text(ben.jid, "before the kill");
  await ben.reads(ana.jid, "before the kill");
  const around = [0, 1, 2, 3, 4].map((number) => `around the kill ${number}`);
  for (const body of around) ana.text(ben.jid, body);
  for (const person of [ana, ben]) person.willResume();
  await please("kill");
  await Promise.all([ana.resume(), ben.resume()]);
  await ben.reads(ana.jid, ...around);
  ben.text(ana.jid, "alive");
  await ana.reads(ben.jid, "alive");
  assert.deepEqual(await ana.roster(), { [ben.jid]: "both" });
  ok("resume-after-kill");
}

async function goodbye(ana, ben) {
  ben.text(ana.jid, "goodbye");
  await ana.reads(ben.jid, "goodbye");
  await ben.logout();
  await ana.sees(ben.jid, "unavailable");
  await ana.logout();
  assert.deepEqual([ana.texts.items, ben.texts.items], [[], []]);
  ok("logout");
}

async function wholeStory() {
  const [ana, ben] = [new Person("ana"), new Person("ben")];
  if (server.web) {
    for (const person of [ana, ben]) await person.login("web");
    ok("login-websocket");
  } else {
    await refusals();
    await ana.login("starttls");
    ok("login-starttls");
    await ben.login("tls");
    ok("login-tls");
  }
  assert.match(ana.mechanisms[0][1], /^SCRAM-/);
  if (ana.mechanisms[0][0] === "urn:xmpp:sasl:2") ok("sasl2");
  await contacts(ana, ben);
  await chat(ana, ben);
  await cuts(ana, ben);
  await kill(ana, ben);
  await goodbye(ana, ben);
}

if (!server["only-login"] && process.env.NODE_EXTRA_CA_CERTS !== server.ca) {
  process.exit(rerun(server.ca).status ?? 1);
}
try {
  await (server["only-login"] ? new Person("ana").login(server["only-login"]) : wholeStory());
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
