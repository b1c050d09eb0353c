"use strict";

// The live page of `seq2seq serve`: what is asked stands in the address, so that an address shows the same again.

const PAUSE = 350; // milliseconds after the last key before the models are asked
const COUNTS = { 1: "1 translation", 3: "3 translations", 5: "5 translations" };
const SEARCHES = { beam: "beam", greedy: "greedy", diverse: "diverse beams", sample: "drawn at random" };

const ALSO = { "": "nothing", readings: "other readings", methods: "other methods" };
const OTHERS = { "": {}, readings: { readings: true }, methods: { methods: ["erasure", "gradient_x_input", "alti"] } };
const TAGS = [...new Set(DATA.models.flatMap(({ tags }) => tags))];

const [first] = DATA.models; // several models together, which have no attention, stand beside one that has
const besideFirst = first.attention ? "" : DATA.models.find(({ attention }) => attention)?.name ?? "";
const asked = { source: "", target: "", model: first.name, beside: besideFirst, tag: "", search: "beam", count: "1", also: "" };
const views = new Map(); // by model: its section, its viewer, what it shows
let running = new AbortController(); // of the requests of the last question

document.documentElement.classList.add("themed");
const source = textarea("source", "Type a sentence");
const target = textarea("target", "Empty: what the model says by itself. Type here what it shall say instead.");
const message = element("p", { class: "status", role: "status" });
const models = element("div", { class: "models" });
document.body.append(element("main", {},
  element("div", { class: "live-head" }, element("h1", {}, "seq2seq"), element("a", { href: "docs" }, "HTTP API")),
  element("div", { class: "asking" }, element("label", {}, "Sentence", source), element("label", {}, "Forced translation", target)),
  element("div", { class: "options" },
    DATA.models.length > 1 ? selection("model", "model", DATA.models.map(({ name }) => [name, name])) : "",
    DATA.models.length > 1 ? selection("beside", "beside it", [["", "none"], ...DATA.models.map(({ name }) => [name, name])]) : "",
    TAGS.length ? selection("tag", "tag", [["", "the usual"], ...TAGS.map((tag) => [tag, tag])]) : "",
    selection("search", "search", Object.entries(SEARCHES)),
    selection("count", "show", Object.entries(COUNTS)),
    selection("also", "beside attention", Object.entries(ALSO))),
  message, models));

/** Return a field whose text is asked about after a pause, or at once with Enter. */
function textarea(key, hint) {
  const area = element("textarea", { id: key, rows: 2, placeholder: hint, dir: "auto", spellcheck: "false", autocapitalize: "off" });
  let pause = null;
  const change = () => ask({});
  area.addEventListener("input", () => {
    clearTimeout(pause);
    pause = setTimeout(change, PAUSE);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    clearTimeout(pause);
    change();
  });
  return area;
}

/** Return a labelled list of choices. */
function selection(key, label, options) {
  const list = element("select", { id: key, onchange: () => ask({ [key]: list.value }) },
    ...options.map(([value, text]) => element("option", { value }, text)));
  return element("label", {}, label, list);
}

/** Return what stands in a field, as one line. */
function typed(area) {
  return area.value.replace(/\s*\n\s*/g, " ");
}

/** Change what is asked, beside what was typed; write it into the address, and ask. */
function ask(changes) {
  Object.assign(asked, { source: typed(source), target: typed(target) }, changes);
  const said = Object.entries(asked).filter(([key, value]) => value !== DEFAULTS[key]);
  history.replaceState(null, "", `#${new URLSearchParams(said)}`);
  fill();
  answer();
}

/** Take what is asked from the address; what cannot be chosen is as by default. */
function fromAddress() {
  const given = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  for (const key of Object.keys(DEFAULTS)) {
    const list = document.querySelector(`select#${key}`);
    const known = !list || [...list.options].some(({ value }) => value === given[key]);
    asked[key] = given[key] !== undefined && known ? given[key] : DEFAULTS[key];
  }
  fill();
  answer();
}

/** Show in the fields what is asked. */
function fill() {
  for (const [key, value] of Object.entries(asked)) {
    const field = document.getElementById(key);
    if (field && typed(field) !== value) field.value = value;
  }
}

/** Ask every chosen model, and show what each answers. */
async function answer() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  closeAlternatives();
  const names = [asked.model, ...(asked.beside && asked.beside !== asked.model ? [asked.beside] : [])];
  if (!asked.source.trim()) {
    tell("");
    arrange([]);
    return;
  }
  const begin = performance.now();
  tell("translating …");
  const answers = await Promise.allSettled(names.map((name) => answerOf(name, signal)));
  if (signal.aborted) return;
  const answered = names.filter((_, i) => answers[i].status === "fulfilled");
  if (answered.length) arrange(answered);
  const refusals = new Map(); // by what is said: the models that say it
  names.forEach((name, i) => {
    if (answers[i].status === "fulfilled") return display(name, answers[i].value);
    const said = answers[i].reason.message;
    refusals.set(said, [...(refusals.get(said) ?? []), name]);
  });
  if (!refusals.size) return tell(`${Math.round(performance.now() - begin)} ms`);
  tell([...refusals].map(([said, by]) => (by.length < names.length ? `${by.join(", ")}: ${said}` : said)).join("\n"), true);
}

/** Return the answer of a model: its attention, or its translations alone where it has none. */
async function answerOf(model, signal) {
  const search = { ...tagOf(model), search: asked.search, n_best: asked.search === "greedy" ? 1 : Number(asked.count) };
  if (!DATA.models.find(({ name }) => name === model).attention) {
    return post("translate", { model, text: asked.source, ...search }, signal);
  }
  const looks = [{}, ...(asked.target.trim() ? [{ target: asked.target }] : [])];
  const [own, ...forced] = await Promise.all(looks.map((look) =>
    post("attention", { model, source: asked.source, ...search, ...look, ...OTHERS[asked.also] }, signal)));
  return { ...own, targets: [own, ...forced].flatMap((answer) => answer.targets) };
}

/** Return the tag of a request, if one is chosen: a model without tags, beside one that has some, takes none. */
function tagOf(model) {
  return asked.tag && DATA.models.find(({ name }) => name === model).tags.length ? { tag: asked.tag } : {};
}

/** Return what the server answers; its line where it refuses. */
async function post(path, body, signal) {
  const said = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal };
  const response = await fetch(path, said).catch((error) => {
    throw error.name === "AbortError" ? error : new Error("the server does not answer; is it still running?");
  });
  const found = await response.json().catch(() => null); // a proxy, say, answers in another form
  if (!response.ok || !found) throw new Error(found?.detail ?? `the server answers ${response.status}, and not why; try again in a moment`);
  return found;
}

function tell(text, wrong = false) {
  message.textContent = text;
  message.classList.toggle("wrong", wrong);
}

/** Show the sections of some models, in order, and no others. */
function arrange(names) {
  for (const name of names) {
    if (!views.has(name)) views.set(name, { section: element("section", { "data-model": name }, element("h2", {}, name)), viewer: null });
  }
  const sections = names.map((name) => views.get(name).section);
  if (sections.length !== models.children.length || sections.some((section, i) => section !== models.children[i])) models.replaceChildren(...sections);
  models.classList.toggle("beside", names.length > 1);
  document.body.classList.toggle("wide", names.length > 1);
}

/** Show the answer of a model in its section. */
function display(name, answer) {
  const view = views.get(name);
  if (answer.translations) {
    const lines = answer.translations[0].hypotheses.map(({ text, score }, i, all) => element("div", { class: "translation boxed" },
      element("span", { class: "name" }, all.length > 1 ? `translation ${i + 1}` : "translation"),
      element("span", { class: "text", dir: "auto" }, text || "(nothing)"),
      element("span", { class: "score", title: "log-probability over the length penalty" }, score.toFixed(3).replace("-", "\u2212"))));
    view.section.replaceChildren(view.section.firstChild, element("div", { class: "translations" }, ...lines),
      element("p", { class: "note" }, "This model has no attention to look at."));
    return;
  }
  const shown = asked.target.trim() ? answer.targets.length - 1 : 0;
  if (view.viewer) view.viewer.load(answer, shown);
  else {
    view.viewer = viewer(answer, view.section, { onword: (target, row, button) => openAlternatives(name, target, row, button) });
    view.viewer.load(answer, shown);
  }
}

const DEFAULTS = { ...asked };
window.addEventListener("hashchange", fromAddress);
fromAddress();
source.focus();
