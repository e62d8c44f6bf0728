/** Pictures of the cameras: the newest is painted, and the server learns that it is on the screen. */

import * as protocol from "./protocol.js";

const OLD_MS = 1000;

export class Cameras {
  #views = [];
  #names = "";
  #withheld = new Map(); // frames of robots that are not shown: unconfirmed, so that no further ones come
  robot = 0;
  painted = []; // {camera, stamp, at} of the newest pictures, ms; for measurements

  constructor(element, connection) {
    this.element = element;
    this.connection = connection;
    connection.addEventListener("frame", ({ detail }) => this.#paint(detail));
    setInterval(() => this.#mark(), 500);
  }

  /** Makes a view for each camera of the robot that is shown. */
  show(robot, names) {
    if (this.robot === robot && this.#names === names.join()) return;
    this.robot = robot;
    for (const [key, frame] of this.#withheld) {
      if (frame.robot !== robot) continue;
      this.#withheld.delete(key);
      this.connection.send(protocol.shown(robot, frame.camera, frame.sequence));
    }
    this.#names = names.join();
    this.#views = names.map((name) => {
      const figure = document.createElement("figure");
      const canvas = document.createElement("canvas");
      const caption = document.createElement("figcaption");
      const [title, rate] = [document.createElement("span"), document.createElement("span")];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Camera ${name}`);
      title.textContent = name;
      caption.append(title, rate);
      figure.append(canvas, caption);
      return { figure, canvas, rate, times: [], last: null };
    });
    this.element.replaceChildren(...this.#views.map((view) => view.figure));
  }

  async #paint({ robot, camera, sequence, stamp, jpeg }) {
    if (robot !== this.robot) {
      this.#withheld.set(`${robot}/${camera}`, { robot, camera, sequence });
      return;
    }
    const view = this.#views[camera];
    if (view) {
      try {
        const bitmap = await createImageBitmap(new Blob([jpeg], { type: "image/jpeg" }));
        if (view.canvas.width !== bitmap.width || view.canvas.height !== bitmap.height) {
          view.canvas.width = bitmap.width;
          view.canvas.height = bitmap.height;
          view.canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
        }
        // takes the picture as it is, where a 2D context would draw a copy
        view.canvas.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
        view.last = performance.now();
        view.times.push(view.last);
        this.painted.push({ camera, stamp, at: Date.now() });
        if (this.painted.length > 500) this.painted.shift();
      } catch {
        // a damaged picture: the next one replaces it
      }
    }
    this.connection.send(protocol.shown(robot, camera, sequence));
  }

  #mark() {
    const now = performance.now();
    for (const view of this.#views) {
      view.times = view.times.filter((time) => time > now - 2000);
      const isOld = view.last === null || now - view.last > OLD_MS;
      view.rate.className = isOld ? "old" : "";
      if (view.last === null) view.rate.textContent = "no picture yet";
      else if (isOld) view.rate.textContent = `stands still for ${((now - view.last) / 1000).toFixed(0)} s`;
      else view.rate.textContent = `${(view.times.length / 2).toFixed(0)} Hz`;
    }
  }
}
