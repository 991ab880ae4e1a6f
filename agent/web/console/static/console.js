// Only what a keyboard wants: everything else works without scripts.
"use strict";

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  const find = document.querySelector("[data-find]");
  const wanted = event.key === "/" ? !typing : event.key === "k" && (event.ctrlKey || event.metaKey);

  if (find && wanted) {
    event.preventDefault();
    find.focus();
    find.select();
  }
});
