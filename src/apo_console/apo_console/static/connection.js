/** The live connection; it comes back by itself, the lease does not. */

import * as protocol from "./protocol.js";

const AGAIN_MS = 1000;
const LARGEST = 32768; // of a request; see protocol.py

export class Connection extends EventTarget {
  #socket = null;
  #requests = new Map();
  #count = 0;

  constructor(name) {
    super();
    this.name = name;
    this.#open();
  }

  get isOpen() {
    return this.#socket !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  #open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live?name=${encodeURIComponent(this.name)}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#emit("open");
    socket.onmessage = (message) => this.#receive(message.data);
    socket.onclose = (event) => {
      for (const { resolve } of this.#requests.values()) resolve({ accepted: false, message: "the connection is lost" });
      this.#requests.clear();
      this.#socket = null;
      this.#emit("close", `${event.reason || "the connection to the console is lost"}; this page tries again.`);
      this.#explain();
      setTimeout(() => this.#open(), AGAIN_MS);
    };
    this.#socket = socket;
  }

  /** A console that was started again has another token; a socket does not show that this is why. */
  async #explain() {
    const answer = await fetch("/static/icon.svg").catch(() => null);
    if (answer?.status === 401 && !this.isOpen) this.#emit("close", "The console was started again: open the address that it prints now.");
  }

  #emit(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  #receive(data) {
    if (typeof data === "string") {
      const content = JSON.parse(data);
      if ("answer" in content) {
        this.#requests.get(content.answer)?.resolve(content);
        this.#requests.delete(content.answer);
      } else {
        this.#emit("state", content);
      }
      return;
    }
    const message = protocol.read(data);
    if (message.kind === "ping") this.send(protocol.pong(message.number));
    else this.#emit("frame", message);
  }

  /** Sends bytes; what cannot be sent now is dropped, since it would be old later. */
  send(bytes) {
    if (this.isOpen) this.#socket.send(bytes);
  }

  /** Resolves to {accepted, message}. */
  request(robot, action, fields = {}) {
    if (!this.isOpen) return Promise.resolve({ accepted: false, message: "not connected" });
    const number = (this.#count += 1);
    const text = JSON.stringify({ number, robot, action, ...fields });
    if (text.length > LARGEST) return Promise.resolve({ accepted: false, message: "too much for one request" });
    return new Promise((resolve) => {
      this.#requests.set(number, { resolve });
      this.#socket.send(text);
    });
  }
}
