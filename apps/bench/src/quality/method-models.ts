/** The same weights under one method after the other; one model is loaded at a time. */
import type { ModelBackend } from "@infllm/command";
import { loadModel, type Model } from "@infllm/model";
import type { MethodChoice } from "./methods.ts";

export interface MethodModelsOptions {
  readonly backend: ModelBackend;
  readonly contextLength: number;
  /** Model of a method; most run the same. */
  source(choice: MethodChoice): string;
}

export class MethodModels {
  #loaded: { readonly label: string; readonly model: Model } | undefined;

  constructor(readonly options: MethodModelsOptions) {}

  /** The model under this method. The one before it is closed. */
  async get(choice: MethodChoice, signal?: AbortSignal): Promise<Model> {
    if (this.#loaded?.label === choice.label) return this.#loaded.model;
    await this.close();
    const { backend, contextLength, source } = this.options;
    const model = await loadModel(source(choice), { backend, contextLength, method: choice.method, signal });
    this.#loaded = { label: choice.label, model };
    return model;
  }

  async close(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    await loaded?.model.close();
  }
}
