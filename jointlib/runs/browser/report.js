// What a report's page shows of its runs when one is chosen, and of two that are compared. Everything is in the page.
const page = JSON.parse(document.getElementById("data").textContent);
const { utterances, examples, intents, runs, opening } = page;
const find = (name) => document.getElementById(name);

function make(tag, content = "", about = {}) {
  const element = Object.assign(document.createElement(tag), about);
  element.append(...[content].flat());
  return element;
}

function reading(run, row) {
  if (!run.read) return make("span", "nothing: this run has no classifier", { className: "pale" });
  const intent = intents[run.read[row]], right = intent === utterances.intent[row];
  const shown = `${right ? "✓" : "✗"} ${intent} (${run.probability[row].toFixed(2)})`;
  return make("span", shown, { className: right ? "right" : "wrong" });
}

const pesq = (value) => (value === null ? "–" : value.toFixed(2));

function player(label, source) {
  const audio = make("audio", "", { controls: true, preload: "metadata", src: source });
  return make("figure", [make("figcaption", label), audio], { className: "sound" });
}

// Called with the place of the run that was clicked, in the table or in the plot.
function showRun(place) {
  const run = runs[place];
  const silent = run.heard ? "no front-end: it reads the noisy wave" : "only the first seed of a cell can be heard";
  const shown = examples.rows.map((row, number) => {
    const enhanced = run.enhanced ? player(`enhanced, PESQ ${pesq(run.pesq[row])}`, run.enhanced[number]) : make("p", silent);
    const sounds = [player(`noisy, PESQ ${pesq(utterances.pesq[row])}`, examples.noisy[number]), enhanced];
    const said = `“${utterances.transcription[row]}”, ${utterances.noise_type[row]} at ${utterances.snr_db[row]} dB`;
    return make("li", [
      make("div", [make("strong", said)]),
      make("div", [`Intent: ${utterances.intent[row]}. Answer: `, reading(run, row)]),
      make("div", [...sounds, player("clean", examples.clean[number])], { className: "sounds" }),
    ]);
  });
  const card = make("details", [make("summary", "Model card"), make("div", "", { className: "card", innerHTML: run.card })]);
  find("run").replaceChildren(make("h3", run.title), make("ol", shown), card);
}

function compareRuns() {
  const [a, b] = ["run-a", "run-b"].map((name) => runs[find(name).value]);
  const counts = { both: 0, neither: 0, a: 0, b: 0 }, rows = [];
  utterances.intent.forEach((intent, row) => {
    const [forA, forB] = [a, b].map((run) => intents[run.read[row]] === intent);
    const who = forA && forB ? "both" : forA ? "a" : forB ? "b" : "neither";
    counts[who] += 1;
    if (a.read[row] !== b.read[row]) rows.push([who, row]);
  });
  const differently = rows.filter(([who]) => who === "neither").length;
  find("counts").textContent =
    `A right and B wrong: ${counts.a}; B right and A wrong: ${counts.b}; both right: ${counts.both}; ` +
    `both wrong: ${counts.neither}, ${differently} of them in different ways.`;
  rows.sort(([one], [other]) => one.localeCompare(other));
  const named = { a: "A", b: "B", neither: "neither" };
  find("differing").replaceChildren(...rows.map(([who, row]) => make("tr", [
    make("td", named[who]), make("td", utterances.intent[row]), make("td", [reading(a, row)]), make("td", [reading(b, row)]),
    ...[`${utterances.snr_db[row]}\u00a0dB`, utterances.noise_type[row], pesq(utterances.pesq[row])]
      .map((text) => make("td", text)),
    ...[a, b].map((run) => make("td", run.pesq ? pesq(run.pesq[row]) : "–")),
  ])));
}

function offerRuns() {
  const reading = runs.map((run, place) => [run, place]).filter(([run]) => run.read);
  for (const [name, place] of [["run-a", opening[0]], ["run-b", opening[1]]]) {
    find(name).replaceChildren(...reading.map(([run, place]) => make("option", run.title, { value: place })));
    find(name).value = place;
    find(name).addEventListener("change", compareRuns);
  }
  find("compare").hidden = reading.length < 2;
  if (reading.length > 1) compareRuns();
}

document.addEventListener("play", ({ target }) => {
  document.querySelectorAll("audio").forEach((audio) => audio !== target && audio.pause());
}, true);
showRun(Math.max(0, runs.findIndex((run) => run.read && run.enhanced)));
offerRuns();
