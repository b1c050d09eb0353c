"use strict";

// A word of a translation on the live page: others from there, and another in its place.

const ALTERNATIVES = 5;

let opened = null; // the box, and the word that it belongs to

/** Open the box of a word: number `row` of a translation of a model; behind the last word stands the end. */
async function openAlternatives(model, target, row, word) {
  closeAlternatives();
  const { before, itself, after } = around(target, row);
  const list = element("div", { class: "list", role: "group", "aria-label": "alternatives" }, element("p", { class: "note" }, "asking the model …"));
  const field = element("input", { value: itself, "aria-label": "another word", dir: "auto", spellcheck: "false", autocapitalize: "off" });
  const form = element("form", { onsubmit: (event) => {
    event.preventDefault();
    force(`${before}${field.value.trim()}${itself ? after : ""}`);
  } }, field, element("button", {}, itself ? "put here" : "add here"));
  const box = element("div", { class: "alternatives", role: "dialog", "aria-label": `another word for ${itself || "the end"}` },
    element("h3", {}, itself ? "Another word here" : "Another word instead of the end"), form,
    element("h3", {}, "Or what the model might have said from here"), list);
  document.body.append(box);
  opened = { box, word };
  beside(box, word);
  if (!matchMedia("(pointer: coarse)").matches) { // where there are no keys, a keyboard would cover the list
    field.focus({ preventScroll: true });
    field.select();
  }
  try {
    const { alternatives } = await post("alternatives", { model, ...tagOf(model), source: asked.source, prefix: before, n: ALTERNATIVES });
    list.replaceChildren(...roving(alternatives.map(alternative), { across: 1 }));
  } catch (error) {
    list.replaceChildren(element("p", { class: "note" }, error.message));
  }
}

/** Return the button of an alternative: its word, how likely it is, and the whole translation, which it forces. */
function alternative({ text, probability, translation }) {
  const percent = probability >= 0.0005 ? `${(100 * probability).toFixed(1)} %` : "below 0.1 %";
  return element("button", { type: "button", class: "alternative", onclick: () => force(translation) },
    element("bdi", { class: "text" }, text || "(the end)"), element("span", { class: "percent" }, percent),
    element("span", { class: "whole", dir: "auto" }, translation || "(nothing)"));
}

/** Return a translation before a word, the word, and what follows it. */
function around(target, row) {
  const words = target.maps.find(({ kind }) => kind === "cross").words.rows.slice(0, -1);
  let [begin, end] = [0, 0];
  for (const word of words.slice(0, row + 1)) {
    begin = Math.max(target.text.indexOf(word, end), end);
    end = begin + word.length;
  }
  if (row >= words.length) [begin, end] = [target.text.length, target.text.length];
  const before = target.text.slice(0, begin);
  const apart = row >= words.length && before && !before.endsWith(" ") ? " " : "";
  return { before: before + apart, itself: target.text.slice(begin, end), after: target.text.slice(end) };
}

/** Make the models say a text. */
function force(text) {
  closeAlternatives();
  ask({ target: text.trim() });
}

/** Put a box below a word, within the page. */
function beside(box, word) {
  const place = word.getBoundingClientRect();
  const left = Math.min(place.left, document.documentElement.clientWidth - box.offsetWidth - 12);
  box.style.left = `${Math.max(left, 12) + window.scrollX}px`;
  box.style.top = `${place.bottom + 6 + window.scrollY}px`;
}

/** Close the box; the keyboard goes back to the word. */
function closeAlternatives() {
  if (!opened) return;
  const { box, word } = opened;
  const within = box.contains(document.activeElement);
  opened = null;
  box.remove();
  if (within && word.isConnected) word.focus({ preventScroll: true });
}

document.addEventListener("keydown", ({ key }) => {
  if (key === "Escape") closeAlternatives();
});
document.addEventListener("pointerdown", ({ target }) => {
  if (opened && !opened.box.contains(target)) closeAlternatives();
});
