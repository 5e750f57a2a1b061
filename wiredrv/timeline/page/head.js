// What stands above the lanes: the overview of the whole recording, the time scale, the events of all lanes, and the clocks.

const HEAD = { scale: 24, marks: 24, clock: 40 };
HEAD.height = HEAD.scale + HEAD.marks + HEAD.clock;
const clusterSteps = advances(Array.from({ length: count }, (_, i) => i), data.cluster_time);
const operationSteps = advances(Array.from({ length: count }, (_, i) => i), data.operation_time);

// The kinds of events: their sign, their colour, and whether a line goes across all lanes.
const MARKS = {
  primary: { sign: "▲", color: "mark", dash: [], across: true },
  "no primary": { sign: "△", color: "mark", dash: [4, 3], across: true },
  "pool cleared": { sign: "◆", color: "bad", dash: [6, 4], across: true },
  pin: { sign: "●", color: "pin", dash: [2, 3], across: true },
  unpin: { sign: "○", color: "pin", dash: [1, 5], across: true },
  other: { sign: "▫", color: "quiet", dash: [], across: false },
};
function markKind(mark) {
  if (mark.event === "primary" && !mark.server) return MARKS["no primary"];
  return Object.hasOwn(MARKS, mark.event) ? MARKS[mark.event] : MARKS.other;
}
function markText(mark) {
  const where = mark.server || "";
  if (mark.event === "primary") return where ? `primary ${where}` : "no primary";
  if (mark.kind === "session") return `${mark.event} ${where || shortSession(mark.session || "")}`;
  return [mark.event, where].filter(Boolean).join(" ");
}

// Moments of the time scale: [[time, words], ...], about one for each hundred pixels.
function ticks() {
  const span = view.to - view.from;
  const rough = span / Math.max(plot.width / 110, 2);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let k = Math.ceil(view.from / step); k * step <= view.to && found.length < 100; k++) found.push([k * step, scaleText(k * step || 0, step)]);
  return found;
}
function scaleText(time, step) {
  const [unit, name] = Math.max(Math.abs(view.from), Math.abs(view.to)) >= 1e6 && step >= 1e4 ? [1e6, "s"] : step >= 100 ? [1000, "ms"] : [1, "µs"];
  const places = Math.max(0, -Math.floor(Math.log10(step / unit) + 1e-9));
  return `${(time / unit).toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places })} ${name}`;
}

// How many commands, and how many errors, begin in each of the overview's columns; kept until the filter changes.
let counts = null;
function counted(bins) {
  if (counts !== null && counts.bins === bins && counts.matches === matches) return counts;
  const span = whole.to - whole.from;
  const amounts = new Uint32Array(bins), errors = new Uint32Array(bins);
  for (let i = 0; i < count; i++) {
    if (!matched(i)) continue;
    const bin = Math.min(bins - 1, Math.floor(((begins[i] - whole.from) / span) * bins));
    amounts[bin]++;
    if (failed(i)) errors[bin]++;
  }
  counts = { bins, matches, amounts, errors, most: amounts.reduce((a, b) => Math.max(a, b), 1) };
  return counts;
}

function drawOverview() {
  const canvas = $("overview");
  const width = canvas.parentElement.clientWidth, height = 38;
  const pen = prepare(canvas, width, height);
  const span = whole.to - whole.from;
  const { bins, amounts, errors, most } = counted(Math.max(Math.floor(width / 3), 1));
  const tall = (amount) => (amount ? Math.max(3, (Math.log1p(amount) / Math.log1p(most)) * (height - 12)) : 0);
  for (let bin = 0; bin < bins; bin++) {
    const high = tall(amounts[bin]);
    pen.fillStyle = colors.server;
    pen.globalAlpha = 0.65;
    pen.fillRect((bin / bins) * width, height - high, width / bins - 0.7, high);
    pen.globalAlpha = 1;
    if (errors[bin]) {
      pen.fillStyle = colors.bad;
      pen.fillRect((bin / bins) * width, height - high - 4, Math.max(width / bins - 0.7, 2), 4);
    }
  }
  for (const [mark] of laneMarks) {
    if (!markKind(mark).across) continue;
    pen.fillStyle = colors[markKind(mark).color];
    pen.fillRect(((mark.at - whole.from) / span) * width, 0, 1, height);
  }
  const left = ((view.from - whole.from) / span) * width, right = ((view.to - whole.from) / span) * width;
  if (right - left < width - 1) {
    pen.fillStyle = colors.back;
    pen.globalAlpha = 0.7;
    pen.fillRect(0, 0, left, height);
    pen.fillRect(right, 0, width - right, height);
    pen.globalAlpha = 1;
    pen.strokeStyle = colors.focus;
    pen.lineWidth = 1.5;
    pen.strokeRect(left + 0.75, 0.75, Math.max(right - left - 1.5, 2), height - 1.5);
  }
}

function drawHead() {
  $("head-names").style.height = `${HEAD.height}px`;
  $("in-view").textContent = count || marks.length ? `${duration(view.to - view.from)} in view` : "time";
  const pen = prepare($("head"), plot.width, HEAD.height);
  pen.fillStyle = colors.quiet;
  for (const [time, words] of ticks()) {
    const pixel = Math.round(x(time));
    pen.fillStyle = colors.line;
    pen.fillRect(pixel, HEAD.scale - 7, 1, HEAD.height);
    pen.fillStyle = colors.quiet;
    pen.fillText(words, pixel + 4, 12);
  }
  pen.fillStyle = colors.line;
  pen.fillRect(0, HEAD.scale, plot.width, 1);
  pen.fillRect(0, HEAD.scale + HEAD.marks, plot.width, 1);
  drawClocks(pen, HEAD.scale + HEAD.marks + 5, HEAD.clock - 10);
  drawFlags(pen);
  drawRange(pen, HEAD.height);
}

// Both clocks as steps. The height is the number of steps of cluster time so far: seconds say little here.
function drawClocks(pen, top, height) {
  const first = Math.max(firstFrom(clusterSteps, (step) => step[0], view.from) - 1, 0);
  const last = Math.max(firstFrom(clusterSteps, (step) => step[0], view.to), first + 1);
  const high = (rank) => top + height - (height * (rank - first + 0.2)) / Math.max(last - first, 1);
  const rankOf = (value) => {
    let low = 0, up = clusterSteps.length;
    while (low < up) {
      const middle = (low + up) >> 1;
      if (later(clusterSteps[middle][1], value)) up = middle;
      else low = middle + 1;
    }
    return Math.max(low - 1, first);
  };
  steps(pen, clusterSteps, (step, k) => high(k), colors.cluster, []);
  steps(pen, operationSteps, (step) => high(rankOf(step[1])) + 2, colors.operation, [2, 2]);
  writeClocks(pen, clusterSteps, top + 2, colors.cluster);
  if (narrow) return;
  writeClocks(pen, operationSteps, top + height - 1, colors.operation);
}

function steps(pen, list, high, color, dash) {
  const from = Math.max(firstFrom(list, (step) => step[0], view.from) - 1, 0);
  if (!list.length || list[from][0] > view.to) return;
  pen.strokeStyle = color;
  pen.lineWidth = 1.5;
  pen.setLineDash(dash);
  pen.beginPath();
  let past = -Infinity;
  for (let k = from; k < list.length && list[k][0] <= view.to; k++) {
    const pixel = Math.max(x(list[k][0]), 0), y = high(list[k], k);
    if (k === from) pen.moveTo(pixel, y);
    else if (pixel - past >= 1) {
      pen.lineTo(pixel, high(list[k - 1], k - 1));
      pen.lineTo(pixel, y);
    } else continue;
    past = pixel;
  }
  const end = firstFrom(list, (step) => step[0], view.to) - 1;
  if (end >= from) pen.lineTo(plot.width, high(list[end], end));
  pen.stroke();
  pen.setLineDash([]);
}

// The values where the steps leave room for them.
function writeClocks(pen, list, y, color) {
  pen.font = FONT.replace("11.5px", "10px");
  let free = 0;
  for (let k = Math.max(firstFrom(list, (step) => step[0], view.from) - 1, 0); k < list.length && list[k][0] <= view.to; k++) {
    const pixel = Math.max(x(list[k][0]), 0);
    const room = Math.min(k + 1 < list.length ? x(list[k + 1][0]) : plot.width, plot.width) - pixel - 6;
    if (pixel < free || room < 30) continue;
    const words = `${list[k][1][0]}:${list[k][1][1]}`;
    const width = pen.measureText(words).width;
    if (room < width) continue;
    pen.fillStyle = colors.panel;
    pen.globalAlpha = 0.75;
    pen.fillRect(pixel + 2, y - 6, width + 3, 12);
    pen.globalAlpha = 1;
    pen.fillStyle = color;
    pen.fillText(words, pixel + 4, y);
    free = pixel + width + 10;
  }
  pen.font = FONT;
}

// Those with a line across the lanes come last, over the others, and their words come first.
function drawFlags(pen) {
  const inView = laneMarks.filter(([mark]) => x(mark.at) > -20 && x(mark.at) < plot.width + 5);
  const [minor, major] = [inView.filter(([mark]) => !markKind(mark).across), inView.filter(([mark]) => markKind(mark).across)];
  const y = HEAD.scale + HEAD.marks / 2;
  for (const [mark, index] of [...minor, ...major]) {
    const kind = markKind(mark), pixel = x(mark.at);
    pen.fillStyle = colors[kind.color];
    pen.font = FONT.replace("11.5px", "13px");
    pen.fillText(kind.sign, pixel - pen.measureText(kind.sign).width / 2, y);
    pen.font = FONT;
    if (kind.across) pen.fillRect(Math.round(pixel), HEAD.scale + HEAD.marks, 1, HEAD.clock);
    if (!isChosen("mark", index)) continue;
    pen.strokeStyle = colors.focus;
    pen.lineWidth = 2;
    pen.strokeRect(pixel - 9, y - 9, 18, 18);
  }
  const taken = [];
  for (const [list, color] of [[major, colors.ink], [minor, colors.quiet]]) {
    for (let k = 0; k < list.length; k++) {
      const pixel = x(list[k][0].at);
      // At one place, the last event says what is so from then on.
      const next = k + 1 < list.length ? x(list[k + 1][0].at) : plot.width;
      if (next - pixel < 20) continue;
      const words = markText(list[k][0]);
      const end = pixel + 9 + pen.measureText(words).width;
      const blocked = inView.some(([other]) => x(other.at) > pixel + 6 && x(other.at) < end + 8) || taken.some(([from, to]) => pixel < to && end > from);
      if (end > plot.width || blocked) continue;
      pen.fillStyle = color;
      pen.fillText(words, pixel + 9, y);
      taken.push([pixel, end]);
    }
  }
}

// The same events as lines across all lanes.
function drawLines(pen, height) {
  for (const [mark, index] of laneMarks) {
    const kind = markKind(mark);
    const pixel = Math.round(x(mark.at)) + 0.5;
    if (!kind.across || pixel < -1 || pixel > plot.width + 1) continue;
    pen.strokeStyle = colors[kind.color];
    pen.lineWidth = isChosen("mark", index) ? 3 : 1.2;
    pen.globalAlpha = 0.8;
    pen.setLineDash(kind.dash);
    pen.beginPath();
    pen.moveTo(pixel, 0);
    pen.lineTo(pixel, height);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }
}
