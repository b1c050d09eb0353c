"use strict";

// Learning curves, BLEU by length, phenomena, and what quality costs.

/** Return a colour of the page by its name in the style, as the page has it now. */
function pageColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Return text as Plotly shows it unchanged: it reads some HTML. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Draw traces into an element. */
function plot(node, traces, { x = {}, y = {}, ...rest } = {}) {
  const [ink, line, paper, grid] = ["ink", "line", "paper", "grid"].map(pageColor);
  const font = { family: '"Noto Sans", "DejaVu Sans", sans-serif', size: 12, color: ink };
  const axis = { gridcolor: grid, zeroline: false, linecolor: line, automargin: true, title: { standoff: 8 } };
  const layout = {
    font, height: 300, margin: { l: 50, r: 14, t: 10, b: 44 }, showlegend: false, hovermode: "closest",
    paper_bgcolor: paper, plot_bgcolor: paper, dragmode: "zoom",
    hoverlabel: { bgcolor: paper, bordercolor: line, font, align: "left" },
    xaxis: { ...axis, ...x }, yaxis: { ...axis, ...y }, ...rest,
  };
  Plotly.react(node, traces, layout, { displayModeBar: false, responsive: true });
}

/** Return a trace of a variant. */
function line(variant, x, y, { faint = false, unit = "", ...rest } = {}) {
  const few = x.length < 3 && !faint;
  return {
    x, y, type: "scatter", mode: few ? "lines+markers" : "lines", text: plain(variant.name),
    opacity: pointed !== null && pointed !== variant.number ? 0.08 : faint ? 0.3 : 1,
    hovertemplate: `%{text}<br><b>%{y:.2f}</b> at %{x}${unit}<extra></extra>`, hoverinfo: faint ? "skip" : undefined,
    line: { color: variant.color, width: faint ? 1 : 2.2, dash: variant.dash }, marker: { size: 7 }, ...rest,
  };
}

/** Return the mean over seeds of the k-th validations, as far as every seed has one. */
function meanCurve(curves, axis) {
  const mean = (numbers) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
  const places = [...Array(Math.min(...curves.map((curve) => curve.values.length))).keys()];
  return [axis, "values"].map((name) => places.map((k) => mean(curves.map((curve) => curve[name][k]))));
}

function learning() {
  const kinds = [["val/bleu", "BLEU on val"], ["val/aer", "AER on val, %"], ["val/loss", "loss on val, nats a token"]]
    .filter(([tag]) => variants.some((variant) => variant.curves.some((curves) => tag in curves)));
  if (!kinds.length) return;
  const axis = buttons("horizontal axis", [["steps", "steps"], ["seconds", "wall time"]], draw);
  const nodes = kinds.map(() => element("div", { class: "curve" }));
  const several = variants.some((variant) => variant.curves.length > 1);
  section("Learning curves", `${several ? "Thick: mean over seeds; thin: each seed. " : ""}Drag to zoom, double-click to go back.`,
    element("div", { class: "controls" }, axis.node),
    element("div", { class: "plots" }, ...kinds.map(([, title], i) => element("div", {}, element("h3", {}, title), nodes[i]))));
  function draw() {
    const longest = Math.max(...variants.flatMap((v) => v.curves.flatMap((c) => kinds.flatMap(([tag]) => c[tag]?.seconds ?? []))), 0);
    const minutes = axis.value === "seconds" && longest > 300;
    const scale = (x) => (minutes ? x.map((seconds) => seconds / 60) : x);
    const unit = axis.value === "steps" ? "steps" : minutes ? "minutes" : "seconds";
    kinds.forEach(([tag], i) => {
      const traces = visible().flatMap((variant) => {
        const curves = variant.curves.filter((found) => tag in found).map((found) => found[tag]);
        if (!curves.length) return [];
        const faint = curves.length > 1 ? curves.map((curve) => line(variant, scale(curve[axis.value]), curve.values, { faint: true })) : [];
        const [x, y] = meanCurve(curves, axis.value);
        return [...faint, line(variant, scale(x.map((value) => Math.round(value * 10) / 10)), y, { unit: ` ${unit}` })];
      });
      plot(nodes[i], traces, { x: { title: { text: unit, standoff: 8 }, rangemode: "tozero" }, y: { rangemode: tag === "val/loss" ? "normal" : "tozero" } });
    });
  }
  redraw.push(draw);
  replot.push(draw);
  draw();
}

/** Return for every range of lengths the split that speaks for it: the chosen one, else another test. */
function lengthRanges() {
  const splits = [DATA.split, ...DATA.splits.filter((split) => split !== DATA.split && split.startsWith("test"))];
  const ranges = new Map();
  for (const split of splits) {
    for (const variant of variants) {
      for (const range of Object.keys(variant.groups[split]?.bleu_by_length ?? {})) if (!ranges.has(range)) ranges.set(range, split);
    }
  }
  return [...ranges].sort(([a], [b]) => parseInt(a, 10) - parseInt(b, 10));
}

function byLength(node) {
  const ranges = lengthRanges();
  if (!ranges.length) return;
  const mixed = ranges.some(([, split]) => split !== DATA.split);
  const ticks = ranges.map(([range, split]) => [plain(range.replace("-", "–")), DATA.sentences[split]?.[range] ?? "?",
    ...(mixed ? [plain(split.replace(/^test_/, ""))] : [])].join("<br>"));
  function draw() {
    const traces = visible().filter((variant) => Object.keys(variant.groups).length).map((variant) =>
      line(variant, ticks, ranges.map(([range, split]) => variant.groups[split]?.bleu_by_length?.[range] ?? null), {
        mode: "lines+markers", marker: { size: 6 }, unit: " words",
      }));
    plot(node, traces, { height: 340, x: { type: "category", title: { text: "words of the source<br>(below them: how many sentences)", standoff: 8 } },
      y: { rangemode: "tozero", title: { text: "BLEU", standoff: 8 } } });
  }
  redraw.push(draw);
  replot.push(draw);
  draw();
}

function cost(node, controls) {
  const known = (keys) => DATA.columns.filter(({ key }) => keys.includes(key) && variants.some((variant) => key in variant.cells));
  const across = known(["train/target_tokens_per_second", "train/seconds", "parameters", "train/peak_memory_mib", `${DATA.split}/sentences_per_second`]);
  const up = known([`${DATA.split}/bleu`, `${DATA.split}/aer`, ...DATA.splits.flatMap((split) => [`${split}/bleu`, `${split}/aer`])]);
  if (!across.length || !up.length) return;
  const chosen = Math.max(across.findIndex(({ key }) => key.startsWith("train/target")), 0);
  const options = (columns) => columns.map(({ key, label }) => [key, label]);
  const y = choice("", "cost-y", options(up), draw);
  const x = choice("against", "cost-x", options(across), draw, chosen);
  controls.append(y.node, x.node);
  function draw() {
    const shown = visible().filter((variant) => x.value in variant.cells && y.value in variant.cells)
      .sort((a, b) => a.cells[y.value].value - b.cells[y.value].value);
    const named = shown.length <= 5 && node.clientWidth > 450;
    const traces = shown.map((variant, i) => {
      const [across, up] = [variant.cells[x.value], variant.cells[y.value]];
      return {
        x: [across.value], y: [up.value], type: "scatter", mode: named ? "markers+text" : "markers",
        text: [plain(variant.name.length > 28 ? `${variant.name.slice(0, 27)}…` : variant.name)], textposition: i % 2 ? "bottom center" : "top center", // neighbours keep clear of each other
        textfont: { size: 11, color: variant.color }, cliponaxis: false, customdata: [plain(variant.name)],
        hovertemplate: "%{customdata}<br>%{y:.2f} at %{x:,.4~g}<extra></extra>",
        opacity: pointed !== null && pointed !== variant.number ? 0.15 : 1,
        marker: { size: 11, color: variant.color, symbol: { solid: "circle", dash: "diamond", dot: "square" }[variant.dash] },
        error_y: up.deviation === null ? undefined : { array: [up.deviation], color: variant.color, thickness: 1, width: 3 },
      };
    });
    const label = (columns, key) => plain(columns.find((column) => column.key === key).label);
    const values = shown.map((variant) => variant.cells[x.value].value);
    const wide = Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 8;
    const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => (wide ? Math.log10(value) : value));
    const pad = high - low || Math.abs(high) || 1;
    const room = (named ? 0.3 : 0.1) * pad; // for half a name
    const range = shown.length ? [low - room, high + room] : undefined;
    plot(node, traces, { height: 340, x: { title: { text: label(across, x.value), standoff: 8 }, range, ...(wide ? { type: "log" } : {}) },
      y: { title: { text: label(up, y.value), standoff: 8 } } });
  }
  redraw.push(draw);
  replot.push(draw);
  draw();
}

function phenomena() {
  const kinds = [["exact_match", "exact match"], ["aer_by_tag", "AER"]]
    .filter(([kind]) => variants.some((v) => Object.values(v.groups).some((groups) => kind in groups)));
  if (!kinds.length) return;
  const splits = DATA.splits.filter((split) => variants.some((v) => kinds.some(([kind]) => kind in (v.groups[split] ?? {}))));
  const kind = buttons("measure", kinds, draw);
  const split = choice("split", "phenomena-split", splits.map((name) => [name, name]), draw, Math.max(splits.indexOf(DATA.split), 0));
  const place = element("div", { class: "scroll" });
  section("By phenomenon", "Percent of the sentences that have it: translated exactly as the reference, or the alignment error rate over them.",
    element("div", { class: "controls" }, kind.node, split.node), place);
  function draw() {
    const found = (variant) => variant.groups[split.value]?.[kind.value] ?? {};
    const tags = [...new Set(variants.flatMap((variant) => Object.keys(found(variant))))].sort();
    const ramp = kind.value === "exact_match" ? weightRamp() : errorRamp();
    const rows = visible().filter((variant) => Object.keys(found(variant)).length).map((variant) => element("tr", {},
      element("td", {}, swatch(variant), variant.name), ...tags.map((tag) => {
        const value = found(variant)[tag];
        if (value === undefined) return element("td", { class: "value" }, "–");
        return heatCell(value / 100, value.toFixed(0), ramp, { "data-tag": tag });
      })));
    place.replaceChildren(element("table", { class: "heat" },
      element("thead", {}, element("tr", {}, element("th", {}), ...tags.map((tag) => element("th", {}, tag)))), element("tbody", {}, ...rows)));
  }
  redraw.push(draw);
  draw();
}

learning();
const lengthPlot = element("div"), costPlot = element("div"), costControls = element("span");
section("Length and cost", "Where long sentences overtax a model, as they do one without attention; and what quality costs.",
  element("div", { class: "plots" },
    element("div", {}, element("div", { class: "controls" }, element("h3", {}, "BLEU by source length")), lengthPlot),
    element("div", {}, element("div", { class: "controls" }, element("h3", {}, "Quality against cost"), costControls), costPlot)));
byLength(lengthPlot);
cost(costPlot, costControls);
phenomena();
