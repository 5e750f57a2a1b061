// The records: columns of numbers by the index of a command, strings by their index, and the other records ("marks").

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const count = data.count;
const strings = data.strings;
const IMPLICIT = 1, OK = 2, NOT_OK = 4, RETRIED = 8;
const TIMES = ["at", "selected", "connected", "sent", "replied"];
const times = TIMES.map((name) => Float64Array.from(data[name], (time) => (time === null ? NaN : time)));
const [at, selected, connected, sent, replied] = times;
const begins = new Float64Array(count), ends = new Float64Array(count);
const marks = data.marks;

for (let i = 0; i < count; i++) {
  let first = NaN, last = NaN;
  for (const column of times) {
    const time = column[i];
    if (time === time) {
      if (first !== first) first = time;
      if (last !== last || time > last) last = time;
    }
  }
  begins[i] = first === first ? first : 0;
  ends[i] = last === last ? Math.max(last, begins[i]) : begins[i];
}

const text = (name, i) => (data[name][i] < 0 ? "" : strings[data[name][i]]);
const failed = (i) => (data.flags[i] & NOT_OK) !== 0 || data.error[i] >= 0;
const pending = (i) => (data.flags[i] & (OK | NOT_OK)) === 0 && data.error[i] < 0;
const errorOf = (i) => (data.error[i] < 0 ? null : data.errors[data.error[i]]);
const pair = (column, i) => (column[2 * i] < 0 ? null : [column[2 * i], column[2 * i + 1]]);
const later = (a, b) => a[0] > b[0] || (a[0] === b[0] && a[1] > b[1]);
const namespace = (i) => [text("database", i), text("collection", i)].filter(Boolean).join(".");
const commandName = (i) => text("name", i) || "command";
const shortSession = (session) => session.slice(0, 8);

// The part of time that the records cover.
const whole = { from: 0, to: 1 };
{
  let from = Infinity, to = -Infinity;
  for (let i = 0; i < count; i++) {
    if (begins[i] < from) from = begins[i];
    if (ends[i] > to) to = ends[i];
  }
  for (const mark of marks) {
    from = Math.min(from, mark.at);
    to = Math.max(to, mark.at);
  }
  if (from <= to) {
    const margin = Math.max((to - from) * 0.012, 20);
    whole.from = from - margin;
    whole.to = to + margin;
  }
}

// A duration or a moment, in microseconds, with three digits that say something.
function duration(time) {
  const size = Math.abs(time);
  if (size < 1000) return `${Math.round(time)} µs`;
  if (size < 1e6) return `${digits(time / 1000)} ms`;
  return `${digits(time / 1e6)} s`;
}
function digits(value) {
  const size = Math.abs(value);
  return value.toFixed(size < 10 ? 2 : size < 100 ? 1 : 0);
}
const moment = (time) => `${time < 0 ? "−" : "+"}${(Math.abs(time) / 1000).toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 })} ms`;
const number = (value) => value.toLocaleString("en");
const plural = (value, one, many) => `${number(value)} ${value === 1 ? one : many || one + "s"}`;

// The parts of a command's bar: [class, from, to]. What lies between the check-out and sending belongs to the server's part
// where no time of sending is known.
function phases(i) {
  const found = [];
  let from = begins[i];
  const part = (name, to) => {
    if (to === to && to > from) {
      found.push([name, from, to]);
      from = to;
    }
  };
  part("selection", selected[i]);
  part("connection", connected[i]);
  part("sending", sent[i]);
  part("server", replied[i]);
  return found;
}
const PHASE_NAMES = { selection: "server selection", connection: "connection", sending: "preparing and sending", server: "server" };

// A command's document is JSON in a line of its own, read when it is shown for the first time.
let documents = null;
function documentOf(i) {
  if (documents === null) documents = $("documents").textContent.split("\n");
  return documents[i] || "{}";
}

function outcome(i) {
  if (failed(i)) {
    const error = errorOf(i);
    return error && (error.code !== null || error.type) ? `failed: ${[error.type, error.code].filter((part) => part !== null && part !== "").join(" ")}` : "failed";
  }
  return pending(i) ? "no reply recorded" : "succeeded";
}

// A word of the filter matches any of these, or the one that it names.
const FIELDS = {
  command: (i) => commandName(i),
  collection: namespace,
  session: (i) => text("session", i) + (data.flags[i] & IMPLICIT ? " implicit" : ""),
  server: (i) => text("server", i),
  error: (i) => {
    const error = errorOf(i);
    return error ? [error.type, error.code, error.message, ...error.labels].join(" ") : "";
  },
  transaction: (i) => (data.transaction[i] === null ? "" : String(data.transaction[i])),
};
let matches = null; // null: all of them
let matching = count;

function setFilter(words, errorsOnly) {
  const terms = words.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const colon = word.indexOf(":");
    const field = colon > 0 && Object.hasOwn(FIELDS, word.slice(0, colon)) ? word.slice(0, colon) : null;
    return field ? [[field], word.slice(colon + 1)] : [["command", "collection", "session", "server", "error"], word];
  });
  if (!terms.length && !errorsOnly) {
    matches = null;
    matching = count;
    return;
  }
  matches = new Uint8Array(count);
  matching = 0;
  for (let i = 0; i < count; i++) {
    if (errorsOnly && !failed(i)) continue;
    const exact = ([fields, word]) => fields.some((field) => {
      const value = FIELDS[field](i).toLowerCase();
      return field === "transaction" ? value === word : value.includes(word);
    });
    if (terms.every(exact)) {
      matches[i] = 1;
      matching++;
    }
  }
}
const matched = (i) => matches === null || matches[i] === 1;
