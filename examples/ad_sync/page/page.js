
"use strict";
(() => {
  const root = document.documentElement;
  const box = document.getElementById("search"), said = document.getElementById("found");
  const all = (what, below) => Array.from((below || document).querySelectorAll(what));
  const rows = all("[data-row]").map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const parts = all("details[data-part]").map((part) => ({
    part, open: part.open, title: part.firstElementChild.textContent.toLowerCase(),
  }));
  const sections = all("[data-section]");
  root.classList.add("scripted");

  // A row is shown where it holds what is searched for, and so is all of a part whose title does.
  const filter = () => {
    const wanted = box.value.trim().toLowerCase();
    const titled = new Set(parts.filter((one) => wanted && one.title.includes(wanted)).map((one) => one.part));
    let found = 0;
    for (const { row, text } of rows) {
      const part = row.closest("details[data-part]");
      const shown = !wanted || text.includes(wanted) || titled.has(part);
      row.hidden = !shown;
      if (shown) found += 1;
    }
    for (const { part, open } of parts) {
      const shown = part.querySelector("[data-row]:not([hidden])") !== null || titled.has(part);
      part.hidden = Boolean(wanted) && !shown;
      part.open = wanted ? shown : open;
    }
    for (const section of sections) {
      section.hidden = Boolean(wanted) && section.querySelector("[data-row]:not([hidden])") === null;
    }
    said.textContent = wanted ? found + " of " + rows.length + " rows" : "";
  };

  let waits = 0;
  box.addEventListener("input", () => {
    clearTimeout(waits);
    waits = setTimeout(filter, 120);
  });
  const fromAddress = () => {
    const hash = location.hash;
    if (!hash.startsWith("#q=")) return;
    try { box.value = decodeURIComponent(hash.slice(3)); } catch { return; }
    filter();
  };
  addEventListener("hashchange", fromAddress);
  fromAddress();

  // On paper nothing can be unfolded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
    folded = [];
  });
})();
