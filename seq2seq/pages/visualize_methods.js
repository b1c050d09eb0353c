"use strict";

// What a method of `seq2seq explain` says of each word, in the place of attention: source, words before, and the share
// of the source, in one heatmap; and each word beside the one that was next likeliest.

const OF_SOURCE = "of the source";
const GAP = ""; // the label of a column between two parts

/** Return what a method of this name found of a target; undefined where it is a kind of attention. */
function explanationOf(target, kind) {
  return target.explained.find((explained) => explained.kind === kind);
}

/** Return what was found as if it were the attention of one head, for what asks about layers and heads. */
function asMap({ kind, said }) {
  const unit = { weights: [said.values], nowhere: [said.rows.map(() => 0)] };
  return { kind, layer: 0, words: unit, pieces: unit, remarks: [""] };
}

/** Return the rows that are shown, each number as a share of its row's sizes, and the source's share of each row. */
function relativeRows(explained) {
  const found = state.contrast && explained.contrast ? explained.contrast : explained.said;
  const sizes = (numbers) => numbers.reduce((sum, value) => sum + Math.abs(value), 0);
  const of = explained.source.length;
  return {
    ...found,
    relative: found.values.map((row) => row.map((value) => value / (sizes(row) || 1))),
    shares: found.values.map((row) => sizes(row.slice(0, of)) / (sizes(row) || 1)),
  };
}

/** Return the lines of words and the heatmap of what a method found, and tell `panels` how to light them. */
function explainedPanel(target, number, explained) {
  const { rows, values, relative, shares, logs } = relativeRows(explained);
  const { source, prefix, signed } = explained;
  const columns = [...source, GAP, ...prefix, GAP, OF_SOURCE];
  const before = source.length + 1; // where the words before begin
  const last = columns.length - 1;
  const cells = relative.map((row, y) => [...row.slice(0, source.length), 0, ...row.slice(source.length), 0, shares[y]]);
  const isRead = (y, x) => x < source.length || x === last || (x >= before && x < last - 1 && x - before <= y);
  const point = { onhover: (row, column) => light(number, row, column), onselect: (row, column) => pin(number, row, column) };
  const keys = sentence("source", source, "column", (i, act) => point[act](null, i));
  const words = sentence("before", prefix, "prefix", (i, act) => point[act](null, i === null ? null : before + i));
  const said = sentence(state.contrast ? "said - not" : nameOf(target), rows, "row", (i, act) => point[act](i, null));
  const readout = element("p", { class: "readout", "aria-live": "polite" });
  const cell = Math.min(Math.max(Math.floor(720 / Math.max(rows.length, columns.length)), 14), state.side ? 22 : 30);
  const picture = heatmap({ values: cells, rows, columns, cell, difference: signed, ...point, visible: isRead });
  picture.setAttribute("aria-label", `${rows.length} words, and what ${columns.length - 3} words contributed to each`);
  panels.push((row, column) => {
    const of = (from, to) => (row === null ? null : cells[row].slice(from, to));
    shadeSigned(keys, column, of(0, source.length));
    shadeSigned(words, column === null ? null : column - before, of(before, last - 1));
    shadeSigned(said, row, row !== null || column === null ? null : cells.map((line, y) => (isRead(y, column) ? line[column] : 0)));
    picture.light(row, column);
    readout.textContent = row === null
      ? column === null || columns[column] === GAP ? "Point at a word, or reach it by Tab and arrow keys; a click keeps it." : ""
      : contributed(rows[row], logs[row], shares[row], values[row], [...source, ...prefix], signed);
  });
  const high = signed ? "for the word" : "all of it";
  return {
    name: target.name,
    caption: nameOf(target),
    lines: element("div", { class: "lines" }, keys.line, words.line, said.line, readout),
    picture: element("div", { class: "scroll" }, picture,
      element("p", { class: "legend" }, signed ? "against " : "0 ", rampOf(signed), ` ${high}; a cell is its share of the row`)),
  };
}

/** Shade words by numbers from -1 to 1. */
function shadeSigned({ line, shade }, chosen, numbers) {
  shade(chosen, numbers ? numbers.map(Math.abs) : null, 1);
  line.querySelectorAll(".word").forEach((word, i) => {
    if (numbers && numbers[i] < 0) word.style.background = color(numbers[i], { low: -1, high: 1, ramp: differenceRamp() });
  });
}

/** Return in words what contributed most to a word. */
function contributed(label, log, share, numbers, names, signed) {
  const most = numbers.map((value, i) => [value, names[i]]).filter(([value]) => Math.abs(value) >= 0.005)
    .sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 5);
  const list = most.map(([value, name]) => `\u2068${name}\u2069 ${signed ? withSign(value) : value.toFixed(2)}`).join("   ");
  const nats = state.contrast && signed ? `${withSign(log)} nats` : `log p ${withSign(log)}`;
  return `\u2068${label}\u2069: ${nats}, ${Math.round(100 * share)} % of the source   ${list}`;
}

/** Return a number with its sign, where it is not nearly 0. */
function withSign(value) {
  const size = Math.abs(value).toFixed(2);
  return Number(size) === 0 ? size : `${value < 0 ? "\u2212" : "+"}${size}`;
}

/** Return the colours from the least to the most. */
function rampOf(signed) {
  const bar = element("span", { class: "ramp" });
  bar.style.background = `linear-gradient(to right, ${(signed ? differenceRamp() : weightRamp()).join(",")})`;
  return bar;
}
