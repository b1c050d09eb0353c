"use strict";

// The same sentence under every variant, the difference of two, and every head.

const named = (list) => list.map((variant) => [variant.number, variant.name]);

/** Return a ramp of colours, which a function gives, with what its ends mean. */
function scaleKey(low, high, ramp) {
  const bar = element("i");
  const draw = () => { bar.style.background = `linear-gradient(to right, ${ramp().join(",")})`; };
  redraw.push(draw);
  draw();
  return element("span", { class: "key" }, low, bar, high);
}

/** Return a map with a last column for what goes nowhere, where that is asked for. */
function withRest(map, asked) {
  return asked ? { ...map, ...withNowhere(map), apart: true } : map;
}

/** Return the words of a text, those between spaces, as gold links count them. */
function wordsOf(text) {
  return text.split(/[ \t]+/).filter(Boolean);
}

/** Return whether labels begin with all words of a text: not if the text was cut off, or is shown piece by piece. */
function areWords(labels, words) {
  return labels.length > words.length && words.every((word, i) => word === labels[i]);
}

/** Return one map as a figure; what is pointed at in one of `maps` is marked, and its value told, in all of them. */
function mapFigure(map, caption, about, maps, { difference = false, gold = null } = {}) {
  const widest = Math.max(map.rows.length, map.columns.length);
  const words = ["rows", "columns"].every((side) => areWords(map[side], map.words[side])); // which gold links count
  const drawn = heatmap({
    values: map.values, rows: map.rows, columns: map.columns, difference, gold: words ? gold : null,
    apart: map.apart, cell: widest > 28 ? 13 : widest > 18 ? 16 : 20, onhover: (row, column) => maps.forEach((other) => other(row, column)),
  });
  const told = element("span", { class: "about" }, about);
  maps.push((row, column) => {
    drawn.light(row, column);
    const both = row !== null && column !== null && row < map.rows.length && column < map.columns.length;
    told.textContent = both ? `${map.rows[row]} → ${map.columns[column]}: ${map.values[row][column].toFixed(2)}` : about;
  });
  return element("figure", { class: "card" }, element("figcaption", {}, ...caption, told), element("div", { class: "scroll" }, drawn));
}

function attention() {
  const sentences = DATA.gallery;
  const shown = variants.filter((variant) => sentences.some((sentence) => sentence.maps[variant.number]?.values));
  if (!shown.length) return;
  const lost = sentences.some(({ maps }) => Object.values(maps).some((map) => map.values && loses(map.nowhere)));
  const goldKey = sentences.some(({ gold }) => gold) ? [element("span", { class: "key" }, element("i", { class: "outlined" }), "gold link, dashed where it is only possible")] : [];
  const cut = (text) => (text.length > 90 ? `${text.slice(0, 89)}…` : text);
  const sentence = choice("sentence", "sentence", sentences.map(({ source }, i) => [i, `${i + 1}  ${cut(source)}`]), draw);
  const cards = element("div", { class: "row", id: "gallery" }), reference = element("p", {});
  section("Attention", "Cross-attention under forced decoding of the reference, between words, by the head that was chosen as the alignment. " +
    `Rows are target words, columns source words. Point at a cell to see it everywhere.${lost ? ` ${DATA.nowhere.label}: what a row gives to no word.` : ""}`,
    element("div", { class: "controls" }, sentence.node, scaleKey("0", "1", weightRamp), ...goldKey), reference, cards);
  const [a, b] = [choice("A", "variant-a", named(shown), compare), choice("B", "variant-b", named(shown), compare, Math.min(1, shown.length - 1))];
  const pair = element("div", { class: "row", id: "difference" });
  section("Difference of two variants", "Where A looks more than B (blue), and where B does (orange), on the sentence above.",
    element("div", { class: "controls" }, a.node, b.node, scaleKey("only B", "only A", differenceRamp)), pair);
  const map = (number) => {
    const { maps, source, target } = sentences[sentence.value];
    const words = { rows: wordsOf(target), columns: wordsOf(source) };
    return maps[number] && { ...maps[number], words };
  };
  function draw() {
    const maps = []; // what to do in each map when something is pointed at
    const chosen = sentences[sentence.value];
    reference.replaceChildren(element("b", {}, "source "), chosen.source, element("br"), element("b", {}, "reference "), chosen.target);
    cards.replaceChildren(...visible().filter((variant) => map(variant.number)).map((variant) => {
      const found = map(variant.number);
      const seed = found.seed === null ? "" : `, seed ${found.seed}`;
      const caption = [swatch(variant), element("b", {}, variant.name)];
      const about = `${found.head}${seed}`;
      const card = found.values ? mapFigure(withRest(found, loses(found.nowhere)), caption, about, maps, { gold: chosen.gold })
        : element("figure", { class: "card" }, element("figcaption", {}, ...caption, element("span", { class: "about" }, about)));
      if (found.remark) card.append(element("p", { class: "said grey" }, found.remark));
      if (found.translation !== null) {
        const right = found.translation === chosen.target;
        card.append(element("p", { class: right ? "said grey" : "said" }, right ? "translated as the reference" : `translated: ${found.translation}`));
      }
      card.dataset.variant = variant.number;
      return card;
    }));
    compare();
  }
  function compare() {
    let [left, right] = [map(a.value), map(b.value)];
    if (!left?.values || !right?.values) return pair.replaceChildren(element("p", {}, "One of the two has not kept this sentence."));
    if (String([left.rows, left.columns]) !== String([right.rows, right.columns])) {
      return pair.replaceChildren(element("p", {}, "The two cut this sentence differently, so their maps cannot be subtracted."));
    }
    const rest = loses(left.nowhere) || loses(right.nowhere);
    [left, right] = [left, right].map((found) => withRest(found, rest));
    const values = left.values.map((row, y) => row.map((value, x) => value - right.values[y][x]));
    const moved = values.flat().reduce((sum, value) => sum + Math.abs(value), 0) / 2 / values.length;
    const maps = [];
    const { gold } = sentences[sentence.value];
    const caption = (letter, number) => [element("b", {}, `${letter}  `), swatch(variants[number]), element("b", {}, variants[number].name)];
    const figures = [
      mapFigure(left, caption("A", a.value), left.head, maps, { gold }), mapFigure(right, caption("B", b.value), right.head, maps, { gold }),
      mapFigure({ ...left, values }, [element("b", {}, "A − B")], `${(100 * moved).toFixed(0)} % of the weight lies elsewhere`, maps, { difference: true, gold }),
    ];
    figures.forEach((figure, i) => { figure.dataset.part = ["a", "b", "difference"][i]; });
    return pair.replaceChildren(...figures);
  }
  redraw.push(draw);
  draw();
}

const HEAD_STATISTICS = {
  aer: ["AER", errorRamp], agreement: ["agreement of both directions", weightRamp], normalized_entropy: ["entropy, share of the largest", weightRamp],
  saturation: ["saturated rows", weightRamp], sink_mass: ["weight on sinks", weightRamp], nowhere: ["weight that goes nowhere", weightRamp], previous: ["weight on the previous", weightRamp],
  diagonal: ["weight on the diagonal", weightRamp], next: ["weight on the next", weightRamp],
};

function heads() {
  const shown = variants.filter((variant) => DATA.heads[variant.number]);
  if (!shown.length) return;
  const all = shown.flatMap((variant) => DATA.heads[variant.number]);
  const statistics = Object.entries(HEAD_STATISTICS).filter(([key]) => all.some((row) => key in row)).map(([key, [label]]) => [key, label]);
  const variant = choice("variant", "heads-variant", named(shown), draw);
  const statistic = choice("colour", "heads-statistic", statistics, draw);
  const place = element("div", { class: "scroll", id: "heads" });
  section("Heads", `What every head does on ${DATA.split}, by layer, in percent. AER and agreement exist for cross-attention alone.`,
    element("div", { class: "controls" }, variant.node, statistic.node), place);
  function draw() {
    const rows = DATA.heads[variant.value].filter((row) => statistic.value in row);
    const kinds = ["encoder", "decoder", "cross"];
    const places = new Map(rows.map((row) => [`${row.kind} ${row.layer}`, [kinds.indexOf(row.kind), row.layer]]));
    const layers = [...places.values()].sort((x, y) => x[0] - y[0] || x[1] - y[1]);
    const columns = [null, ...Array(Math.max(0, ...rows.map((row) => (row.head === null ? 0 : row.head + 1)))).keys()];
    const ramp = HEAD_STATISTICS[statistic.value][1]();
    const body = layers.map(([kind, number]) => {
      return element("tr", {}, element("td", {}, `${kinds[kind]} layer ${number}`), ...columns.map((head) => {
        const row = rows.find((found) => found.kind === kinds[kind] && found.layer === number && found.head === head);
        const value = row?.[statistic.value];
        if (value === undefined) return element("td", { class: "value" }, "");
        const all = Object.keys(HEAD_STATISTICS).filter((key) => key in row).map((key) => `${HEAD_STATISTICS[key][0]} ${(100 * row[key]).toFixed(1)} %`);
        return heatCell(value, (100 * value).toFixed(0), ramp, { title: all.join("\n") });
      }));
    });
    const names = columns.map((head) => element("th", {}, head === null ? "mean" : `head ${head}`));
    place.replaceChildren(element("table", { class: "heat" },
      element("thead", {}, element("tr", {}, element("th", {}), ...names)), element("tbody", {}, ...body)));
  }
  redraw.push(draw);
  draw();
}

attention();
heads();
