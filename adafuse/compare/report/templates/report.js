"use strict";
// Filters the questions, and says which system did better than the best member on each.
(() => {
  const find = (id) => document.getElementById(id);
  const [tools, system, search, status, unfold] =
    ["tools", "system", "search", "status", "unfold"].map(find);
  const questions = [...document.querySelectorAll(".q")];
  const buttons = [...tools.querySelectorAll("[data-show]")];
  const verdicts = { "+": ["▲", "better"], "-": ["▼", "worse"], "=": ["=", "same"] };
  const figure = (count) => count.toLocaleString("en");
  let shown = "all";

  const signOf = (question) => (system ? question.dataset.v[system.value] : "=");
  const passes = (question, show) =>
    show === "all" ||
    (show === "failed" && "failed" in question.dataset) ||
    (show === "differ" && /[^=]/.test(question.dataset.v)) ||
    signOf(question) === show;

  const has = (question, wanted) => !wanted || question.textContent.toLowerCase().includes(wanted);

  function update() {
    const wanted = search.value.trim().toLowerCase();
    const matching = questions.filter((question) => has(question, wanted));
    for (const button of buttons) {
      const count = matching.filter((question) => passes(question, button.dataset.show)).length;
      button.lastElementChild.textContent = figure(count);
      button.setAttribute("aria-pressed", button.dataset.show === shown);
    }
    const kept = new Set(matching.filter((question) => passes(question, shown)));
    for (const question of questions) question.hidden = !kept.has(question);
    const all = questions.length;
    status.textContent = `${figure(kept.size)} of ${figure(all)} question${all === 1 ? "" : "s"}`;
    name();
  }

  function compare() {
    for (const question of questions) {
      const mark = question.querySelector("summary > .v:last-child");
      const [sign, word] = verdicts[signOf(question)];
      mark.textContent = `${sign} ${word}`;
      mark.className = `v ${word}`;
    }
    find("compared").textContent = system.selectedOptions[0].textContent;
    update();
  }

  const visible = () => questions.filter((question) => !question.hidden);
  function name() {
    const rows = visible();
    unfold.hidden = !rows.length;
    unfold.textContent = rows.every((question) => question.open) ? "Close these" : "Open these";
  }

  for (const button of buttons)
    button.addEventListener("click", () => {
      shown = button.dataset.show;
      update();
    });
  search.addEventListener("input", update);
  system?.addEventListener("change", compare);
  unfold.addEventListener("click", () => {
    const rows = visible();
    const open = !rows.every((question) => question.open);
    for (const question of rows) question.open = open;
    name();
  });
  find("list").addEventListener("toggle", name, true);

  tools.hidden = false;
  if (system) compare(); // a browser may remember another one
  else update();
})();
