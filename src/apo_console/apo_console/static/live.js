/** What the newest state of a robot is, in the view Live. */

import { $, milliseconds, setText, showPairs } from "./dom.js";
import { SOURCES, drawStrip, words } from "./strips.js";

const SECONDS = 30;

export function showControl(state) {
  const control = state.control;
  $("state").dataset.state = control.state ?? "";
  setText($("state"), control.state ? `${control.state}  ${control.reason.replaceAll("_", " ")}` : "-");
  showPairs($("control"), [
    ["observation age", milliseconds(control.observation_age_s === null ? null : control.observation_age_s * 1000)],
    ["takeover", milliseconds(control.takeover_latency_p50_ms)],
    ["ticks missed", control.ticks_missed],
    ["limits", control.clipped],
    ["device", state.device.name && `${state.device.name}${state.device.connected ? "" : ", not connected"}`],
    ["entropy", state.doubt.entropy],
    ["task", state.task.trial !== undefined ? `trial ${state.task.trial}, step ${state.task.step}` : null],
    ["stages", Object.entries(state.task.stages ?? {}).map(([name, done]) => `${done ? "\u2713" : "\u00b7"} ${name}`).join("  ")],
  ]);
}

function spent(each) {
  return `${(each.watched_s / 60).toFixed(1)} min watched, ${(each.driven_s / 60).toFixed(1)} driven`;
}

/** What the episodes took of the operator: the last one, and all since the recorder started, by policy. */
export function showOperatorTime(time) {
  const rounds = (time.rounds ?? []).map((each) => [each.adapter_version ? `adapter ${each.adapter_version}` : "base policy", spent(each)]);
  const last = time.episode ? `${time.watched_s.toFixed(0)} s watched, ${time.driven_s.toFixed(0)} driven` : null;
  showPairs($("operator-time"), [["last episode", last], ...rounds]);
}

export function showEpisode(episode) {
  const facts = [episode.event, episode.id, episode.outcome !== "UNLABELED" ? episode.outcome : "", episode.reason];
  setText($("episode"), facts.filter(Boolean).join(", ") || "-");
  const isRunning = episode.event === "STARTED";
  // while the robot resets, the verdict is about the episode that has just ended
  setText($("verdict"), isRunning ? "ends this episode" : episode.event === "SAVED" ? "corrects the episode above" : "no episode");
}

// which of the two drives the running episode is not shown: who judges it should not know
function trialText(trial) {
  if (trial.stage === undefined) return null;
  const counts =
    trial.stage === "shadow"
      ? `${trial.shadow_steps} steps`
      : `unaided ${trial.candidate_successes} of ${trial.candidate_episodes}, beside it ${trial.serving_successes} of ${trial.serving_episodes}`;
  return [`adapter ${trial.candidate}`, trial.stage.replaceAll("_", " "), trial.reason || counts].join(", ");
}

export function showLearning(state) {
  const { training, adapter, trial } = state;
  const runs = training.state === "RUNNING";
  showPairs($("learning"), [
    ["serves", adapter.version === undefined ? null : adapter.version === 0 ? "base policy" : `adapter ${adapter.version}`],
    ["rejected", adapter.state === "REJECTED" ? `${adapter.requested}: ${adapter.reason}` : null],
    ["trial", trialText(trial)],
    ["training", training.state],
    ["run", training.run],
    ["loss", runs ? training.loss : null],
    ["left", runs && training.eta_s !== null && training.eta_s !== undefined ? `${training.eta_s.toFixed(0)} s` : null],
    ["note", training.message],
  ]);
  $("progress").hidden = !runs;
  $("progress").value = training.steps ? training.step / training.steps : 0;
}

export function showStrip(rows) {
  const canvas = $("timeline");
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  const parts = rows.map((row) => ({ from: 1 - row.from / SECONDS, to: 1 - row.to / SECONDS, name: row.state }));
  drawStrip(canvas, parts, SOURCES, 4, canvas.height - 8);
  const newest = rows.at(-1);
  const why = newest?.reason ? `   now: ${newest.reason.replaceAll("_", " ")}` : "";
  setText($("legend"), words(parts, SOURCES) + why);
}
