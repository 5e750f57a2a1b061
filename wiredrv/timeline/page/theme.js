// Light and dark, and the patterns that say what colours say.

const store = {
  // A page that was opened from a file may have no storage.
  get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* the choice lasts for this page */ } },
};
const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const THEMES = ["system", "light", "dark"];
let theme = THEMES.includes(store.get("wiredrv-theme")) ? store.get("wiredrv-theme") : "system";
let colors = {};
let patterns = {};

function applyTheme(printing = false) {
  const dark = !printing && (theme === "dark" || (theme === "system" && darkSystem.matches));
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const style = getComputedStyle(document.documentElement);
  colors = {};
  for (const name of ["back", "panel", "ink", "quiet", "line", "soft", "focus", "server", "on-server", "selection", "connection", "bad", "on-bad", "committed", "aborted", "unknown", "mark", "pin", "cluster", "operation"]) {
    colors[name] = style.getPropertyValue(`--${name}`).trim();
  }
  patterns = {
    selection: pattern(5, (pen) => stripes(pen, 5, colors.selection, 1.2)),
    connection: pattern(4, (pen) => {
      pen.fillStyle = colors.connection;
      pen.beginPath();
      pen.arc(2, 2, 1.15, 0, 7);
      pen.fill();
    }),
    failed: pattern(7, (pen) => {
      pen.fillStyle = colors.bad;
      pen.fillRect(0, 0, 7, 7);
      pen.globalAlpha = 0.35;
      stripes(pen, 7, colors.panel, 1.6);
    }),
    aborted: pattern(6, (pen) => {
      pen.globalAlpha = 0.3;
      stripes(pen, 6, colors.aborted, 0.9);
    }),
  };
  $("theme").textContent = { system: "◐ Auto", light: "○ Light", dark: "● Dark" }[theme];
  $("theme").setAttribute("aria-label", `Colours: ${theme}`);
}

function pattern(size, paint) {
  const scale = window.devicePixelRatio || 1;
  const tile = document.createElement("canvas");
  tile.width = tile.height = Math.round(size * scale);
  const pen = tile.getContext("2d");
  pen.scale(tile.width / size, tile.height / size);
  paint(pen);
  const found = pen.createPattern(tile, "repeat");
  found.setTransform(new DOMMatrix().scale(1 / scale));
  return found;
}

function stripes(pen, size, color, width) {
  pen.strokeStyle = color;
  pen.lineWidth = width;
  pen.beginPath();
  for (const shift of [-size, 0, size]) {
    pen.moveTo(shift - 1, size + 1);
    pen.lineTo(shift + size + 1, -1);
  }
  pen.stroke();
}

function nextTheme() {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  store.set("wiredrv-theme", theme);
  applyTheme();
  redraw();
}
