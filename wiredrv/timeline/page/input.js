// The keyboard, the pointer and the wheel.

const calm = matchMedia("(prefers-reduced-motion: reduce)");
let moving = 0; // the running zoom

function setView(from, to) {
  const least = 5, most = (whole.to - whole.from) * 1.2;
  const span = Math.min(Math.max(to - from, least), most);
  const middle = (from + to) / 2;
  const start = Math.min(Math.max(middle - span / 2, whole.from - span * 0.1), Math.max(whole.to - span * 0.9, whole.from - span * 0.1));
  view.from = start;
  view.to = start + span;
  redraw();
}

// In a few frames, so that the eye can follow; at once where less motion is wanted.
function moveView(from, to) {
  cancelAnimationFrame(moving);
  if (calm.matches) return setView(from, to);
  const start = { ...view }, began = performance.now();
  const step = (now) => {
    const part = Math.min((now - began) / 130, 1), eased = 1 - (1 - part) ** 3;
    setView(start.from + (from - start.from) * eased, start.to + (to - start.to) * eased);
    if (part < 1) moving = requestAnimationFrame(step);
  };
  moving = requestAnimationFrame(step);
}

// Around what was chosen, if it is in view, for keys and buttons.
function zoom(factor, pixel = middleOfZoom(), quick = false) {
  const time = timeAt(pixel);
  (quick ? setView : moveView)(time - (time - view.from) * factor, time + (view.to - time) * factor);
}
function middleOfZoom() {
  if (chosen === null) return plot.width / 2;
  const { kind, index } = chosen;
  const [from, to] = kind === "command" ? [begins[index], ends[index]] : kind === "mark" ? [marks[index].at, marks[index].at] : [transactions[index].begin, transactions[index].end];
  const middle = x((Math.max(from, view.from) + Math.min(to, view.to)) / 2);
  return middle >= 0 && middle <= plot.width ? middle : plot.width / 2;
}
const fit = () => moveView(whole.from, whole.to);
const pan = (part) => moveView(view.from + (view.to - view.from) * part, view.to + (view.to - view.from) * part);

function choose(kind, index) {
  chosen = { kind, index };
  if (kind === "command") {
    const list = laneOf(index).commands;
    say(`${commandName(index)} ${namespace(index)}, ${duration(ends[index] - begins[index])}, ${outcome(index)}, ${laneName(laneOf(index))}, at ${moment(begins[index])}${list.length ? `, ${number(list.indexOf(index) + 1)} of ${number(list.length)}` : ""}`);
  } else if (kind === "mark") say(`${markText(marks[index])} at ${moment(marks[index].at)}`);
  markRow();
  redraw();
}
const say = (words) => { $("status").textContent = words; };

// Bring it into view, and no further than that.
function reveal(kind, index) {
  if ($("chart").hidden) return;
  const [from, to, lane] = kind === "command" ? [begins[index], ends[index], laneOf(index)] : kind === "mark" ? [marks[index].at, marks[index].at, null] : [transactions[index].begin, transactions[index].end, transactions[index].lane];
  const span = view.to - view.from;
  if (to - from > span) setView(from - (to - from) * 0.1, to + (to - from) * 0.1);
  else if (from < view.from || to > view.to) moveView((from + to) / 2 - span / 2, (from + to) / 2 + span / 2);
  if (lane === null) return;
  const scroller = $("scroller"), row = kind === "command" ? (lane.kind === "group" ? groupRow : ownRow)[index] * lane.rowHeight : 0;
  const top = lane.top + (row > plot.height / 2 ? row : 0);
  if (lane.top < scroller.scrollTop || lane.top + row + lane.rowHeight * 2 > scroller.scrollTop + plot.height) scroller.scrollTop = Math.max(top - 20, 0);
  redraw();
}

// The command at a point of the lanes' canvas, or the transaction whose strip is there.
function hit(pixel, y) {
  const height = y + $("scroller").scrollTop;
  const lane = shown.find((other) => height >= other.top && height < other.top + other.height);
  if (lane === undefined || folded(lane)) return null;
  const inLane = height - lane.top - lane.rowsTop;
  const row = Math.floor(inLane / lane.rowHeight);
  if (row >= 0 && row < lane.rows.length) {
    const near = nearest(lane.rows[row], pixel);
    if (near >= 0) return ["command", near];
  }
  const time = timeAt(pixel), slack = ((view.to - view.from) / plot.width) * 3;
  const found = lane.transactions.find((other) => other.begin - slack <= time && other.end + slack >= time);
  return found ? ["transaction", found.index] : null;
}
function nearest(list, pixel) {
  let best = -1, least = 5;
  for (let k = firstEnding(list, timeAt(pixel - 5)); k < list.length; k++) {
    const i = list[k], left = x(begins[i]), right = Math.max(x(ends[i]), left + 2);
    if (left > pixel + 5) break;
    const away = pixel < left ? left - pixel : pixel > right ? pixel - right : 0;
    if (matched(i) && away < least) [best, least] = [i, away];
  }
  return best;
}
function markAt(pixel) {
  let best = -1, least = 10;
  for (const [mark, index] of laneMarks) {
    const away = Math.abs(x(mark.at) - pixel);
    if (away < least) [best, least] = [index, away];
  }
  return best;
}

// --- keyboard ---

function step(forward, far = false) {
  if (chosen && chosen.kind === "mark") return stepMark(forward, far);
  const now = chosen && chosen.kind === "command" ? chosen.index : firstInView();
  if (now < 0) return;
  const list = laneOf(now).found || laneOf(now).commands;
  const k = list.indexOf(now);
  const to = far ? (forward ? list.length - 1 : 0) : chosen && chosen.kind === "command" ? k + (forward ? 1 : -1) : k;
  if (to >= 0 && to < list.length) select("command", list[to]);
}
function stepMark(forward, far) {
  const list = laneMarks.map(([, index]) => index), k = list.indexOf(chosen.index);
  const to = far ? (forward ? list.length - 1 : 0) : k + (forward ? 1 : -1);
  if (to >= 0 && to < list.length) select("mark", list[to]);
}
function stepLane(down) {
  const usable = shown.filter((lane) => !folded(lane) && lane.found.length);
  if (chosen && chosen.kind === "mark") {
    if (down && usable.length) select("command", closest(usable[0].found, marks[chosen.index].at));
    return;
  }
  const now = chosen && chosen.kind === "command" ? chosen.index : firstInView();
  if (now < 0) return;
  const k = usable.indexOf(laneOf(now)) + (down ? 1 : -1);
  if (k >= 0 && k < usable.length) select("command", closest(usable[k].found, begins[now]));
  else if (k < 0 && laneMarks.length) select("mark", laneMarks.reduce((best, other) => (Math.abs(other[0].at - begins[now]) < Math.abs(best[0].at - begins[now]) ? other : best))[1]);
}
function closest(list, time) {
  const k = firstFrom(list, (i) => begins[i], time);
  if (k === 0) return list[0];
  return k < list.length && begins[list[k]] - time < time - begins[list[k - 1]] ? list[k] : list[k - 1];
}
function firstInView() {
  for (const lane of shown) {
    if (folded(lane)) continue;
    const found = lane.found.find((i) => ends[i] >= view.from && begins[i] <= view.to);
    if (found !== undefined) return found;
  }
  return shown.length && shown[0].found && shown[0].found.length ? shown[0].found[0] : -1;
}
function select(kind, index) {
  if (!$("chart").hidden && $("details").hidden) choose(kind, index);
  else openDetails(kind, index, false);
  reveal(kind, index);
}
function stepError(forward) {
  const from = chosen && chosen.kind === "command" ? chosen.index : forward ? -1 : count;
  for (let i = from + (forward ? 1 : -1); i >= 0 && i < count; i += forward ? 1 : -1) {
    if (failed(i) && matched(i)) return select("command", i);
  }
  say(forward ? "no later error" : "no earlier error");
}

const KEYS = {
  "/": () => $("filter").select(),
  "?": () => $("help-box").showModal(),
  "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1 / 0.6), _: () => zoom(1 / 0.6), 0: fit,
  a: () => pan(-0.3), d: () => pan(0.3),
  e: () => stepError(true), E: () => stepError(false),
  t: () => showTable($("table").hidden),
  z: () => {
    if (!chosen || chosen.kind !== "command") return;
    const length = Math.max(ends[chosen.index] - begins[chosen.index], 10);
    moveView(begins[chosen.index] - length, ends[chosen.index] + length);
  },
};
// In the timeline itself.
const CHART_KEYS = {
  ArrowLeft: () => step(false), ArrowRight: () => step(true), ArrowUp: () => stepLane(false), ArrowDown: () => stepLane(true),
  Home: () => step(false, true), End: () => step(true, true),
  Enter: () => { if (chosen) openDetails(chosen.kind, chosen.index); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help-box").open) return;
  const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
  if (event.key === "Escape") return escape(event, typing);
  if (typing) {
    if (event.key !== "Enter") return;
    applyFilter();
    if (matching && !$("chart").hidden) {
      event.preventDefault();
      $("scroller").focus();
      for (let i = 0; i < count; i++) if (matched(i)) return select("command", i);
    }
    return;
  }
  const control = event.target.closest && event.target.closest("button, input, pre, #table");
  const keys = !$("chart").hidden && !control && Object.hasOwn(CHART_KEYS, event.key) ? CHART_KEYS : Object.hasOwn(KEYS, event.key) ? KEYS : null;
  if (keys === null) return;
  event.preventDefault();
  keys[event.key]();
}
function escape(event, typing) {
  if (typing && $("filter").value) {
    event.preventDefault();
    filterBy("");
  } else if (typing) $("scroller").focus();
  else if (!$("details").hidden) closeDetails();
  else {
    chosen = null;
    redraw();
  }
}

// --- pointer ---

function listenToPointer() {
  const canvas = $("lanes"), scroller = $("scroller");
  const touching = new Map();
  let start = null, pinch = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    scroller.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    touching.set(event.pointerId, place(event));
    hideTip();
    if (touching.size === 2) {
      const [[a], [b]] = [...touching.values()];
      pinch = { from: timeAt(Math.min(a, b)), to: timeAt(Math.max(a, b)) };
      start = range = null;
      return;
    }
    const [pixel, y] = place(event);
    start = { pixel, y, from: view.from, to: view.to, scrolled: scroller.scrollTop, moved: false, selects: event.shiftKey };
  });
  canvas.addEventListener("pointermove", (event) => {
    const [pixel, y] = place(event);
    if (touching.has(event.pointerId)) touching.set(event.pointerId, [pixel, y]);
    if (pinch !== null && touching.size === 2) return pinched(pinch, [...touching.values()]);
    if (start === null) return point(pixel, y, event);
    if (Math.hypot(pixel - start.pixel, y - start.y) > 4) start.moved = true;
    if (!start.moved) return;
    if (start.selects) {
      range = { from: timeAt(start.pixel), to: timeAt(pixel) };
      redraw();
      return;
    }
    canvas.classList.add("moving");
    const shift = ((start.pixel - pixel) / plot.width) * (start.to - start.from);
    setView(start.from + shift, start.to + shift);
    scroller.scrollTop = start.scrolled + start.y - y;
  });
  const finish = (event) => {
    touching.delete(event.pointerId);
    canvas.classList.remove("moving");
    if (touching.size < 2) pinch = null;
    if (start === null) return;
    const { moved, pixel, y } = start;
    start = null;
    if (range !== null) return zoomToRange();
    if (moved || event.type !== "pointerup") return;
    const found = hit(pixel, y);
    if (found !== null) openDetails(...found);
    else if (nearLine(pixel) >= 0) openDetails("mark", nearLine(pixel));
    else { chosen = null; redraw(); }
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("pointerleave", () => { if (start === null) point(-100, -100, null); });
  canvas.addEventListener("dblclick", (event) => {
    const found = hit(...place(event));
    if (found !== null && found[0] === "command") KEYS.z();
    else zoom(0.5, place(event)[0]);
  });
  for (const part of [canvas, $("head")]) part.addEventListener("wheel", onWheel, { passive: false });
  listenToHead();
  listenToOverview();
}

function nearLine(pixel) {
  const index = markAt(pixel);
  return index >= 0 && markKind(marks[index]).across && Math.abs(x(marks[index].at) - pixel) < 4 ? index : -1;
}

function pinched(pinch, [[a], [b]]) {
  const left = Math.min(a, b), right = Math.max(a, b, left + 10);
  const per = (pinch.to - pinch.from) / (right - left);
  setView(pinch.from - left * per, pinch.from + (plot.width - left) * per);
}

function zoomToRange() {
  const from = Math.min(range.from, range.to), to = Math.max(range.from, range.to);
  range = null;
  moveView(from, to);
}

function onWheel(event) {
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1;
  const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
  cancelAnimationFrame(moving);
  if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
    const shift = ((sideways * unit) / plot.width) * (view.to - view.from);
    return setView(view.from + shift, view.to + shift);
  }
  const pixel = event.clientX - $("lanes").getBoundingClientRect().left;
  zoom(Math.exp(Math.min(Math.max(event.deltaY * unit, -200), 200) * (event.ctrlKey ? 0.01 : 0.0022)), pixel, true);
}

// Over the time scale a drag takes a range, a click an event.
function listenToHead() {
  const canvas = $("head");
  let start = null;
  const place = (event) => event.clientX - canvas.getBoundingClientRect().left;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    start = place(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    const pixel = place(event);
    if (start === null) return pointMark(pixel, event);
    if (Math.abs(pixel - start) < 4 && range === null) return;
    range = { from: timeAt(start), to: timeAt(pixel) };
    redraw();
  });
  const finish = (event) => {
    if (start === null) return;
    const pixel = start;
    start = null;
    if (range !== null) return zoomToRange();
    const index = markAt(pixel);
    if (event.type === "pointerup" && index >= 0) openDetails("mark", index);
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("pointerleave", hideTip);
}

// In the overview a drag moves the part that is shown, or takes another one.
function listenToOverview() {
  const canvas = $("overview");
  let grab = null;
  const time = (event) => whole.from + ((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth) * (whole.to - whole.from);
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    const now = time(event), all = view.to - view.from > (whole.to - whole.from) * 0.95;
    grab = { now, inside: !all && now > view.from && now < view.to, from: view.from, to: view.to, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (grab === null) return;
    const now = time(event);
    grab.moved ||= Math.abs(now - grab.now) > (whole.to - whole.from) / 300;
    if (!grab.moved) return;
    if (grab.inside) setView(grab.from + now - grab.now, grab.to + now - grab.now);
    else setView(Math.min(grab.now, now), Math.max(grab.now, now));
  });
  const finish = (event) => {
    if (grab === null) return;
    const { now, moved, inside } = grab;
    grab = null;
    if (!moved && !inside && event.type === "pointerup") {
      const half = Math.min(view.to - view.from, (whole.to - whole.from) / 4) / 2;
      moveView(now - half, now + half);
    }
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
}

// --- what is under the pointer ---

function point(pixel, y, event) {
  const found = event === null ? null : hit(pixel, y);
  const now = found !== null && found[0] === "command" ? found[1] : -1;
  $("lanes").classList.toggle("over", found !== null);
  if (now !== hovered) {
    hovered = now;
    redraw();
  }
  if (event === null || event.pointerType === "touch") return hideTip();
  if (now >= 0) {
    const parts = phases(now).filter(([name]) => name !== "sending").map(([name, from, to]) => `${PHASE_NAMES[name]} ${duration(to - from)}`);
    return showTip(event, [commandName(now), namespace(now)].filter(Boolean).join(" "), [`${duration(ends[now] - begins[now])}: ${parts.join(", ")}`, failed(now) || pending(now) ? outcome(now) : ""]);
  }
  if (found !== null) {
    const transaction = transactions[found[1]];
    return showTip(event, `transaction ${transaction.number}`, [OUTCOMES[transaction.outcome], duration(transaction.end - transaction.begin)]);
  }
  const line = nearLine(pixel);
  if (line >= 0) return pointMark(pixel, event);
  return hideTip();
}

function pointMark(pixel, event) {
  const index = markAt(pixel);
  if (index < 0 || event.pointerType === "touch") return hideTip();
  return showTip(event, markText(marks[index]), [moment(marks[index].at), marks[index].detail || ""]);
}

function showTip(event, title, lines) {
  const tip = $("tip");
  tip.replaceChildren(element("b", "", title), ...lines.filter(Boolean).map((line) => element("span", "", line)));
  tip.hidden = false;
  const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18 + tip.offsetHeight < window.innerHeight;
  tip.style.transform = `translate(${Math.max(left, 4)}px, ${below ? event.clientY + 18 : event.clientY - tip.offsetHeight - 10}px)`;
}
const hideTip = () => { $("tip").hidden = true; };
