/** What is going on: a line, a bar, and the figures of the run. */
import { byId } from "./elements.ts";

export type Figure = "reading" | "writing" | "visible" | "cache";

export class RunStatus {
  readonly #run = byId("run", HTMLDivElement);
  readonly #label = byId("run-label", HTMLSpanElement);
  readonly #amount = byId("run-amount", HTMLSpanElement);
  readonly #bar = byId("run-bar", HTMLProgressElement);

  /** @param share of the work that is done, 0 to 1; undefined while nobody can tell */
  show(label: string, amount = "", share: number | undefined = 0): void {
    // Live regions speak whenever they are written to, so only when the words change.
    if (this.#label.textContent !== label) this.#label.textContent = label;
    this.#amount.textContent = amount;
    if (share === undefined) this.#bar.removeAttribute("value");
    else this.#bar.value = share;
  }

  /** For styles and tests: what the page is doing. */
  phase(phase: "idle" | "loading" | "reading" | "writing"): void {
    this.#run.dataset["phase"] = phase;
  }

  figure(name: Figure, value: string, detail = ""): void {
    const place = document.getElementById(`figure-${name}`);
    if (place === null) return;
    const small = document.createElement("small");
    small.textContent = detail;
    place.replaceChildren(value, small);
  }
}
