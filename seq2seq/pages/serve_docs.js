"use strict";

// The HTTP API of `seq2seq serve` for people: what its OpenAPI description says, with a command for each example.

/** Return what a reference in the description leads to, or the thing itself. */
function resolved(schema) {
  return schema?.$ref ? schema.$ref.split("/").slice(1).reduce((node, key) => node[key], DATA) : schema;
}

/** Return in words which values a field takes. */
function kindOf(schema) {
  if (schema.$ref) return "object";
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf) return schema.anyOf.filter(({ type }) => type !== "null").map(kindOf).join(" or ");
  if (schema.type === "array") return schema.prefixItems ? "pair" : `list of ${kindOf(schema.items).replace("object", "objects")}`;
  const range = schema.type === "integer" || schema.type === "number" ? rangeOf(schema) : "";
  return `${{ string: "text", object: "object", null: "null" }[schema.type] ?? schema.type}${range}`;
}

/** Return from where to where a number may be. */
function rangeOf({ minimum, exclusiveMinimum, maximum, exclusiveMaximum }) {
  const from = minimum ?? exclusiveMinimum;
  if (from === undefined) return "";
  const least = minimum === undefined ? ` above ${from}` : ` from ${from}`;
  return maximum === undefined ? `${least} to below ${exclusiveMaximum}` : `${least} to ${maximum}`;
}

/** Return the schema of the objects that a field holds, or lists; nothing where it holds none. */
function objectsIn(field) {
  const inside = [field.items, ...(field.anyOf ?? []), ...(field.anyOf ?? []).map(({ items }) => items), ...(field.items?.anyOf ?? [])];
  return resolved(inside.find((schema) => schema?.$ref));
}

/** Return the fields of a schema, those that are needed first, and after each the fields of its objects: [name, field, default]. */
function flat(schema, before = "") {
  const isNeeded = ([name]) => Boolean(schema.required?.includes(name));
  const entries = Object.entries(schema.properties ?? {});
  return [...entries.filter(isNeeded), ...entries.filter((entry) => !isNeeded(entry))].flatMap(([name, field]) => {
    const value = isNeeded([name]) ? "needed" : field.default === undefined || field.default === null ? "" : JSON.stringify(field.default);
    const objects = objectsIn(field);
    const list = field.type === "array" ? "[]" : "";
    return [[before + name, field, value], ...(objects ? flat(objects, `${before}${name}${list}.`) : [])];
  });
}

/** Return a table of the fields of a schema. */
function fields(schema, withDefaults) {
  const rows = flat(schema).map(([name, field, value]) =>
    element("tr", {}, element("td", {}, element("code", {}, name)), element("td", {}, kindOf(field)),
      withDefaults ? element("td", { class: value === "needed" ? "default needed" : "default" }, value) : "", element("td", { class: "text" }, field.description ?? "")));
  const heads = ["field", "is", ...(withDefaults ? ["by default"] : []), "meaning"];
  return element("div", { class: "scroll" }, element("table", { class: "fields" }, element("tr", {}, ...heads.map((head) => element("th", {}, head))), ...rows));
}

/** Return a command of a shell that sends an example, its fields in the order of the table. */
function command(path, example, schema) {
  const order = flat(schema).map(([name]) => name).filter((name) => name in example);
  const body = JSON.stringify(Object.fromEntries(order.map((name) => [name, example[name]]))).replaceAll("'", "'\\''");
  return element("pre", {}, `curl ${location.origin}${path} -H 'content-type: application/json' -d '${body}'`);
}

/** Return the section of an address. */
function section(path, method, operation) {
  const asked = resolved(operation.requestBody?.content["application/json"].schema);
  const answered = resolved(operation.responses["200"]?.content?.["application/json"]?.schema);
  const refusals = Object.entries(operation.responses).filter(([status]) => status !== "200");
  return element("section", { id: operation.operationId },
    element("h2", {}, element("code", {}, `${method.toUpperCase()} ${path}`)), element("p", {}, operation.description ?? operation.summary),
    ...(asked ? [fields(asked, true), ...(asked.examples ?? []).map((example) => command(path, example, asked))]
      : [element("pre", {}, `curl ${location.origin}${path}`)]),
    ...(answered?.properties ? [element("h3", {}, "Answer"), fields(answered, false)] : []),
    ...(refusals.length ? [element("h3", {}, "Other answers"), element("table", { class: "fields" }, ...refusals.map(([status, { description }]) =>
      element("tr", {}, element("td", {}, status), element("td", { class: "text" }, description))))] : []));
}

document.documentElement.classList.add("themed");
const sections = Object.entries(DATA.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => section(path, method, operation)));
document.body.append(element("main", {}, element("div", { class: "live-head" }, element("h1", {}, "seq2seq: HTTP API"),
  element("a", { href: "." }, "live page"), element("a", { href: "openapi.json" }, "openapi.json")),
  element("p", {}, "Every request is JSON, and so is every answer. A refusal has one field, detail, with one line."), ...sections));
