"use strict";
// All text enters the page as text, never as markup. `data` is described in bench/look/page.py.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 12;
const at = (id) => document.getElementById(id);
const controls = ["words", "model", "other", "outcome", "attribute", "camera", "order"];
const state = { page: 0, shown: [] };

const OUTCOMES = {
  all: ["all", () => true],
  right: ["right at rank 1", (a) => a === 1],
  wrong: ["wrong at rank 1", (a) => a > 1],
  ten: ["not among the first 10", (a) => a > 10],
  gained: ["right, other wrong", (a, b) => a === 1 && b > 1],
  lost: ["wrong, other right", (a, b) => a > 1 && b === 1],
  neither: ["both wrong", (a, b) => a > 1 && b > 1],
};
const ORDERS = {
  set: ["of the data set", () => 0],
  worst: ["worst first", (q, a) => -a],
  best: ["best first", (q, a) => a],
  apart: ["furthest behind the other", (q, a, b) => b - a],
};

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made && key !== "style") made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function options(id, pairs) {
  at(id).replaceChildren(...pairs.map(([value, text]) => element("option", { value, textContent: text })));
}

function setUp() {
  const models = data.models.map((name, place) => [String(place), name]);
  options("model", models);
  options("other", [["", "none"], ...models]);
  options("outcome", Object.entries(OUTCOMES).map(([key, [text]]) => [key, text]));
  options("order", Object.entries(ORDERS).map(([key, [text]]) => [key, text]));
  options("camera", [["", "any"], ...data.cameras.map((name, place) => [String(place), name])]);
  at("camera-label").hidden = data.cameras.length < 2;
  const names = element("option", { value: "", textContent: "anything" });
  const groups = new Map();
  data.attributes.forEach(([kind, name], place) => {
    if (!groups.has(kind)) groups.set(kind, element("optgroup", { label: kind }));
    const n = data.queries.reduce((sum, query) => sum + query.has.includes(place), 0);
    groups.get(kind).append(element("option", { value: String(place), textContent: `${name} (${n})` }));
  });
  at("attribute").replaceChildren(names, ...groups.values());
  const asked = new URLSearchParams(location.hash.slice(1));
  for (const id of controls) {
    const wanted = asked.get(id);
    if (wanted === null) continue;
    const place = data.models.indexOf(wanted);
    at(id).value = (id === "model" || id === "other") && place >= 0 ? String(place) : wanted;
    if (at(id).selectedIndex === -1) at(id).selectedIndex = 0;
  }
}

function filter() {
  const words = at("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const model = Number(at("model").value);
  const other = at("other").value === "" ? model : Number(at("other").value);
  const accepts = OUTCOMES[at("outcome").value][1];
  const key = ORDERS[at("order").value][1];
  const attribute = at("attribute").value === "" ? null : Number(at("attribute").value);
  const camera = at("camera").value === "" ? null : Number(at("camera").value);
  const found = [];
  data.queries.forEach((query, place) => {
    const a = query.ranks[model].first, b = query.ranks[other].first;
    if (!accepts(a, b)) return;
    if (attribute !== null && !query.has.includes(attribute)) return;
    if (camera !== null && query.camera !== camera) return;
    if (words.length && !words.every((word) => query.lower.includes(word))) return;
    found.push([key(query, a, b), place]);
  });
  found.sort((one, next) => one[0] - next[0] || one[1] - next[1]);
  state.shown = found.map(([, place]) => place);
  state.page = 0;
  remember();
  render();
}

function remember() {
  const asked = new URLSearchParams();
  for (const id of controls) {
    const field = at(id);
    if (field.value === "" || (field.tagName === "SELECT" && field.selectedIndex === 0)) continue;
    asked.set(id, id === "model" || id === "other" ? data.models[Number(field.value)] : field.value);
  }
  const text = asked.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function render() {
  const n = state.shown.length, pages = Math.max(1, Math.ceil(n / PAGE));
  const start = state.page * PAGE, rows = state.shown.slice(start, start + PAGE);
  const model = Number(at("model").value);
  const right = state.shown.reduce((sum, place) => sum + (data.queries[place].ranks[model].first === 1), 0);
  const share = n ? `; ${data.models[model]} is right at rank 1 in ${((100 * right) / n).toFixed(1)} %` : "";
  const text = `${n.toLocaleString("en")} of ${data.queries.length.toLocaleString("en")} queries${share}. Page ${state.page + 1} of ${pages}.`;
  at("count").textContent = text;
  at("count-below").textContent = text;
  for (const end of ["", "-below"]) {
    at(`previous${end}`).disabled = state.page === 0;
    at(`next${end}`).disabled = state.page + 1 >= pages;
  }
  at("list").replaceChildren(...rows.map(card));
}

function turn(step) {
  state.page += step;
  render();
  at("count").scrollIntoView({ block: "start" });
}

function card(place) {
  const query = data.queries[place];
  const models = [Number(at("model").value)];
  if (at("other").value !== "" && at("other").value !== at("model").value) models.push(Number(at("other").value));
  const own = element("figure", { className: "own" }, picture(query.image, "the image that the caption was written for", true));
  const camera = query.camera === null ? "" : ` (${data.cameras[query.camera]})`;
  const told = element("p", { className: "told", role: "status" });
  own.append(element("figcaption", {}, `its image${camera}; ${query.matches.toLocaleString("en")} in all show this person`, told));
  const heading = element("h2", { textContent: `Query ${query.number}` });
  const caption = captioned(query, models[0], own);
  const found = element("div", {}, ...models.map((model) => ranking(query, model)));
  return element("article", {}, element("div", { className: "head" }, heading, caption), own, found);
}

function captioned(query, model, own) {
  const line = element("p", { className: "caption" });
  const weights = query.weights[model] || [];
  let done = 0;
  query.phrases.forEach(([start, end, part, box], place) => {
    if (!weights[place] || start < done || end === start) return;
    line.append(...marked(query.caption.slice(done, start)));
    const button = element("button", { type: "button", textContent: query.caption.slice(start, end) });
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => attend(button, line, own, data.boxes[model], weights[place], part, box));
    line.append(button);
    done = end;
  });
  line.append(...marked(query.caption.slice(done)));
  if (!query.caption.trim()) line.append("(empty caption)");
  return line;
}

function marked(text) {
  const words = at("words").value.toLowerCase().split(/\s+/).filter(Boolean);
  const parts = [], lower = text.toLowerCase();
  if (lower.length !== text.length) return [text];
  let done = 0;
  while (words.length) {
    let from = -1, length = 0;
    for (const word of words) {
      const found = lower.indexOf(word, done);
      if (found >= 0 && (from < 0 || found < from)) [from, length] = [found, word.length];
    }
    if (from < 0) break;
    parts.push(text.slice(done, from), element("mark", { textContent: text.slice(from, from + length) }));
    done = from + length;
  }
  return [...parts, text.slice(done)];
}

function attend(button, line, own, boxes, weights, part, truth) {
  const on = button.getAttribute("aria-pressed") === "false";
  for (const other of line.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
  button.setAttribute("aria-pressed", String(on));
  const frame = own.querySelector(".frame");
  for (const old of frame.querySelectorAll("i")) old.remove();
  const told = own.querySelector(".told");
  told.textContent = "";
  if (!on) return;
  const places = boxes.map((box, token) => [box, weights[token]]).filter(([box]) => box[2] - box[0] < 1 || box[3] - box[1] < 1);
  const cells = shades(places);
  const most = Math.max(...cells.map(([, value]) => value));
  for (const [box, value] of cells) frame.append(placed(box, { opacity: 0.8 * (1 - value / most) }));
  if (truth) frame.append(placed(truth, {}, "truth"));
  const share = (places.reduce((sum, [, weight]) => sum + weight, 0) / 10).toFixed(0);
  const speaks = part ? ` It speaks of: ${part} (dashed).` : "";
  told.textContent = `Bright is attended to; ${share} % goes to places, the rest to the whole image.${speaks}`;
}

function shades(places) {
  // Each token's weight lies evenly on its place: the sum for each cell that the places' borders make.
  const cuts = [0, 1].map((side) => [...new Set(places.flatMap(([box]) => [box[side], box[side + 2]]))].sort((a, b) => a - b));
  const cells = [];
  for (let x = 0; x + 1 < cuts[0].length; x++) for (let y = 0; y + 1 < cuts[1].length; y++) {
    const cell = [cuts[0][x], cuts[1][y], cuts[0][x + 1], cuts[1][y + 1]];
    const over = places.filter(([box]) => box[0] <= cell[0] && box[1] <= cell[1] && box[2] >= cell[2] && box[3] >= cell[3]);
    cells.push([cell, over.reduce((sum, [box, weight]) => sum + weight / ((box[2] - box[0]) * (box[3] - box[1])), 0)]);
  }
  return cells;
}

function placed([left, top, right, bottom], { opacity = 1 }, name = "") {
  const made = element("i", { className: name });
  Object.assign(made.style, {
    left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`, opacity: String(opacity),
  });
  return made;
}

function ranking(query, model) {
  const told = query.ranks[model];
  const where = told.first === 1 ? "right at rank 1" : `first match at rank ${told.first.toLocaleString("en")}`;
  const list = element("ol", { tabIndex: 0 });
  list.setAttribute("aria-label", `${data.models[model]}: nearest images of query ${query.number}`);
  told.images.forEach((image, rank) => {
    const match = told.match[rank] === "1", mark = match ? "✓" : "✗";
    const about = `rank ${rank + 1}, ${match ? "match" : "no match"}`;
    const caption = element("figcaption", {}, element("b", { textContent: `${rank + 1} ${mark}` }), told.near[rank].toFixed(3));
    const item = element("figure", {}, picture(image, about), caption);
    list.append(element("li", { className: match ? "match" : "miss" }, item));
  });
  return element("div", { className: "row" }, element("h3", { textContent: `${data.models[model]}: ${where}` }), list);
}

function picture(image, about, whole = false) {
  const [path, pixels, aspect] = data.images[image];
  const inner = pixels
    ? element("img", { src: pixels, alt: about, loading: "lazy", decoding: "async" })
    : element("span", { className: "none", textContent: path });
  if (whole) inner.style.aspectRatio = String(aspect); // so that places on the image are places of the frame
  return element("span", { className: "frame", title: path }, inner);
}

for (const query of data.queries) query.lower = query.caption.toLowerCase();
setUp();
filter();
for (const id of controls) at(id).addEventListener("input", filter);
at("controls").addEventListener("submit", (event) => event.preventDefault());
for (const end of ["", "-below"]) {
  at(`previous${end}`).addEventListener("click", () => turn(-1));
  at(`next${end}`).addEventListener("click", () => turn(1));
}
