/** One backend, one model on it, and the conversation whose tokens its cache holds. */
import { demoText, hideFact } from "@infllm/demo-text";
import { loadModel } from "@infllm/model";
import type { Model, ModelBackend, Session } from "@infllm/model";
import { DeviceLostError, UsageError } from "@infllm/tensor";
import type { BackendChoice, Calls, CallName, Example, ExampleArgs, LoadArgs, LoadedModel, LoadProgress } from "../engine/protocol.ts";
import { answer, blockSize, promptIds } from "./answer.ts";
import { compare } from "./compare.ts";
import { forget, listKept } from "./kept-models.ts";
import { openBackend } from "./open-backend.ts";
import { openSource } from "./open-source.ts";

interface Context<Name extends CallName> {
  readonly args: Calls[Name]["args"];
  readonly emit: (event: Calls[Name]["event"]) => void;
  readonly signal: AbortSignal;
}

export type Handlers = { readonly [Name in CallName]: (context: Context<Name>) => Promise<Calls[Name]["result"]> };

interface Running {
  readonly model: Model;
  readonly session: Session;
}

export class Runtime {
  #backend: { readonly choice: BackendChoice; readonly backend: ModelBackend; readonly notice: string | undefined } | undefined;
  #running: Running | undefined;

  readonly handlers: Handlers = {
    load: ({ args, emit, signal }) => this.#load(args, emit, signal),
    ask: ({ args, emit, signal }) => this.#guarded(({ model, session }) => answer(model, session, args, emit, signal)),
    compare: ({ args, emit, signal }) => this.#guarded(({ model, session }) => compare(model, session, args, emit, signal)),
    example: ({ args }) => this.#guarded(({ model }) => example(model, args)),
    count: async ({ args }) => this.#need().model.tokenizer.encode(args.text, { special: false }).length,
    kept: () => listKept(),
    forget: async ({ args }) => {
      await forget(args.name);
      return undefined;
    },
  };

  async #load({ source, backend: choice, contextLength, weights }: LoadArgs, emit: (progress: LoadProgress) => void, signal: AbortSignal): Promise<LoadedModel> {
    await this.#unload();
    if (this.#backend?.choice !== choice) await this.#closeBackend();
    this.#backend ??= { choice, ...(await openBackend(choice)) };
    const { backend, notice } = this.#backend;
    const opened = await openSource(source, { signal, onProgress: emit });
    const model = await this.#closingLost(() =>
      // A model without sparse attention of its own gets MiniCPM4's numbers: it needs no other weights for it.
      loadModel(opened.files, { backend, contextLength, weights, sparse: {}, signal, onProgress: emit }),
    );
    this.#running = { model, session: model.createSession() };
    return describe(model, [notice, opened.notice].filter((one) => one !== undefined));
  }

  async #guarded<Result>(work: (running: Running) => Promise<Result>): Promise<Result> {
    const running = this.#need();
    return this.#closingLost(() => work(running));
  }

  /** What is on a lost device is gone; the next load starts with a fresh one. */
  async #closingLost<Result>(work: () => Promise<Result>): Promise<Result> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof DeviceLostError) {
        this.#running = undefined;
        await this.#closeBackend();
      }
      throw error;
    }
  }

  #need(): Running {
    if (this.#running === undefined) throw new UsageError("No model is loaded. Load one first.");
    return this.#running;
  }

  async #unload(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.model.close();
  }

  async #closeBackend(): Promise<void> {
    const opened = this.#backend;
    this.#backend = undefined;
    await opened?.backend.close();
  }
}

function describe(model: Model, notices: readonly string[]): LoadedModel {
  const { description, backend, contextLength, cacheBytes } = model;
  const { parameters, layers, kvHeads, name, sparse } = description;
  return {
    name,
    parameters,
    layers,
    kvHeads,
    contextLength,
    cacheBytes,
    blockSize: blockSize(model),
    denseLen: sparse?.denseLen ?? 0,
    backend: {
      name: backend.name,
      description: backend.capabilities.description,
      limitations: backend.capabilities.limitations,
    },
    notices,
  };
}

async function example(model: Model, { tokens, seed }: ExampleArgs): Promise<Example> {
  const { tokenizer } = model;
  const codec = {
    encode: (part: string) => tokenizer.encode(part, { special: false }),
    decode: (ids: readonly number[]) => tokenizer.decode(ids),
  };
  const around = promptIds(model, "", "").length;
  const fact = hideFact(codec, { text: await demoText(), tokens: tokens - around, depth: 0.5, seed });
  return { text: fact.passage, question: fact.question, expected: fact.expected };
}
