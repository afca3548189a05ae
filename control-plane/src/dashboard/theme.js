// The theme, as the reader chose it here: it is put on the root before anything is drawn, so that no page flashes up in
// another one. What is chosen stays in this browser. Without this the system's word holds.
"use strict";
(() => {
  const NAME = "theme";
  const THEMES = ["auto", "light", "dark"];
  const root = document.documentElement;

  function use(theme) {
    root.dataset.theme = THEMES.includes(theme) ? theme : "auto";
    for (const radio of document.querySelectorAll(".theme input")) radio.checked = radio.value === root.dataset.theme;
  }

  // A browser may be told to keep nothing: then the choice is this page's.
  function remembered() {
    try {
      return localStorage.getItem(NAME);
    } catch {
      return null;
    }
  }
  function remember(theme) {
    try {
      localStorage.setItem(NAME, theme);
    } catch {
      // See above.
    }
  }

  use(remembered());
  document.addEventListener("DOMContentLoaded", () => use(root.dataset.theme));
  document.addEventListener("change", (event) => {
    if (event.target.name !== NAME) return;
    use(event.target.value);
    remember(event.target.value);
  });
  // Another tab.
  addEventListener("storage", (event) => {
    if (event.key === NAME) use(event.newValue);
  });
})();
