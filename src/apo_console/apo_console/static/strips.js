/** Strips of who drove and of labels: a colour, a pattern and a letter, so that colour is not the only carrier. */

export const SOURCES = {
  POLICY: { letter: "P", words: "policy", colour: "--policy" },
  HUMAN: { letter: "O", words: "operator", colour: "--human" },
  HOLD: { letter: "H", words: "hold", colour: "--hold", hatched: true },
  IDLE: { letter: "-", words: "nobody", colour: "--hold", faint: true },
  ESTOP: { letter: "!", words: "emergency stop", colour: "--stop", hatched: true },
  SILENT: { letter: "?", words: "no report", colour: "--stop" },
};
export const LABELS = {
  DESIRABLE: { letter: "D", words: "desirable", colour: "--fine" },
  CORRECTED: { letter: "C", words: "corrected", colour: "--human" },
  UNDESIRABLE: { letter: "U", words: "undesirable", colour: "--stop", hatched: true },
  UNUSED: { letter: "", words: "unused", colour: "--hold", faint: true },
};

/** Draws `[{from, to, name}]`, shares of the width, between two heights of a canvas. */
export function drawStrip(canvas, rows, table, top, height) {
  const style = getComputedStyle(canvas);
  const context = canvas.getContext("2d");
  const { width } = canvas;
  context.font = `600 ${Math.min(22, Math.round(height * 0.55))}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const row of rows) {
    const kind = table[row.name] ?? { letter: "?", colour: "--hold" };
    const [left, right] = [width * row.from, width * row.to];
    context.fillStyle = style.getPropertyValue(kind.colour);
    context.globalAlpha = kind.faint ? 0.35 : 1;
    context.fillRect(left, top, Math.max(right - left, 1), height);
    context.globalAlpha = 1;
    if (kind.hatched) hatch(context, left, right, top, height);
    if (right - left > 26) {
      // light on dark colours, dark on the light ones of the dark scheme
      context.fillStyle = style.getPropertyValue(kind.faint ? "--text" : "--card");
      context.fillText(kind.letter, left + 7, top + height / 2);
    }
  }
}

function hatch(context, left, right, top, height) {
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, height);
  context.clip();
  context.strokeStyle = "rgba(255, 255, 255, 0.45)";
  context.lineWidth = 3;
  context.beginPath();
  for (let x = left - height; x < right; x += 12) {
    context.moveTo(x, top + height);
    context.lineTo(x + height, top);
  }
  context.stroke();
  context.restore();
}

/** The share of each name in words, the largest first; `rows` as of drawStrip. */
export function words(rows, table) {
  const sums = {};
  for (const row of rows) sums[row.name] = (sums[row.name] ?? 0) + row.to - row.from;
  const total = Object.values(sums).reduce((sum, value) => sum + value, 0) || 1;
  return Object.entries(sums)
    .sort((a, b) => b[1] - a[1])
    .map(([name, value]) => `${table[name]?.letter ?? "?"} ${table[name]?.words ?? name} ${Math.round((100 * value) / total)}%`)
    .join("   ");
}
