"use strict";

// White to navy in steps of equal lightness, the ramp of the figures; and for differences, orange to white to blue.
const WEIGHTS = ["#ffffff", "#cee6f6", "#a0cced", "#76b1e1", "#5296d2", "#367abd", "#265fa2", "#204582", "#1d2d5f"];
const AT_NIGHT = ["#15171c", "#1d2d5f", "#204582", "#265fa2", "#367abd", "#5296d2", "#76b1e1", "#a0cced", "#e4f2fc"];
const DIFFERENCES = ["#b3440a", "#e8803f", "#f6c39f", "#ffffff", "#a0cced", "#5296d2", "#204582"];

const DIFFERENCES_AT_NIGHT = ["#ffc39a", "#e8803f", "#7a3a14", "#15171c", "#204582", "#5296d2", "#b9dbf3"];

// White to orange, and its like on a dark page: errors.
const ERRORS = ["#ffffff", "#fbe3d2", "#f6c39f", "#e8803f", "#b3440a"];
const ERRORS_AT_NIGHT = ["#15171c", "#47240f", "#7a3a14", "#e8803f", "#ffc39a"];

const night = matchMedia("(prefers-color-scheme: dark)");

/** Return whether the page is dark: where the reader's other pages are, if its root is of the class `themed`. */
function isDark() {
  return night.matches && document.documentElement.classList.contains("themed");
}

/** Return the ramp of weights. */
function weightRamp() {
  return isDark() ? AT_NIGHT : WEIGHTS;
}

/** Return the ramp of differences. */
function differenceRamp() {
  return isDark() ? DIFFERENCES_AT_NIGHT : DIFFERENCES;
}

/** Return the ramp of errors. */
function errorRamp() {
  return isDark() ? ERRORS_AT_NIGHT : ERRORS;
}

/** Return the colour of letters on the colour of a share of the largest value. */
function inkOn(share) {
  return share > 0.55 ? "var(--paper)" : "var(--ink)";
}

/** Return an element with attributes, and children that are elements or text: never HTML. */
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "rect", "text", "title", "line"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
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

/** Return the colour of a value between low and high on a ramp of colours. */
function color(value, { low = 0, high = 1, ramp = weightRamp() } = {}) {
  const place = Math.min(Math.max((value - low) / (high - low), 0), 1) * (ramp.length - 1);
  const below = Math.min(Math.floor(place), ramp.length - 2);
  const parts = [1, 3, 5].map((i) => {
    const [a, b] = [ramp[below], ramp[below + 1]].map((hex) => parseInt(hex.slice(i, i + 2), 16));
    return Math.round(a + (b - a) * (place - below));
  });
  return `rgb(${parts.join(",")})`;
}

/**
 * Return a labelled heatmap, queries down and keys across.
 *
 * values: rows of numbers; rows, columns: their labels; gold: {sure: [[column, row] ...], possible: [...]} to outline;
 * cell: pixels; difference: values from -1 to 1; high: the value that is darkest; labelled: false for no labels;
 * apart: whether a line parts the last column, which is no token, from the others;
 * visible(row, column): false for a cell that is none, because the query may not see the key;
 * onhover(row, column), onselect(row, column): of a cell or a label; either may be null.
 * The element has a method light(row, column) that marks a row, a column, or both.
 */
function heatmap({ values, rows, columns, gold = null, cell = 22, difference = false, high = 1, onhover = null,
                   onselect = null, labelled = true, apart = false, visible = () => true }) {
  const scale = difference ? { low: -1, high: 1, ramp: differenceRamp() } : { high, ramp: weightRamp() };
  const shown = { rows: rows.map(shorten), columns: columns.map(shorten) };
  const font = Math.min(cell - 1, FONT);
  const widths = (labels) => labels.map((label) => (labelWidth(label) * font) / FONT);
  const widest = (labels) => Math.max(...widths(labels), 0);
  const steep = cell < 18 ? 65 : 45; // degrees: labels of narrow columns would run into each other
  const [along, up] = [Math.cos((steep * Math.PI) / 180), Math.sin((steep * Math.PI) / 180)];
  const left = labelled ? widest(shown.rows) + 10 : 0;
  const top = labelled ? widest(shown.columns) * up + 18 : 0;
  const [width, height] = [columns.length * cell, rows.length * cell];
  const ends = widths(shown.columns).map((wide, x) => (x + 0.55) * cell + wide * along + 10);
  const right = labelled ? Math.max(...ends, width) - width : 0;
  const size = { width: left + width + right, height: top + height + 2 };
  const svg = element("svg", { class: "heatmap", viewBox: `0 0 ${size.width} ${size.height}`, role: "img", "font-size": font, ...size });
  const grid = element("g", { transform: `translate(${left} ${top})` });
  values.forEach((row, y) =>
    row.forEach((value, x) => {
      if (!visible(y, x)) return;
      grid.append(element("rect", {
        x: x * cell, y: y * cell, width: cell, height: cell, fill: color(value, scale), stroke: "var(--line)", "stroke-width": 0.5,
        "data-row": y, "data-column": x, "data-value": value,
      }));
    }),
  );
  for (const kind of gold ? ["sure", "possible"] : []) {
    for (const [x, y] of gold[kind].filter(([x, y]) => x < columns.length && y < rows.length)) {
      const inside = { x: x * cell + 2, y: y * cell + 2, width: cell - 4, height: cell - 4 };
      grid.append(element("rect", { class: `gold ${kind}`, ...inside, "pointer-events": "none" }));
    }
  }
  if (apart) grid.append(element("line", { class: "apart", x1: width - cell, x2: width - cell, y1: 0, y2: height }));
  svg.append(grid);
  const texts = { row: [], column: [] };
  if (labelled) {
    shown.rows.forEach((label, y) => {
      const place = { x: left - 6, y: top + (y + 0.5) * cell + 4, "text-anchor": "end" };
      texts.row.push(element("text", { ...place, "data-row-label": y }, label));
    });
    shown.columns.forEach((label, x) => {
      const turn = `translate(${left + (x + 0.55) * cell} ${top - 6}) rotate(-${steep})`;
      texts.column.push(element("text", { transform: turn, "data-column-label": x }, label));
    });
    svg.append(...texts.row, ...texts.column);
  }

  // One listener for all cells: a sentence of 200 pieces has 40,000 of them.
  const pointed = (target) => {
    const { row, column, rowLabel, columnLabel } = target.dataset ?? {};
    return [row ?? rowLabel, column ?? columnLabel].map((i) => (i === undefined ? null : Number(i)));
  };
  svg.addEventListener("mouseover", ({ target }) => {
    const [y, x] = pointed(target);
    if (!target.firstElementChild && (y !== null || x !== null)) {
      const whole = y === null ? columns[x] : x === null ? rows[y] : `${rows[y]} → ${columns[x]}: ${values[y][x].toFixed(3)}`;
      target.append(element("title", {}, whole));
    }
    if (onhover) onhover(y, x);
  });
  if (onhover) svg.addEventListener("mouseleave", () => onhover(null, null));
  if (onselect) svg.addEventListener("click", ({ target }) => onselect(...pointed(target)));

  const cursors = { row: element("rect", { class: "cursor" }), column: element("rect", { class: "cursor" }) };
  svg.light = (row, column) => {
    texts.row.forEach((text, y) => text.classList.toggle("lit", y === row));
    texts.column.forEach((text, x) => text.classList.toggle("lit", x === column));
    place(cursors.row, row !== null && row < rows.length, { x: 0, y: row * cell, width, height: cell });
    place(cursors.column, column !== null && column < columns.length, { x: column * cell, y: 0, width: cell, height });
  };
  function place(cursor, isShown, box) {
    if (!isShown) return cursor.remove();
    for (const [key, value] of Object.entries(box)) cursor.setAttribute(key, value);
    grid.append(cursor);
  }
  return svg;
}

/** Return whether some row gives so much to no key that a picture has a column for it. */
function loses(nowhere) {
  return nowhere.some((share) => share > DATA.nowhere.least);
}

/** Return values and column labels with a last column for what each row gives to no key. */
function withNowhere({ values, columns, nowhere }) {
  return { values: values.map((row, y) => [...row, nowhere[y]]), columns: [...columns, DATA.nowhere.label] };
}

const FONT = 12; // pixels, or what a small cell leaves room for
const LABEL_MAX = 24; // characters, as in the figures

/** Return a label that is not too long to stand beside a heatmap; the whole one appears when it is pointed at. */
function shorten(label) {
  const characters = [...label];
  return characters.length <= LABEL_MAX ? label : `${characters.slice(0, LABEL_MAX - 1).join("")}…`;
}

const measure = document.createElement("canvas").getContext("2d");
measure.font = `${FONT}px "Noto Sans", "DejaVu Sans", sans-serif`;

/** Return the width of a label in pixels. */
function labelWidth(label) {
  return measure.measureText(label).width;
}
