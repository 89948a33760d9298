"use strict";
// What a static page cannot do: sort, filter, and show where a number comes from. Text is only ever put in as text.
const find = (id) => document.getElementById(id);
const stored = JSON.parse(find("payload").textContent);
const opened = unpack(stored.packed).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
const numbers = unpack(stored.values).then((bytes) => new Float64Array(bytes));

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(plain).arrayBuffer();
}

function make(tag, inside = [], given = {}) {
  const made = Object.assign(document.createElement(tag), given);
  made.append(...[inside].flat().filter((x) => x !== null && x !== ""));
  return made;
}

// Sorting: numbers by their unrounded value, missing ones last either way, equal ones in the order of the table.
const MISSING = ["--", "undefined"];
const value = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.v !== undefined ? Number(cell.dataset.v) : MISSING.includes(cell.textContent) ? null : cell.textContent;
};

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sort(table, column) {
  const head = table.tHead.rows[0].cells[column];
  const rows = [...table.tBodies[0].rows];
  const isNumber = rows.some((r) => typeof value(r, column) === "number");
  const before = head.ariaSort;
  const down = before ? before === "ascending" : isNumber && head.dataset.better !== "low";
  for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
  head.ariaSort = down ? "descending" : "ascending";
  const there = rows.filter((r) => value(r, column) !== null);
  const missing = rows.filter((r) => value(r, column) === null);
  there.sort((a, b) => (down ? -1 : 1) * compare(value(a, column), value(b, column)));
  table.tBodies[0].append(...there, ...missing);
}

// Filtering: rows by words of the system's name, tables and columns by data set.
function filter() {
  const words = find("systems").value.toLowerCase().split(/\s+/).filter(Boolean);
  const boxes = [...document.querySelectorAll("#datasets input")];
  const hidden = new Set(boxes.filter((b) => !b.checked).map((b) => b.value));
  let shown = 0;
  let all = 0;
  for (const section of document.querySelectorAll("section[data-datasets]")) {
    const own = JSON.parse(section.dataset.datasets);
    section.hidden = own.length > 0 && own.every((d) => hidden.has(d));
    for (const table of section.querySelectorAll("table")) {
      const heads = [...table.tHead.rows[0].cells];
      const gone = heads.map((h) => hidden.has(h.dataset.d));
      heads.forEach((h, i) => { h.hidden = gone[i]; });
      for (const row of table.tBodies[0].rows) {
        const name = row.cells[0].textContent.toLowerCase();
        row.hidden = !words.every((w) => name.includes(w)) || hidden.has(row.dataset.d);
        for (let i = 1; i < row.cells.length; i++) row.cells[i].hidden = gone[i];
        if (table.classList.contains("main")) {
          all += 1;
          shown += !row.hidden && !section.hidden;
        }
      }
    }
  }
  find("count").value = shown < all ? `${shown} of ${all} rows` : `${all} rows`;
}

// The panel of one number.
const field = (name, text) => (text ? [make("dt", name), make("dd", make("code", String(text)))] : []);
// No apostrophe before what a spreadsheet takes for a formula: ids must join with those of qrels.
const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

function download(name, text) {
  const link = make("a", [], { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function button(words, name, text) {
  return make("button", words, { type: "button", onclick: async () => download(name, await text()) });
}

function about(run, page, isOpen) {
  const settings = run.settings.map((s) => make("tr", s.map((x, i) => make(i ? "td" : "th", x, i ? {} : { scope: "row" }))));
  const heads = ["Setting", "Value", "From"].map((h) => make("th", h, { scope: "col" }));
  const told = settings.length
    ? make("table", [make("thead", make("tr", heads)), make("tbody", settings)])
    : make("p", "Every setting had its default.", { className: "notes" });
  const items = [
    make("dt", "Run"), make("dd", make("a", run.id, { href: run.href })),
    make("dt", "Command"), make("dd", make("pre", make("code", run.line))),
    ...field("Commit", run.commit && run.commit + (run.dirty ? " and changes not committed" : "")),
    ...field("Data", [run.dataset, run.dataset_sha256].filter(Boolean).join(" ")),
    ...field("Model", [run.model, run.model_sha256].filter(Boolean).join(" ")),
    ...field("Seed", run.seed === null ? "" : String(run.seed)),
    ...run.inputs.flatMap(([kind, name, hash]) => field(`Read ${kind}`, `${name} ${hash}`)),
  ];
  const name = `${run.command} ${run.id}`;
  return make("details", [make("summary", name), make("dl", items), told], { open: isOpen });
}

async function series(page, wanted) {
  const all = await numbers;
  return wanted.map((i) => {
    const one = page.series[i];
    const ids = page.queries[one.queries];
    return { ...one, ids, values: all.subarray(one.at, one.at + ids.length) };
  });
}

function list(found, page) {
  const lines = found.flatMap((s) => s.ids.map((q, i) =>
    [page.runs[s.run].id, s.dataset, s.split, s.measure, q, String(s.values[i])].map(quoted).join(",")));
  return ["run,dataset,split,measure,query_id,value", ...lines, ""].join("\n");
}

async function show(cell) {
  const page = await opened;
  const [, t, r, c] = cell.id.match(/^t(\d+)-r(\d+)-c(\d+)$/).map(Number);
  const table = page.tables[t];
  const [runs, wanted, leftOut, tests, over] = table.cells[r][c];
  const found = await series(page, wanted);
  find("panel-title").textContent = `${table.rows[r]}: ${table.columns[c]}`;
  const body = [make("dl", [
    ...field("Shown", cell.textContent),
    ...field("Unrounded", cell.dataset.v),
    ...over.flatMap((x) => field("Computed with", x)),
    ...found.flatMap((s) => field("Queries", `${s.dataset} ${s.split} ${s.measure}: ${s.ids.length}, mean ` +
      `${s.ids.length ? s.values.reduce((a, b) => a + b, 0) / s.ids.length : "--"} (run ${page.runs[s.run].id})`)),
  ])];
  if (tests.length) body.push(make("h3", "Tests and intervals"), make("ul", tests.map((x) => make("li", x)), { className: "notes" }));
  if (found.length) {
    body.push(button("Download values by query (CSV)", `${cell.id}.csv`, () => list(found, page)));
    body.push(make("p", "Ids are as in the judgements. Import them into a spreadsheet as text.", { className: "notes" }));
  }
  if (leftOut.length) {
    body.push(make("p", `Values by query left out, to keep the page small: out/per_query.parquet of ${leftOut.map((i) => page.runs[i].id).join(", ")}.`, { className: "notes" }));
  }
  const above = [...new Set(runs.flatMap((i) => page.runs[i].above))].filter((i) => !runs.includes(i));
  body.push(make("h3", runs.length > 1 ? `Mean of ${runs.length} runs` : "Run"), ...runs.map((i) => about(page.runs[i], page, runs.length === 1)));
  if (above.length) body.push(make("h3", "Stands on"), ...above.map((i) => about(page.runs[i], page, false)));
  find("panel-body").replaceChildren(...body);
  find("panel").showModal();
  find("panel").scrollTop = 0;
}

function start() {
  for (const box of document.querySelectorAll(".scroll")) {
    box.addEventListener("scroll", () => box.classList.toggle("moved", box.scrollLeft > 0), { passive: true });
  }
  for (const table of document.querySelectorAll("main table")) {
    [...table.tHead.rows[0].cells].forEach((head, i) => {
      const press = make("button", [...head.childNodes], { type: "button", onclick: () => sort(table, i) });
      head.replaceChildren(press);
    });
  }
  const names = new Set([...document.querySelectorAll("section[data-datasets]")].flatMap((s) => JSON.parse(s.dataset.datasets)));
  if (names.size > 1) {
    find("datasets").append(...[...names].map((d) =>
      make("label", [make("input", [], { type: "checkbox", checked: true, value: d, onchange: filter }), ` ${d}`])));
  }
  find("systems").oninput = filter;
  find("filters").onsubmit = (event) => event.preventDefault();
  document.querySelector("main").addEventListener("click", (event) => {
    const cell = event.target.closest("td[id]");
    if (!cell || !cell.querySelector("a") || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(cell);
  });
  for (const cell of document.querySelectorAll("td[id] a")) cell.ariaHasPopup = "dialog";
  const panel = find("panel");
  find("close").onclick = () => panel.close();
  panel.onclick = (event) => { if (event.target === panel) panel.close(); };
  for (const figure of document.querySelectorAll("figure[data-n]")) {
    const text = async () => (await opened).figures[figure.dataset.n];
    figure.querySelector("figcaption").append(" ", button("Data (CSV)", `${figure.dataset.name}.csv`, text));
  }
  for (const [when, isOpen] of [["beforeprint", true], ["afterprint", false]]) {
    window.addEventListener(when, () => document.querySelectorAll("main details").forEach((d) => { d.open = isOpen; }));
  }
  document.querySelectorAll("header [hidden]").forEach((x) => { x.hidden = false; });
  filter();
}

start();
