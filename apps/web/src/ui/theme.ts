/** Light or dark: the system's choice, until the visitor makes another. */
import { byId } from "./elements.ts";

type Theme = "light" | "dark";

const icons: Readonly<Record<Theme, string>> = {
  light: '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" aria-hidden="true"><circle cx="12" cy="12" r="4"/><path d="M12 3v1M12 20v1M3 12h1M20 12h1M5.6 5.6l.7.7M17.7 17.7l.7.7M5.6 18.4l.7-.7M17.7 6.3l.7-.7"/></svg>',
  dark: '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" aria-hidden="true"><path d="M20 14.5A8 8 0 0 1 9.5 4a8 8 0 1 0 10.5 10.5Z"/></svg>',
};

/** @param onChange called whenever the colours change */
export function themeSwitch(onChange: () => void): void {
  const button = byId("theme", HTMLButtonElement);
  const system = matchMedia("(prefers-color-scheme: dark)");
  const current = (): Theme => chosen() ?? (system.matches ? "dark" : "light");
  const show = (): void => {
    const own = chosen();
    if (own === undefined) delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = own;
    const other = current() === "dark" ? "light" : "dark";
    button.innerHTML = icons[other];
    button.setAttribute("aria-label", `Switch to ${other} colours`);
    onChange();
  };
  button.onclick = () => {
    localStorage.setItem("theme", current() === "dark" ? "light" : "dark");
    show();
  };
  system.onchange = show;
  show();
}

function chosen(): Theme | undefined {
  const stored = localStorage.getItem("theme");
  return stored === "light" || stored === "dark" ? stored : undefined;
}
