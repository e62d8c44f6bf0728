/** Joins the page: what arrives is shown, what a person does is sent. */

import { Cameras } from "./cameras.js";
import { Connection } from "./connection.js";
import { $, setText } from "./dom.js";
import { Drive, Pad, SpaceMouse } from "./drive.js";
import { Episodes } from "./episodes.js";
import { Learning } from "./learning.js";
import { showControl, showEpisode, showLearning, showOperatorTime, showStrip } from "./live.js";

const storage = window.localStorage;
const connection = new Connection(storage.getItem("name") ?? "");
const cameras = new Cameras($("cameras"), connection);
const pads = [
  new Pad($("pad-plane"), (x, y) => [-y, -x, 0, 0, 0, 0]),
  new Pad($("pad-height"), (x, y) => [0, 0, -y, 0, 0, 0]),
  new Pad($("pad-yaw"), (x) => [0, 0, 0, 0, 0, -x]),
];
const drive = new Drive(connection, pads);
const episodes = new Episodes(request, message);
const learning = new Learning(request, message);
const VIEWS = { live: null, episodes, learning };
let robot = 0;
let newest = null;
let view = "live";

function message(text) {
  $("message").textContent = text;
}

async function request(action, fields = {}) {
  const answer = await connection.request(robot, action, fields);
  message(answer.accepted ? answer.message : `${action.replaceAll("_", " ")}: ${answer.message}`);
  return answer;
}

function showAlarm(level, text, action) {
  $("alarm").dataset.level = level;
  setText($("alarm").firstElementChild, text);
  setText($("alarm").lastElementChild, action);
  document.title = level >= 2 ? `! ${text}` : "apo console";
}

function showDrive(content) {
  const lease = content.leases[robot];
  const mine = lease.id === content.you.id;
  if (drive.isOn && !mine && lease.id !== "") drive.lost();
  if (drive.isOn && lease.id === "" && lease.reason) drive.lost();
  const free = lease.reason ? `Nobody drives in a browser (${lease.reason}).` : "Nobody drives in a browser.";
  setText($("lease"), mine ? "You drive. Hold to move." : lease.holder ? `${lease.holder} drives.` : free);
  setText($("take"), lease.holder && !mine ? `Take over from ${lease.holder}` : "Drive");
  const trip = content.you.round_trip_ms;
  setText($("line"), `${content.you.name}, round trip ${trip === null ? "-" : trip.toFixed(0)} ms, pages open: ${content.viewers}`);
}

function showRobots(robots) {
  $("robots").hidden = robots.length < 2;
  if (robots.length < 2) return;
  const buttons = [...$("robots").children];
  robots.forEach((state, i) => {
    const button = buttons[i] ?? $("robots").appendChild(document.createElement("button"));
    button.type = "button";
    button.onclick = () => choose(i);
    button.setAttribute("aria-current", String(i === robot));
    setText(button, `${["", "", "! ", "!! "][state.alarm.level]}${state.name || "robot"}: ${state.control.state ?? "-"}`);
    // who needs help first stands first; places change by order alone, so that the focus stays
    button.style.order = String(3 - state.alarm.level);
  });
}

function choose(index) {
  drive.release("another robot is shown");
  robot = drive.robot = index;
  if (newest) show(newest);
  VIEWS[view]?.open(robot);
}

function show(content) {
  if (newest && newest.console !== content.console) {
    location.reload(); // started again: its page and its robots may be others
    return;
  }
  const before = newest?.robots[robot].episode;
  newest = content;
  const state = content.robots[robot];
  showAlarm(state.alarm.level, state.alarm.text, state.alarm.action);
  cameras.show(robot, state.cameras);
  showControl(state);
  showDrive(content);
  showEpisode(state.episode);
  showOperatorTime(state.operator_time);
  showLearning(state);
  showRobots(content.robots);
  showStrip(state.timeline);
  const isNews = before?.event !== state.episode.event || before?.id !== state.episode.id;
  if (episodes.isOpen && isNews) episodes.refresh();
}

/** Shows one of VIEWS; nobody drives who does not see the cameras. */
function chooseView(name) {
  if (!(name in VIEWS)) return;
  if (name !== "live") drive.release("the page shows something else");
  VIEWS[view]?.leave();
  view = name;
  for (const other of Object.keys(VIEWS)) {
    $(`view-${other}`).hidden = other !== name;
    $(`to-${other}`).setAttribute("aria-current", String(other === name));
  }
  VIEWS[name]?.open(robot);
}

/** Ends the episode that runs; corrects the last one while the robot resets. */
function verdict(outcome) {
  const episode = newest?.robots[robot].episode ?? {};
  if (episode.event !== "SAVED") return request("end_episode", { outcome });
  if (outcome === "DISCARD") return request("discard_episode", { episode: episode.id });
  return request("annotate", { episode: episode.id, outcome, note: "" });
}

async function toggleDrive() {
  if (drive.isOn) {
    drive.release("let go");
    return;
  }
  if (view !== "live") {
    message("drive: open Live first, where the cameras are");
    return;
  }
  const lease = newest?.leases[robot];
  const takeOver = Boolean(lease?.holder) && lease.id !== newest.you.id;
  const answer = await drive.take(takeOver);
  message(answer.accepted ? "" : `drive: ${answer.message}`);
}

connection.addEventListener("state", ({ detail }) => show(detail));
connection.addEventListener("close", ({ detail }) => showAlarm(3, "Not connected.", detail));
drive.addEventListener("change", () => {
  $("take").classList.toggle("on", drive.isOn);
  $("release").disabled = !drive.isOn;
  $("pads").hidden = !drive.isOn;
});

$("estop").onclick = () => request("estop");
$("enable").onclick = () => request("enable", { value: true });
$("pause").onclick = () => request("enable", { value: false });
for (const action of ["clear", "hand_back", "undo_last"]) $(action).onclick = () => request(action);
for (const button of document.querySelectorAll("[data-request]")) button.onclick = () => request(button.dataset.request);
$("start_episode").onclick = () => request("start_episode", { instruction: "" });
for (const button of document.querySelectorAll("[data-outcome]")) {
  button.onclick = () => verdict(button.dataset.outcome);
}
$("take").onclick = toggleDrive;
$("release").onclick = () => drive.release("let go");
$("gripper").onclick = () => drive.gripper();
$("speed").oninput = () => (drive.speed = Number($("speed").value));
$("spacemouse").hidden = !SpaceMouse.isPossible;
$("spacemouse").onclick = async () => {
  try {
    const found = await drive.spaceMouse.open();
    message(found ? `SpaceMouse: ${drive.spaceMouse.device.productName}` : "no SpaceMouse was chosen");
  } catch (error) {
    message(`SpaceMouse: ${error.message}`);
  }
};

for (const name of Object.keys(VIEWS)) {
  $(`to-${name}`).onclick = () => {
    location.hash = name;
  };
}
window.addEventListener("hashchange", () => chooseView(location.hash.slice(1) || "live"));
chooseView(location.hash.slice(1) in VIEWS ? location.hash.slice(1) : "live");

$("name").value = connection.name;
$("name").onchange = () => {
  storage.setItem("name", $("name").value);
  message("the new name holds once the page is loaded again");
};

const KEYS = {
  1: () => (location.hash = "live"),
  2: () => (location.hash = "episodes"),
  3: () => (location.hash = "learning"),
  0: () => request("estop"),
  c: () => request("clear"),
  b: () => request("hand_back"),
  t: () => request("start_episode", { instruction: "" }),
  y: () => verdict("SUCCESS"),
  n: () => verdict("FAILURE"),
  x: () => verdict("DISCARD"),
  z: () => request("undo_last"),
  enter: toggleDrive,
  " ": () => drive.gripper(),
  "+": () => changeSpeed(0.1),
  "-": () => changeSpeed(-0.1),
};

function changeSpeed(by) {
  $("speed").value = String(Number($("speed").value) + by);
  drive.speed = Number($("speed").value);
}

function letGoOfKeys() {
  drive.keys.clear();
  drive.changed();
}

// while a menu is open, and on a Mac while Command is held, the page learns of no key that is lifted
document.addEventListener("contextmenu", letGoOfKeys);
document.addEventListener("keydown", (event) => {
  if (event.key === "Meta") letGoOfKeys();
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input[type=text], input[type=search], textarea, select")) return;
  const key = event.key.toLowerCase();
  if (drive.isOn && drive.keys.press(key)) {
    event.preventDefault();
    drive.changed();
    return;
  }
  // a key that is held repeats, and what has the focus takes Enter and space for itself
  const takers = "button, summary, a, input[type=checkbox]";
  const isButtons = event.target.matches(takers) && (key === "enter" || (key === " " && !drive.isOn));
  if (isButtons) return;
  if (view === "episodes" && episodes.key(key, event.repeat)) {
    event.preventDefault();
    return;
  }
  if (event.repeat || !(key in KEYS)) return;
  event.preventDefault();
  KEYS[key]();
});
document.addEventListener("keyup", (event) => {
  drive.keys.lift(event.key.toLowerCase());
  drive.changed();
});

// for tests and measurements in a real browser
window.apo = { connection, drive, cameras, episodes };
