/** Questions and what the model said, the latest first. */
import { byId, make } from "./elements.ts";

export class Answers {
  readonly #root = byId("answers", HTMLDivElement);
  readonly #welcome = byId("welcome", HTMLDivElement);

  add(entry: HTMLElement): void {
    this.#welcome.hidden = true;
    this.#root.prepend(entry);
  }
}

/** The text of an answer while it is written. */
export class Said {
  readonly element = make("p", { class: "said", "aria-live": "polite", "data-writing": "" });

  write(piece: string): void {
    // The first piece of many models starts with a space.
    this.element.append(this.element.textContent === "" ? piece.trimStart() : piece);
  }

  end(text?: string): void {
    delete this.element.dataset["writing"];
    if (text !== undefined) this.element.textContent = text;
  }
}

/** One question and its answer. */
export class Turn {
  readonly said = new Said();
  readonly #told = make("p", { class: "told" });
  readonly element: HTMLElement;

  constructor(question: string) {
    const asked = make("p", { class: "asked" }, question);
    this.element = make("article", { class: "turn" }, asked, this.said.element, this.#told);
  }

  /** @param right whether it is the expected answer; undefined where nobody knows */
  tell(line: string, right?: boolean): void {
    this.#told.replaceChildren(line);
    if (right !== undefined) this.#told.append(" ", verdict(right));
  }
}

export function verdict(right: boolean): HTMLElement {
  return make("span", { class: "verdict", "data-right": String(right) }, right ? "✓ the hidden fact" : "✗ not the hidden fact");
}
