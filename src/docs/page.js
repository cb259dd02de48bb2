// The page at /docs: reads the OpenAPI document of the service it came from and shows it. No other host is asked.

const METHODS = ["get", "post", "put", "patch", "delete"];
const main = document.querySelector("main");
const contents = document.querySelector("#contents");
const key = document.querySelector("#key");

/** Makes an element: text and elements as children, attributes and listeners by name. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== ""));
  return element;
}

/** `code`, **bold** and nothing else, as elements. */
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).map((piece) => {
    if (piece.startsWith("`")) return make("code", {}, piece.slice(1, -1));
    if (piece.startsWith("**")) return make("strong", {}, piece.slice(2, -2));
    return piece;
  });
}

/** The part of Markdown that the document uses: paragraphs and lists. */
function markdown(text = "") {
  const blocks = text.split(/\n\n+/).filter(Boolean).map((block) => {
    if (!block.startsWith("- ")) return make("p", {}, inline(block));
    return make("ul", {}, block.split(/\n- /).map((item) => make("li", {}, inline(item.replace(/^- /, "")))));
  });
  return make("div", { class: "markdown" }, blocks);
}

/** What a `$ref` stands for. */
function resolve(reference) {
  const steps = reference.slice(2).split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return steps.reduce((place, step) => place[step], api);
}

const refName = (reference) => reference.split("/").pop();

/** A schema's form in a few words. */
function kind(schema) {
  if (schema === true || schema === undefined) return "any";
  if (schema.$ref) return refName(schema.$ref);
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) {
    const words = options.map(kind);
    return words.length > 6 ? `one of ${words.length}` : words.join(" | ");
  }
  if (schema.enum && schema.enum.length <= 8) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const types = [schema.type ?? "any"].flat();
  return types.map((type) => {
    if (type === "array") return schema.items ? `${kind(schema.items)}[]` : "array";
    if (type === "object" && schema.additionalProperties) return `map of ${kind(schema.additionalProperties)}`;
    if (type === "string" && schema.enum) return `one of ${schema.enum.filter(Boolean).length} words`;
    return type;
  }).join(" | ");
}

/** What a value must keep to, besides its form. */
function limits(schema) {
  const words = [];
  const add = (text) => words.push(text);
  if (schema.default !== undefined) add(`default ${JSON.stringify(schema.default)}`);
  if (schema.exclusiveMinimum !== undefined) add(`> ${schema.exclusiveMinimum}`);
  if (schema.minimum > -1e6) add(`≥ ${schema.minimum}`);
  if (schema.maximum < 1e6) add(`≤ ${schema.maximum}`);
  if (schema.minLength > 1) add(`≥ ${schema.minLength} characters`);
  if (schema.maxLength) add(`≤ ${schema.maxLength} characters`);
  if (schema.format) add(schema.format);
  return words.join(", ");
}

/** The marks that the document puts on a field. */
function badges(schema) {
  return [
    schema["x-extension"] && make("span", { class: "badge" }, "extension"),
    schema["x-supported"] === false && make("span", { class: "badge mark" }, "not in this version"),
  ].filter(Boolean).flatMap((badge) => [" ", badge]);
}

/** Details whose inside is made when they are first opened: schemas refer to themselves. */
function lazily(summary, fill) {
  const inside = make("div", { class: "inside" });
  const element = make("details", {}, make("summary", {}, summary), inside);
  element.addEventListener("toggle", () => element.open && inside.childElementCount === 0 && inside.append(fill()));
  return element;
}

/** What there is to see inside a schema, or nothing. */
function inside(schema) {
  if (!schema || schema === true) return [];
  if (schema.$ref) {
    const target = resolve(schema.$ref);
    if (target.enum) return target["x-enumDescriptions"] ? [lazily(refName(schema.$ref), () => words(target))] : [words(target)];
    return isOpen(target) ? [lazily(refName(schema.$ref), () => shape(target))] : [note(target)].filter(Boolean);
  }
  if (schema.type === "array" || [schema.type].flat().includes("array")) return inside(schema.items);
  const options = schema.anyOf ?? schema.oneOf;
  if (options) return options.flatMap(inside);
  if (schema.properties) return [lazily("fields", () => shape(schema))];
  if (schema.enum && schema.enum.length > 8) return [lazily("words", () => words(schema))];
  return [];
}

const isOpen = (schema) => Boolean(schema.properties ?? schema.oneOf);

/** A scalar with a form of its own: what it says of itself. */
const note = (schema) => schema.description && make("p", { class: "quiet" }, inline(schema.description));

function words(schema) {
  const meanings = schema["x-enumDescriptions"];
  if (meanings) {
    return make("ul", { class: "fields" }, schema.enum.map((word) =>
      make("li", {}, make("span", { class: "name" }, word), " ", inline(meanings[word] ?? ""))));
  }
  const supported = schema["x-supported-values"];
  const shown = schema.enum.filter(Boolean).flatMap((word) => {
    const lacking = supported && !supported.includes(word);
    return [make("code", { title: lacking ? "not in this version" : undefined }, word), lacking ? " (not in this version) " : " "];
  });
  return make("p", {}, shown);
}

/** A whole schema: its fields, its variants, its words. */
function shape(schema) {
  if (schema.$ref) return shape(resolve(schema.$ref));
  const parts = [schema.description && markdown(schema.description)];
  const options = schema.oneOf ?? schema.anyOf;
  if (options) {
    parts.push(...options.map((option) => option.$ref
      ? lazily(refName(option.$ref), () => shape(option))
      : make("p", {}, make("span", { class: "kind" }, kind(option)), limits(option))));
  }
  if (schema.properties) parts.push(fields(schema));
  if (schema.enum) parts.push(words(schema));
  if (schema.type === "array") parts.push(shape(schema.items));
  return make("div", {}, parts.filter(Boolean));
}

function fields(schema) {
  const names = Object.keys(schema.properties);
  const order = schema["x-order"] ?? schema.required ?? [];
  const place = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  const required = schema.required ?? [];
  names.sort((a, b) => place(a) - place(b));
  return make("ul", { class: "fields" }, names.map((name) => field(name, schema.properties[name], required.includes(name))));
}

function field(name, schema, required) {
  const facts = limits(schema);
  return make("li", {},
    make("span", { class: "name" }, name),
    make("span", { class: "kind" }, kind(schema)),
    required ? make("span", { class: "badge" }, "required") : "",
    facts && make("span", { class: "quiet" }, ` ${facts}`),
    badges(schema),
    schema.description ? make("p", {}, inline(schema.description)) : "",
    inside(schema));
}

/** A shell word. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** One operation's request as it stands in the form. */
function request(operation, form) {
  const value = (name) => form.elements[`parameter:${name}`]?.value ?? "";
  let path = operation.path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { name, in: place, style } of operation.parameters ?? []) {
    const given = value(name);
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(given || name));
    else if (given === "") continue;
    else if (style === "deepObject") given.split("&").forEach((pair) => {
      const [inner, ...rest] = pair.split("=");
      query.append(`${name}[${inner}]`, rest.join("="));
    });
    else if (place === "query") query.append(name, given);
    else headers[name] = given;
  }
  if (operation.security === undefined) headers.Authorization = `Bearer ${key.value || "$FRAMELANE_API_KEY"}`;
  const body = form.elements.body?.value;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const search = query.toString();
  return { method: operation.method.toUpperCase(), path: search ? `${path}?${search}` : path, headers, body };
}

function curl({ method, path, headers, body }) {
  const lines = [`curl -sS -X ${method} ${quoted(new URL(path, location.href).href)}`];
  for (const [name, value] of Object.entries(headers)) {
    lines.push(name === "Authorization" && !key.value ? `-H "${name}: ${value}"` : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (body !== undefined) lines.push(`-d ${quoted(body)}`);
  return lines.join(" \\\n  ");
}

/** Sends a request and tells what came back; bytes that are no text are only counted. */
async function send(sent) {
  const started = performance.now();
  const answer = await fetch(sent.path, { ...sent, redirect: "manual" });
  const took = `${Math.round(performance.now() - started)} ms`;
  if (answer.type === "opaqueredirect") return `redirect, ${took}: follow it with curl -L`;
  const head = [`HTTP ${answer.status}, ${took}`, ...[...answer.headers].map(([name, value]) => `${name}: ${value}`)];
  const type = answer.headers.get("content-type") ?? "";
  let body = "";
  if (/json/.test(type)) body = JSON.stringify(await answer.json(), null, 2);
  else if (/^text\//.test(type)) body = await answer.text();
  else body = `(${(await answer.arrayBuffer()).byteLength} bytes)`;
  return `${head.join("\n")}\n\n${body}`;
}

/** The form that tries an operation out. */
function tryOut(operation) {
  const form = make("form", {});
  const snippet = make("code", {});
  const result = make("pre", { hidden: true, "aria-live": "polite" }, make("code", {}));
  const refresh = () => { snippet.textContent = curl(request(operation, form)); };
  for (const parameter of operation.parameters ?? []) {
    const label = `${parameter.name}${parameter.required ? " *" : ""}`;
    const hint = parameter.style === "deepObject" ? "key=value&key=value" : kind(parameter.schema);
    form.append(make("label", {}, label, make("input", { name: `parameter:${parameter.name}`, placeholder: hint, autocomplete: "off" })));
  }
  const content = operation.requestBody?.content["application/json"];
  if (content) {
    const examples = Object.values(content.examples ?? {});
    const body = make("textarea", { name: "body", spellcheck: "false", "aria-label": "Body" });
    const choose = (example) => { body.value = JSON.stringify(example?.value ?? {}, null, 2); refresh(); };
    form.append(make("div", { class: "buttons" }, examples.map((example) =>
      make("button", { type: "button", onclick: () => choose(example) }, example.summary))), body);
    body.value = JSON.stringify(examples[0]?.value ?? {}, null, 2);
  }
  form.append(make("div", { class: "buttons" },
    make("button", { type: "submit" }, "Send"),
    make("button", { type: "button", onclick: () => navigator.clipboard?.writeText(snippet.textContent) }, "Copy curl")));
  form.addEventListener("input", refresh);
  key.addEventListener("input", refresh);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    result.hidden = false;
    result.firstChild.textContent = "…";
    try {
      result.firstChild.textContent = await send(request(operation, form));
    } catch (error) {
      result.firstChild.textContent = String(error);
    }
  });
  refresh();
  return make("details", { class: "try" }, make("summary", {}, "Try it"), form, make("pre", {}, snippet), result);
}

function parameters(operation) {
  const list = operation.parameters ?? [];
  if (list.length === 0) return [];
  return [make("h4", {}, "Parameters"), make("ul", { class: "fields" }, list.map(({ name, in: place, required, description, schema }) =>
    make("li", {}, make("span", { class: "name" }, name), make("span", { class: "kind" }, `${place}: ${kind(schema)}`),
      required ? make("span", { class: "badge" }, "required") : "",
      make("span", { class: "quiet" }, ` ${limits(schema)}`),
      make("p", {}, inline(description ?? "")), inside(schema))))];
}

function bodyOf(operation) {
  const content = operation.requestBody?.content["application/json"];
  if (!content) return [];
  return [make("h4", {}, "Body"), markdown(operation.requestBody.description), lazily(kind(content.schema), () => shape(content.schema))];
}

function responses(operation) {
  const list = Object.entries(operation.responses).map(([status, response]) => {
    const schemas = Object.entries(response.content ?? {}).map(([type, { schema }]) =>
      make("div", {}, make("span", { class: "kind" }, type), " ", inside(schema).length ? inside(schema) : kind(schema)));
    const headers = Object.keys(response.headers ?? {}).filter((name) => name !== "x-request-id");
    return make("li", {}, make("span", { class: "status" }, status), markdown(response.description),
      headers.length ? make("p", { class: "quiet" }, "Headers: ", headers.flatMap((name) => [make("code", {}, name), " "])) : "", schemas);
  });
  return [make("h4", {}, "Answers"), make("ul", { class: "fields responses" }, list)];
}

/** Every name in a schema and the schemas behind it, for the search. */
function names(schema, seen = new Set()) {
  if (!schema || typeof schema !== "object") return [];
  if (schema.$ref) {
    if (seen.has(schema.$ref)) return [];
    seen.add(schema.$ref);
    return names(resolve(schema.$ref), seen);
  }
  const inner = [...Object.values(schema.properties ?? {}), ...(schema.anyOf ?? []), ...(schema.oneOf ?? []), schema.items];
  return [...Object.keys(schema.properties ?? {}), ...(schema.enum ?? []).map(String), ...inner.flatMap((part) => names(part, seen))];
}

/** An operation or webhook as a section, with its line in the contents. */
function section(operation, label, css) {
  const { operationId: id, path, summary, description } = operation;
  const element = make("section", { id },
    make("h3", {}, summary),
    make("div", { class: "route" }, make("span", { class: `method ${css}` }, label), make("span", { class: "path" }, path),
      operation["x-extension"] ? make("span", { class: "badge" }, "extension") : "",
      operation.security ? make("span", { class: "badge" }, "no key") : ""),
    markdown(description), parameters(operation), bodyOf(operation), responses(operation),
    css === "hook" ? "" : tryOut(operation));
  const line = make("a", { href: `#${id}` }, make("span", { class: `method ${css}` }, label), summary);
  const bodies = [operation.requestBody, ...Object.values(operation.responses)].flatMap((part) => Object.values(part?.content ?? {}));
  const text = [id, path, label, summary, description, ...(operation.parameters ?? []).map(({ name }) => name),
    ...bodies.flatMap(({ schema }) => names(schema))].join(" ").toLowerCase();
  return { element, line, text, tag: operation.tags[0] };
}

function show() {
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    METHODS.filter((method) => methods[method]).map((method) => section({ ...methods[method], path, method }, method, method)));
  const hooks = Object.entries(api.webhooks ?? {}).map(([name, { post }]) =>
    section({ ...post, path: name, method: "post" }, "hook", "hook"));
  const sections = [...operations, ...hooks];
  main.replaceChildren(make("h1", {}, api.info.title), make("p", { class: "quiet" }, `Version ${api.info.version} · `,
    make("a", { href: "openapi.json" }, "openapi.json"), " · ",
    make("a", { href: "asyncapi.json", title: "What the service sends by itself" }, "asyncapi.json")), markdown(api.info.description));
  contents.replaceChildren();
  const chapters = api.tags.map(({ name, description }) => {
    const inside = sections.filter(({ tag }) => tag === name);
    const head = [make("h2", {}, name), make("h2", { class: "tag" }, name)];
    const text = make("p", { class: "quiet" }, inline(description ?? ""));
    if (inside.length) {
      contents.append(head[0], ...inside.map(({ line }) => line));
      main.append(head[1], text, ...inside.map(({ element }) => element));
    }
    return { inside, head: [...head, text] };
  });
  const search = document.querySelector("#search");
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { element, line, text } of sections) {
      element.hidden = line.hidden = !wanted.every((word) => text.includes(word));
    }
    for (const { inside, head } of chapters) head.forEach((part) => { part.hidden = inside.every(({ line }) => line.hidden); });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea")) {
      event.preventDefault();
      search.focus();
    }
  });
  if (location.hash) document.querySelector(location.hash)?.scrollIntoView();
}

document.querySelector("#access").addEventListener("submit", (event) => event.preventDefault());

document.querySelector("#theme").addEventListener("click", () => {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
});

let api;
try {
  api = await (await fetch("openapi.json")).json();
  show();
} catch (error) {
  document.querySelector("#state").textContent = `The document could not be read: ${error}`;
  throw error;
}
