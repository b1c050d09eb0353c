"use strict";

// The table, which variants are shown, and the pieces that all sections are made of.

document.documentElement.classList.add("themed");
const PALETTE = ["#265fa2", "#e8590c", "#2b8a3e", "#7b3fb5", "#c92a2a", "#0b8a99", "#9a7b00", "#d0558f"];
const AFTER_DARK = ["#7db4ee", "#ff8c42", "#6cc47c", "#b995ec", "#f37f7f", "#4fc3d0", "#d2b440", "#f08fbd"];
const DASHES = ["solid", "dash", "dot"];

/** Return a palette as properties of the style: a line that is drawn once follows the page into the dark. */
function asProperties(palette) {
  return palette.map((color, i) => `--variant-${i}: ${color};`).join(" ");
}

const STYLE = `
  :root { --grid: #ececf1; ${asProperties(PALETTE)} }
  @media (prefers-color-scheme: dark) { :root.themed { --grid: #272a32; ${asProperties(AFTER_DARK)} } }
  body { max-width: 1440px; }
  .swatch { display: inline-block; width: 18px; height: 0; border-top: 3px solid; margin-right: 7px; vertical-align: middle; }
  .shown { position: sticky; top: 0; z-index: 5; background: var(--paper); padding: 8px 0; margin: 20px 0 0;
           border-bottom: 1px solid var(--line); display: flex; flex-wrap: wrap; gap: 4px 6px; align-items: center; }
  .shown button { border-color: transparent; font-size: 13px; padding: 2px 8px; text-align: left; }
  .shown .all { color: var(--blue); }
  .shown button:hover { border-color: var(--line); }
  .shown button[aria-pressed="true"] { background: none; color: var(--ink); border-color: var(--line); }
  .shown button[aria-pressed="false"] { color: var(--grey); text-decoration: line-through; }
  .shown button[aria-pressed="false"] .swatch { opacity: 0.25; }
  table.scores td:first-child, table.scores th:first-child { position: sticky; left: 0; background: var(--paper);
           white-space: normal; min-width: 170px; max-width: 280px; }
  table.scores th, table.scores td { padding: 5px 6px; vertical-align: top; }
  table.scores th { vertical-align: bottom; white-space: normal; line-height: 1.2; }
  table.scores th button { text-align: inherit; }
  table.scores .spread { display: block; line-height: 1.1; }
  table.scores .unsure { color: var(--grey); }
  table.scores tbody tr:hover td { background: var(--chosen); }
  table.scores .spread { color: var(--grey); font-size: 12px; }
  table.scores .best { font-weight: 700; }
  table.scores td.story { text-align: left; white-space: normal; color: var(--grey); }
  .state { color: var(--gold); font-weight: 600; }
  th button { border: 0; padding: 0; font-weight: 600; font-size: 13px; color: var(--grey); background: none; }
  th[aria-sort] button { color: var(--blue); }
  th[aria-sort="ascending"] button::after { content: " ▴"; }
  th[aria-sort="descending"] button::after { content: " ▾"; }
  .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(380px, 100%), 1fr)); gap: 8px 20px; }
  .plots h3, .plot h3 { font-size: 14px; font-weight: 600; margin: 8px 0 0; }
  .group { display: inline-flex; }
  .group button { border-radius: 0; margin-left: -1px; }
  .group button:first-child { border-radius: 6px 0 0 6px; }
  .group button:last-child { border-radius: 0 6px 6px 0; }
  table.heat td.value { min-width: 50px; text-align: center; padding: 4px 6px; border: 1px solid var(--paper); }
  table.heat th { font-size: 12px; padding: 4px 4px; text-align: center; }
  table.heat th:first-child, table.heat td:first-child { text-align: left; padding-left: 0;
           position: sticky; left: 0; background: var(--paper); white-space: normal; max-width: 250px; line-height: 1.25; }
  table.heat th, table.heat td { border-bottom: 0; }
  .controls h3 { font-size: 14px; font-weight: 600; margin: 0 8px 0 0; }
  .card { width: min-content; min-width: 180px; max-width: 100%; }
  .card .scroll { max-width: 100%; }
  .card figcaption span.about { display: block; }
  figcaption b { color: var(--ink); font-weight: 600; }
  .said { font-size: 13px; margin: 4px 0 0; color: var(--ink); }
  .said.grey { color: var(--grey); }
  .key { display: inline-flex; align-items: center; gap: 8px; font-size: 13px; color: var(--grey); white-space: nowrap; }
  .key i { display: inline-block; width: 120px; height: 11px; border: 1px solid var(--line); }
  .key i.outlined { width: 12px; height: 12px; border: 1.6px solid var(--gold); }
  h2 { margin-top: 44px; }
  ul.remarks { color: var(--grey); font-size: 14px; padding-left: 20px; margin: 6px 0; max-width: 120ch; }
`;
document.head.append(element("style", {}, STYLE));

const variants = DATA.variants.map((variant, number) => ({
  ...variant, number, dash: DASHES[Math.floor(number / PALETTE.length) % 3],
  get color() { return (isDark() ? AFTER_DARK : PALETTE)[number % PALETTE.length]; },
}));
const hidden = new Set();
const redraw = []; // what each section does when other variants are to be shown
const replot = []; // what each plot does when a variant is pointed at
let pointed = null; // its number
const visible = () => variants.filter((variant) => !hidden.has(variant.number));

/** Return a variant's line as it looks in every plot. */
function swatch({ number, dash }) {
  const style = { solid: "solid", dash: "dashed", dot: "dotted" }[dash];
  return element("span", { class: "swatch", style: `border-top-color:var(--variant-${number % PALETTE.length});border-top-style:${style}` });
}

/** Return the colour in which text is legible on a background `rgb(...)`. */
function inkOn(background) {
  const [red, green, blue] = background.match(/\d+/g).map(Number);
  return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? "#1a1a1a" : "white";
}

/** Return a cell of a heat table for a value 0-1. */
function heatCell(value, text, ramp, attributes = {}) {
  const background = color(value, { ramp });
  return element("td", { class: "value", style: `background:${background};color:${inkOn(background)}`, ...attributes }, text);
}

/** Append a section and return it. */
function section(title, note, ...children) {
  const made = element("section", {}, element("h2", {}, title), element("p", {}, note), ...children);
  document.body.append(made);
  return made;
}

/** Return a labelled choice; options are [value, text]; its `value` is that of the chosen one. */
function choice(label, id, options, onchange, chosen = 0) {
  const select = element("select", { id, onchange: () => onchange(select.value) },
    ...options.map(([value, text], i) => element("option", { value, selected: i === chosen }, text)));
  return { node: element("label", {}, `${label} `, select), get value() { return select.value; } };
}

/** Return buttons of which one is pressed; options are [value, text]. */
function buttons(label, options, onchange) {
  const made = { value: options[0][0] };
  const all = options.map(([value, text]) => element("button", {
    type: "button", "aria-pressed": String(value === made.value), "data-value": value, onclick: (event) => {
      made.value = value;
      all.forEach((button) => button.setAttribute("aria-pressed", String(button === event.currentTarget)));
      onchange(value);
    },
  }, text));
  made.node = element("span", { class: "group", role: "group", "aria-label": label }, ...all);
  return made;
}

/** Return the table of scores, sorted by a click on a header. */
function scores() {
  const columns = [{ key: "name", label: "variant", better: -1 }, { key: "seeds", label: "seeds", better: 0 }, ...DATA.columns];
  const best = Object.fromEntries(DATA.columns.filter((column) => column.better).map((column) => {
    const values = variants.filter((v) => column.key in v.cells).map((v) => column.better * v.cells[column.key].value);
    return [column.key, values.length > 1 ? Math.max(...values) * column.better : null];
  }));
  const cell = (variant, column) => {
    const found = variant.cells[column.key];
    if (!found) return element("td", { "data-key": column.key, class: "unsure" }, column.key === "bleu_difference" && variant.baseline ? "baseline" : "–");
    const [mean, spread] = found.text.split(" ± ");
    const look = found.value === best[column.key] ? "best" : column.key.endsWith("_p") && found.value >= 0.05 ? "unsure" : null;
    return element("td", { "data-key": column.key, class: look },
      mean, ...(spread ? [element("span", { class: "spread" }, ` ± ${spread}`)] : []));
  };
  const rows = new Map(variants.map((variant) => [variant, element("tr", { "data-variant": variant.number },
    element("td", {}, swatch(variant), variant.name),
    ...(variant.state === "finished"
      ? [element("td", { "data-key": "seeds" }, variant.seeds), ...DATA.columns.map((column) => cell(variant, column))]
      : [element("td", { class: "story", colspan: DATA.columns.length + 1 },
          element("span", { class: "state" }, variant.state), ` ${variant.story}`)]))]));
  const body = element("tbody", {}, ...rows.values());
  let sorted = { key: `${DATA.split}/bleu`, down: true };
  const value = (variant, key) => key === "name" ? variant.name : key === "seeds" ? parseInt(variant.seeds, 10) : variant.cells[key]?.value;
  const heads = columns.map((column) => element("th", { title: column.about ?? null, scope: "col", "data-key": column.key },
    element("button", { type: "button", onclick: () => {
      sorted = { key: column.key, down: sorted.key === column.key ? !sorted.down : column.better >= 0 };
      sort();
    } }, column.label)));
  function sort() {
    heads.forEach((head) => {
      if (head.dataset.key === sorted.key) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const order = [...variants].sort((a, b) => {
      const [x, y] = [a, b].map((variant) => value(variant, sorted.key));
      if ((x === undefined) !== (y === undefined)) return x === undefined ? 1 : -1; // nothing comes last, either way
      const less = typeof x === "string" ? x.localeCompare(y) : (x ?? 0) - (y ?? 0);
      return sorted.down ? -less : less;
    });
    body.append(...order.map((variant) => rows.get(variant)));
  }
  sort();
  return element("div", { class: "scroll" },
    element("table", { class: "scores" }, element("thead", {}, element("tr", {}, ...heads)), body));
}

document.body.append(element("h1", {}, DATA.title), element("p", {}, "Click a header to sort; point at it for what it means. The best of a column is bold."),
  scores(), ...DATA.notes.map((note) => element("p", { class: "note" }, note)));
if (DATA.remarks.length) {
  document.body.append(element("ul", { class: "remarks" }, ...DATA.remarks.map(([state, where, story]) =>
    element("li", {}, element("span", { class: "state" }, state), ` ${where}: ${story}`))));
}

const shownButtons = variants
  .filter((variant) => variant.state === "finished" || variant.curves.some((curves) => "val/bleu" in curves))
  .map((variant) => element("button", {
    type: "button", "aria-pressed": "true", "data-variant": variant.number,
    onclick: () => show(hidden.has(variant.number) ? [variant.number] : [], hidden.has(variant.number) ? [] : [variant.number]),
    onmouseenter: () => point(variant.number), onmouseleave: () => point(null),
  }, swatch(variant), variant.name));
const everyNumber = variants.map((variant) => variant.number);

/** Show some variants and hide others. */
function show(shown, others) {
  shown.forEach((number) => hidden.delete(number));
  others.forEach((number) => hidden.add(number));
  shownButtons.forEach((button) => button.setAttribute("aria-pressed", String(!hidden.has(Number(button.dataset.variant)))));
  redraw.forEach((draw) => draw());
}

night.addEventListener("change", () => show([], []));

/** Let a variant stand out in the plots; null for none. */
function point(number) {
  const drawn = pointed;
  pointed = number;
  if (drawn !== number) requestAnimationFrame(() => replot.forEach((draw) => draw()));
}

document.body.append(element("nav", { class: "shown", "aria-label": "variants shown" },
  ...(shownButtons.length > 3 ? [
    element("button", { type: "button", class: "all", onclick: () => show(everyNumber, []) }, "all"),
    element("button", { type: "button", class: "all", onclick: () => show([], everyNumber) }, "none"),
  ] : []), ...shownButtons));
