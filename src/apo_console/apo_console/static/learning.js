/** What the policy has learned: success over rounds, the family of adapters, training runs and their curves. */

import { $, confirmed, fetchJson, make, percent, setText } from "./dom.js";

const CURVES = [["loss"], ["l1.HUMAN", "l1.EXPERT"], ["log_ratio.HUMAN", "log_ratio.UNDESIRABLE", "log_ratio.EXPERT"]];
const STROKES = [[], [7, 5], [2, 4]];
const COLOURS = ["--policy", "--stop", "--fine"];
const AGAIN_MS = 3000;

export class Learning {
  #robot = 0;
  #run = "";
  #timer = null;
  isOpen = false;

  constructor(request, message) {
    this.request = request;
    this.message = message;
    confirmed($("roll_back"), () => this.#change("roll_back", { reason: "console" }));
  }

  async open(robot) {
    this.#robot = robot;
    this.isOpen = true;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.refresh(), AGAIN_MS);
    await this.refresh();
  }

  leave() {
    this.isOpen = false;
    clearInterval(this.#timer);
  }

  async refresh() {
    let found;
    try {
      found = await fetchJson(`/api/${this.#robot}/learning`);
    } catch (error) {
      this.message(`learning: ${error.message}`);
      return;
    }
    this.#rounds(found.rounds);
    this.#family(found);
    await this.#runs(found.runs);
  }

  #rounds(rounds) {
    const rows = rounds.map((row) => {
      const rate = row.judged ? `${percent(row.successes / row.judged)} (${percent(row.low)} to ${percent(row.high)})` : "not judged";
      const cells = [row.purpose, row.episodes, `${row.successes} of ${row.judged}`, rate, percent(row.share), row.takeovers];
      return make("tr", {}, make("th", { scope: "row", textContent: row.adapter ? `adapter ${row.adapter}` : "base policy" }),
        ...cells.map((text) => make("td", { textContent: text })));
    });
    replace($("round-rows"), rows);
    drawRounds($("round-chart"), rounds.filter((row) => row.judged));
  }

  #family({ adapters, serving, reason }) {
    const rows = adapters.map((row) => {
      const name = row.version ? `adapter ${row.version}` : "base policy";
      const cell = make("th", { scope: "row", textContent: `${"\u2003".repeat(row.depth)}${row.depth ? "\u2514 " : ""}${name}` });
      const marks = row.serves ? "serves" : row.served_before ? "served before" : "";
      const values = row.verdict?.values ?? {};
      const error = values.held_out_l1 === undefined ? "-" : `${values.held_out_l1.toFixed(3)} from ${values.held_out_ref_l1?.toFixed(3) ?? "?"}`;
      const verdict = row.fault ?? (row.version === 0 ? "-" : row.verdict === null ? "not judged" : ["accepted", ...row.verdict.notes].join("; "));
      const from = row.version === 0 ? "-" : row.parent ? `adapter ${row.parent}` : "base policy";
      const cells = [from, row.method ?? "-", row.episodes ?? "-", error, verdict, marks].map((text) => make("td", { textContent: text }));
      const act = make("td");
      if (!row.serves && !row.fault) {
        const button = make("button", { type: "button", textContent: "Promote", "aria-label": `Promote ${name}` });
        act.append(confirmed(button, () => this.#change("promote", { version: row.version, reason: "console" })));
      }
      const line = make("tr", {}, cell, ...cells, act);
      if (row.serves) line.setAttribute("aria-current", "true");
      return line;
    });
    if (replace($("adapter-rows"), rows)) rows.find((row) => row.hasAttribute("aria-current"))?.scrollIntoView({ block: "nearest" });
    setText($("serving"), `${serving ? `adapter ${serving}` : "The base policy"} is promoted${reason ? `: ${reason}` : ""}`);
  }

  async #runs(runs) {
    const rows = runs.map((row) => {
      const name = make("button", { type: "button", className: "link", textContent: row.id });
      name.onclick = () => {
        this.#run = row.id;
        this.refresh();
      };
      const state = row.state ?? "going on, or cut off";
      const result = row.version ? `adapter ${row.version}` : [row.message, ...row.reasons].filter(Boolean).join("; ") || "-";
      const cells = [row.method ?? "-", state, row.steps ?? "-", row.seconds ? `${row.seconds.toFixed(0)} s` : "-", result];
      return make("tr", {}, make("td", {}, name), ...cells.map((text) => make("td", { textContent: text })));
    });
    replace($("run-rows"), rows);
    const run = runs.some((row) => row.id === this.#run) ? this.#run : runs[0]?.id;
    $("curves").hidden = run === undefined;
    if (run === undefined) return;
    setText($("curve-title"), run);
    try {
      const metrics = await fetchJson(`/api/${this.#robot}/runs/${encodeURIComponent(run)}/metrics`);
      $("curves").hidden = !metrics.step?.length;
      CURVES.forEach((names, i) => drawCurve($(`curve-${i}`), metrics, names));
    } catch (error) {
      this.message(`${run}: ${error.message}`);
    }
  }

  async #change(action, fields) {
    await this.request(action, fields);
    await this.refresh();
  }
}

/** New rows, unless they look the same: a button that waits for its second press stays. Whether there are new ones. */
function replace(body, rows) {
  const text = rows.map((row) => row.textContent).join("\n").replaceAll(": press again", "");
  const before = [...body.children].map((row) => row.textContent).join("\n").replaceAll(": press again", "");
  if (text !== before) body.replaceChildren(...rows);
  return text !== before;
}

function frame(canvas) {
  const context = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = "16px system-ui, sans-serif";
  context.lineWidth = 2;
  context.setLineDash([]);
  const colour = (name) => style.getPropertyValue(name);
  return { context, colour, left: 64, right: canvas.width - 12, top: 12, bottom: canvas.height - 30 };
}

function axis({ context, colour, left, right, top, bottom }, low, high, digits, suffix = "") {
  context.fillStyle = colour("--dim");
  context.strokeStyle = colour("--edge");
  context.textAlign = "right";
  for (const share of [0, 0.5, 1]) {
    const y = bottom - share * (bottom - top);
    context.beginPath();
    context.moveTo(left, y);
    context.lineTo(right, y);
    context.stroke();
    context.fillText(`${(low + share * (high - low)).toFixed(digits)}${suffix}`, left - 8, y + 5);
  }
  context.textAlign = "left";
}

/** Success with its interval, and the operator's share, of each adapter. */
function drawRounds(canvas, rounds) {
  const area = frame(canvas);
  const { context, colour, left, right, top, bottom } = area;
  axis(area, 0, 100, 0, " %");
  const x = (i) => left + ((i + 0.5) * (right - left)) / Math.max(rounds.length, 1);
  const y = (share) => bottom - share * (bottom - top);
  rounds.forEach((row, i) => {
    context.strokeStyle = context.fillStyle = colour(row.purpose === "evaluation" ? "--fine" : "--policy");
    context.beginPath();
    context.moveTo(x(i), y(row.low));
    context.lineTo(x(i), y(row.high));
    context.stroke();
    context.beginPath();
    context.arc(x(i), y(row.successes / row.judged), 7, 0, 7);
    context.fill();
    context.fillStyle = colour("--human");
    context.fillRect(x(i) + 12, y(row.share), 10, bottom - y(row.share));
    context.fillStyle = colour("--dim");
    context.textAlign = "center";
    context.fillText(`${row.adapter || "base"}${row.purpose === "evaluation" ? " alone" : ""}`, x(i), bottom + 22);
  });
  context.textAlign = "left";
}

function drawCurve(canvas, metrics, names) {
  const area = frame(canvas);
  const { context, colour, left, right, top, bottom } = area;
  const steps = metrics.step ?? [];
  const known = names.filter((name) => metrics[name]?.some((value) => value !== null));
  const values = known.flatMap((name) => metrics[name].filter((value) => value !== null));
  if (!values.length) {
    context.fillStyle = colour("--dim");
    context.fillText(`${names[0]}: nothing yet`, left, (top + bottom) / 2);
    return;
  }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const span = high - low || 1;
  axis(area, low, low + span, span < 1 ? 3 : 1);
  const last = steps.at(-1) || 1;
  known.forEach((name, i) => {
    context.strokeStyle = context.fillStyle = colour(COLOURS[i]);
    context.setLineDash(STROKES[i]);
    context.beginPath();
    let isOpen = false;
    metrics[name].forEach((value, row) => {
      if (value === null) return;
      const point = [left + (steps[row] / last) * (right - left), bottom - ((value - low) / span) * (bottom - top)];
      if (isOpen) context.lineTo(...point);
      else context.moveTo(...point);
      isOpen = true;
    });
    context.stroke();
    context.fillText(name.replace("_", " ").replace(".", " "), left + 10 + i * 190, bottom + 22);
  });
  context.setLineDash([]);
}
