/** What a person moves: keys, gamepads, a SpaceMouse by WebHID, pads on the screen. Axes: vx vy vz wx wy wz. */

const MOTION = {
  w: [0, 1], s: [0, -1], a: [1, 1], d: [1, -1], r: [2, 1], f: [2, -1],
  o: [3, 1], u: [3, -1], i: [4, 1], k: [4, -1], j: [5, 1], l: [5, -1],
  arrowup: [0, 1], arrowdown: [0, -1], arrowleft: [1, 1], arrowright: [1, -1],
};

export class Keys {
  #pressed = new Set();

  /** Whether the key moves the robot. */
  press(key) {
    if (!(key in MOTION)) return false;
    this.#pressed.add(key);
    return true;
  }

  lift(key) {
    this.#pressed.delete(key);
  }

  clear() {
    this.#pressed.clear();
  }

  get held() {
    return this.#pressed.size > 0;
  }

  axes() {
    const axes = [0, 0, 0, 0, 0, 0];
    for (const key of this.#pressed) {
      const [axis, sign] = MOTION[key];
      axes[axis] += sign;
    }
    return axes;
  }
}

const DEAD = 0.08;
const GRIPPER_BUTTON = 0;
const SETTLE_MS = 100;

/** Opens once a device has rested for a while: one that comes, or comes back, deflected moves nothing. */
class RestGate {
  #since = null;
  isOpen = false;

  reset() {
    this.isOpen = false;
    this.#since = null;
  }

  update(isDeflected) {
    this.#since = isDeflected ? null : (this.#since ?? performance.now());
    this.isOpen ||= this.#since !== null && performance.now() - this.#since >= SETTLE_MS;
  }
}

/** The first gamepad of the standard mapping: left stick moves, triggers lift and lower, right stick turns. */
export class Gamepads {
  held = false;
  #gripper = false;
  #name = ""; // of the one that was read last
  #gate = new RestGate();

  constructor(onGripper) {
    this.onGripper = onGripper;
  }

  axes() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((each) => each?.connected && each.mapping === "standard");
    const name = pad ? `${pad.index} ${pad.id}` : "";
    if (name !== this.#name) {
      this.#name = name;
      this.#gate.reset();
      this.#gripper = true; // a button that is pressed already is no press
    }
    if (!pad) {
      this.held = false;
      return [0, 0, 0, 0, 0, 0];
    }
    const pressed = pad.buttons[GRIPPER_BUTTON].pressed;
    if (pressed && !this.#gripper) this.onGripper();
    this.#gripper = pressed;
    const [x, y, turnX, turnY] = pad.axes.map((value) => (Math.abs(value) < DEAD ? 0 : value));
    const lift = pad.buttons[7].value - pad.buttons[6].value;
    const roll = (pad.buttons[5].pressed ? 1 : 0) - (pad.buttons[4].pressed ? 1 : 0);
    const axes = [-y, -x, lift, roll, -turnY, -turnX];
    const isDeflected = axes.some((value) => value !== 0);
    this.#gate.update(isDeflected);
    this.held = isDeflected && this.#gate.isOpen;
    return this.#gate.isOpen ? axes : [0, 0, 0, 0, 0, 0];
  }
}

const FILTERS = [
  { vendorId: 0x256f, usagePage: 1, usage: 8 },
  { vendorId: 0x046d, usagePage: 1, usage: 8 },
];
const FULL = 350;
const LOST_MS = 150; // a deflected SpaceMouse reports all the time

/** A SpaceMouse without a driver. Its axes: x right, y towards the person, z down. */
export class SpaceMouse {
  #axes = [0, 0, 0, 0, 0, 0];
  #buttons = 0;
  #reported = 0;
  #isLost = false; // fell silent while it was deflected: only a report shows that it rests
  #gate = new RestGate();
  device = null;

  constructor(onGripper) {
    this.onGripper = onGripper;
    navigator.hid?.addEventListener("disconnect", ({ device }) => {
      if (device === this.device) this.#lose();
    });
  }

  static get isPossible() {
    return "hid" in navigator;
  }

  /** Asks the person for the device; true if there is one now. */
  async open() {
    const [device] = await navigator.hid.requestDevice({ filters: FILTERS });
    if (!device) return false;
    if (!device.opened) await device.open();
    if (device === this.device) return true;
    this.#lose();
    this.device = device;
    device.addEventListener("inputreport", ({ reportId, data }) => {
      if (device === this.device) this.report(reportId, data);
    });
    return true;
  }

  #lose() {
    this.device = null;
    this.#axes.fill(0);
    this.#gate.reset();
  }

  report(id, data) {
    const value = (at) => data.getInt16(at, true) / FULL;
    if ((id === 1 || id === 2) && data.byteLength >= 6) {
      const [x, y, z] = [value(0), value(2), value(4)];
      this.#axes.splice(id === 1 ? 0 : 3, 3, -y, -x, -z);
    }
    if (id === 1 && data.byteLength >= 12) this.#axes.splice(3, 3, -value(8), -value(6), -value(10));
    if (id === 3 && data.byteLength >= 1) {
      const buttons = data.getUint8(0);
      if (buttons & 1 & ~this.#buttons) this.onGripper();
      this.#buttons = buttons;
    }
    this.#reported = performance.now();
    this.#isLost = false;
  }

  get #isDeflected() {
    return this.#axes.some((value) => Math.abs(value) > DEAD);
  }

  get held() {
    return this.#gate.isOpen && this.#isDeflected;
  }

  axes() {
    if (this.#isDeflected && performance.now() - this.#reported > LOST_MS) {
      this.#axes.fill(0);
      this.#gate.reset();
      this.#isLost = true;
    }
    this.#gate.update(this.#isDeflected || this.#isLost);
    if (!this.#gate.isOpen) return [0, 0, 0, 0, 0, 0];
    return this.#axes.map((value) => (Math.abs(value) < DEAD ? 0 : Math.max(-1, Math.min(1, value))));
  }
}

/** A pad on the screen: a pressed finger or mouse moves, lifted it rests. */
export class Pad {
  #x = 0;
  #y = 0;
  held = false;

  constructor(element, toAxes) {
    this.knob = element.querySelector("i");
    this.toAxes = toAxes;
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.#move(element, event);
    });
    element.addEventListener("pointermove", (event) => {
      if (element.hasPointerCapture(event.pointerId)) this.#move(element, event);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
      element.addEventListener(kind, () => this.clear());
    }
  }

  #move(element, event) {
    const box = element.getBoundingClientRect();
    const share = (at, low, size) => Math.max(-1, Math.min(1, ((at - low) / size) * 2 - 1));
    this.#x = share(event.clientX, box.left, box.width);
    this.#y = share(event.clientY, box.top, box.height);
    this.held = true;
    this.#show();
  }

  clear() {
    this.#x = this.#y = 0;
    this.held = false;
    this.#show();
  }

  #show() {
    const axes = this.axes();
    const moves = (index) => axes[index] !== 0;
    this.knob.style.left = `${50 + 40 * (moves(1) || moves(5) ? this.#x : 0)}%`;
    this.knob.style.top = `${50 + 40 * (moves(0) || moves(2) ? this.#y : 0)}%`;
  }

  axes() {
    return this.toAxes(this.#x, this.#y);
  }
}
