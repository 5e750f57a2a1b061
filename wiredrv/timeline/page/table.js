// The same commands and events as tables: for readers of the screen, for searching in the page, and for copying.

const PAGE = 100;
let page = 0, eventPage = 0;

function drawTable() {
  const box = $("table");
  const found = [];
  for (let i = 0; i < count; i++) if (matched(i)) found.push(i);
  page = Math.min(page, Math.max(Math.ceil(found.length / PAGE) - 1, 0));
  const rows = found.slice(page * PAGE, (page + 1) * PAGE).map(commandRow);
  const head = ["at", "command", "namespace", "session", "txn", "server", "selection", "connection", "answer", "total", "outcome"];
  const commands = table(`Commands${matches === null ? "" : " that match the filter"} (${number(found.length)})`, head, rows, ["at", "selection", "connection", "answer", "total"]);
  box.replaceChildren(commands, pager(found.length, page, "commands", (to) => { page = to; }));
  if (marks.length) {
    eventPage = Math.min(eventPage, Math.ceil(marks.length / PAGE) - 1);
    const events = marks.slice(eventPage * PAGE, (eventPage + 1) * PAGE).map((mark, k) => eventRow(mark, eventPage * PAGE + k));
    box.append(table(`Events of sessions, transactions and servers (${number(marks.length)})`, ["at", "event", "of", "server", "detail"], events, ["at"]), pager(marks.length, eventPage, "events", (to) => { eventPage = to; }));
  }
  markRow();
}

// The row of what is chosen, if it is on the page that is shown.
function markRow() {
  if ($("table").hidden || chosen === null) return;
  for (const row of $("table").querySelectorAll("tr[data-key]")) row.classList.toggle("chosen", row.dataset.key === `${chosen.kind} ${chosen.index}`);
}

function table(title, head, rows, numeric) {
  const found = element("table"), top = element("thead"), line = element("tr"), body = element("tbody");
  // Said again, because a table that a phone lays out in another way is none for some readers of the screen.
  found.setAttribute("role", "table");
  body.setAttribute("role", "rowgroup");
  for (const name of head) {
    const cell = element("th", numeric.includes(name) ? "num" : "", name);
    cell.scope = "col";
    line.append(cell);
  }
  top.append(line);
  for (const [cells, kind, index] of rows) {
    const row = element("tr");
    row.setAttribute("role", "row");
    row.dataset.key = `${kind} ${index}`;
    cells.forEach((value, k) => {
      const cell = element("td", numeric.includes(head[k]) ? "num" : "");
      cell.setAttribute("role", "cell");
      cell.dataset.name = head[k];
      if (value !== "" && value !== null) cell.append(value);
      row.append(cell);
    });
    body.append(row);
  }
  found.append(element("caption", "", title), top, body);
  return found;
}

function commandRow(i) {
  const took = Object.fromEntries(phases(i).map(([name, from, to]) => [name, duration(to - from)]));
  const result = failed(i) ? element("span", "bad", `✕ ${outcome(i)}`) : pending(i) ? "… no reply recorded" : "✓";
  const session = text("session", i);
  return [[
    moment(begins[i]), link(commandName(i), () => openDetails("command", i)), namespace(i),
    session ? `${shortSession(session)}${data.flags[i] & IMPLICIT ? " implicit" : ""}` : "", data.transaction[i] === null ? "" : String(data.transaction[i]), text("server", i),
    took.selection || "", took.connection || "", took.server || "", duration(ends[i] - begins[i]), result,
  ], "command", i];
}

function eventRow(mark, index) {
  const key = mark.kind === "transaction" ? transactionOf.get(`${mark.session} ${mark.number}`) : undefined;
  const words = mark.kind === "transaction" ? EVENT_WORDS[mark.event] || mark.event : mark.event || mark.kind;
  const open = key !== undefined ? jump("transaction", key) : mark.kind === "transaction" ? null : () => openDetails("mark", index);
  const of = mark.kind === "topology" ? "servers" : [mark.session ? `session ${shortSession(mark.session)}` : "", mark.number === undefined ? "" : `transaction ${mark.number}`].filter(Boolean).join(", ");
  const detail = [mark.detail, mark.error ? retryText(mark.error) : ""].filter(Boolean).join(" ");
  return [[moment(mark.at), open ? link(words, open) : words, of, mark.server || "", detail], "mark", index];
}

function pager(total, now, what, go) {
  const box = element("nav", "pages");
  box.setAttribute("aria-label", `Pages of ${what}`);
  const last = Math.ceil(total / PAGE) - 1;
  if (last < 1) return box;
  const button = (words, to) => {
    const found = element("button", "", words);
    found.disabled = to < 0 || to > last || to === now;
    found.addEventListener("click", () => {
      go(to);
      drawTable();
      const again = [...$("table").querySelectorAll(`nav[aria-label="Pages of ${what}"] button`)].find((other) => other.textContent === words);
      if (again && !again.disabled) again.focus();
    });
    return found;
  };
  box.append(button("First", 0), button("Previous", now - 1), element("span", "quiet", `${number(now * PAGE + 1)} to ${number(Math.min((now + 1) * PAGE, total))} of ${number(total)}`), button("Next", now + 1), button("Last", last));
  return box;
}

function showTable(yes) {
  $("table").hidden = !yes;
  $("chart").hidden = yes;
  $("legend").hidden = yes;
  $("show-table").setAttribute("aria-pressed", String(yes));
  $("show-chart").setAttribute("aria-pressed", String(!yes));
  for (const id of ["zoom-in", "zoom-out", "fit"]) $(id).disabled = yes;
  if (yes) {
    if (chosen && chosen.kind === "command" && matched(chosen.index)) {
      let before = 0;
      for (let i = 0; i < chosen.index; i++) if (matched(i)) before++;
      page = Math.floor(before / PAGE);
    }
    drawTable();
  } else {
    measure();
    redraw();
  }
}
