/* SPDX-License-Identifier: Apache-2.0 */
/* /docs: what /openapi.json says, for people. All of it goes in as text. */
"use strict";
(function () {
  const make = (name, text) => { const node = document.createElement(name); if (text !== undefined) node.textContent = text; return node; };
  const problem = document.getElementById("problem");

  function example(schema, api) {
    const all = (s) => (s.$ref ? all(api.components.schemas[s.$ref.split("/").pop()]) : s);
    const first = (all(schema).anyOf || [all(schema)])[0], body = {};
    for (const name of first.required || []) body[name] = "some " + name;
    if (!Object.keys(body).length) body[Object.keys(first.properties)[0]] = "some text";
    return body;
  }

  function show(api) {
    const schema = api.paths["/classify"].post.requestBody.content["application/json"].schema, body = JSON.stringify(example(schema, api));
    const key = api.security ? " -H 'Authorization: Bearer KEY'" : "";
    document.getElementById("curl").textContent = `curl -s ${location.origin}/classify${key} -H 'Content-Type: application/json' \\\n  -d '${body.replace(/'/g, "'\\''")}'`;
    document.getElementById("python").textContent = `import requests\nanswer = requests.post("${location.origin}/classify", json=${body}` + (api.security ? `, headers={"Authorization": "Bearer KEY"}` : "") + `)\nprint(answer.json()["labels"])`;
    const table = make("table"), head = table.createTHead().insertRow(), rows = table.createTBody();
    for (const name of ["method", "path", "what", "answers"]) { const th = make("th", name); th.scope = "col"; head.append(th); }
    for (const [path, methods] of Object.entries(api.paths))
      for (const [method, operation] of Object.entries(methods)) {
        const row = rows.insertRow();
        for (const text of [method.toUpperCase(), path, operation.summary, Object.keys(operation.responses).join(", ")]) { const td = row.insertCell(); td.className = "text"; td.textContent = text; }
      }
    const wide = make("div");
    wide.className = "wide";
    wide.append(table);
    document.getElementById("routes").append(make("h2", "Routes"), wide);
  }

  fetch("/openapi.json").then((response) => response.json()).then(show).catch((why) => { problem.hidden = false; problem.textContent = why.message; });
})();
