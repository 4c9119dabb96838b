/** What the visitor must know, above everything else: each notice has a key, under which it is replaced or taken back. */
import { byId, make } from "./elements.ts";

export interface NoticeAction {
  readonly label: string;
  readonly run: () => void;
}

export class Notices {
  readonly #root = byId("notices", HTMLDivElement);
  readonly #shown = new Map<string, HTMLElement>();

  say(key: string, text: string): void {
    this.#show(key, make("div", { class: "notice", role: "status" }, make("p", {}, text)));
  }

  /** An error in its own words. */
  fail(key: string, title: string, error: Error, action?: NoticeAction): void {
    const text = make("p", {}, make("strong", {}, `${title}. `), error.message);
    const notice = make("div", { class: "notice", role: "alert", "data-kind": "error", "data-error": error.name }, text);
    if (action !== undefined) {
      const button = make("button", { class: "quiet", type: "button" }, action.label);
      button.onclick = () => {
        this.clear(key);
        action.run();
      };
      notice.append(button);
    }
    this.#show(key, notice);
  }

  clear(key: string): void {
    this.#shown.get(key)?.remove();
    this.#shown.delete(key);
  }

  #show(key: string, notice: HTMLElement): void {
    this.clear(key);
    const close = make("button", { class: "icon-button", type: "button", "aria-label": "Dismiss" }, "✕");
    close.onclick = () => this.clear(key);
    notice.append(close);
    this.#shown.set(key, notice);
    this.#root.append(notice);
  }
}
