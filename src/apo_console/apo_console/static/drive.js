/** Drives the robot while this page has the lease: hold to move, and let go of it whenever the person looks away. */

import { Gamepads, Keys, Pad, SpaceMouse } from "./devices.js";
import * as protocol from "./protocol.js";

const PERIOD_MS = 20;
const SETTLE_MS = 250; // at rest at first: teleop lets nobody in who comes deflected

export class Drive extends EventTarget {
  #sequence = 0;
  #timer = null;
  #began = 0;
  #releases = 0;
  #waiting = new Set(); // devices that were deflected when the lease came: they have to be let go of once
  robot = 0;
  speed = 0.5;

  constructor(connection, pads) {
    super();
    this.connection = connection;
    const gripper = () => this.gripper();
    this.keys = new Keys();
    this.spaceMouse = new SpaceMouse(gripper);
    this.sources = [this.keys, new Gamepads(gripper), this.spaceMouse, ...pads];
    this.pads = pads;
    const away = (reason) => () => this.release(reason);
    window.addEventListener("blur", away("the window lost the focus"));
    window.addEventListener("pagehide", away("the page was left"));
    document.addEventListener("freeze", away("the page was frozen"));
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) this.release("the page is hidden");
    });
    connection.addEventListener("close", () => this.#end());
  }

  get isOn() {
    return this.#timer !== null;
  }

  async take(takeOver) {
    const { robot } = this;
    const releases = this.#releases;
    const answer = await this.connection.request(robot, "lease", { take_over: takeOver });
    if (!answer.accepted) return answer;
    if (releases === this.#releases && !document.hidden) this.#begin();
    // the person has looked away, or at another robot, while the answer was on its way
    else this.connection.request(robot, "release", { reason: "the person looked away" });
    return answer;
  }

  /** Ends driving; safe to call at any time. */
  release(reason) {
    this.#releases += 1;
    this.#rest();
    if (!this.isOn) return;
    this.#send();
    this.#end();
    this.connection.request(this.robot, "release", { reason });
  }

  /** The server has given the lease to somebody else, or has taken it. */
  lost() {
    this.#end();
  }

  gripper() {
    if (this.isOn) this.connection.request(this.robot, "event", { name: "gripper_toggle" });
  }

  #begin() {
    if (this.isOn) return;
    this.#rest();
    // the server forgets the numbers of an earlier lease
    this.#sequence = 0;
    this.#began = performance.now();
    this.#waiting = new Set(this.sources);
    this.#timer = setInterval(() => this.#send(), PERIOD_MS);
    this.#send();
    this.dispatchEvent(new Event("change"));
  }

  #end() {
    if (!this.isOn) return;
    clearInterval(this.#timer);
    this.#timer = null;
    this.#rest();
    this.dispatchEvent(new Event("change"));
  }

  #rest() {
    this.keys.clear();
    for (const pad of this.pads) pad.clear();
  }

  /** A change goes out at once, not with the next period. */
  changed() {
    if (this.isOn) this.#send();
  }

  #send() {
    const axes = [0, 0, 0, 0, 0, 0];
    const settled = performance.now() - this.#began > SETTLE_MS;
    let held = false;
    for (const source of this.sources) {
      const values = source.axes();
      if (!source.held) this.#waiting.delete(source);
      if (!settled || this.#waiting.has(source)) continue;
      values.forEach((value, i) => (axes[i] += value));
      held ||= source.held;
    }
    const scaled = axes.map((value) => Math.max(-1, Math.min(1, value)) * this.speed);
    this.connection.send(protocol.input((this.#sequence += 1), scaled, held));
  }
}

export { Pad, SpaceMouse };
