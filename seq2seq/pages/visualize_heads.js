"use strict";

// All heads of `seq2seq visualize` at once: small pictures and statistics, each a button that chooses its head.

const THUMBNAIL = 52; // pixels

/** Return a small picture of weights on a button that chooses their head. */
function thumbnail(map, head) {
  const weights = weightsOf(map, state.unit, head);
  const nowhere = nowhereOf(map, state.unit, head);
  const values = loses(nowhere) ? withNowhere({ values: weights, columns: [], nowhere }).values : weights;
  const size = { width: Math.min(values[0].length, THUMBNAIL), height: Math.min(values.length, THUMBNAIL) };
  const canvas = element("canvas", size);
  const context = canvas.getContext("2d");
  const high = state.stretch ? Math.max(...weights.flat(), 1e-6) : 1;
  // A pixel that stands for several cells shows the heaviest: none may vanish.
  const pixels = Array.from({ length: size.height }, () => new Array(size.width).fill(0));
  values.forEach((row, y) => row.forEach((value, x) => {
    const line = pixels[Math.floor((y * size.height) / values.length)];
    const at = Math.floor((x * size.width) / row.length);
    line[at] = Math.max(line[at], value);
  }));
  pixels.forEach((line, y) => line.forEach((value, x) => {
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

/** Return whether the model has one attention with one head. */
function single() {
  const all = attentions().flatMap((kind) => maps(DATA.targets[0], kind));
  return all.length === 1 && headsOf(all[0]).length === 1;
}

function overview() {
  if (single() || !attentions().includes(state.kind)) return "";
  const target = DATA.targets[state.target];
  return element("section", { id: "overview" }, element("h2", {}, "All layers and heads"),
    headTable(maps(target, state.kind), thumbnail, (map) => `layer ${map.layer}`));
}

/** Return a statistic of every head of the shown sentence, in percent; of a single head all statistics. */
function statistics() {
  if (!attentions().includes(state.kind)) return "";
  const target = DATA.targets[state.target];
  const all = attentions().flatMap((kind) => maps(target, kind));
  if (single()) {
    const rows = Object.entries(DATA.statistics).map(([name, label]) =>
      element("tr", {}, element("td", {}, label), element("td", {}, Math.round(100 * all[0].statistics[name][0]))));
    return element("section", { id: "statistics" }, element("h2", {}, "What it does here, in %"), element("table", {}, ...rows));
  }
  const select = element("select", { id: "statistic", "aria-label": "statistic", onchange: () => choose({ statistic: select.value }) },
    ...Object.entries(DATA.statistics).map(([name, label]) => element("option", { value: name, selected: name === state.statistic }, label)));
  const cell = (map, head) => {
    const value = map.statistics[state.statistic][headsOf(map).indexOf(head)];
    const button = headButton(map, head, "statistic", Math.round(100 * value));
    button.style.background = color(value);
    button.style.color = inkOn(value); // that of a pressed button is white
    return button;
  };
  return element("section", { id: "statistics" }, element("h2", {}, "What the heads do here, in %"), select,
    headTable(all, cell, (map) => `${map.kind} ${map.layer}`));
}
