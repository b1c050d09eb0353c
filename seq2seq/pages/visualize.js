"use strict";

// The page of `seq2seq visualize`: its state, what can be chosen, and how it is put together.
//
// This file and visualize_*.js are the inside of a function, `viewer(DATA, place, live)`, so that a page can hold two of
// them. It appends itself to the element `place`. `live` is null on the page of one sentence; on that of `seq2seq serve`
// its onword(target, row, button) is called when a word of a translation is chosen.

const KINDS = {
  cross: { name: "Cross-attention", short: "cross", note: "Each word of the translation looks at the source while it is predicted." },
  encoder: { name: "Encoder self-attention", short: "encoder self", note: "Each source word looks at the whole source; the same for every translation." },
  decoder: { name: "Decoder self-attention", short: "decoder self", note: "Each word fed in looks at itself and at those before it; <s> comes first." },
};
const UNITS = { words: "words", pieces: "pieces" };
const MEAN = "mean";

nameMethods();
const first = DATA.alignment ?? { kind: kinds()[0], layer: maps(DATA.targets[0], kinds()[0])[0].layer, head: null };
const state = { target: 0, side: false, unit: "words", stretch: false, statistic: Object.keys(DATA.statistics)[0],
                kind: first.kind, layer: first.layer, head: first.head ?? MEAN,
                reading: DATA.alignment?.reading ?? "output_weights", contrast: false };

/** Name the methods beside attention, as the data have them. */
function nameMethods() {
  for (const { kind, meaning, signed } of DATA.targets[0].explained) {
    const how = signed ? "Blue speaks for the word, orange against it" : "A row sums to 1";
    KINDS[kind] = { name: kind, short: kind.replaceAll("_", " "), note: `What each word that was read contributed: ${meaning}. Left the source, right the words said before. ${how}.` };
  }
}

/** Return the kinds of attention that the model has. */
function kinds() {
  return Object.keys(KINDS).filter((kind) => maps(DATA.targets[0], kind).length);
}

/** Return the kinds that are attention, and no other method. */
function attentions() {
  return kinds().filter((kind) => !explanationOf(DATA.targets[0], kind));
}

/** Return the attention of a kind, a map a layer; what another method found stands as one of one head. */
function maps(target, kind) {
  const explained = explanationOf(target, kind);
  if (explained) return [asMap(explained)];
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

/** Return a map as the chosen reading has it. */
function readOf(map) {
  return map.readings?.[state.reading] ?? map;
}

/** Return rows of weights from 0 to 1 of a head, or of all together: their mean, where nothing else is said. */
function weightsOf(map, unit, head) {
  const { weights, together } = readOf(map)[unit];
  const chosen = head === MEAN && together ? [together] : chosenOf(weights, head);
  return chosen[0].map((row, y) =>
    row.map((_, x) => chosen.reduce((sum, weights) => sum + weights[y][x], 0) / chosen.length / DATA.one),
  );
}

/** Return from 0 to 1 what each row of a head, or of the mean over heads, gives to no key. */
function nowhereOf(map, unit, head) {
  const chosen = chosenOf(readOf(map)[unit].nowhere, head);
  return chosen[0].map((_, y) => chosen.reduce((sum, rows) => sum + rows[y], 0) / chosen.length / DATA.one);
}

/** Return of a list by head the one of a head, or all whose mean is meant. */
function chosenOf(all, head) {
  return all.length === 1 || head === MEAN ? all : [all[head]];
}

/** Return whether the pictures in the middle have a column for what goes nowhere. */
function apart() {
  const shown = state.side && state.kind !== "encoder" ? DATA.targets : [DATA.targets[state.target]];
  return shown.some((target) => loses(nowhereOf(mapOf(target), state.unit, state.head)));
}

function isAlignment({ kind, layer, head }) {
  if (!DATA.alignment || DATA.alignment.kind !== kind || DATA.alignment.layer !== layer) return false;
  return headsOf(mapOf(DATA.targets[0], { kind, layer })).length === 1 || (DATA.alignment.head ?? MEAN) === head;
}

/** Return how a target is called, `translation 2`; a single one needs no number. */
function nameOf(target) {
  const number = /^hypothesis-(\d+)$/.exec(target.name)?.[1];
  const only = DATA.targets.filter(({ name }) => name.startsWith("hypothesis")).length === 1;
  return number ? (only ? "translation" : `translation ${number}`) : target.name;
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

/** Return buttons of which one is pressed, or nothing where there is no choice; arrow keys go from one to the next. */
function choice(label, options, chosen, onchoose, least = 2) {
  if (!options.length || options.length < least) return "";
  const buttons = options.map(([value, text, marked]) =>
    element("button", { "aria-pressed": String(value === chosen), "data-choice": `${label} ${value}`, type: "button",
      class: marked ? "marked" : null, title: marked ? "chosen on validation data" : null,
      onclick: () => onchoose(value) }, text),
  );
  return element("div", { class: "choice", role: "group", "aria-label": label }, element("span", { class: "note" }, label), ...roving(buttons));
}

/** Return a translation, its words marked that the first has not. */
function marked(text) {
  const [before, after] = [DATA.targets[0].text, text].map((sentence) => sentence.split(" "));
  const common = before.map(() => []); // [i][j]: length of the longest common subsequence of the words from i and from j
  common.push(after.map(() => 0));
  common.forEach((row) => (row[after.length] = 0));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      common[i][j] = before[i] === after[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const found = [];
  for (let i = 0, j = 0; j < after.length; ) {
    if (before[i] === after[j]) found.push(after[j++], i++ < before.length ? " " : "");
    else if (i < before.length && common[i + 1][j] >= common[i][j + 1]) i++;
    else found.push(element("mark", {}, after[j++]), " ");
  }
  return text ? found : ["(nothing)"];
}

/** Return the list of translations: each a button, chosen one at a time or shown side by side. */
function translations() {
  const buttons = DATA.targets.map((target, i) =>
    element("button", { class: "translation", type: "button", "aria-pressed": String(state.side || i === state.target),
      "data-target": target.name, onclick: () => choose({ target: i, side: false }) },
      element("span", { class: "name" }, nameOf(target)),
      element("span", { class: "text", dir: directionOf(target.text) }, ...marked(target.text)),
      element("span", { class: "score", title: "log-probability over the length penalty" }, target.score === null ? "" : target.score.toFixed(3).replace("-", "\u2212"))),
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
  const explained = explanationOf(target, state.kind);
  const own = DATA.alignment?.reading ?? "output_weights";
  const readings = mapOf(target).readings ? [own, ...Object.keys(mapOf(target).readings)] : [];
  return element("div", { class: "controls sticky" },
    choice("attention", attentions().map((kind) => [kind, KINDS[kind].short]), state.kind, (kind) => choose({ kind }), DATA.targets[0].explained.length ? 1 : 2),
    choice("method", DATA.targets[0].explained.map(({ kind }) => [kind, KINDS[kind].short]), state.kind, (kind) => choose({ kind }), 1),
    choice("beside", explained?.contrast ? [[false, "nothing"], [true, "the runner-up"]] : [], state.contrast, (contrast) => choose({ contrast })),
    choice("read", readings.map((name) => [name, name.replace("_", " "), name === own]), state.reading, (reading) => choose({ reading })),
    choice("layer", layers.map((layer) => [layer, layer, layer === DATA.alignment?.layer && state.kind === DATA.alignment.kind]),
      state.layer, (layer) => choose({ layer })),
    choice("head", headsOf(mapOf(target)).map((head) => [head, head, marked(state.kind, state.layer, head)]), state.head,
      (head) => choose({ head })),
    choice("between", explained ? [] : Object.entries(UNITS), state.unit, (unit) => choose({ unit })),
    choice("scale", explained ? [] : [[false, "0–1"], [true, "0–max"]], state.stretch, (stretch) => choose({ stretch })),
  );
}

/** Build the page from the state, and keep the keyboard where it was. */
function show() {
  const before = place.querySelector(".viewer");
  const active = before?.contains(document.activeElement) ? document.activeElement : null;
  const key = ["choice", "target", "head"].find((name) => active?.dataset[name]);
  const focused = key ? `[data-${key}="${CSS.escape(active.dataset[key])}"]` : active?.id ? `#${active.id}` : null;
  panels = [];
  const beside = state.side && state.kind !== "encoder";
  const shown = (beside ? DATA.targets : [DATA.targets[state.target]]).map(panel);
  const aside = element("aside", { class: "row" }, overview(), statistics());
  const attention = beside
    ? [element("div", { class: "row" }, ...shown.map(({ name, caption, lines, picture }) =>
        element("figure", { class: "panel", "data-panel": name }, element("figcaption", {}, caption), lines, picture))),
      aside]
    : [shown[0].lines, element("div", { class: "row" }, shown[0].picture, aside)];
  const main = element(live ? "section" : "main", { class: "viewer" },
    live ? "" : element("h1", { dir: directionOf(DATA.source), class: DATA.source.length > 160 ? "long" : null }, DATA.source),
    translations(), controls(), element("p", {}, KINDS[state.kind].note, apart() ? ` ${DATA.nowhere.label}: what a row gives to none of them.` : ""), ...attention,
    element("p", { class: "foot" }, `${DATA.checkpoint}; weights are from 0 to 1 and rows sum to 1${apart() ? ` with ${DATA.nowhere.label}` : ""}; layers and heads count from 0`,
      DATA.alignment && !single() ? "; a dot marks the head chosen as the alignment on validation data" : "",
      state.reading !== "output_weights" ? `; cross-attention is read as ${state.reading}` : ""));
  if (before) before.replaceWith(main);
  else place.append(main);
  if (focused) main.querySelector(focused)?.focus({ preventScroll: true });
  light(0, null, null);
}

night.addEventListener("change", show);
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  pinned = null;
  light(0, null, null);
});

/** Show another sentence, or other targets, with the same layer and head where there are such. */
function load(data, target = 0) {
  DATA = data;
  nameMethods();
  const kind = kinds().includes(state.kind) ? state.kind : kinds()[0];
  const { readings } = maps(DATA.targets[target], "cross")[0] ?? {};
  choose({ target, side: false, kind, reading: readings?.[state.reading] ? state.reading : DATA.alignment?.reading ?? "output_weights" });
}

choose({});
return { load };
