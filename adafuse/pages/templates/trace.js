"use strict";
// Shows a round beside the answer, as a copy of its entry in the list of all rounds.
(() => {
  const find = (id) => document.getElementById(id);
  const [answer, panel, shown] = ["answer", "panel", "shown"].map(find);
  const words = [...answer.querySelectorAll("a")];
  if (!words.length) return;
  const hint = [...shown.childNodes];
  const contested = [...answer.querySelectorAll(".contested")];
  let lit = 0; // rounds by their place, from 1; 0 is none
  let chosen = 0;

  const place = (word) => Number(word?.id.slice(1) ?? 0);
  const placeOf = (target) => place(target.closest?.("#answer a"));

  function show(at) {
    if (at === lit) return;
    find("w" + lit)?.classList.remove("on");
    find("w" + at)?.classList.add("on");
    lit = at;
    const copy = find("r" + at)?.cloneNode(true);
    copy?.removeAttribute("id");
    copy?.querySelector(".scroll")?.setAttribute("tabindex", "0"); // not every browser does
    shown.replaceChildren(...(copy ? [copy] : hint));
    panel.scrollTop = 0;
  }

  // One word takes part in tabbing: the one that was last at.
  function stop(at) {
    for (const word of answer.querySelectorAll('[tabindex="0"]')) word.tabIndex = -1;
    words[at - 1].tabIndex = 0;
  }

  function choose(at) {
    chosen = at;
    document.body.classList.toggle("open", at > 0);
    show(at);
    find("previous").disabled = at <= 1;
    find("next").disabled = at === words.length;
    if (!at) return;
    stop(at);
    words[at - 1].scrollIntoView({ block: "nearest" });
  }

  function close() {
    const word = words[(chosen || lit || 1) - 1];
    if (panel.contains(document.activeElement)) word.focus();
    choose(0);
  }

  const moves = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
  const bounded = (at) => Math.min(words.length, Math.max(1, at));

  answer.addEventListener("keydown", (event) => {
    const at = placeOf(event.target);
    if (!at || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) {
      choose(bounded(at + moves[event.key]));
      words[chosen - 1].focus({ preventScroll: true });
    } else if (event.key === " ") event.target.click();
    else return;
    event.preventDefault();
  });
  answer.addEventListener("focusin", (event) => {
    const at = placeOf(event.target);
    if (!at) return;
    stop(at);
    show(at);
  });
  answer.addEventListener("pointerover", (event) => {
    if (event.pointerType === "mouse") show(placeOf(event.target) || chosen);
  });
  answer.addEventListener("pointerleave", () => show(chosen));
  document.addEventListener("click", (event) => {
    const at = placeOf(event.target);
    if (at && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      choose(at);
      if (!event.detail) panel.focus({ preventScroll: true }); // from the keyboard
    } else if (chosen && !panel.contains(event.target) && !getSelection().toString()) choose(0);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close();
  });
  find("previous").addEventListener("click", () => choose(bounded(chosen - 1)));
  find("next").addEventListener("click", () => choose(bounded(chosen + 1)));
  find("contested").addEventListener("click", () =>
    choose(place(contested.find((word) => place(word) > chosen) ?? contested[0])));
  find("close").addEventListener("click", close);
  find("contested").hidden = !contested.length;

  for (const word of words) {
    word.tabIndex = -1;
    word.draggable = false; // so that text can be selected across words
    word.setAttribute("role", "button");
    word.setAttribute("aria-controls", "panel");
  }
  document.body.classList.add("js");
  panel.hidden = false;
  words[0].tabIndex = 0;
  choose(0);
})();
