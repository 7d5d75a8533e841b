// The page of browser.sh: a softphone of JsSIP or SIP.js registers over a WebSocket, publishes, and watches somebody.
// What it does and sees it tells the server that it came from.

import JsSIP from "jssip";
import { Publisher, Registerer, Subscriber, UserAgent } from "sip.js";

const asked = Object.fromEntries(new URLSearchParams(location.search));
const uri = (user) => `sip:${user}@${asked.domain}`;

function say(what, text = "") {
  return fetch(`/said/${what}`, { method: "POST", body: text });
}

function pidf(note) {
  return (
    `<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="${uri(asked.user)}">` +
    `<tuple id="browser"><status><basic>open</basic></status><note>${note}</note></tuple></presence>`
  );
}

const libraries = {
  async jssip() {
    const phone = new JsSIP.UA({
      sockets: [new JsSIP.WebSocketInterface(asked.server)],
      uri: uri(asked.user),
      password: `${asked.user}pw`,
    });
    phone.on("registrationFailed", (event) => say("failed", `register: ${event.cause}`));
    phone.on("registered", () => {
      say("registered");
      const watch = phone.subscribe(uri(asked.whom), "presence", "application/pidf+xml", { expires: 600 });
      watch.on("accepted", () => say("subscribed"));
      watch.on("notify", (_final, _request, body) => say("notified", body ?? ""));
      watch.on("terminated", (code, reason) => say("failed", `subscription: ${code} ${reason}`));
      watch.subscribe();
    });
    phone.start();
  },

  async "sip.js"() {
    const phone = new UserAgent({
      uri: UserAgent.makeURI(uri(asked.user)),
      authorizationUsername: asked.user,
      authorizationPassword: `${asked.user}pw`,
      transportOptions: { server: asked.server },
      logLevel: "warn",
    });
    await phone.start();
    const registerer = new Registerer(phone);
    const registered = new Promise((resolve, reject) => {
      registerer.stateChange.addListener((state) => state === "Registered" && resolve());
      registerer.register({ requestDelegate: { onReject: (answer) => reject(answer.message.statusCode) } });
    });
    await registered;
    say("registered");
    const watch = new Subscriber(phone, UserAgent.makeURI(uri(asked.whom)), "presence", {
      expires: 600,
      extraHeaders: ["Accept: application/pidf+xml"],
      delegate: {
        onNotify(notification) {
          notification.accept();
          say("notified", notification.request.body ?? "");
        },
      },
    });
    watch.stateChange.addListener((state) => {
      say(state === "Terminated" ? "failed" : state.toLowerCase(), "subscription");
    });
    await watch.subscribe();
    const own = UserAgent.makeURI(uri(asked.user));
    const publisher = new Publisher(phone, own, "presence", { contentType: "application/pidf+xml", expires: 600 });
    await publisher.publish(pidf(asked.note));
  },
};

libraries[asked.library]().catch((error) => say("failed", String(error)));
