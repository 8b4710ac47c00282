// Converse.js as an operator sets it up, by WebSocket or, with ?by=bosh, by BOSH.

const isBosh = new URLSearchParams(location.search).get("by") === "bosh";
const way = isBosh
  ? { bosh_service_url: `${location.origin}/http-bind` }
  : { websocket_url: `${location.origin.replace("http", "ws")}/xmpp-websocket` };

// Lets a test see what a person sees: whether it is connected.
converse.plugins.add("seen", {
  initialize() {
    globalThis.seen = this._converse.api;
  },
});

converse.initialize({
  ...way,
  assets_path: "/dist/",
  discover_connection_methods: false,
  i18n: "en",
  view_mode: "fullscreen",
  whitelisted_plugins: ["seen"],
});
