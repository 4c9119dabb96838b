/** The text that questions are about. */
import { byId } from "./elements.ts";
import { count, plural } from "./numbers.ts";

export interface TextPanelHooks {
  /** Every change, by hand or not. */
  readonly onChange: () => void;
  readonly onExample: (tokens: number) => void;
  readonly onFile: (file: File) => void;
}

export class TextPanel {
  readonly #area = byId("text", HTMLTextAreaElement);
  readonly #size = byId("text-size", HTMLOutputElement);
  readonly #tokens = byId("example-tokens", HTMLSelectElement);

  constructor(exampleTokens: number | undefined, hooks: TextPanelHooks) {
    if (exampleTokens !== undefined) {
      const value = String(exampleTokens);
      if (![...this.#tokens.options].some((option) => option.value === value)) this.#tokens.add(new Option(`${count(exampleTokens)} tokens`, value));
      this.#tokens.value = value;
    }
    this.#area.oninput = hooks.onChange;
    byId("fill-example", HTMLButtonElement).onclick = () => hooks.onExample(this.exampleTokens);
    byId("clear-text", HTMLButtonElement).onclick = () => {
      this.text = "";
      this.#area.focus();
      hooks.onChange();
    };
    const file = byId("text-file", HTMLInputElement);
    byId("open-text", HTMLButtonElement).onclick = () => file.click();
    file.onchange = () => {
      const [chosen] = file.files ?? [];
      file.value = "";
      if (chosen !== undefined) hooks.onFile(chosen);
    };
  }

  get text(): string {
    return this.#area.value;
  }

  set text(text: string) {
    this.#area.value = text;
    this.#area.scrollTop = 0;
  }

  get exampleTokens(): number {
    return Number(this.#tokens.value);
  }

  /** @param tokens undefined while they are not counted */
  showSize(tokens: number | undefined, room: { readonly contextLength: number; readonly blockSize: number } | undefined): void {
    delete this.#size.dataset["over"];
    if (this.text === "") this.#size.textContent = "No text yet";
    else if (tokens === undefined || room === undefined) this.#size.textContent = plural(this.text.length, "character");
    else if (tokens > room.contextLength) {
      this.#size.dataset["over"] = "";
      this.#size.textContent = `${count(tokens)} tokens, more than the ${count(room.contextLength)} that the model was loaded with room for`;
    } else this.#size.textContent = `${plural(tokens, "token")}, ${plural(Math.ceil(tokens / room.blockSize), "block")}`;
  }
}
