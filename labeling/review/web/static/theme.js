// Dark, light, or as the system has it; kept in this browser.

import { byId } from "./dom.js";
import { store } from "./drafts.js";

const STORED = "labeling.theme";
const ORDER = ["system", "dark", "light"];

/** Applies the kept theme and lets a button go through the three; `changed` is called after each change. */
export function setUpTheme(button, changed) {
  let theme = ORDER.includes(kept()) ? kept() : "system";
  const apply = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    byId("theme-name").textContent = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
    changed();
  };
  button.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    store(() => localStorage.setItem(STORED, theme));
    apply();
  });
  window.matchMedia("(prefers-color-scheme: light)").addEventListener("change", changed);
  apply();
}

function kept() {
  return store(() => localStorage.getItem(STORED));
}
