/* SPDX-License-Identifier: Apache-2.0 */
/* The page of muster serve. Everything from outside goes in as text (textContent), never as markup. */
"use strict";
(function () {
  const byId = (id) => document.getElementById(id);
  const views = ["try", "evaluation", "models"];
  const state = { models: [], model: null, key: "", evaluations: new Map(), timer: 0, asked: 0, earlier: [] };

  function make(name, attributes, ...children) {
    const svg = ["svg", "path", "line", "text", "title"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    for (const child of children) node.append(child);
    return node;
  }
  const digits = (x, n) => (typeof x === "number" && isFinite(x) ? x.toFixed(n) : "–");

  /* ---- the server ---- */

  async function ask(path, body) {
    const headers = {};
    if (state.key) headers.Authorization = "Bearer " + state.key;
    if (body) headers["Content-Type"] = "application/json";
    let response, value;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
      value = await response.json();
    } catch (why) {
      throw new Error("The server does not answer (" + why.message + ").");
    }
    if (response.status === 401) {
      byId("key-form").hidden = false;
      byId("key").focus();
    }
    if (!response.ok) {
      const error = new Error(value.error || "The server answers " + response.status + ".");
      error.status = response.status;
      throw error;
    }
    return value;
  }
  const ofModel = (what) => (state.models.length > 1 ? "/models/" + encodeURIComponent(state.model.name) : "") + what;

  function tell(problem) {
    byId("problem").hidden = !problem;
    byId("problem").textContent = problem || "";
  }

  /* ---- tables ---- */

  /* columns: {name, number?, value(row), text?(row), bar?, heat? (of a share)}; a click on a head sorts by it, numbers from the largest. */
  function fill(table, columns, rows, sorted) {
    const head = make("tr"), body = make("tbody"), order = rows.slice();
    const largest = columns.map((c) => (c.bar ? Math.max(1e-9, ...rows.map((r) => c.value(r) || 0)) : 0));
    if (sorted) {
      const c = columns[sorted.column], sign = sorted.down ? -1 : 1;
      order.sort((a, b) => {
        const x = c.value(a), y = c.value(b);
        if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
        return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
      });
    }
    columns.forEach((c, i) => {
      const th = make("th", { scope: "col" });
      if (c.number) th.className = "n";
      if (table.classList.contains("sortable")) {
        const button = make("button", { type: "button" }, c.name), mine = sorted && sorted.column === i;
        if (mine) th.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
        button.addEventListener("click", () => {
          fill(table, columns, rows, { column: i, down: mine ? !sorted.down : Boolean(c.number) });
          table.tHead.rows[0].cells[i].firstChild.focus();
        });
        th.append(button);
      } else {
        th.textContent = c.name;
      }
      head.append(th);
    });
    for (const row of order) {
      const tr = make("tr");
      columns.forEach((c, i) => {
        const td = make("td"), value = c.value(row);
        td.className = c.number ? "n" : "text";
        td.textContent = c.text ? c.text(row) : c.number ? digits(value, 4) : value === undefined ? "–" : value;
        if (c.bar && typeof value === "number") {
          td.classList.add("cell-bar");
          td.style.setProperty("--share", (100 * value) / largest[i] + "%");
        }
        if (c.heat && typeof value === "number") {
          td.classList.add("heat");
          td.style.setProperty("--share", 100 * value + "%");
        }
        tr.append(td);
      });
      body.append(tr);
    }
    table.replaceChildren(make("thead", {}, head), body);
  }

  /* ---- Try ---- */

  const asList = (x) => (Array.isArray(x) ? x : x ? [x] : []);
  function fieldNames(model) {
    const input = model.input || {};
    const a = asList(input.text_a), b = asList(input.text_b);
    const names = a.concat(b.filter((name) => !a.includes(name)));
    return names.length ? names : ["text"];
  }
  const isRequired = (model, name) => asList((model.input || {}).required).includes(name) || fieldNames(model).length === 1;
  const positiveOf = (model) => model.positive || (model.rule || {}).positive || model.labels[model.labels.length - 1];
  const takesThreshold = (model) => Boolean(model.multi_label) || model.labels.length === 2;
  function ownThreshold(model, label) {
    const each = model.thresholds || (model.rule || {}).thresholds;
    if (each && each[label] !== undefined) return each[label];
    const one = model.threshold !== undefined ? model.threshold : (model.rule || {}).threshold;
    return typeof one === "number" ? one : 0.5;
  }

  function showModel() {
    const model = state.model, fields = byId("fields");
    fields.replaceChildren();
    fieldNames(model).forEach((name, i) => {
      const area = make("textarea", { id: "field-" + i, name, spellcheck: "false" });
      area.required = isRequired(model, name);
      fields.append(make("div", { class: "field" }, make("label", { for: "field-" + i }, name + (area.required ? "" : " (optional)")), area));
    });
    byId("threshold-row").hidden = !takesThreshold(model);
    byId("own").checked = true;
    byId("own-words").textContent = model.thresholds ? "each label's threshold, as the bundle has it" : "the bundle's threshold";
    byId("top").value = Math.min(10, model.labels.length);
    byId("top").max = model.labels.length;
    byId("answer").hidden = true;
    showThreshold();
    tell("");
  }

  function showThreshold() {
    const own = byId("own").checked, slider = byId("threshold");
    slider.disabled = own;
    if (own) slider.value = ownThreshold(state.model, positiveOf(state.model));
    byId("threshold-value").textContent = own && state.model.thresholds ? "of each label" : Number(slider.value).toFixed(2);
  }

  function request() {
    const body = {};
    for (const area of byId("fields").querySelectorAll("textarea")) if (area.value || area.required) body[area.name] = area.value;
    if (takesThreshold(state.model) && !byId("own").checked) body.threshold = Number(byId("threshold").value);
    return body;
  }

  function showAnswer(answer, body) {
    const model = state.model, scores = answer.scores, chosen = new Set(answer.labels), positive = positiveOf(model);
    const order = Object.keys(scores).sort((a, b) => scores[b] - scores[a]).slice(0, Math.max(1, Number(byId("top").value) || 1));
    byId("labels").replaceChildren(...(answer.labels.length ? answer.labels : ["no label"]).map((name) => make("li", {}, name)));
    byId("bars").replaceChildren(...order.map((name) => {
      const yes = chosen.has(name), share = Math.max(0, Math.min(1, scores[name]));
      const part = make("div", { class: "fill" }), track = make("div", { class: "track" }, part);
      part.style.width = 100 * share + "%";
      if (model.multi_label || (takesThreshold(model) && name === positive)) {
        const at = body.threshold !== undefined ? body.threshold : ownThreshold(model, name), tick = make("div", { class: "tick", title: "threshold " + digits(at, 2) });
        tick.style.left = 100 * at + "%";
        track.append(tick);
      }
      return make("div", { class: yes ? "bar yes" : "bar" }, make("span", { class: "name" }, name + (yes ? " ✓" : "")), track, make("span", { class: "value" }, digits(scores[name], 4)));
    }));
    byId("facts").textContent = answer.tokens + " tokens" + (answer.truncated ? ", truncated: what is beyond " + (model.max_length || "the limit") + " was not read" : "") + "; model " + answer.model;
    byId("rule").textContent = "Rule: " + ruleWords(answer.rule, body);
    byId("curl").textContent = "curl -s " + location.origin + ofModel("/classify") + " -H 'Content-Type: application/json'" + (state.key ? " -H 'Authorization: Bearer KEY'" : "") + " \\\n  -d '" + JSON.stringify(body).replace(/'/g, "'\\''") + "'";
    byId("answer").hidden = false;
  }

  function ruleWords(rule, body) {
    if (!rule) return "–";
    const parts = [];
    if (body.threshold !== undefined) parts.push("threshold " + body.threshold + " of this request");
    else if (rule.thresholds && typeof rule.thresholds === "object") parts.push("each label at its own threshold");
    else if (typeof rule.threshold === "number") parts.push("threshold " + rule.threshold);
    else parts.push(takesThreshold(state.model) ? "threshold 0.5" : "the most probable label");
    if (rule.name) parts.push("chosen by " + rule.name);
    if (typeof rule.temperature === "number" && rule.temperature !== 1) parts.push("temperature " + digits(rule.temperature, 3));
    if (rule.temperatures) parts.push("a temperature for each label");
    return parts.join(", ");
  }

  async function classify(remember) {
    const body = request(), turn = ++state.asked;
    try {
      const answer = await ask(ofModel("/classify"), body);
      if (turn !== state.asked) return;
      tell("");
      showAnswer(answer, body);
      if (remember) keep(body);
    } catch (why) {
      if (turn === state.asked) tell(why.message);
    }
  }

  function keep(body) {
    const texts = fieldNames(state.model).map((name) => body[name] || "");
    state.earlier = [texts].concat(state.earlier.filter((t) => t.join("\0") !== texts.join("\0"))).slice(0, 8);
    byId("earlier").hidden = false;
    byId("earlier-list").replaceChildren(...state.earlier.map((all) => {
      const button = make("button", { type: "button" }, all.filter(Boolean).join(" · ").slice(0, 160));
      button.addEventListener("click", () => {
        byId("fields").querySelectorAll("textarea").forEach((area, i) => { area.value = all[i] || ""; });
        classify(false);
      });
      return make("li", {}, button);
    }));
  }

  function again() {
    showThreshold();
    if (byId("answer").hidden) return;
    clearTimeout(state.timer);
    state.timer = setTimeout(() => classify(false), 120);
  }

  /* ---- Evaluation ---- */

  function temperatureOf(model, label) {
    const rule = model.rule || {}, each = model.temperatures || rule.temperatures;
    if (each && each[label]) return each[label];
    return model.temperature || rule.temperature || 1;
  }

  /* (rows, labels): sigmoid of each label, or softmax. */
  function probabilities(model, logits) {
    const t = model.labels.map((name) => temperatureOf(model, name));
    return logits.map((row) => {
      const z = row.map((x, c) => x / t[c]);
      if (model.multi_label) return z.map((x) => 1 / (1 + Math.exp(-x)));
      const top = Math.max(...z), e = z.map((x) => Math.exp(x - top)), sum = e.reduce((a, b) => a + b, 0);
      return e.map((x) => x / sum);
    });
  }

  const score = (tp, fp, fn) => {
    const precision = tp + fp ? tp / (tp + fp) : 0, recall = tp + fn ? tp / (tp + fn) : 0;
    return { precision, recall, f1: 2 * tp + fp + fn ? (2 * tp) / (2 * tp + fp + fn) : 0, tp, fp, fn };
  };

  /* Of the labels in `which`, all decisions together. */
  function scoreAt(threshold, p, truth, which) {
    let tp = 0, fp = 0, fn = 0;
    for (let i = 0; i < p.length; i++)
      for (const c of which) {
        const said = p[i][c] >= threshold, is = truth[i].has(c);
        if (said && is) tp++;
        else if (said) fp++;
        else if (is) fn++;
      }
    return score(tp, fp, fn);
  }

  function decide(model, p) {
    if (model.multi_label) return p.map((row) => model.labels.map((_, c) => c).filter((c) => row[c] >= ownThreshold(model, model.labels[c])));
    if (model.labels.length === 2) {
      const yes = model.labels.indexOf(positiveOf(model));
      return p.map((row) => [row[yes] >= ownThreshold(model, model.labels[yes]) ? yes : 1 - yes]);
    }
    return p.map((row) => [row.indexOf(Math.max(...row))]);
  }

  function drawCurve(points, at) {
    const w = 640, h = 260, left = 40, bottom = 30, x = (t) => left + t * (w - left - 24), y = (v) => h - bottom - v * (h - bottom - 10);
    const svg = make("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "img", "aria-label": "precision, recall and F1 by threshold" });
    for (const v of [0, 0.25, 0.5, 0.75, 1]) {
      svg.append(make("line", { class: "axis", x1: left, x2: x(1), y1: y(v), y2: y(v) }), make("text", { x: 6, y: y(v) + 4 }, v.toFixed(2)));
      svg.append(make("text", { x: x(v) - 10, y: h - 10 }, v.toFixed(2)));
    }
    for (const name of ["precision", "recall", "f1"]) {
      svg.append(make("path", { class: name, d: points.map((p, i) => (i ? "L" : "M") + x(p.threshold).toFixed(1) + " " + y(p[name]).toFixed(1)).join("") }));
    }
    svg.append(make("line", { class: "at", x1: x(at), x2: x(at), y1: y(0), y2: y(1) }));
    const legend = make("p", { class: "hint" }, "F1: full line; precision: dashes; recall: dots; upright line: the threshold below");
    byId("curve").replaceChildren(svg, legend);
  }

  function showCurve(model, p, truth) {
    byId("curve-all").hidden = !takesThreshold(model);
    if (!takesThreshold(model)) return;
    const positive = model.labels.indexOf(positiveOf(model)), select = byId("curve-label"), slider = byId("what-if");
    const choices = model.multi_label ? [["all labels (micro)", model.labels.map((_, c) => c)]].concat(model.labels.map((name, c) => [name, [c]])) : [[model.labels[positive], [positive]]];
    select.replaceChildren(...choices.map(([name], i) => make("option", { value: i }, name)));
    select.parentNode.hidden = choices.length < 2;
    const draw = () => {
      const which = choices[Number(select.value)][1], points = [];
      for (let k = 1; k < 100; k++) points.push(Object.assign({ threshold: k / 100 }, scoreAt(k / 100, p, truth, which)));
      const best = points.reduce((a, b) => (b.f1 > a.f1 ? b : a)), at = Number(slider.value), here = scoreAt(at, p, truth, which);
      drawCurve(points, at);
      byId("what-if-value").textContent = at.toFixed(2);
      byId("what-if-words").textContent = `At ${at.toFixed(2)}: precision ${digits(here.precision, 4)}, recall ${digits(here.recall, 4)}, F1 ${digits(here.f1, 4)} (${here.tp} right, ${here.fp} too many, ${here.fn} missed). ` +
        `Highest F1 of 99 thresholds: ${digits(best.f1, 4)} at ${best.threshold.toFixed(2)}.`;
    };
    slider.value = ownThreshold(model, model.labels[positive]);
    select.onchange = slider.oninput = draw;
    draw();
  }

  function showConfusion(model, truth, said) {
    const names = model.labels, table = byId("confusion");
    if (model.multi_label) {
      const rows = names.map((name, c) => {
        const n = { name, tp: 0, fp: 0, fn: 0, tn: 0 };
        truth.forEach((is, i) => { n[(said[i].includes(c) ? (is.has(c) ? "tp" : "fp") : is.has(c) ? "fn" : "tn")]++; });
        return n;
      });
      const count = (name, key) => ({ name, number: true, value: (r) => r[key], text: (r) => String(r[key]) });
      fill(table, [{ name: "label", value: (r) => r.name }, count("true positive", "tp"), count("false positive", "fp"), count("false negative", "fn"), count("true negative", "tn")], rows);
      return;
    }
    const shown = names.map((_, c) => c).slice(0, 30), counts = names.map(() => names.map(() => 0));
    truth.forEach((is, i) => { for (const c of is) counts[c][said[i][0]]++; });
    const columns = [{ name: "true \\ predicted", value: (c) => names[c] }].concat(shown.map((k) => ({ name: names[k], number: true, value: (c) => counts[c][k], text: (c) => String(counts[c][k]) })));
    fill(table, columns, shown);
    shown.forEach((c, i) => table.tBodies[0].rows[i].cells[i + 1].classList.add("diagonal"));
  }

  function showWorst(model, p, truth, said) {
    const rows = [], listed = (list) => [...list].map((c) => model.labels[c]).join(", ") || "none";
    truth.forEach((is, i) => {
      const wrong = model.labels.map((_, c) => c).filter((c) => said[i].includes(c) !== is.has(c));
      if (!wrong.length) return;
      const surest = Math.max(...wrong.map((c) => (is.has(c) ? 1 - p[i][c] : p[i][c])));
      rows.push({ row: i + 1, is: listed(is), said: listed(said[i]), surest });
    });
    rows.sort((a, b) => b.surest - a.surest);
    fill(byId("worst"), [{ name: "row", number: true, value: (r) => r.row, text: (r) => String(r.row) }, { name: "true", value: (r) => r.is }, { name: "predicted", value: (r) => r.said },
      { name: "probability of the error", number: true, bar: true, value: (r) => r.surest }], rows.slice(0, 20), { column: 3, down: true });
  }

  const ruleNames = { half: "0.5 for all", global: "one threshold", tuned: "the bundle's rule" };
  function showScores(evaluation) {
    const rows = [];
    for (const part of ["validation", "test"])
      for (const [rule, m] of Object.entries((evaluation[part] || {}).rules || {})) rows.push({ part, rule: ruleNames[rule] || rule, m });
    const metric = (name, key) => ({ name, number: true, value: (r) => r.m[key] });
    fill(byId("overall"), [{ name: "part", value: (r) => r.part }, { name: "rule", value: (r) => r.rule }, metric("precision", "micro_precision"), metric("recall", "micro_recall"), metric("micro F1", "micro_f1"),
      { name: "95 %", value: (r) => { const i = (r.m.intervals || {}).micro_f1; return i ? digits(i[0], 3) + " – " + digits(i[1], 3) : "–"; } },
      metric("macro F1", "macro_f1"), metric("accuracy", "accuracy"), metric("loss", "loss")], rows);
    const labels = (evaluation.test || {}).labels || [], tuned = (r) => r.tuned || {};
    fill(byId("each"), [{ name: "label", value: (r) => r.label }, { name: "support", number: true, value: (r) => r.support, text: (r) => String(r.support) },
      { name: "precision", number: true, value: (r) => tuned(r).precision }, { name: "recall", number: true, value: (r) => tuned(r).recall },
      { name: "F1", number: true, bar: true, value: (r) => tuned(r).f1 }, { name: "threshold", number: true, value: (r) => (typeof r.threshold === "number" ? r.threshold : undefined), text: (r) => digits(r.threshold, 2) }], labels, { column: 1, down: true });
  }

  async function showEvaluation() {
    const model = state.model, none = byId("evaluation-none");
    let evaluation = state.evaluations.get(model.name);
    if (evaluation === undefined) {
      try {
        evaluation = await ask(ofModel("/evaluation"));
      } catch (why) {
        if (why.status !== 404) return tell(why.message);
        evaluation = null;
      }
      state.evaluations.set(model.name, evaluation);
    }
    if (model !== state.model) return;
    none.hidden = Boolean(evaluation);
    none.textContent = "This bundle has no evaluation.json: it was published by an earlier version, or made otherwise.";
    byId("evaluation-all").hidden = !evaluation;
    if (!evaluation) return;
    showScores(evaluation);
    const outputs = evaluation.validation_outputs;
    byId("outputs").hidden = !outputs;
    if (!outputs) return;
    const truth = outputs.truth.map((t) => new Set(asList(t === 0 ? [0] : t))), p = probabilities(model, outputs.logits), said = decide(model, p);
    showCurve(model, p, truth);
    showConfusion(model, truth, said);
    showWorst(model, p, truth, said);
  }

  /* ---- Models ---- */

  function showServed() {
    const metric = (part, key) => ({ name: part + " " + key.replace(/_/g, " ").replace("f1", "F1"), number: true, bar: true, value: (m) => ((m.metrics || {})[part] || {})[key] });
    const has = (part, key) => state.models.some((m) => typeof ((m.metrics || {})[part] || {})[key] === "number");
    const measured = [];
    for (const part of ["validation", "test"]) for (const key of ["f1", "micro_f1", "macro_f1", "accuracy"]) if (has(part, key)) measured.push(metric(part, key));
    const columns = [{ name: "model", value: (m) => m.name }, { name: "task", value: (m) => (m.multi_label ? "many labels" : "one label") }, { name: "labels", number: true, value: (m) => m.labels.length, text: (m) => String(m.labels.length) },
      { name: "max. tokens", number: true, value: (m) => m.max_length, text: (m) => String(m.max_length || "–") }].concat(measured);
    const first = measured.length ? { column: 4, down: true } : { column: 0, down: false };
    fill(byId("served"), columns, state.models, first);
  }

  function showTable(table) {
    const of = (part, key) => (m) => (m[part] || {})[key], by = table.compared_by;
    const metric = (part, key, bar) => ({ name: part + " " + key.replace(/_/g, " ").replace("f1", "F1").replace("ece", "ECE"), number: true, bar, value: of(part, key) });
    const interval = (m, part) => { const i = (of(part, "intervals")(m) || {})[by]; return i ? digits(i[0], 3) + " – " + digits(i[1], 3) : "–"; };
    const small = (x) => (typeof x === "number" ? digits(x, 4) : "–");
    fill(byId("zoo"), [{ name: "model", value: (m) => m.name }, { name: "fields", value: (m) => m.fields }, { name: "method", value: (m) => m.method }, metric("validation", by, true), { name: "95 %", value: (m) => interval(m, "validation") },
      { name: "p to the best", number: true, value: of("validation", "p"), text: (m) => small(of("validation", "p")(m)) }, metric("test", by, true), metric("test", "macro_f1"), metric("test", "ece"),
      { name: "MB", number: true, value: (m) => m.bytes, text: (m) => (m.bytes ? digits(m.bytes / 1e6, 1) : "–") }], table.models, { column: 3, down: true });
  }

  function showHeat(table) {
    const models = table.models.filter((m) => Array.isArray((m.validation || {}).label_f1));
    byId("heat-all").hidden = !models.length || !table.labels;
    if (byId("heat-all").hidden) return;
    const name = (m) => m.name + (m.baseline ? ", " + m.fields : "");
    const columns = models.map((m) => ({ name: name(m), number: true, heat: true, value: (l) => m.validation.label_f1[l], text: (l) => digits(m.validation.label_f1[l], 2) }));
    fill(byId("heat"), [{ name: "label", value: (l) => table.labels[l] }].concat(columns), table.labels.map((_, l) => l), { column: 1, down: true });
  }

  /* The table in which the first model is, or the first one. */
  async function showZoo() {
    let zoo = null;
    try {
      zoo = await ask("/zoo");
    } catch (why) {
      if (why.status !== 404) return tell(why.message);
    }
    byId("zoo-all").hidden = !zoo || !zoo.tables.length;
    if (byId("zoo-all").hidden) return;
    const table = zoo.tables.find((t) => t.models.some((m) => m.name === state.models[0].name)) || zoo.tables[0];
    byId("zoo-words").textContent = "On the same rows, each compared with the best one on validation by a paired bootstrap" + (zoo.tables.length > 1 ? "; " + (zoo.tables.length - 1) + " more tables of other rows are in zoo.json." : ".");
    showTable(table);
    showHeat(table);
  }

  /* ---- views ---- */

  function show(view, focus) {
    for (const name of views) {
      const on = name === view, tab = byId("tab-" + name);
      byId(name).hidden = !on;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      if (on && focus) tab.focus();
    }
    if (location.hash !== "#" + view) history.replaceState(null, "", "#" + view);
    if (state.model && view === "evaluation") showEvaluation();
  }

  async function start() {
    try {
      const found = await ask("/models"), list = Array.isArray(found) ? found : found.models;
      state.models = list;
      state.model = list[0];
      state.zoo = found.zoo;
    } catch (why) {
      return tell(why.message);
    }
    byId("key-form").hidden = true;
    tell("");
    byId("model").replaceChildren(...state.models.map((m, i) => make("option", { value: i }, m.name)));
    byId("model").parentNode.hidden = false;
    document.title = "Muster: " + state.model.name;
    showModel();
    showServed();
    if (state.zoo) showZoo();
    show(views.includes(location.hash.slice(1)) ? location.hash.slice(1) : "try", false);
  }

  window.addEventListener("hashchange", () => { if (views.includes(location.hash.slice(1))) show(location.hash.slice(1), false); });
  views.forEach((name, i) => {
    byId("tab-" + name).addEventListener("click", () => show(name, true));
    byId("tab-" + name).addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) show(views[(i + step + views.length) % views.length], true);
    });
  });
  byId("model").addEventListener("change", () => {
    state.model = state.models[Number(byId("model").value)];
    document.title = "Muster: " + state.model.name;
    showModel();
    if (!byId("evaluation").hidden) showEvaluation();
  });
  byId("form").addEventListener("submit", (event) => { event.preventDefault(); classify(true); });
  byId("form").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("form").requestSubmit();
  });
  byId("key-form").addEventListener("submit", (event) => { event.preventDefault(); state.key = byId("key").value; start(); });
  byId("own").addEventListener("change", again);
  byId("threshold").addEventListener("input", again);
  byId("top").addEventListener("input", again);
  start();
})();
