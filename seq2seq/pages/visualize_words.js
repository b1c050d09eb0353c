"use strict";

// Sentence pair and heatmap of `seq2seq visualize`, and what lights up when a word or cell is pointed at.

const MANY = 40; // words: more are written smaller

let panels = []; // what is shown of each target: functions light(row, column)
let pinned = null; // [panel, row, column] that a click chose

/** Return the lines of the sentence pair and the heatmap of one target, and tell `panels` how to light them. */
function panel(target, number) {
  const explained = explanationOf(target, state.kind);
  if (explained) return explainedPanel(target, number, explained);
  const map = mapOf(target);
  const { rows, columns: tokens } = map[state.unit];
  const weights = { values: weightsOf(map, state.unit, state.head), columns: tokens, nowhere: nowhereOf(map, state.unit, state.head) };
  const { values, columns } = apart() ? withNowhere(weights) : weights;
  const high = state.stretch ? Math.max(...weights.values.flat(), 1e-6) : 1;
  const [looked, looking] = { cross: ["source", nameOf(target)], encoder: ["looked at", "looking"], decoder: ["looked at", "looking"] }[state.kind];
  const point = { onhover: (row, column) => light(number, row, column), onselect: (row, column) => pin(number, row, column) };
  const keys = sentence(looked, columns, "column", (i, act) => point[act](null, i));
  const queries = sentence(looking, rows, "row", (i, act, button) => {
    point[act](i, null);
    if (act === "onselect" && state.kind === "cross" && state.unit === "words") live?.onword(target, i, button);
  });
  const readout = element("p", { class: "readout", "aria-live": "polite" });
  const longest = Math.max(rows.length, columns.length);
  const cell = Math.min(Math.max(Math.floor(520 / longest), longest > MANY ? 11 : 14), state.side ? 22 : 30);
  const picture = heatmap({ values, rows, columns, high, cell, ...point, apart: apart(),
    visible: (y, x) => state.kind !== "decoder" || x <= y || x === tokens.length });
  picture.setAttribute("aria-label", `${rows.length} rows looking at ${columns.length} columns`);
  panels.push((row, column) => {
    keys.shade(column, row === null ? null : values[row], high);
    queries.shade(row, row !== null || column === null ? null : values.map((weights) => weights[column]), high);
    picture.light(row, column);
    readout.textContent = said(values, rows, columns, row, column);
  });
  return {
    name: target.name,
    caption: nameOf(target),
    lines: element("div", { class: "lines" }, keys.line, queries.line, readout),
    picture: element("div", { class: "scroll" }, picture, legend(high), element("p", { class: "remark" }, map.remarks[headsOf(map).indexOf(state.head)])),
  };
}

/** Return what the colours mean. */
function legend(high) {
  const bar = element("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${weightRamp().join(",")})`;
  return element("p", { class: "legend" }, "0 ", bar, high === 1 ? " 1" : ` ${high.toFixed(2)}`);
}

/** Return a line of words that can be pointed at, and a function that shades them by weights. */
function sentence(caption, labels, axis, act) {
  const rtl = directionOf(labels.filter((label) => !/^<.*>$/.test(label)).join(" ")) === "rtl";
  const words = labels.map((label, i) =>
    element("button", { class: label === DATA.nowhere.label ? "word nowhere" : "word", type: "button", [`data-${axis}-word`]: i, onmouseenter: () => act(i, "onhover"),
      onmouseleave: () => act(null, "onhover"), onfocus: () => act(i, "onhover"), onblur: () => act(null, "onhover"),
      onclick: ({ currentTarget }) => act(i, "onselect", currentTarget) },
      element("bdi", {}, label || "▁"), element("span", { class: "percent" })),
  );
  roving(words, { rtl });
  const line = element("div", { class: "sentence" }, element("span", { class: "name" }, caption),
    element("div", { class: `words${labels.length > MANY ? " many" : ""}`, dir: rtl ? "rtl" : "ltr" }, ...words));
  const shade = (chosen, weights, high) =>
    words.forEach((word, i) => {
      const weight = weights ? weights[i] : 0;
      word.classList.toggle("lit", i === chosen);
      word.style.background = weights ? color(weight, { high }) : "";
      word.style.color = weights ? inkOn(weight / high) : "";
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
  return column !== null ? `${isolated(columns[column])} is looked at by   ${list || "none"}` : 
    `Point at a word, or reach it by Tab and arrow keys; a click keeps it${live ? ", and offers another word of the translation" : ""}.`;
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
