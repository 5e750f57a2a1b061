// The start of the page: its head, its notices, the filter, and the first drawing.

function filterBy(words) {
  $("filter").value = words;
  applyFilter();
}

let typed = 0; // the timer of a filter that is being typed

function applyFilter() {
  clearTimeout(typed);
  setFilter($("filter").value, $("errors").checked);
  $("found").textContent = matches === null ? "" : `${number(matching)} of ${plural(count, "command")}`;
  page = 0;
  if ($("table").hidden) {
    measure();
    redraw();
  } else drawTable();
  showEmpty();
}

function summarize() {
  const sessions = new Set(lanes.filter((lane) => lane.kind === "session").map((lane) => lane.session)).size;
  let errors = 0;
  for (let i = 0; i < count; i++) if (failed(i)) errors++;
  const parts = [plural(count, "command"), plural(sessions, "session"), plural(transactions.length, "transaction"), plural(errors, "error")];
  if (count) parts.push(duration(whole.to - whole.from));
  if (data.started) parts.push(`from ${data.started.replace("T", " ").replace(/\.\d+/, "").replace(/(\+00:00|Z)$/, " UTC")}`);
  if (data.driver) parts.push(data.driver);
  $("summary").textContent = parts.join(" · ");
}

function showNotices() {
  const notices = [];
  if (data.version !== null && data.version !== data.known) {
    notices.push(`These records are of version ${data.version}, and this page was made for version ${data.known}: what it does not know is left out. A newer wiredrv shows all of it.`);
  }
  if (data.dropped > 0) notices.push(`${plural(data.dropped, "earlier record was", "earlier records were")} dropped, because the recorder's buffer was full: what is shown here is the end of the recording.`);
  if (data.unknown > 0) notices.push(`${plural(data.unknown, "record")} of a kind that this page does not know ${data.unknown === 1 ? "was" : "were"} left out.`);
  $("notices").replaceChildren(...notices.map((words) => element("p", "notice", words)));
}

function showEmpty() {
  const box = $("empty");
  box.hidden = shown.length > 0;
  if (shown.length) return;
  const card = element("div");
  if (count) {
    const clear = element("button", "", "Clear the filter");
    clear.addEventListener("click", () => {
      $("errors").checked = false;
      filterBy("");
    });
    card.append(element("h2", "", "No command matches"), element("p", "quiet", $("errors").checked && !$("filter").value ? "No command failed." : "Words match the command, collection, session, server or error; all of them must match."), clear);
  } else {
    card.append(element("h2", "", "No command was recorded"), element("p", "quiet", "A recording holds the commands that clients send while it runs:"), element("pre", "", "with wiredrv.record() as timeline:\n    ..."));
  }
  box.replaceChildren(card);
}

function start() {
  applyTheme();
  summarize();
  showNotices();
  measure();
  showEmpty();
  drawAll();
  $("filter").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(applyFilter, count > 5000 ? 120 : 0);
  });
  $("errors").addEventListener("change", applyFilter);
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("show-chart").addEventListener("click", () => showTable(false));
  $("show-table").addEventListener("click", () => showTable(true));
  $("zoom-in").addEventListener("click", () => zoom(0.6));
  $("zoom-out").addEventListener("click", () => zoom(1 / 0.6));
  $("fit").addEventListener("click", fit);
  $("theme").addEventListener("click", nextTheme);
  $("help").addEventListener("click", () => $("help-box").showModal());
  $("scroller").addEventListener("scroll", () => { hideTip(); redraw(); }, { passive: true });
  document.addEventListener("keydown", onKey);
  darkSystem.addEventListener("change", () => { applyTheme(); redraw(); });
  window.addEventListener("beforeprint", () => { applyTheme(true); drawAll(); });
  window.addEventListener("afterprint", () => { applyTheme(); redraw(); });
  new ResizeObserver(() => { measure(); redraw(); }).observe($("chart"));
  listenToPointer();
  // After the first frame: what a reader waits for.
  requestAnimationFrame(() => setTimeout(() => {
    performance.mark("timeline-ready");
    document.documentElement.dataset.ready = "yes";
  }));
}

start();
