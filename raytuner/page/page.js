// Builds the page from the JSON in it. Texts become text nodes, never markup: a document may hold a script.
(() => {
  "use strict";

  const h = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  };

  // Objects without a prototype: a question may be called "constructor", and what is not there is undefined.
  const parsed = (text) => JSON.parse(text, (_, value) => (value !== null && typeof value === "object" && !Array.isArray(value) ? Object.setPrototypeOf(value, null) : value));

  const number = (value) => {
    if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    return Math.abs(value) < 10 ? value.toFixed(4) : value.toLocaleString("en", { maximumFractionDigits: 1 });
  };
  const score = (value) => (typeof value !== "number" ? "\u2013" : Math.abs(value) < 10 ? value.toFixed(4) : number(value));
  const signed = (value) => (value > 0 ? "+" : value < 0 ? "\u2212" : "") + number(Math.abs(value));
  const param = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
  const long = (seconds) => {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
    return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
  };
  const dollars = (usd) => {
    if (usd === null || usd === undefined) return "price unknown";
    return `$${usd === 0 || usd >= 1 ? usd.toFixed(2) : usd.toPrecision(2)}`;
  };

  const table = (head, rows, options = {}) => {
    const body = h("tbody", {});
    let shown = rows;
    const fill = () => body.replaceChildren(...shown.map((row) => h("tr", { class: row.strong && "strong" }, (row.cells || row).map((cell) => h("td", { class: String(cell).length > 40 && "long" }, cell)))));
    const sort = (column) => {
      const way = options.sorted === column ? -1 : 1;
      options.sorted = way === 1 ? column : null;
      const value = (row) => {
        const cell = String((row.cells || row)[column]), found = Number(cell.replace(/,/g, ""));
        return cell === "" || Number.isNaN(found) ? cell : found;
      };
      shown = [...shown].sort((a, b) => { const x = value(a), y = value(b); return way * (typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1); });
      fill();
    };
    const cells = head.map((name, column) => h("th", { scope: "col" }, options.sortable ? h("button", { type: "button", title: "Sort by this column", on: { click: () => sort(column) } }, name) : name));
    fill();
    return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.label || "table" }, h("table", {}, head.some(Boolean) && h("thead", {}, h("tr", {}, cells)), body));
  };

  // A part that is opened on demand; what is in it is made then.
  const fold = (key, title, make, options = {}) => {
    const node = h("details", { "data-key": key, class: options.card && "card" }, h("summary", { class: options.kind }, title));
    const opened = () => { if (node.open && node.childElementCount === 1) node.append(...[make()].flat(Infinity).filter(Boolean)); };
    node.addEventListener("toggle", opened);
    if (options.open || wasOpen.has(key)) { node.open = true; opened(); }
    return node;
  };
  const wasOpen = new Set();

  // ---- charts -------------------------------------------------------------------------------------------------
  const pending = [];
  const failedCharts = [];
  const embedOptions = { actions: false, renderer: "svg", ast: true, mode: "vega-lite", tooltip: { theme: "custom" }, config: {
    background: "transparent", font: "system-ui, sans-serif", view: { stroke: null }, axis: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", gridOpacity: 0.5 },
    legend: { labelFontSize: 11, titleFontSize: 12, titleFontWeight: "normal", columns: 3, symbolLimit: 12 },
  } };
  const WIDE = new Set(["parallel", "questions"]);  // on a phone these scroll by themselves
  const chart = (found) => {
    const plot = h("div", { class: "plot" });
    pending.push([plot, found]);
    const isWide = WIDE.has(found.id);
    const classes = ["card", "chart", found.part === "interactions" && "cells", isWide && "wide"].filter(Boolean).join(" ");
    return h("section", { class: classes, "data-chart": found.id, "aria-label": found.title },
      h("h3", {}, found.title), h("p", { class: "soft" }, found.about),
      h("div", isWide ? { class: "scroll", tabindex: "0" } : {}, plot),
      fold(`table-${found.id}`, "The same as a table", () => table(found.table.head, found.table.rows, { label: found.title })));
  };
  const draw = async () => {
    while (pending.length) {
      const [plot, found] = pending.shift();
      if (!plot.isConnected) continue;
      try {
        const drawn = await vegaEmbed(plot, structuredClone(found.spec), embedOptions);
        plot.dataset.drawn = "yes";
        plot.finalize = drawn.finalize;
      } catch (error) {
        failedCharts.push(`${found.id}: ${error.message}`);
        plot.replaceChildren(h("p", { class: "bad" }, "This chart could not be drawn; its table has the same."));
      }
      await new Promise((next) => setTimeout(next));
    }
    document.documentElement.dataset.drawn = "yes";
  };
  const charts = (run, part) => run.charts.filter((found) => found.part === part).map(chart);

  // ---- the answer ---------------------------------------------------------------------------------------------
  const tile = (name, value, below, kind) => h("div", { class: "card tile" }, h("span", {}, name), h("b", { class: kind }, value), below && h("span", {}, below));
  const COSTS = [["chunk_tokens", "tokens of context", (v) => number(Math.round(v))], ["latency", "seconds an answer", (v) => v.toFixed(2)], ["usd", "USD an answer", dollars]];

  const answer = (run) => {
    const found = run.answer;
    if (!found) return h("div", { class: "card warn" }, h("p", { class: "lead" }, `No answer yet: ${run.no_answer}`));
    const { best } = found, other = found.default;
    const metric = run.objectives[0].metric, versus = found.versus_default;
    const value = best.held_out ? best.held_out[metric] : best.metrics[metric];
    const where = best.held_out ? `on ${found.held_out_questions} held-out questions` : run.questions ? "on the questions of the search: optimistic" : "in the search";
    const tiles = [tile(metric, score(value), where)];
    if (versus) {
      const sure = versus.low > 0 ? "good" : versus.high < 0 ? "bad" : null;
      tiles.push(tile("better than the default by", signed(versus.mean), `95% interval ${signed(versus.low)} to ${signed(versus.high)}`, sure));
    }
    for (const [name, title, format] of COSTS) {
      const own = (best.held_out || best.metrics)[name];
      if (own === undefined || own === null) continue;
      const its = other && (other.held_out || other.metrics)[name];
      const said = [name === "latency" && best.latency ? `p95 ${best.latency.p95.toFixed(2)} s` : null, its !== undefined && its !== null && other.trial !== best.trial ? `default: ${format(its)}` : null];
      tiles.push(tile(title, format(own), said.filter(Boolean).join(", ")));
    }
    if (found.win_share !== null && run.objectives.length === 1) tiles.push(tile("wins the search in", `${Math.round(found.win_share * 100)}%`, "of draws of such questions (best of the search)"));
    return [h("div", { class: "card" }, h("p", { class: "lead" }, found.headline)), h("div", { class: "grid tiles" }, tiles),
      h("div", { class: "grid", style: "--least: 24rem" }, configurations(run, best, other), ties(run, found), charts(run, "answer"),
        h("section", { class: "card" }, h("h3", {}, "In words"), found.verdict.map((line) => h("p", { class: "small" }, line))))];
  };
  const configurations = (run, best, other) => {
    const names = [...new Set([...Object.keys(best.params), ...(other ? Object.keys(other.params) : [])])];
    const own = (one, name) => (one && name in one.params ? param(one.params[name]) : "\u2013");
    const differs = (name) => other && own(best, name) !== own(other, name);
    const two = other && other.trial !== best.trial;
    const values = run.objectives.map(({ metric }) => ({ cells: [`${metric} (search)`, score(best.metrics[metric]), ...(two ? [score(other.metrics[metric])] : [])] }));
    const rows = names.map((name) => ({ strong: differs(name), cells: [name, own(best, name), ...(two ? [own(other, name)] : [])] }));
    return h("section", { class: "card" }, h("h3", {}, "The configuration to take"), two && h("p", { class: "soft" }, "What differs from the default is bold."),
      table(["parameter", `trial ${best.trial}`, ...(two ? ["default"] : [])], [...rows, ...values], { label: "The configuration to take" }),
      h("p", { class: "soft" }, run.has_best_yaml ? "best.yaml in the run folder has it as a config." : null));
  };
  const ties = (run, found) => {
    if (found.ties.length < 2) return null;
    const metric = run.objectives[0].metric;
    const costs = COSTS.filter(([name]) => found.ties.some((one) => one.held_out && one.held_out[name] !== undefined && one.held_out[name] !== null));
    const rows = found.ties.map((one, at) => ({ strong: at === 0, cells: [`${one.trial}${at === 0 ? " (take)" : ""}`, score(one.held_out && one.held_out[metric]), ...costs.map(([name, , format]) => format(one.held_out[name])), Object.entries(one.params).map(([name, value]) => `${name}=${param(value)}`).join(", ")] }));
    return h("section", { class: "card" }, h("h3", {}, `${found.ties.length} that cannot be told apart`), h("p", { class: "soft" }, found.cheapest_by ? `Cheapest first, by ${found.cheapest_by}.` : "They cost the same."),
      table(["trial", `${metric}, held out`, ...costs.map(([, title]) => title), "configuration"], rows, { label: "Configurations that cannot be told apart" }));
  };

  // ---- questions ----------------------------------------------------------------------------------------------
  const overlap = (passage, reference) => passage.document === reference.document ? Math.max(0, Math.min(passage.end, reference.end) - Math.max(passage.start, reference.start)) : 0;

  // The text of a passage, with what it has of the references marked; offsets are those of characters, not of UTF-16.
  const marked = (passage, references) => {
    const letters = Array.from(passage.text);
    const spans = references.filter((reference) => overlap(passage, reference) > 0)
      .map((reference) => [Math.max(0, reference.start - passage.start), Math.min(letters.length, reference.end - passage.start)]).sort((a, b) => a[0] - b[0]);
    const parts = [];
    let at = 0;
    for (const [start, end] of spans) {
      if (end <= at) continue;
      parts.push(letters.slice(at, Math.max(at, start)).join(""), h("mark", {}, letters.slice(Math.max(at, start), end).join("")));
      at = end;
    }
    const cut = passage.end - passage.start > letters.length ? " \u2026 (cut here)" : null;
    return h("div", { class: "text", tabindex: "0" }, parts, letters.slice(at).join(""), cut);
  };
  const covered = (passages, references) => {
    const whole = references.reduce((sum, one) => sum + one.end - one.start, 0);
    let found = 0;
    for (const reference of references) {
      const spans = passages.filter((one) => overlap(one, reference) > 0).map((one) => [Math.max(one.start, reference.start), Math.min(one.end, reference.end)]).sort((a, b) => a[0] - b[0]);
      let at = reference.start;
      for (const [start, end] of spans) { found += Math.max(0, end - Math.max(at, start)); at = Math.max(at, end); }
    }
    return whole ? found / whole : null;
  };
  const where = (one) => `${one.document}${one.page ? `, page ${one.page}` : ""}, characters ${one.start.toLocaleString("en")} to ${one.end.toLocaleString("en")}`;

  const leaderName = (leader) => `trial ${leader.trial}${leader.marks.length ? ` (${leader.marks.join(", ")})` : ""}`;

  const retrieved = (run, row) => {
    const found = run.questions, texts = found.texts, shown = texts.shown[row.id];
    const groups = new Map();
    shown.found.forEach((list, at) => {
      const key = `${list.join()}|${(shown.answers || [])[at] || ""}`;
      groups.set(key, [...(groups.get(key) || []), at]);
    });
    const columns = [...groups.values()].map((members) => {
      const passages = shown.found[members[0]].map((at) => texts.passages[at]);
      const share = covered(passages, shown.references);
      const answered = (shown.answers || [])[members[0]];
      return h("div", {}, h("h4", {}, members.map((at) => `${leaderName(found.leaders[at])}: ${score(row.scores[at])}`).join("; ")),
        share !== null && h("p", { class: share > 0.999 ? "soft" : "bad" }, share > 0.999 ? "All of the reference is in what it retrieves." : `${Math.round(share * 100)}% of the reference is in what it retrieves.`),
        answered && h("p", {}, h("span", { class: "soft" }, "Its answer: "), answered),
        passages.map((one, rank) => h("div", { class: "chunk" }, h("p", { class: "soft" }, `${rank + 1}. ${where(one)}`), marked(one, shown.references))));
    });
    return [shown.answer && h("p", {}, h("span", { class: "soft" }, "Right answer: "), shown.answer),
      shown.references.map((one) => h("div", {}, h("h4", {}, `Reference: ${where(one)}`), h("div", { class: "text", tabindex: "0" }, h("span", { class: "around" }, one.before), h("mark", {}, one.text), h("span", { class: "around" }, one.after)))),
      h("div", { class: "grid", style: "--least: 22rem" }, columns)];
  };
  const questions = (run) => {
    const found = run.questions;
    if (!found) return null;
    const text = (id) => (found.texts.questions || {})[id] || id;
    const byId = new Map(found.rows.map((row) => [row.id, row]));
    const chips = (row) => h("div", { class: "chips" }, found.leaders.map((leader, at) => h("span", { class: "chip" }, `${leader.trial}${leader.marks.includes("default") ? " (default)" : ""} `, h("b", {}, score(row.scores[at])))),
      row.mean !== null && h("span", { class: "chip" }, "mean of all trials ", h("b", {}, score(row.mean))), row.top !== null && h("span", { class: "chip" }, "best of any ", h("b", {}, score(row.top))), row.held_out && h("span", { class: "chip" }, "held out"));
    const shown = found.texts.shown || {};
    const worst = found.worst.map((id) => byId.get(id)).map((row, at) => {
      const title = [text(row.id), text(row.id) !== row.id && h("span", { class: "soft" }, ` ${row.id}`), chips(row)];
      return shown[row.id] ? h("div", { class: "card question-card" }, fold(`question-${row.id}`, h("span", {}, title), () => retrieved(run, row), { kind: "question", open: at === 0 })) : h("div", { class: "card" }, title);
    });
    const all = fold("all-questions", `All ${found.rows.length} questions`, () => {
      const rows = found.rows.map((row) => [text(row.id), ...(run.has_documents ? [row.document || ""] : []), ...row.scores.map(score), score(row.mean), score(row.top), row.held_out ? "held out" : ""]);
      return filtered(["question", ...(run.has_documents ? ["document"] : []), ...found.leaders.map((leader) => `trial ${leader.trial}`), "mean of all trials", "best of any", ""], rows, "Questions");
    }, { card: true });
    return part(run, "questions", "Questions", charts(run, "questions"), h("h3", {}, "The worst questions"),
      h("p", { class: "soft" }, `Those on which trial ${found.leaders[0].trial} does worst in ${found.metric}${found.texts.why_none ? "." : `, with what each leader retrieves${Object.values(shown).some((one) => one.references.length) ? "; what is of the reference is marked" : ""}.`}`),
      found.texts.why_none && h("p", { class: "card warn" }, `What was retrieved is not shown: ${found.texts.why_none}`), found.texts.note && h("p", { class: "soft" }, found.texts.note), worst, all);
  };
  const filtered = (head, rows, label) => {
    const place = h("div", {}, table(head, rows, { sortable: true, label }));
    const find = (event) => {
      const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
      const kept = rows.filter((row) => words.every((word) => (row.cells || row).join(" ").toLowerCase().includes(word)));
      place.replaceChildren(table(head, kept, { sortable: true, label }));
    };
    return [h("p", {}, h("input", { type: "search", placeholder: "Find", "aria-label": `Find in ${label.toLowerCase()}`, on: { input: find } })), place];
  };

  // ---- the other parts ----------------------------------------------------------------------------------------
  const part = (run, name, title, ...children) => h("section", { id: `${run.key}-${name}`, "aria-labelledby": `${run.key}-${name}-title` }, h("h2", { id: `${run.key}-${name}-title` }, title), children);

  const parameters = (run) => {
    const shown = [...charts(run, "parameters")], single = charts(run, "effects"), pairs = charts(run, "interactions");
    if (!shown.length && !single.length) return null;
    return part(run, "parameters", "What matters", run.importance.why_none && h("p", { class: "card" }, `Importance is not shown: ${run.importance.why_none}.`), shown,
      single.length > 0 && [h("h3", {}, "Each parameter by itself"), h("p", { class: "soft" }, run.no_sample), h("div", { class: "grid" }, single)],
      pairs.length > 0 && [h("h3", {}, "Two parameters together"), h("div", { class: "grid" }, pairs)]);
  };
  const stopped = (run) => {
    const reasons = new Map(), failed = run.trials.filter((row) => row.state === "failed");
    for (const row of run.trials) if (row.reason) reasons.set(row.reason, (reasons.get(row.reason) || 0) + 1);
    const shown = charts(run, "stopped");
    if (!shown.length && !failed.length) return null;
    return part(run, "stopped", "Stopped and failed", shown, failed.length > 0 && h("section", { class: "card" }, h("h3", {}, `${failed.length} failed`), table(["trial", "error", "configuration"], failed.slice(0, 50).map((row) => [row.trial, row.error, said(row.params)]), { label: "Failed trials" })));
  };
  const said = (params) => Object.entries(params).map(([name, value]) => `${name}=${param(value)}`).join(", ");
  const spent = (run) => {
    const calls = run.spent.calls;
    const shown = charts(run, "spent");
    if (!shown.length && !calls.length) return null;
    return part(run, "spent", "Where time and money went", calls.length > 0 && h("section", { class: "card" }, h("h3", {}, `Calls of services: ${dollars(run.spent.usd)}`),
      table(["for", "model", "answered", "failed", "seconds", "tokens", "USD"], calls.map((row) => [row.stage, row.model, number(row.answered), number(row.failed), row.seconds.toFixed(1), number(row.tokens), dollars(row.usd)]), { label: "Calls of services" })),
    calls.length === 0 && h("p", { class: "soft" }, "No service was called: it cost nothing."), h("div", { class: "grid" }, shown));
  };
  const MOST_ROWS = 500;
  const trials = (run) => {
    const metrics = [...new Set(run.objectives.map(({ metric }) => metric).concat(["chunk_tokens", "latency", "usd"]))].filter((name) => run.trials.some((row) => name in row.metrics));
    const names = [...new Set(run.trials.flatMap((row) => Object.keys(row.params)))];
    const rows = run.trials.slice(0, MOST_ROWS).map((row) => ({ strong: row.leader, cells: [row.trial, row.state, ...metrics.map((name) => score(row.metrics[name])), ...names.map((name) => (name in row.params ? param(row.params[name]) : "")), row.questions, row.seconds.toFixed(2)] }));
    const more = run.trials.length > MOST_ROWS ? h("p", { class: "soft" }, `The first ${MOST_ROWS} of ${run.trials.length}; raytuner report --format csv has all.`) : null;
    return part(run, "trials", "Trials", run.trials.length === 0 ? h("p", { class: "soft" }, "None has begun.") : fold("all-trials", `All ${run.trials.length} trials`, () => [filtered(["trial", "state", ...metrics, ...names, "questions", "seconds"], rows, "Trials"), more], { card: true }));
  };
  const how = (run) => {
    const facts = [["search", run.search], ["scheduler", run.scheduler], ["objectives", run.objectives.map((goal) => `${goal.metric}, ${goal.mode}${goal.limit === null ? "" : `, limit ${goal.limit}`}`).join("; ")], ["trials asked for", run.planned], ["seed", run.seed], ["begun", run.created], ["took", long(run.seconds)], ["ended", run.ended], ["run folder", run.folder],
      ["code of its own", run.own_code.length ? `${run.own_code.join(", ")} (not imported)` : null], ["versions", run.versions && Object.entries(run.versions).filter(([, version]) => version).map(([name, version]) => `${name} ${version}`).join(", ")]];
    return part(run, "how", "How it was run", h("div", { class: "card" }, table(["", ""], facts.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => [name, String(value)]), { label: "How it was run" })),
      run.notes.length > 0 && h("div", { class: "card" }, h("h3", {}, "Notes"), run.notes.map((note) => h("p", {}, note))));
  };

  const STATES = { running: "is still running: this is what there is so far", "cut off": "was cut off: this is what was finished", interrupted: "was interrupted: this is what was finished" };
  const section = (run) => {
    const counts = ["scored", "stopped", "failed", "unfinished"].map((state) => [state, run.trials.filter((row) => row.state === state).length]).filter(([, count]) => count);
    const parts = [["progress", "Progress of the search", () => { const shown = charts(run, "progress"); return shown.length ? part(run, "progress", "Progress", shown) : null; }], ["pareto", "Pareto front", () => { const shown = charts(run, "pareto"); return shown.length ? part(run, "pareto", "Pareto front", shown) : null; }],
      ["parameters", "What matters", () => parameters(run)], ["questions", "Questions", () => questions(run)], ["stopped", "Stopped and failed", () => stopped(run)], ["spent", "Time and money", () => spent(run)], ["trials", "Trials", () => trials(run)], ["how", "How it was run", () => how(run)]];
    const made = parts.map(([name, title, make]) => [name, title, make()]).filter(([, , node]) => node);
    return h("article", { class: "run", id: run.key },
      h("h1", {}, run.name, " ", h("span", { class: `state ${run.state}` }, run.state)),
      h("p", { class: "soft" }, [run.folder, counts.map(([state, count]) => `${count} ${state}`).join(", "), run.planned && run.state === "running" ? `of ${run.planned}` : null, long(run.seconds)].filter(Boolean).join(" \u00b7 ")),
      STATES[run.state] && h("p", { class: "card warn" }, `The run ${STATES[run.state]}.`),
      h("nav", { "aria-label": "Parts of the report" }, made.map(([name, title]) => h("a", { href: `#${run.key}-${name}` }, title))),
      answer(run), made.map(([, , node]) => node));
  };
  const overview = (runs) => h("section", { class: "card" }, h("h1", {}, `${runs.length} runs`), h("p", { class: "soft" }, "Scores of different questions or documents do not compare; raytuner compare compares runs question by question."),
    table(["run", "state", "metric", "best (search)", "held out", "trials", "took"], runs.map((run) => {
      const metric = run.objectives[0].metric, best = run.answer && run.answer.best;
      return [h("a", { href: `#${run.key}` }, run.folder), run.state, metric, best ? score(best.metrics[metric]) : "", best && best.held_out ? score(best.held_out[metric]) : "", run.trials.length, long(run.seconds)];
    }), { label: "Runs" }));

  const build = (report) => {
    const main = document.getElementById("main");
    if (report.chart) {  // one chart by itself, in a notebook
      main.replaceChildren(chart(report.chart));
      return draw();
    }
    for (const node of main.querySelectorAll("details[data-key]")) node.open ? wasOpen.add(node.dataset.key) : wasOpen.delete(node.dataset.key);
    for (const node of main.querySelectorAll(".plot")) if (node.finalize) node.finalize();
    pending.length = 0;
    report.runs.forEach((run, at) => {
      run.key = `run-${at + 1}`;
      run.has_documents = Boolean(run.questions && run.questions.rows.some((row) => row.document));
    });
    main.replaceChildren(...(report.runs.length > 1 ? [overview(report.runs)] : []), ...report.runs.map(section),
      h("footer", { class: "soft" }, `Made by raytuner ${report.raytuner}, ${report.made}`));
    document.documentElement.dataset.drawn = "no";
    return draw();
  };

  // ---- a run that goes on -------------------------------------------------------------------------------------
  const follow = async (seen) => {
    const line = h("p", { class: "soft", role: "status", "aria-live": "polite" });
    document.body.prepend(line);
    let delay = 2000;
    for (;;) {
      await new Promise((next) => setTimeout(next, delay));
      try {
        const response = await fetch(`data.json?seen=${encodeURIComponent(seen)}`, { cache: "no-store" });
        if (response.status === 200) {
          const report = parsed(await response.text());
          seen = report.seen;
          const place = window.scrollY;
          await build(report);
          window.scrollTo({ top: place, behavior: "instant" });
          if (!report.live) { line.textContent = ""; return; }
        }
        const isWell = response.status === 200 || response.status === 204;
        line.textContent = isWell ? "" : `The server cannot make the report: ${await response.text()}`;
        delay = isWell ? 2000 : Math.min(delay * 2, 30000);
      } catch {
        line.textContent = "The server does not answer: raytuner watch has ended, or is busy.";
        delay = Math.min(delay * 2, 30000);
      }
    }
  };

  const report = parsed(document.getElementById("data").textContent);
  window.raytuner = { failedCharts };
  build(report).then(() => (report.live ? follow(report.seen) : null));
})();
