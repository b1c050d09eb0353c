"use strict";

const KINDS = {
  cross: { name: "Cross-attention", note: "Each word of the translation looks at the source while it is predicted." },
  encoder: { name: "Encoder self-attention", note: "Each source word looks at the whole source; the same for every translation." },
  decoder: { name: "Decoder self-attention", note: "Each word fed in looks at itself and at those before it; <s> comes first." },
};
const UNITS = { words: "words", pieces: "subwords" };
const MEAN = "mean";

const first = DATA.alignment ?? { kind: kinds()[0], layer: maps(DATA.targets[0], kinds()[0])[0].layer, head: null };
const state = { target: 0, side: false, unit: "words", stretch: false, statistic: Object.keys(DATA.statistics)[0],
                kind: first.kind, layer: first.layer, head: first.head ?? MEAN };
let panels = []; // what is shown of each target: functions light(row, column)
let pinned = null; // [panel, row, column] that a click chose

/** Return the kinds of attention that the model has. */
function kinds() {
  return Object.keys(KINDS).filter((kind) => maps(DATA.targets[0], kind).length);
}

/** Return the attention of a kind, a map a layer. */
function maps(target, kind) {
  return (kind === "encoder" ? DATA.encoder : target.maps).filter((map) => map.kind === kind);
}

function mapOf(target, { kind, layer } = state) {
  return maps(target, kind).find((map) => map.layer === layer);
}

/** Return the heads that can be chosen of a map: their mean first where there are several. */
function headsOf(map) {
  const heads = map.words.weights.map((_, head) => head);
  return heads.length > 1 ? [MEAN, ...heads] : heads;
}

/** Return rows of weights from 0 to 1 of a head, or of the mean over heads. */
function weightsOf(map, unit, head) {
  const all = map[unit].weights;
  const chosen = all.length === 1 ? all : head === MEAN ? all : [all[head]];
  return chosen[0].map((row, y) =>
    row.map((_, x) => chosen.reduce((sum, weights) => sum + weights[y][x], 0) / chosen.length / DATA.one),
  );
}

function isAlignment({ kind, layer, head }) {
  if (!DATA.alignment || DATA.alignment.kind !== kind || DATA.alignment.layer !== layer) return false;
  return headsOf(mapOf(DATA.targets[0], { kind, layer })).length === 1 || (DATA.alignment.head ?? MEAN) === head;
}

/** Return how a target is called, `beam 2`; a single hypothesis is the translation. */
function nameOf(target) {
  const number = /^hypothesis-(\d+)$/.exec(target.name)?.[1];
  const only = DATA.targets.filter(({ name }) => name.startsWith("hypothesis")).length === 1;
  return number ? (only ? "translation" : `beam ${number}`) : target.name;
}

/** Return the direction of a text: that of its first letter. */
function directionOf(text) {
  return /^\P{L}*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/u.test(text) ? "rtl" : "ltr";
}

/** Change what is chosen, and keep layer and head to what there is. */
function choose(changes) {
  Object.assign(state, changes);
  const target = DATA.targets[state.target];
  if (!mapOf(target)) state.layer = maps(target, state.kind)[0].layer;
  const heads = headsOf(mapOf(target));
  if (!heads.includes(state.head)) state.head = heads[0];
  pinned = null;
  show();
}

/** Return buttons of which one is pressed; arrow keys go from one to the next. */
function choice(label, options, chosen, onchoose) {
  const buttons = options.map(([value, text, marked]) =>
    element("button", { "aria-pressed": String(value === chosen), "data-choice": `${label} ${value}`, type: "button",
      class: marked ? "marked" : null, title: marked ? "chosen as the alignment on validation data" : null,
      onclick: () => onchoose(value) }, text),
  );
  return element("div", { class: "choice", role: "group", "aria-label": label }, element("span", { class: "note" }, label), ...roving(buttons));
}

/** Make one of some elements reachable by Tab and the others by arrow keys, so many in a row; return them. */
function roving(elements, { across = elements.length, rtl = false } = {}) {
  const start = elements.findIndex((item) => item.getAttribute("aria-pressed") === "true");
  elements.forEach((item, i) => {
    item.tabIndex = i === Math.max(start, 0) ? 0 : -1;
    item.addEventListener("focus", () => elements.forEach((other) => (other.tabIndex = other === item ? 0 : -1)));
    item.addEventListener("keydown", (event) => {
      const forward = rtl ? -1 : 1;
      const step = { ArrowRight: forward, ArrowLeft: -forward, ArrowDown: across, ArrowUp: -across }[event.key];
      if (step === undefined || !elements[i + step]) return;
      event.preventDefault();
      elements[i + step].focus();
    });
  });
  return elements;
}

/** Return the list of translations: each a button, chosen one at a time or shown side by side. */
function translations() {
  const buttons = DATA.targets.map((target, i) =>
    element("button", { class: "translation", type: "button", "aria-pressed": String(state.side || i === state.target),
      "data-target": target.name, onclick: () => choose({ target: i, side: false }) },
      element("span", { class: "name" }, nameOf(target)),
      element("span", { class: "text", dir: directionOf(target.text) }, target.text || "(nothing)"),
      element("span", { class: "score" }, target.score === null ? "" : target.score.toFixed(3))),
  );
  const beside = element("button", { type: "button", id: "side", "aria-pressed": String(state.side),
    onclick: () => choose({ side: !state.side }) }, "side by side");
  return element("div", { class: "translations", role: "group", "aria-label": "translations" }, ...roving(buttons, { across: 1 }),
    DATA.targets.length > 1 ? beside : "");
}

function controls() {
  const target = DATA.targets[state.target];
  const layers = maps(target, state.kind).map(({ layer }) => layer);
  const marked = (kind, layer, head) => isAlignment({ kind, layer, head });
  return element("div", { class: "controls sticky" },
    choice("attention", kinds().map((kind) => [kind, KINDS[kind].name]), state.kind, (kind) => choose({ kind })),
    choice("layer", layers.map((layer) => [layer, layer, layer === DATA.alignment?.layer && state.kind === DATA.alignment.kind]),
      state.layer, (layer) => choose({ layer })),
    choice("head", headsOf(mapOf(target)).map((head) => [head, head, marked(state.kind, state.layer, head)]), state.head,
      (head) => choose({ head })),
    choice("between", Object.entries(UNITS), state.unit, (unit) => choose({ unit })),
    choice("darkest at", [[false, "1"], [true, "the largest"]], state.stretch, (stretch) => choose({ stretch })),
  );
}

/** Return the sentence pair and the heatmap of one target, and tell `panels` how to light them. */
function panel(target, number) {
  const map = mapOf(target);
  const { rows, columns } = map[state.unit];
  const values = weightsOf(map, state.unit, state.head);
  const high = state.stretch ? Math.max(...values.flat(), 1e-6) : 1;
  const [looked, looking] = { cross: ["source", nameOf(target)], encoder: ["looked at", "looking"], decoder: ["looked at", "looking"] }[state.kind];
  const point = { onhover: (row, column) => light(number, row, column), onselect: (row, column) => pin(number, row, column) };
  const keys = sentence(looked, columns, "column", (i, act) => point[act](null, i));
  const queries = sentence(looking, rows, "row", (i, act) => point[act](i, null));
  const readout = element("p", { class: "readout", "aria-live": "polite" });
  const picture = heatmap({ values, rows, columns, high, cell: rows.length > 80 || columns.length > 80 ? 12 : 22, ...point,
    visible: (y, x) => state.kind !== "decoder" || x <= y });
  picture.setAttribute("aria-label", `${rows.length} rows looking at ${columns.length} columns`);
  panels.push((row, column) => {
    keys.shade(column, row === null ? null : values[row], high);
    queries.shade(row, row !== null || column === null ? null : values.map((weights) => weights[column]), high);
    picture.light(row, column);
    readout.textContent = said(values, rows, columns, row, column);
  });
  const caption = state.side && state.kind !== "encoder" ? element("figcaption", {}, nameOf(target)) : "";
  return element("figure", { class: "panel", "data-panel": target.name }, caption, keys.line, queries.line, readout,
    element("div", { class: "scroll" }, picture));
}

/** Return a line of words that can be pointed at, and a function that shades them by weights. */
function sentence(caption, labels, axis, act) {
  const rtl = directionOf(labels.filter((label) => !/^<.*>$/.test(label)).join(" ")) === "rtl";
  const words = labels.map((label, i) =>
    element("button", { class: "word", type: "button", [`data-${axis}-word`]: i, onmouseenter: () => act(i, "onhover"),
      onmouseleave: () => act(null, "onhover"), onfocus: () => act(i, "onhover"), onblur: () => act(null, "onhover"),
      onclick: () => act(i, "onselect") },
      element("bdi", {}, label || "▁"), element("span", { class: "percent" })),
  );
  roving(words, { rtl });
  const line = element("div", { class: "sentence" }, element("span", { class: "name" }, caption),
    element("div", { class: "words", dir: rtl ? "rtl" : "ltr" }, ...words));
  const shade = (chosen, weights, high) =>
    words.forEach((word, i) => {
      const weight = weights ? weights[i] : 0;
      word.classList.toggle("lit", i === chosen);
      word.style.background = weights ? color(weight, { high }) : "";
      word.style.color = weight / high > 0.55 ? "white" : "";
      word.lastChild.textContent = weight >= 0.005 ? Math.round(100 * weight) : "";
    });
  return { line, shade };
}

/** Return in words what is pointed at. */
function said(values, rows, columns, row, column) {
  const isolated = (label) => `\u2068${label}\u2069`; // a label of another direction turns nothing around it
  if (row !== null && column !== null) {
    return `${isolated(rows[row])} looks at ${isolated(columns[column])} with ${values[row][column].toFixed(3)}`;
  }
  const parts = row !== null ? values[row].map((weight, x) => [weight, columns[x]])
    : column !== null ? values.map((weights, y) => [weights[column], rows[y]]) : [];
  const top = parts.filter(([weight]) => weight >= 0.005).sort((a, b) => b[0] - a[0]).slice(0, 4);
  const list = top.map(([weight, label]) => `${isolated(label)} ${weight.toFixed(2)}`).join("   ");
  if (row !== null) return `${isolated(rows[row])} looks at   ${list}`;
  return column !== null ? `${isolated(columns[column])} is looked at by   ${list || "none"}` : "Point at a word, or reach it by Tab and arrow keys; a click keeps it.";
}

/** Light what is pointed at, or else what is pinned; a source word in all panels, for they share the source. */
function light(number, row, column) {
  const nothing = row === null && column === null;
  const [at, y, x] = nothing && pinned ? pinned : [number, row, column];
  panels.forEach((show, i) => show(i === at ? y : null, i === at || state.kind === "cross" ? x : null));
}

function pin(number, row, column) {
  const same = pinned && pinned[0] === number && pinned[1] === row && pinned[2] === column;
  pinned = same || (row === null && column === null) ? null : [number, row, column];
  light(number, row, column);
}

/** Return a small picture of weights on a button that chooses their head. */
function thumbnail(map, head) {
  const values = weightsOf(map, state.unit, head);
  const canvas = element("canvas", { width: values[0].length, height: values.length });
  const context = canvas.getContext("2d");
  const high = state.stretch ? Math.max(...values.flat(), 1e-6) : 1;
  values.forEach((row, y) => row.forEach((value, x) => {
    context.fillStyle = color(value, { high });
    context.fillRect(x, y, 1, 1);
  }));
  return headButton(map, head, "thumbnail", canvas);
}

/** Return a button that chooses a head. */
function headButton({ kind, layer }, head, name, ...children) {
  const chosen = state.kind === kind && state.layer === layer && state.head === head;
  const aligned = isAlignment({ kind, layer, head });
  const label = `${KINDS[kind].name}, layer ${layer}, ${head === MEAN ? "mean of the heads" : `head ${head}`}${aligned ? ", the alignment" : ""}`;
  return element("button", { type: "button", class: `${name}${aligned ? " marked" : ""}`, "aria-pressed": String(chosen),
    title: label, "aria-label": label, "data-head": `${kind} ${layer} ${head}`, onclick: () => choose({ kind, layer, head }) }, ...children);
}

/** Return a table with a row a layer and a column a head. */
function headTable(maps, cellOf, rowName) {
  const heads = [...new Set(maps.flatMap(headsOf))];
  const buttons = [];
  const rows = maps.map((map) => {
    const cells = heads.map((head) => (headsOf(map).includes(head) ? cellOf(map, head) : ""));
    buttons.push(...cells.filter((cell) => cell));
    return element("tr", {}, element("th", { scope: "row" }, rowName(map)), ...cells.map((cell) => element("td", {}, cell)));
  });
  roving(buttons, { across: heads.length });
  const names = heads.map((head) => element("th", { scope: "col" }, head));
  return element("table", { class: "heads" }, element("tr", {}, element("td", {}), ...names), ...rows);
}

function overview() {
  const target = DATA.targets[state.target];
  return element("section", { id: "overview" }, element("h2", {}, "All layers and heads"),
    headTable(maps(target, state.kind), thumbnail, (map) => `layer ${map.layer}`));
}

/** Return a statistic of every head of the shown sentence, in percent. */
function statistics() {
  const target = DATA.targets[state.target];
  const select = element("select", { id: "statistic", "aria-label": "statistic", onchange: () => choose({ statistic: select.value }) },
    ...Object.entries(DATA.statistics).map(([name, label]) => element("option", { value: name, selected: name === state.statistic }, label)));
  const cell = (map, head) => {
    const value = map.statistics[state.statistic][headsOf(map).indexOf(head)];
    const button = headButton(map, head, "statistic", Math.round(100 * value));
    button.style.background = color(value);
    button.style.color = value > 0.55 ? "white" : "";
    return button;
  };
  const all = kinds().flatMap((kind) => maps(target, kind));
  return element("section", { id: "statistics" }, element("h2", {}, "What the heads do here, in %"), select,
    headTable(all, cell, (map) => `${map.kind} ${map.layer}`));
}

/** Build the page from the state, and keep the keyboard where it was. */
function show() {
  const place = document.activeElement?.dataset ?? {};
  const key = ["choice", "target", "head"].find((name) => place[name]);
  const focused = key ? `[data-${key}="${CSS.escape(place[key])}"]` : document.activeElement?.id ? `#${document.activeElement.id}` : null;
  panels = [];
  const apart = state.side && state.kind !== "encoder";
  const shown = apart ? DATA.targets : [DATA.targets[state.target]];
  const main = element("main", {},
    element("h1", { dir: directionOf(DATA.source) }, DATA.source),
    translations(), controls(), element("p", {}, KINDS[state.kind].note),
    element("div", { class: "row" },
      element("div", { class: apart ? "row panels" : "panels" }, ...shown.map(panel)),
      element("aside", {}, overview(), statistics())),
    element("p", { class: "note foot" }, `${DATA.checkpoint} · weights 0 to 1, rows sum to 1; layers and heads count from 0`,
      DATA.alignment ? "; a dot marks the head chosen as the alignment on validation data" : ""));
  document.querySelector("main")?.remove();
  document.body.append(main);
  if (focused) main.querySelector(focused)?.focus();
  light(0, null, null);
}

document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  pinned = null;
  light(0, null, null);
});
choose({});
