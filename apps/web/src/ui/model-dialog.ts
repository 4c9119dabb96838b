/** Where the model comes from, what it runs on, and which models are kept in this browser. */
import { formatBytes } from "@infllm/tensor";
import type { KeptModel, LoadedModel, ModelSource } from "../engine/protocol.ts";
import { backendOf, numberOf, weightsOf } from "../settings.ts";
import type { Settings } from "../settings.ts";
import { sort } from "./dropped-files.ts";
import type { Dropped } from "./dropped-files.ts";
import { byId, make } from "./elements.ts";
import { count, parameters } from "./numbers.ts";

export interface ModelDialogHooks {
  readonly onChoose: (source: ModelSource) => void;
  readonly onPick: (picked: Dropped) => void;
  readonly onSettings: (settings: Settings) => void;
  readonly listKept: () => Promise<readonly KeptModel[]>;
  readonly forget: (name: string) => Promise<unknown>;
}

export class ModelDialog {
  readonly #dialog = byId("models", HTMLDialogElement);
  readonly #hooks: ModelDialogHooks;

  constructor(settings: Settings, hooks: ModelDialogHooks) {
    this.#hooks = hooks;
    byId("open-models", HTMLButtonElement).onclick = () => this.open();
    byId("close-models", HTMLButtonElement).onclick = () => this.#dialog.close();
    // A click outside lands on the dialog itself, whose content covers all of its inside.
    this.#dialog.onclick = (event) => {
      if (event.target === this.#dialog) this.#dialog.close();
    };
    byId("load-embedded", HTMLButtonElement).onclick = () => this.#choose({ kind: "embedded" });
    byId("load-name-form", HTMLFormElement).onsubmit = (event) => {
      event.preventDefault();
      const name = byId("model-source", HTMLInputElement).value.trim();
      if (name !== "") this.#choose(namedSource(name));
    };
    this.#picker("pick-model-file", "model-file");
    this.#picker("pick-model-folder", "model-folder");
    this.#settings(settings);
  }

  open(): void {
    this.#dialog.showModal();
    void this.#showKept();
  }

  /** What is loaded, and what limits it. */
  about(model: LoadedModel | undefined): void {
    const about = byId("about", HTMLDivElement);
    about.hidden = model === undefined;
    if (model === undefined) return;
    const lines = [
      `Loaded: ${model.name}, ${parameters(model.parameters)}, ${count(model.contextLength)} tokens of context with a KV cache of ${formatBytes(model.cacheBytes)}; sparse from ${count(model.denseLen)} tokens on.`,
      `Runs on ${model.backend.name}: ${model.backend.description}.`,
      ...model.backend.limitations,
      ...model.notices,
    ];
    about.replaceChildren(...lines.map((line) => make("p", {}, line)));
  }

  #choose(source: ModelSource): void {
    this.#dialog.close();
    this.#hooks.onChoose(source);
  }

  #picker(button: string, input: string): void {
    const picker = byId(input, HTMLInputElement);
    byId(button, HTMLButtonElement).onclick = () => picker.click();
    picker.onchange = () => {
      const files = [...(picker.files ?? [])].filter(liesOnTop);
      picker.value = "";
      this.#dialog.close();
      void sort(files).then((picked) => this.#hooks.onPick(picked));
    };
  }

  #settings(settings: Settings): void {
    const backend = byId("backend", HTMLSelectElement);
    const context = byId("context", HTMLSelectElement);
    backend.value = settings.backend;
    const length = settings.contextLength === undefined ? "" : String(settings.contextLength);
    if (![...context.options].some(({ value }) => value === length)) context.add(new Option(`${count(Number(length))} tokens`, length));
    context.value = length;
    const weights = byId("weights", HTMLSelectElement);
    weights.value = settings.weights;
    const changed = (): void => {
      this.#hooks.onSettings({
        backend: backendOf(backend.value),
        contextLength: numberOf(context.value),
        weights: weightsOf(weights.value),
      });
    };
    for (const select of [backend, context, weights]) select.onchange = changed;
  }

  async #showKept(): Promise<void> {
    const kept = await this.#hooks.listKept().catch(() => []);
    byId("kept", HTMLDivElement).hidden = kept.length === 0;
    byId("kept-list", HTMLUListElement).replaceChildren(...kept.map((model) => this.#keptLine(model)));
  }

  #keptLine({ name, bytes }: KeptModel): HTMLElement {
    const embedded = name.startsWith("embedded");
    const label = make("span", { title: name }, `${embedded ? "Embedded model" : name}, ${formatBytes(bytes)}`);
    const line = make("li", {}, label);
    const load = make("button", { class: "quiet", type: "button", "aria-label": `Load ${name}` }, "Load");
    load.onclick = () => this.#choose(embedded ? { kind: "embedded" } : { kind: "name", name });
    const remove = make("button", { class: "quiet", type: "button", "aria-label": `Remove ${name} from this browser` }, "Remove");
    remove.onclick = async () => {
      await this.#hooks.forget(name);
      await this.#showKept();
    };
    line.append(load, remove);
    return line;
  }
}

/** A bare `org/name` means the hub: a page has no folders that could be meant. */
export function namedSource(name: string): ModelSource {
  if (name === "embedded") return { kind: "embedded" };
  return { kind: "name", name: /^[\w.-]+\/[\w.-]+([/:@].*)?$/.test(name) ? `hf:${name}` : name };
}

function liesOnTop({ name, webkitRelativePath }: File): boolean {
  return webkitRelativePath.split("/").length <= 2 && !name.startsWith(".");
}
