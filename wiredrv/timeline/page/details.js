// The panel with what is known of a command, an event or a transaction. It sets text and never markup.

let returnTo = null; // what had the focus before

function openDetails(kind, index, focus = true) {
  choose(kind, index);
  const panel = $("details");
  if (panel.hidden) returnTo = document.activeElement;
  const [place, previous, next] = neighbours(kind, index);
  const bar = element("div", "bar");
  const go = (words, name, target) => {
    const button = element("button", "", words);
    button.setAttribute("aria-label", name);
    button.disabled = target === null;
    button.addEventListener("click", () => { openDetails(kind, target); reveal(kind, target); });
    return button;
  };
  const close = element("button", "", "✕");
  close.setAttribute("aria-label", "Close the details");
  close.title = "Close (Esc)";
  close.addEventListener("click", closeDetails);
  bar.append(element("span", "", place), go("←", "Previous", previous), go("→", "Next", next), close);
  const body = { command: commandDetails, mark: markDetails, transaction: transactionDetails }[kind](index);
  const opened = panel.hidden;
  panel.replaceChildren(bar, ...body);
  panel.hidden = false;
  panel.scrollTop = 0;
  if (opened) measure();
  if (focus) panel.focus({ preventScroll: true });
  redraw();
}

function closeDetails() {
  const panel = $("details");
  if (panel.hidden) return;
  panel.hidden = true;
  panel.replaceChildren();
  if (returnTo && returnTo.isConnected) returnTo.focus({ preventScroll: true });
  else $("scroller").focus({ preventScroll: true });
  returnTo = null;
  measure();
  redraw();
}

// Where it is among its like: words, and the indexes before and after it.
function neighbours(kind, index) {
  const among = (list, words) => {
    const k = list.indexOf(index);
    return [`${words} ${number(k + 1)} of ${number(list.length)}`, k > 0 ? list[k - 1] : null, k >= 0 && k + 1 < list.length ? list[k + 1] : null];
  };
  if (kind === "command") {
    const list = laneOf(index).commands;
    return among(matched(index) && matches !== null ? list.filter(matched) : list, "command");
  }
  if (kind === "mark") return among(laneMarks.map(([, k]) => k), "event");
  return among(transactions[index].lane.transactions.map((other) => other.index), "transaction");
}

function list(...rows) {
  const found = element("dl");
  for (const [name, value] of rows) {
    if (value === null || value === undefined || value === "") continue;
    const cell = element("dd");
    cell.append(value);
    found.append(element("dt", "", name), cell);
  }
  return found;
}

function link(words, action) {
  const button = element("button", "link", words);
  button.addEventListener("click", action);
  return button;
}

function sessionLink(session, note = "") {
  const found = link(session + note, () => filterBy(`session:${session}`));
  found.classList.add("mono");
  found.title = "Filter by this session";
  return found;
}

// The time of day, to be compared with logs.
function clockTime(time) {
  const began = Date.parse(data.started || "");
  return Number.isFinite(began) && Math.abs(time) < 1e15 ? new Date(began + time / 1000).toISOString().replace("T", " ").replace("Z", " UTC") : "";
}

const clockText = (value) => (value === null ? null : `Timestamp(${value[0]}, ${value[1]})`);
const jump = (kind, index) => () => { openDetails(kind, index); reveal(kind, index); };

function commandDetails(i) {
  const found = [element("h2", "", [commandName(i), namespace(i)].filter(Boolean).join(" ")), element("span", `chip ${failed(i) ? "bad" : pending(i) ? "odd" : "good"}`, outcome(i))];
  const error = errorOf(i);
  if (error) found.push(wrong(error));
  found.push(element("h3", "", `Time: ${duration(ends[i] - begins[i])}`), phaseBar(i), phaseList(i));
  const session = text("session", i);
  const implicit = (data.flags[i] & IMPLICIT) !== 0;
  const key = data.transaction[i] === null ? undefined : transactionOf.get(`${session} ${data.transaction[i]}`);
  const attempts = attemptsOf(i);
  const others = element("span");
  attempts.forEach((other, k) => {
    if (k) others.append(", ");
    const words = `attempt ${data.attempt[other] ?? k + 1}`;
    others.append(other === i ? words : link(words, jump("command", other)));
  });
  found.push(element("h3", "", "Where"), list(
    ["at", moment(begins[i])],
    ["clock", clockTime(begins[i])],
    ["server", text("server", i)],
    ["connection", data.connection[i] === null ? "" : String(data.connection[i])],
    ["client", data.client[i] === null ? "" : String(data.client[i])],
    ["session", session && sessionLink(session, implicit ? " (implicit)" : "")],
    ["transaction", data.transaction[i] === null ? "" : key === undefined ? String(data.transaction[i]) : link(`${data.transaction[i]}, ${OUTCOMES[transactions[key].outcome]}`, jump("transaction", key))],
    ["operation", attempts.length > 1 ? others : data.attempt[i] > 1 ? `attempt ${data.attempt[i]}` : ""],
    ["", data.flags[i] & RETRIED && attempts.length < 2 ? "another attempt followed" : ""],
    ["cluster time", clockText(pair(data.cluster_time, i))],
    ["operation time", clockText(pair(data.operation_time, i))],
  ));
  const body = documentOf(i);
  found.push(element("h3", "", "Command"), body === "{}" ? element("p", "quiet", "The command's document was not recorded.") : pretty(inner(body)));
  return found;
}

// The attempts of one operation, in their order.
function attemptsOf(i) {
  const operation = data.operation[i];
  if (operation === null) return [i];
  const found = [];
  for (let k = 0; k < count; k++) if (data.operation[k] === operation && data.client[k] === data.client[i]) found.push(k);
  // An operation's further commands (a cursor's, for instance) are not attempts.
  return new Set(found.map((k) => data.attempt[k])).size === found.length ? found : [i];
}

function phaseBar(i) {
  const bar = element("div", "phases");
  bar.setAttribute("aria-hidden", "true");
  for (const [name, from, to] of phases(i)) {
    const part = element("i", `key ${name === "server" && failed(i) ? "failed" : name}`);
    part.style.flex = `${Math.max(to - from, 1)} 1 0`;
    bar.append(part);
  }
  return bar;
}

function phaseList(i) {
  const found = element("ul", "phase-list");
  for (const [name, from, to] of phases(i)) {
    const line = element("li");
    line.append(element("i", `key ${name === "server" && failed(i) ? "failed" : name}`), PHASE_NAMES[name], element("b", "", duration(to - from)));
    found.append(line);
  }
  return found;
}

function wrong(error) {
  const box = element("div", "wrong");
  const head = element("p");
  head.append(element("b", "", error.type || "error"), error.code === null ? "" : ` (code ${error.code})`);
  box.append(head);
  if (error.message) box.append(element("p", "", error.message));
  for (const label of error.labels) box.append(element("span", "chip bad", label));
  return box;
}

function markDetails(index) {
  const mark = marks[index];
  const found = [element("h2", "", `${markKind(mark).sign} ${markText(mark)}`)];
  if (mark.error) found.push(wrong(mark.error));
  found.push(list(
    ["at", moment(mark.at)],
    ["clock", clockTime(mark.at)],
    ["event", mark.event],
    ["server", mark.server],
    ["session", mark.session && sessionLink(mark.session)],
    ["client", mark.client === undefined ? "" : String(mark.client)],
    ["detail", mark.detail],
  ));
  return found;
}

const EVENT_WORDS = { begin: "begins", retry: "↻ is retried", commit: "commit is sent", abort: "abort is sent", committed: "✓ committed", aborted: "✕ aborted", unknown: "? outcome unknown" };

function transactionDetails(index) {
  const found = transactions[index];
  const kind = { committed: "good", aborted: "", unknown: "odd", open: "" }[found.outcome];
  const steps_ = element("ol", "events");
  const lines = [...found.events.map((mark) => [mark.at, null, mark]), ...found.commands.map((i) => [begins[i], i, null])].sort((a, b) => a[0] - b[0]);
  for (const [time, i, mark] of lines) {
    const line = element("li"), body = element("div");
    line.append(element("time", "", moment(time)), body);
    if (mark) {
      body.append(element("b", "", EVENT_WORDS[mark.event] || mark.event || "event"), mark.attempt > 1 ? `, attempt ${mark.attempt}` : "");
      if (mark.error) body.append(wrong(mark.error));
    } else {
      body.append(link([commandName(i), namespace(i)].filter(Boolean).join(" "), jump("command", i)), ` ${duration(ends[i] - begins[i])}`);
      if (failed(i)) body.append(" ", element("b", "bad", "✕ failed"));
    }
    steps_.append(line);
  }
  return [
    element("h2", "", `Transaction ${found.number}`),
    element("span", `chip ${kind}`, OUTCOMES[found.outcome]),
    list(["session", sessionLink(found.session)], ["from", moment(found.begin)], ["lasted", duration(found.end - found.begin)], ["commands", String(found.commands.length)]),
    ...(found.after ? [element("h3", "", `↻ Attempt ${found.after.attempt}, after`), link(`transaction ${transactions[found.after.index].number}`, jump("transaction", found.after.index)), ...(found.after.error ? [wrong(found.after.error)] : [])] : []),
    element("h3", "", "What happened"),
    steps_,
  ];
}

// A command's document as it is written, indented. Numbers are copied and not computed: they may have more digits than
// JavaScript keeps.
function inner(body) {
  const start = '{"command":';
  // As the recorder keeps it: Extended JSON in a string, which may be cut off.
  const { command, more } = JSON.parse(body);
  if (typeof command === "string" && more === undefined) return command;
  return command !== undefined && more === undefined ? body.slice(start.length, -1) : body;
}

function pretty(json) {
  const found = element("pre");
  found.tabIndex = 0;
  found.setAttribute("aria-label", "The redacted command");
  let depth = 0, position = 0;
  const newline = () => "\n" + "  ".repeat(depth);
  const tokens = json.match(/"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s"{}[\],:]+/g) || [];
  const write = (words, name) => found.append(name ? element("span", name, words) : words);
  while (position < tokens.length) {
    const token = tokens[position++], next = tokens[position];
    if ("{[".includes(token)) {
      if (next === "}" || next === "]") { write(token + next); position++; } else { depth++; write(token + newline()); }
    } else if ("}]".includes(token)) { depth--; write(newline() + token); }
    else if (token === ",") write(token + newline());
    else if (token === ":") write(": ");
    else write(unescape(token), next === ":" ? "k" : token[0] === '"' ? "s" : /^[-\d]/.test(token) ? "n" : "w");
  }
  const text_ = found.textContent;
  const copy = element("button", "", "Copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text_);
      copy.textContent = "Copied";
    } catch { getSelection().selectAllChildren(found); }
  });
  const box = element("div");
  copy.style.marginTop = "8px";
  box.append(found, copy);
  return box;
}

// A string as people write it: the block holds only ASCII.
function unescape(token) {
  return token.replace(/\\u([0-9a-f]{4})/g, (all, code) => {
    const unit = parseInt(code, 16);
    return unit < 0x20 || (unit >= 0x7f && unit < 0xa0) || (unit >= 0x2028 && unit <= 0x202e) || (unit >= 0x2066 && unit <= 0x2069) ? all : String.fromCharCode(unit);
  });
}
