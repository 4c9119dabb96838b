/** The same weights under one method after the other; one model is loaded at a time. */
import type { MinferenceMethod } from "@infllm/attention/methods";
import type { ModelBackend } from "@infllm/command";
import { loadModel, type Model } from "@infllm/model";
import { bookIds } from "./book.ts";
import type { MethodChoice } from "./methods.ts";

export interface MethodModelsOptions {
  readonly backend: ModelBackend;
  readonly contextLength: number;
  /** Model of a method; most run the same. */
  source(choice: MethodChoice): string;
}

/**
 * Tokens of the text on which a method looks for its patterns, once, before its first answer, whatever is read later. Of the
 * embedded model at 8k tokens under MInference, patterns found on 8,192 tokens predict no better: 4.245 nats a token
 * against 4.242.
 */
const searchTokens = 4096;

export class MethodModels {
  #loaded: { readonly label: string; readonly model: Model } | undefined;

  constructor(readonly options: MethodModelsOptions) {}

  /** The model under this method. The one before it is closed. */
  async get(choice: MethodChoice, signal?: AbortSignal): Promise<Model> {
    if (this.#loaded?.label === choice.label) return this.#loaded.model;
    await this.close();
    const { backend, contextLength, source } = this.options;
    const searched = isSearched(choice.method);
    const room = searched ? Math.max(contextLength, searchTokens) : contextLength;
    const model = await loadModel(source(choice), { backend, contextLength: room, method: choice.method, kvCache: choice.kvCache, signal });
    this.#loaded = { label: choice.label, model };
    if (searched) await search(model, signal);
    return model;
  }

  async close(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    await loaded?.model.close();
  }
}

/** Whether a method looks for patterns on the first long text it reads. */
function isSearched(method: MethodChoice["method"]): method is MinferenceMethod {
  return "found" in method;
}

/** Reads one fixed text, so that patterns depend on neither the order of samples nor on where a run was resumed. */
async function search(model: Model, signal: AbortSignal | undefined): Promise<void> {
  const ids = await bookIds(model, { length: searchTokens, seed: 0 });
  await model.score(ids, { positions: [ids.length - 1], signal });
}
