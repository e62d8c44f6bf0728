/** The list of episodes, and one of them with its pictures, who drove and its labels. */

import { $, confirmed, fetchJson, make, percent, setText, showPairs } from "./dom.js";
import { LABELS, SOURCES, drawStrip, words } from "./strips.js";

const CHUNK = 32; // steps of one request
const SHOWN = 200; // rows of the list
const EXPORTED = 1000; // episodes of one request; see protocol.py

export class Episodes {
  #robot = 0;
  #rows = [];
  #shown = [];
  #episode = null;
  #step = 0;
  #pictures = new Map(); // "camera/chunk" -> promise of pictures
  #views = new Map(); // camera -> canvas
  #timer = null;
  #wanted = 0; // step that is to be painted next
  #selected = new Set();
  #limit = SHOWN;
  isOpen = false;

  constructor(request, message) {
    this.request = request;
    this.message = message;
    for (const id of ["filter-outcome", "filter-purpose", "filter-adapter", "filter-takeover", "filter-discarded"]) {
      $(id).onchange = () => this.#list();
    }
    $("filter-text").oninput = () => this.#list();
    $("play").onclick = () => this.toggle();
    $("scrub").oninput = () => this.#go(Number($("scrub").value));
    $("more").onclick = () => {
      this.#limit += SHOWN;
      this.#list();
    };
    $("labels").onpointerdown = (event) => {
      if (this.#episode) this.#go(Math.floor((event.offsetX / $("labels").clientWidth) * this.#episode.steps));
    };
    for (const button of document.querySelectorAll("[data-annotate]")) {
      button.onclick = () => this.annotate(button.dataset.annotate);
    }
    confirmed($("discard-episode"), () => this.#change("discard_episode"));
    $("restore-episode").onclick = () => this.#change("restore_episode");
    $("export").onclick = () => this.#export();
  }

  /** Shows the episodes of a robot, and what has been added to them. */
  async open(robot) {
    this.isOpen = true;
    if (robot !== this.#robot) {
      this.#robot = robot;
      this.#close();
      this.#selected.clear();
    }
    await this.refresh();
  }

  leave() {
    this.isOpen = false;
    this.#pause();
  }

  async refresh() {
    try {
      const { rows, unread } = await fetchJson(`/api/${this.#robot}/episodes`);
      this.#rows = rows;
      this.#choices();
      this.#list();
      setText($("unread"), unread ? `${unread} files are still to be read` : "");
      if (unread && this.isOpen) setTimeout(() => this.refresh(), 200);
    } catch (error) {
      this.message(`episodes: ${error.message}`);
    }
  }

  #choices() {
    const adapters = [...new Set(this.#rows.flatMap((row) => row.adapters ?? []))].sort((a, b) => a - b);
    const chosen = $("filter-adapter").value;
    const options = adapters.map((each) => make("option", { value: String(each), textContent: each ? `adapter ${each}` : "base policy" }));
    $("filter-adapter").replaceChildren(make("option", { value: "", textContent: "any policy" }), ...options);
    $("filter-adapter").value = chosen;
  }

  #accepts(row) {
    const text = $("filter-text").value.trim().toLowerCase();
    const [outcome, purpose, adapter] = ["filter-outcome", "filter-purpose", "filter-adapter"].map((id) => $(id).value);
    if (row.discarded !== $("filter-discarded").checked) return false;
    if (text && ![row.id, row.operator, row.task, row.reason, row.fault].join(" ").toLowerCase().includes(text)) return false;
    if (row.fault) return !outcome && !purpose && !adapter && !$("filter-takeover").checked;
    if (outcome && row.outcome !== outcome) return false;
    if (purpose && row.purpose !== purpose) return false;
    if (adapter && !row.adapters.includes(Number(adapter))) return false;
    return !$("filter-takeover").checked || row.takeovers > 0;
  }

  #list() {
    this.#shown = this.#rows.filter((row) => this.#accepts(row));
    const rows = this.#shown.slice(0, this.#limit).map((row) => this.#row(row));
    $("episode-rows").replaceChildren(...rows);
    $("more").hidden = this.#shown.length <= this.#limit;
    const judged = this.#shown.filter((row) => row.outcome === "SUCCESS" || row.outcome === "FAILURE");
    const successes = judged.filter((row) => row.outcome === "SUCCESS").length;
    setText($("found"), `${this.#shown.length} of ${this.#rows.length} episodes, ${successes} of ${judged.length} judged ones succeeded`);
  }

  #row(row) {
    const tick = make("input", { type: "checkbox", checked: this.#selected.has(row.id), "aria-label": `select ${row.id}` });
    tick.onchange = () => (tick.checked ? this.#selected.add(row.id) : this.#selected.delete(row.id));
    const name = make("button", { type: "button", className: "link", textContent: row.id });
    name.onclick = () => this.show(row.id);
    const cells = row.fault
      ? [make("td", { colSpan: 7, className: "fault", textContent: row.fault })]
      : [
          make("td", { "data-outcome-of": row.outcome, textContent: row.outcome + (row.outcome === row.recorded_outcome ? "" : " (corrected)") }),
          make("td", { className: "number", textContent: row.steps }),
          make("td", { className: "number", textContent: row.takeovers }),
          make("td", { className: "number", textContent: percent(row.share) }),
          make("td", { textContent: row.adapters.map((each) => (each ? `adapter ${each}` : "base")).join(", ") }),
          make("td", { textContent: row.operator || "-" }),
          make("td", { textContent: Object.entries(row.lost).map(([what, count]) => `${what} ${count}`).join(", ") || "-" }),
        ];
    const line = make("tr", { "data-id": row.id }, make("td", {}, tick), make("td", {}, name), ...cells);
    if (row.id === this.#episode?.id) line.setAttribute("aria-current", "true");
    return line;
  }

  /** Opens an episode. */
  async show(id) {
    this.#pause();
    try {
      this.#episode = await fetchJson(`/api/${this.#robot}/episodes/${encodeURIComponent(id)}`);
    } catch (error) {
      this.message(`${id}: ${error.message}`);
      return;
    }
    const episode = this.#episode;
    this.#pictures.clear();
    this.#views = new Map(episode.cameras.map((name) => [name, make("canvas", { role: "img", "aria-label": `Camera ${name}` })]));
    $("player-cameras").replaceChildren(
      ...[...this.#views].map(([name, canvas]) => make("figure", {}, canvas, make("figcaption", { textContent: name }))),
    );
    $("player").hidden = false;
    $("scrub").max = String(episode.steps - 1);
    $("download").href = `/api/${this.#robot}/episodes/${encodeURIComponent(id)}/file`;
    $("restore-episode").hidden = !episode.discarded;
    $("discard-episode").hidden = episode.discarded;
    setText($("player-title"), episode.id);
    const last = episode.decisions.at(-1);
    showPairs($("player-facts"), [
      ["outcome", episode.outcome + (episode.outcome === episode.recorded_outcome ? "" : `, recorded as ${episode.recorded_outcome}`)],
      ["reason", episode.reason],
      ["decided by", last && `${last.author}, ${last.created_utc.slice(0, 19)}${last.note ? `: ${last.note}` : ""}`],
      ["instruction", episode.instruction],
      ["policy", episode.adapters.map((each) => (each ? `adapter ${each}` : "base policy")).join(", ")],
      ["length", `${episode.steps} steps, ${episode.seconds.toFixed(1)} s, ${episode.driven_s.toFixed(1)} driven by the operator`],
      ["takeovers", episode.takeovers],
      ["stage", episode.stage],
      ["limits", episode.clipped_steps ? `cut ${episode.clipped_steps} steps` : null],
    ]);
    this.#strips();
    this.#go(0);
    this.#list();
  }

  #close() {
    this.#episode = null;
    $("player").hidden = true;
  }

  #parts(name) {
    const { steps, timeline } = this.#episode;
    return timeline.map((run) => ({ from: run.start / steps, to: run.end / steps, name: run[name] }));
  }

  #strips() {
    const canvas = $("labels");
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    drawStrip(canvas, this.#parts("source"), SOURCES, 2, 34);
    drawStrip(canvas, this.#parts("label"), LABELS, 40, 34);
    context.fillStyle = getComputedStyle(canvas).getPropertyValue("--text");
    context.fillRect((canvas.width * (this.#step + 0.5)) / this.#episode.steps - 1, 0, 3, canvas.height);
    setText($("labels-words"), `${words(this.#parts("source"), SOURCES)}   |   ${words(this.#parts("label"), LABELS)}`);
  }

  #go(step) {
    const episode = this.#episode;
    if (!episode) return;
    this.#step = Math.max(0, Math.min(episode.steps - 1, step));
    $("scrub").value = String(this.#step);
    const run = episode.timeline.find((each) => each.end > this.#step);
    const time = (this.#step / episode.rate_hz).toFixed(2);
    setText($("step"), `step ${this.#step}, ${time} s: ${run.source}, ${run.label.toLowerCase()}, ${run.reason.replaceAll("_", " ")}`);
    this.#strips();
    this.#paint(this.#step);
  }

  async #paint(step) {
    this.#wanted = step;
    const episode = this.#episode;
    for (const [camera, canvas] of this.#views) {
      let picture;
      try {
        picture = (await this.#chunk(camera, Math.floor(step / CHUNK)))[step % CHUNK];
      } catch (error) {
        this.message(`${camera}: ${error.message}`);
        return;
      }
      // somebody has scrubbed on, or opened another episode
      if (this.#wanted !== step || this.#episode !== episode) return;
      const bitmap = await createImageBitmap(picture);
      if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
        canvas.width = bitmap.width;
        canvas.height = bitmap.height;
        canvas.style.aspectRatio = `${bitmap.width} / ${bitmap.height}`;
      }
      canvas.getContext("2d").drawImage(bitmap, 0, 0);
      canvas.dataset.step = String(step);
      bitmap.close();
      const next = (Math.floor(step / CHUNK) + 1) * CHUNK;
      if (this.#timer !== null && next < episode.steps) this.#chunk(camera, next / CHUNK).catch(() => {});
    }
  }

  #chunk(camera, number) {
    const key = `${camera}/${number}`;
    if (!this.#pictures.has(key)) {
      const place = `/api/${this.#robot}/episodes/${encodeURIComponent(this.#episode.id)}/frames/${encodeURIComponent(camera)}`;
      const got = fetch(`${place}?start=${number * CHUNK}&count=${CHUNK}`).then(async (answer) => {
        if (!answer.ok) throw new Error(await answer.text());
        return unpack(await answer.arrayBuffer());
      });
      got.catch(() => this.#pictures.delete(key));
      this.#pictures.set(key, got);
      if (this.#pictures.size > 24) this.#pictures.delete(this.#pictures.keys().next().value);
    }
    return this.#pictures.get(key);
  }

  toggle() {
    if (this.#timer !== null) return this.#pause();
    const episode = this.#episode;
    if (!episode) return undefined;
    if (this.#step === episode.steps - 1) this.#go(0);
    const [began, from] = [performance.now(), this.#step];
    this.#timer = setInterval(() => {
      const step = from + Math.floor(((performance.now() - began) / 1000) * episode.rate_hz * Number($("pace").value));
      if (step !== this.#step) this.#go(step);
      if (step >= episode.steps - 1) this.#pause();
    }, 500 / episode.rate_hz);
    setText($("play"), "Pause");
    return undefined;
  }

  #pause() {
    clearInterval(this.#timer);
    this.#timer = null;
    setText($("play"), "Play");
  }

  annotate(outcome) {
    return this.#change("annotate", { outcome, note: $("note").value.trim() });
  }

  async #change(action, fields = {}) {
    if (!this.#episode) return;
    const { id } = this.#episode;
    const answer = await this.request(action, { episode: id, ...fields });
    if (!answer.accepted) return;
    $("note").value = "";
    await this.refresh();
    await this.show(id);
  }

  async #export() {
    const chosen = this.#selected.size ? this.#shown.filter((row) => this.#selected.has(row.id)) : this.#shown;
    const episodes = chosen.filter((row) => !row.fault).map((row) => row.id);
    if (episodes.length > EXPORTED) {
      this.message(`${episodes.length} episodes are selected, at most ${EXPORTED} go into one export; ./apo episodes export takes more`);
      return;
    }
    $("export").disabled = true;
    this.message(`exporting ${episodes.length} episodes`);
    await this.request("export", { episodes, format: $("export-format").value });
    $("export").disabled = false;
  }

  /** Whether the key is one of this view; one that is held steps on, and does nothing else again. */
  key(key, isRepeated) {
    const keys = {
      " ": () => this.toggle(),
      arrowleft: () => this.#go(this.#step - 1),
      arrowright: () => this.#go(this.#step + 1),
      y: () => this.annotate("SUCCESS"),
      n: () => this.annotate("FAILURE"),
      z: () => this.annotate("RECORDED"),
      x: () => this.#episode.discarded || $("discard-episode").click(),
    };
    if (!this.#episode || !(key in keys)) return false;
    if (!isRepeated || key.startsWith("arrow")) keys[key]();
    return true;
  }
}

/** JPEG pictures, each behind its length. */
function unpack(buffer) {
  const view = new DataView(buffer);
  const found = [];
  for (let at = 0; at < buffer.byteLength; ) {
    const length = view.getUint32(at, true);
    found.push(new Blob([new Uint8Array(buffer, at + 4, length)], { type: "image/jpeg" }));
    at += 4 + length;
  }
  return found;
}
