// The lanes: which commands are in which, the rows in which bars that overlap are drawn, the transactions, and where they are.

const transactions = [];
const transactionOf = new Map(); // "session number" to its index
const ownLane = new Array(count); // a command's lane; it may stand in the lane of a group instead
const ownRow = new Int32Array(count), groupRow = new Int32Array(count);
const newLane = (kind, client, session) => ({ kind, client, session, commands: [], children: [], parent: null, open: false, transactions: [], life: [] });
const lanes = buildLanes();
const laneMarks = marks.map((mark, i) => [mark, i]).filter(([mark]) => mark.kind === "topology" || (mark.kind === "session" && /pin/.test(mark.event || "")));
buildTransactions();
let shown = []; // the lanes that are on the page, each with its `top`
let laneHeight = 0;
let narrow = false;

function buildLanes() {
  const byKey = new Map(), groups = new Map();
  const clients = new Set();
  for (let i = 0; i < count; i++) {
    const session = data.session[i], implicit = session >= 0 && (data.flags[i] & IMPLICIT) !== 0;
    const client = data.client[i];
    clients.add(client);
    const kind = session < 0 ? "none" : implicit ? "implicit" : "session";
    const key = `${client} ${session} ${kind}`;
    let lane = byKey.get(key);
    if (lane === undefined) {
      lane = newLane(kind, client, session < 0 ? "" : strings[session]);
      byKey.set(key, lane);
      if (implicit) {
        if (!groups.has(client)) groups.set(client, newLane("group", client, ""));
        lane.parent = groups.get(client);
        lane.parent.children.push(lane);
      }
    }
    lane.commands.push(i);
    ownLane[i] = lane;
    if (lane.parent) lane.parent.commands.push(i);
  }
  const explicit = [...byKey.values()].filter((lane) => lane.kind === "session");
  const bySession = new Map(explicit.map((lane) => [lane.session, lane]));
  for (const mark of marks) {
    if (!mark.session || mark.kind === "topology") continue;
    // A session that was started and never used has a lane too.
    if (!bySession.has(mark.session) && (mark.event === "start" || mark.kind === "transaction")) {
      const lane = newLane("session", mark.client ?? 1, mark.session);
      bySession.set(mark.session, lane);
      explicit.push(lane);
    }
    const lane = bySession.get(mark.session);
    if (lane && mark.kind === "session" && (mark.event === "start" || mark.event === "end")) lane.life.push(mark);
  }
  const found = [];
  for (const lane of [...explicit, ...groups.values(), ...[...byKey.values()].filter((other) => other.kind === "none")]) {
    // One implicit session needs no group around it.
    found.push(lane, ...lane.children);
    if (lane.children.length === 1) found.pop();
  }
  for (const lane of found) {
    lane.manyClients = clients.size > 1;
    packRows(lane);
  }
  return found;
}

// First fit: a bar goes into the first row in which the bar before it has ended.
function packRows(lane) {
  const rows = [], until = [];
  const rowOf = lane.kind === "group" ? groupRow : ownRow;
  for (const i of lane.commands) {
    let row = 0;
    while (row < until.length && until[row] > begins[i]) row++;
    if (row === until.length) {
      rows.push([]);
      until.push(0);
    }
    rows[row].push(i);
    until[row] = Math.max(ends[i], begins[i] + 1);
    rowOf[i] = row;
  }
  lane.rows = rows;
}

function buildTransactions() {
  const sessions = new Map();
  for (const lane of lanes) if (lane.kind === "session" && !sessions.has(lane.session)) sessions.set(lane.session, lane);
  const find = (session, number) => {
    const key = `${session} ${number}`;
    if (!transactionOf.has(key)) {
      const lane = sessions.get(session);
      if (lane === undefined) return null;
      transactionOf.set(key, transactions.length);
      const found = { index: transactions.length, after: null, next: null, session, number, lane, commands: [], events: [], sent: [], begin: Infinity, end: -Infinity, outcome: "open" };
      transactions.push(found);
      lane.transactions.push(found);
    }
    return transactions[transactionOf.get(key)];
  };
  for (let i = 0; i < count; i++) {
    if (data.transaction[i] === null) continue;
    const found = find(text("session", i), data.transaction[i]);
    if (found === null) continue;
    found.commands.push(i);
    found.begin = Math.min(found.begin, begins[i]);
    found.end = Math.max(found.end, ends[i]);
  }
  for (const mark of marks) {
    if (mark.kind !== "transaction" || !mark.session || mark.number === undefined) continue;
    const found = find(mark.session, mark.number);
    if (found === null) continue;
    found.events.push(mark);
    found.begin = Math.min(found.begin, mark.at);
    // That a transaction is tried again is said after its end.
    if (mark.event !== "retry") found.end = Math.max(found.end, mark.at);
    if (["committed", "aborted", "unknown"].includes(mark.event)) found.outcome = mark.event;
  }
  // Where commit and abort were sent, for the blocks: the commands say it.
  for (const found of transactions) {
    for (const i of found.commands) {
      const event = { commitTransaction: "commit", abortTransaction: "abort" }[commandName(i)];
      if (event) found.sent.push({ event, at: begins[i], attempt: data.attempt[i], labels: [] });
    }
  }
  for (const found of transactions) found.end = Math.max(found.end, found.begin);
  for (const lane of lanes) {
    lane.transactions.sort((a, b) => a.begin - b.begin);
    lane.transactions.forEach((found, k) => {
      const before = k > 0 ? lane.transactions[k - 1] : null;
      if (before) before.next = found;
      const retry = before && before.events.find((mark) => mark.event === "retry");
      if (retry) found.after = { index: before.index, attempt: retry.attempt ?? 2, error: retry.error };
    });
  }
}
const OUTCOMES = { committed: "✓ committed", aborted: "✕ aborted", unknown: "? unknown", open: "… still open" };

// What the operation time, or the cluster time, of these commands advances to: [[time, [seconds, increment]], ...].
function advances(commands, column) {
  const found = [];
  const order = [];
  for (const i of commands) if (column[2 * i] >= 0) order.push(i);
  order.sort((a, b) => ends[a] - ends[b]);
  let newest = [-1, -1];
  for (const i of order) {
    const value = pair(column, i);
    if (later(value, newest)) {
      newest = value;
      found.push([ends[i], value]);
    }
  }
  return found;
}

const laneName = (lane) => ({ session: `session ${shortSession(lane.session)}`, implicit: `implicit ${shortSession(lane.session)}`, group: "implicit sessions", none: "without a session" })[lane.kind];

function layOut(available) {
  narrow = window.innerWidth <= 640;
  placeLanes(21);
  // Where few lanes leave room, the bars are higher.
  if (laneHeight < available * 0.55) placeLanes(28);
}

function placeLanes(roomy) {
  shown = [];
  let top = 0;
  for (const lane of lanes) {
    if (lane.parent && !lane.parent.open) continue;
    lane.found = matches === null ? lane.commands : lane.commands.filter(matched);
    if (matches !== null && !lane.found.length) continue;
    const rows = lane.kind === "group" && lane.open ? 0 : lane.rows.length;
    lane.rowHeight = rows <= 4 ? roomy : rows <= 10 ? 14 : 7;
    lane.barHeight = lane.rowHeight - (rows <= 4 ? 5 : rows <= 10 ? 3 : 1);
    lane.stripHeight = lane.transactions.length ? 19 : 0;
    lane.rowsTop = (narrow ? 24 : 8) + lane.stripHeight;
    lane.clockHeight = lane.kind === "session" ? 12 : 4;
    lane.height = Math.max(lane.rowsTop + rows * lane.rowHeight + lane.clockHeight, narrow ? 32 : 44);
    lane.top = top;
    top += lane.height;
    shown.push(lane);
  }
  laneHeight = top;
}

const folded = (lane) => lane.kind === "group" && lane.open;
// The lane in which a command is drawn.
function laneOf(i) {
  const { parent } = ownLane[i];
  return parent && !(parent.children.length > 1 && parent.open) ? parent : ownLane[i];
}

// The index in `list` of the first command that ends at `time` or later; ends ascend within a row.
function firstEnding(list, time) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[list[middle]] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
// The index in `list` of the first item whose `time(item)` is `moment` or later.
function firstFrom(list, time, moment) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (time(list[middle]) < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}
