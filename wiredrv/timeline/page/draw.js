// The lanes' canvas: what is in view is drawn, everything else is skipped.

const view = { from: whole.from, to: whole.to };
const plot = { width: 0, height: 0, gutter: 0 };
let chosen = null; // { kind: "command" | "mark" | "transaction", index }
let hovered = -1;
let range = null; // the part of time that is being dragged over
let waiting = false;

const x = (time) => ((time - view.from) / (view.to - view.from)) * plot.width;
const timeAt = (pixel) => view.from + (pixel / plot.width) * (view.to - view.from);
const isChosen = (kind, index) => chosen !== null && chosen.kind === kind && chosen.index === index;
const FONT = '11.5px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';

function redraw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    drawAll();
  });
}

function drawAll() {
  if ($("chart").hidden) return;
  drawOverview();
  drawHead();
  drawLanes();
  placeNames();
}

// The canvas in device pixels; what is drawn counts in CSS pixels.
function prepare(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = FONT;
  pen.textBaseline = "middle";
  return pen;
}

function measure() {
  narrow = window.innerWidth <= 640;
  plot.gutter = narrow ? 0 : Math.min(210, Math.max(150, window.innerWidth * 0.17));
  document.documentElement.style.setProperty("--gutter", `${plot.gutter}px`);
  layOut($("scroller").clientHeight);
  $("space").style.height = `${laneHeight}px`;
  plot.width = Math.max($("scroller").clientWidth - plot.gutter, 40);
  plot.height = Math.max($("scroller").clientHeight, 40);
  $("lanes").style.marginBottom = `${-plot.height}px`;
}

function drawLanes() {
  const pen = prepare($("lanes"), plot.width, plot.height);
  const scrolled = $("scroller").scrollTop;
  drawGrid(pen, plot.height);
  for (const lane of shown) {
    const top = lane.top - scrolled;
    if (top + lane.height < 0 || top > plot.height) continue;
    drawLane(pen, lane, top);
  }
  drawLines(pen, plot.height);
  drawRange(pen, plot.height);
}

function drawGrid(pen, height) {
  pen.fillStyle = colors.line;
  for (const [time] of ticks()) pen.fillRect(Math.round(x(time)), 0, 1, height);
}

function drawRange(pen, height) {
  if (range === null) return;
  const left = x(Math.min(range.from, range.to)), right = x(Math.max(range.from, range.to));
  pen.globalAlpha = 0.16;
  pen.fillStyle = colors.focus;
  pen.fillRect(left, 0, right - left, height);
  pen.globalAlpha = 1;
  pen.fillRect(left, 0, 1, height);
  pen.fillRect(right, 0, 1, height);
}

function drawLane(pen, lane, top) {
  pen.fillStyle = colors.line;
  pen.fillRect(0, top + lane.height - 1, plot.width, 1);
  if (folded(lane)) return;
  drawLife(pen, lane, top);
  const first = firstFrom(lane.transactions, (found) => found.end, view.from);
  for (let t = first; t < lane.transactions.length && lane.transactions[t].begin <= view.to; t++) drawTransaction(pen, lane, lane.transactions[t], top);
  for (let row = 0; row < lane.rows.length; row++) {
    const y = top + lane.rowsTop + row * lane.rowHeight;
    if (y > -lane.rowHeight && y < plot.height) drawRow(pen, lane, lane.rows[row], y);
  }
  if (lane.kind === "session") drawClock(pen, lane, top + lane.height - lane.clockHeight);
}

// A line from a session's start to its end.
function drawLife(pen, lane, top) {
  const y = top + lane.height - lane.clockHeight - 2;
  const stretches = [];
  let from = null;
  for (const mark of lane.life) {
    if (mark.event === "start") from = mark.at;
    else {
      stretches.push([from ?? whole.from, mark.at]);
      from = null;
    }
  }
  if (from !== null || !lane.life.length) stretches.push([from ?? (lane.commands.length ? begins[lane.commands[0]] : whole.from), lane.life.length ? whole.to : ends[lane.commands[lane.commands.length - 1]]]);
  if (lane.kind !== "session") return;
  pen.fillStyle = colors.selection;
  pen.globalAlpha = 0.55;
  let past = -1;
  for (const [start, end] of stretches) {
    const left = Math.max(x(start), -2), right = Math.min(x(end), plot.width + 2);
    if (right <= past || left > plot.width) continue;
    pen.fillRect(left, y, Math.max(right - left, 1), 1);
    pen.fillRect(left, y - 2, 1, 5);
    pen.fillRect(right - 1, y - 2, 1, 5);
    past = right;
  }
  pen.globalAlpha = 1;
}

function drawTransaction(pen, lane, found, top) {
  const left = Math.max(x(found.begin) - 3, -10), right = Math.min(x(found.end) + 3, plot.width + 10);
  const y = top + lane.rowsTop - lane.stripHeight;
  const height = lane.height - (y - top) - lane.clockHeight - 2;
  const width = Math.max(right - left, 2);
  const color = found.outcome === "open" ? colors.selection : colors[found.outcome];
  if (width < 6) {
    pen.fillStyle = color;
    pen.globalAlpha = 0.5;
    pen.fillRect(left, y, width, height);
    pen.globalAlpha = 1;
    return;
  }
  pen.beginPath();
  pen.roundRect(left + 0.5, y + 0.5, width - 1, height - 1, 4);
  pen.globalAlpha = 0.1;
  pen.fillStyle = color;
  pen.fill();
  pen.globalAlpha = 1;
  if (found.outcome === "aborted") {
    pen.fillStyle = patterns.aborted;
    pen.fill();
  }
  pen.strokeStyle = color;
  pen.lineWidth = isChosen("transaction", found.index) ? 2.5 : 1.2;
  pen.setLineDash(found.outcome === "unknown" ? [5, 3] : found.outcome === "open" ? [2, 3] : []);
  pen.stroke();
  pen.setLineDash([]);
  drawStrip(pen, found, Math.max(left, 0), Math.min(right, plot.width), y, height, color);
}

// What happened to a transaction: its name and outcome, and where it was begun again, committed or aborted.
function drawStrip(pen, found, left, right, y, height, color) {
  // A retry is told after the end of its transaction: its text may be as long as the lane is empty.
  const until = Math.min(found.next ? x(found.next.begin) : plot.width, plot.width);
  const attempt = found.after ? found.after.attempt : found.events.filter((mark) => mark.event !== "retry").reduce((most, mark) => Math.max(most, mark.attempt ?? 0), 0);
  const name = `txn ${found.number}`, sign = OUTCOMES[found.outcome];
  const again = attempt > 1 ? " ↻" : "";
  const cause = found.after && found.after.error ? [`${name}  ${sign}, ↻ attempt ${attempt} after ${retryText(found.after.error)}`] : [];
  const texts = [...cause, `${name}  ${sign}${attempt > 1 ? `, ↻ attempt ${attempt}` : ""}`, `${name}${again} ${sign}`, `${found.number}${again} ${sign[0]}`, sign[0]];
  const label = right - left < 16 ? undefined : texts.find((words) => pen.measureText(words).width < right - left - 10);
  let taken = left;
  if (label !== undefined) {
    pen.fillStyle = color;
    pen.fillText(label, left + 6, y + 10);
    taken = left + 10 + pen.measureText(label).width;
  }
  for (const mark of [...found.events, ...found.sent].sort((a, b) => a.at - b.at)) {
    if (mark.event === "begin" || mark.event === "committed" || mark.event === "aborted") continue;
    const pixel = x(mark.at);
    if (pixel < -5 || pixel > plot.width + 5) continue;
    const free = pixel >= taken;
    pen.fillStyle = mark.event === "retry" ? colors.mark : color;
    pen.fillRect(Math.round(pixel), free ? y + 1 : y + 18, 1.5, height - (free ? 2 : 19));
    if (!free) continue;
    const room = (mark.event === "retry" ? until : right) - pixel - 8;
    const fitting = eventTexts(mark).find((words) => pen.measureText(words).width < room) || "";
    pen.fillText(fitting, pixel + 4, y + 10);
    taken = pixel + 8 + pen.measureText(fitting).width;
  }
}
// From the longest to the shortest.
function eventTexts(mark) {
  if (mark.event !== "retry") return [{ unknown: "? unknown" }[mark.event] || mark.event || ""];
  const { error } = mark;
  return error ? [`↻ ${retryText(error)}`, `↻ ${error.type || "error"} ${error.code ?? ""}`, error.code === null ? "↻" : `↻ ${error.code}`, "↻"] : ["↻ retry", "↻"];
}
const retryText = (error) => [error.type || "error", error.code ?? "", error.labels.length ? `(${error.labels.join(", ")})` : ""].filter((part) => part !== "").join(" ");

// One row of bars. Where many share a pixel, it is drawn once, or once more for an error.
function drawRow(pen, lane, list, y) {
  const thin = Math.max(Math.round(lane.barHeight * 0.5), 3);
  const shift = Math.floor((lane.barHeight - thin) / 2);
  let past = -1, errorAt = -2;
  const start = Math.max(firstEnding(list, view.from) - 1, 0);
  for (let k = start; k < list.length; k++) {
    const i = list[k];
    if (begins[i] > view.to) break;
    const left = x(begins[i]), right = x(ends[i]);
    if (right < -3) continue;
    const bad = failed(i), pixel = Math.floor(left);
    if (right - left < 2) {
      if (pixel <= past && !(bad && errorAt < pixel) && !isChosen("command", i) && hovered !== i) continue;
      pen.globalAlpha = matched(i) ? 1 : 0.13;
      pen.fillStyle = bad ? colors.bad : pending(i) ? colors.selection : colors.server;
      pen.fillRect(pixel, y, 2, lane.barHeight);
      if (bad) errorAt = pixel + 1;
      past = Math.max(past, pixel + 1);
    } else {
      pen.globalAlpha = matched(i) ? 1 : 0.13;
      drawBar(pen, i, left, right, y, lane.barHeight, thin, shift);
      past = Math.max(past, Math.floor(right));
    }
    pen.globalAlpha = 1;
    if (isChosen("command", i) || hovered === i) outline(pen, left, right, y, lane.barHeight, isChosen("command", i));
    if (lane.rowHeight > 20 && right - left >= 2 && matched(i)) drawName(pen, i, left, right, y, lane.barHeight, k + 1 < list.length ? x(begins[list[k + 1]]) : plot.width);
  }
}

function drawBar(pen, i, left, right, y, height, thin, shift) {
  const bad = failed(i);
  for (const [name, from, to] of phases(i)) {
    const start = Math.max(x(from), -20), stop = Math.min(x(to), plot.width + 20);
    if (stop - start < 0.3) continue;
    const width = Math.max(stop - start, 1);
    if (name === "server") {
      pen.fillStyle = bad ? (width > 5 ? patterns.failed : colors.bad) : colors.server;
      pen.fillRect(start, y, width > 3 ? width - 0.8 : width, height);
    } else {
      pen.fillStyle = name === "sending" ? colors.line : patterns[name];
      pen.fillRect(start, y + shift, width, thin);
      pen.strokeStyle = colors[name] || colors.selection;
      pen.lineWidth = 1;
      if (width > 2) pen.strokeRect(start + 0.5, y + shift + 0.5, width - 1, thin - 1);
    }
  }
  if (bad && right < plot.width + 8) {
    // The end says that it failed, whatever part it failed in.
    pen.fillStyle = colors.bad;
    pen.fillRect(right - 3, y, 3, height);
  }
  if (pending(i)) {
    pen.strokeStyle = colors.server;
    pen.setLineDash([3, 2]);
    pen.beginPath();
    pen.moveTo(right + 8, y + 0.5);
    pen.lineTo(left + 0.5, y + 0.5);
    pen.lineTo(left + 0.5, y + height - 0.5);
    pen.lineTo(right + 8, y + height - 0.5);
    pen.stroke();
    pen.setLineDash([]);
  }
}

function outline(pen, left, right, y, height, strong) {
  pen.strokeStyle = strong ? colors.focus : colors.ink;
  pen.lineWidth = strong ? 2.5 : 1;
  pen.strokeRect(Math.max(left, -5) - 1.5, y - 1.5, Math.min(Math.max(right, left + 2), plot.width + 5) - Math.max(left, -5) + 3, height + 3);
}

// The command's name in the server's part of the bar, or behind the bar where the next one leaves room.
function drawName(pen, i, left, right, y, height, next) {
  const name = `${data.attempt[i] > 1 ? "↻ " : ""}${failed(i) ? "✕ " : ""}${commandName(i)}`;
  const width = pen.measureText(name).width;
  const begin = sent[i] === sent[i] ? sent[i] : connected[i] === connected[i] ? connected[i] : begins[i];
  const inside = Math.max(x(begin), 0), stop = Math.min(right, plot.width);
  const answered = replied[i] === replied[i] && !pending(i);
  if (answered && stop - inside > width + 10) {
    const backed = failed(i);
    if (backed) {
      pen.fillStyle = colors.bad;
      pen.fillRect(inside + 2, y + 1, width + 7, height - 2);
    }
    pen.fillStyle = backed ? colors["on-bad"] : colors["on-server"];
    pen.fillText(name, inside + 5, y + height / 2 + 0.5);
  } else if (next - right > width + 9 && right > 0) {
    pen.fillStyle = failed(i) ? colors.bad : colors.quiet;
    pen.fillText(name, right + (pending(i) ? 11 : 4), y + height / 2 + 0.5);
  }
}

// Where the session's operation time advances.
function drawClock(pen, lane, y) {
  if (lane.clock === undefined) lane.clock = advances(lane.commands, data.operation_time);
  let past = -1, written = -1;
  pen.fillStyle = colors.operation;
  for (let k = firstFrom(lane.clock, (step) => step[0], view.from); k < lane.clock.length; k++) {
    const [time, value] = lane.clock[k];
    if (time > view.to) break;
    const pixel = Math.round(x(time));
    if (pixel <= past) continue;
    pen.fillRect(pixel, y, 1, 5);
    past = pixel;
    const words = `${value[0]}:${value[1]}`;
    const next = k + 1 < lane.clock.length ? x(lane.clock[k + 1][0]) : plot.width;
    if (pixel > written && next - pixel > 84) {
      pen.font = FONT.replace("11.5px", "10px");
      pen.fillText(words, pixel + 4, y + 5);
      written = pixel + 84;
      pen.font = FONT;
    }
  }
}

// Names stand beside the lanes, or above them on a phone: buttons of the page, so that they can be reached and read.
function placeNames() {
  const box = $("lane-names"), scrolled = $("scroller").scrollTop;
  const now = chosen !== null && chosen.kind === "command" ? laneOf(chosen.index) : null;
  const near = shown.filter((lane) => lane.top + lane.height >= scrolled - 200 && lane.top <= scrolled + plot.height + 200);
  const seen = new Set(near);
  for (const lane of lanes) if (lane.box !== undefined && !seen.has(lane)) lane.box.remove();
  for (const [k, lane] of near.entries()) {
    if (lane.box === undefined) lane.box = nameBox(lane);
    // In the order of the lanes, which is that of the Tab key; what stands in its place is not moved and keeps the focus.
    if (box.children[k] !== lane.box) box.insertBefore(lane.box, box.children[k] || null);
    lane.box.style.top = `${lane.top}px`;
    lane.box.style.height = narrow ? "24px" : `${lane.height}px`;
    lane.box.classList.toggle("chosen", lane === now);
    const amount = lane.found.length;
    lane.note.textContent = [plural(amount, "command"), lane.transactions.length ? plural(lane.transactions.length, "transaction") : ""].filter(Boolean).join(", ");
    if (lane.children.length > 1) {
      lane.button.setAttribute("aria-expanded", String(lane.open));
      lane.arrow.textContent = lane.open ? "▾ " : "▸ ";
    }
  }
}

function nameBox(lane) {
  const box = element("div", `lane${lane.parent ? " child" : ""}`);
  const line = element("div");
  lane.button = element("button");
  lane.button.type = "button";
  lane.arrow = element("span");
  const [first, ...rest] = laneName(lane).split(" ");
  lane.button.append(lane.arrow, element("b", "", lane.session ? first : laneName(lane)));
  if (lane.session) lane.button.append(" ", element("span", "mono", rest.join(" ")));
  if (lane.children.length > 1) {
    lane.button.title = "Show a lane for each implicit session";
    lane.button.addEventListener("click", () => {
      lane.open = !lane.open;
      measure();
      redraw();
    });
  } else {
    lane.button.title = lane.session ? `Filter by session ${lane.session}` : "";
    lane.button.addEventListener("click", () => {
      if (lane.session) filterBy(`session:${lane.session}`);
    });
  }
  lane.note = element("small");
  line.append(lane.button, lane.note);
  box.append(line);
  if (lane.manyClients && lane.client !== null) box.append(element("small", "", `client ${lane.client}`));
  return box;
}

function element(tag, name = "", words = null) {
  const found = document.createElement(tag);
  if (name) found.className = name;
  if (words !== null) found.textContent = words;
  return found;
}
