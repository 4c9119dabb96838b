/** The page's logic: which call to the engine follows from what the visitor does, and what the page shows of it. */
import { formatBytes } from "@infllm/tensor";
import { Engine } from "./engine/engine.ts";
import type { Answer, AskEvent, Attention, Example, LoadedModel, LoadProgress, ModelSource } from "./engine/protocol.ts";
import { exampleSeed } from "./settings.ts";
import type { Settings } from "./settings.ts";
import { Answers, Turn } from "./ui/answers.ts";
import type { BlockPicture } from "./ui/block-picture.ts";
import { ComparisonTurn } from "./ui/comparison.ts";
import { count, duration, plural, rate } from "./ui/numbers.ts";
import type { Notices } from "./ui/notices.ts";
import type { RunStatus } from "./ui/run-status.ts";

/** The parts of the page that the logic speaks to. */
export interface Parts {
  readonly notices: Notices;
  readonly status: RunStatus;
  readonly picture: BlockPicture;
  /** A model was loaded, is being loaded, or is gone. */
  readonly onModel: (state: ModelState) => void;
  readonly onBusy: (busy: boolean) => void;
}

export type ModelState =
  | { readonly state: "none" | "loading" | "failed"; readonly source: ModelSource }
  | { readonly state: "ready"; readonly source: ModelSource; readonly model: LoadedModel };

export class App {
  readonly #engine = new Engine();
  readonly #answers = new Answers();
  readonly #parts: Parts;
  #settings: Settings;
  #model: ModelState = { state: "none", source: { kind: "embedded" } };
  /** The example on the page, whose answer is known. */
  #example: Example | undefined;
  #stop: AbortController | undefined;
  /** Settles once nothing runs. */
  #running: Promise<void> = Promise.resolve();

  constructor(parts: Parts, settings: Settings) {
    this.#parts = parts;
    this.#settings = settings;
  }

  /** @param source what to load once something is asked */
  start(source: ModelSource): void {
    this.#become({ state: "none", source });
  }

  set settings(settings: Settings) {
    this.#settings = settings;
  }

  get model(): LoadedModel | undefined {
    return this.#model.state === "ready" ? this.#model.model : undefined;
  }

  stop(): void {
    this.#stop?.abort();
  }

  /** Another model takes the place of whatever runs. */
  async load(source: ModelSource): Promise<void> {
    while (this.#stop !== undefined) {
      this.stop();
      await this.#running;
    }
    await this.#run(async (signal) => {
      await this.#load(source, signal);
    });
  }

  ask(text: string, question: string, attention: Attention): Promise<void> {
    return this.#run((signal) => this.#ask(text, question, attention, signal));
  }

  /** @param onReady takes the example's text and question */
  example(tokens: number, onReady: (example: Example) => void, attention?: Attention): Promise<void> {
    return this.#run(async (signal) => {
      await this.#loaded(signal);
      const example = await this.#engine.call("example", { tokens, seed: exampleSeed() }, { signal });
      this.#example = example;
      onReady(example);
      if (attention !== undefined) await this.#ask(example.text, example.question, attention, signal);
    });
  }

  compare(text: string, question: string): Promise<void> {
    return this.#run(async (signal) => {
      const model = await this.#loaded(signal);
      const turn = new ComparisonTurn(question);
      this.#answers.add(turn.element);
      const { expected } = this.#exampleOf(text, question) ?? {};
      try {
        const found = await this.#engine.call("compare", { text, question }, {
          signal,
          onEvent: (event) => {
            if (event.type === "warming") {
              turn.tell("Running both once on a short piece, so that neither pays for a cold start.");
              return;
            }
            turn.tell(event.side === "dense" ? "Dense first: every token reads every earlier one." : "Now sparse, on the same weights.");
            this.#hear(event.event, model, expected, (piece) => turn.write(event.side, piece));
          },
        });
        turn.show(found, expected);
        this.#finish(found.sparse, expected);
      } catch (error) {
        turn.tell(signal.aborted ? "Stopped." : "This did not work; the notice below says why.");
        throw error;
      } finally {
        turn.end();
      }
    });
  }

  /** Tokens of a text, where a model is there to count them. */
  async count(text: string): Promise<number | undefined> {
    if (this.model === undefined) return undefined;
    return this.#engine.call("count", { text }).catch(() => undefined);
  }

  listKept() {
    return this.#engine.call("kept", undefined);
  }

  forget(name: string) {
    return this.#engine.call("forget", { name });
  }

  /** One thing at a time: whatever runs can be stopped, and its errors are shown. */
  #run(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    if (this.#stop === undefined) this.#running = this.#runAlone(work);
    return this.#running;
  }

  async #runAlone(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { notices, status, onBusy } = this.#parts;
    const stop = new AbortController();
    this.#stop = stop;
    onBusy(true);
    notices.clear("error");
    try {
      await work(stop.signal);
      status.show("Ready");
    } catch (error) {
      status.show(stop.signal.aborted ? "Stopped" : "Something went wrong");
      if (!stop.signal.aborted) this.#fail(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#stop = undefined;
      status.phase("idle");
      onBusy(false);
    }
  }

  #fail(error: Error): void {
    const { notices } = this.#parts;
    const { source } = this.#model;
    const gone = error.name === "DeviceLostError" || error.name === "WorkerError";
    if (gone) this.#become({ state: "failed", source });
    if (this.#model.state === "ready") notices.fail("error", "That did not work", error);
    else notices.fail("error", gone ? "The model is gone" : "The model could not be loaded", error, { label: "Load again", run: () => void this.load(source) });
  }

  async #loaded(signal: AbortSignal): Promise<LoadedModel> {
    return this.model ?? this.#load(this.#model.source, signal);
  }

  async #load(source: ModelSource, signal: AbortSignal): Promise<LoadedModel> {
    const { status, notices } = this.#parts;
    this.#become({ state: "loading", source });
    notices.clear("backend");
    status.phase("loading");
    status.show("Starting", "", undefined);
    try {
      const model = await this.#engine.call("load", { source, ...this.#settings }, {
        signal,
        onEvent: (progress) => this.#showLoading(progress),
      });
      this.#become({ state: "ready", source, model });
      this.#showCache(model, 0);
      if (model.notices.length > 0) notices.say("backend", model.notices.join(" "));
      return model;
    } catch (error) {
      this.#become({ state: signal.aborted ? "none" : "failed", source });
      throw error;
    }
  }

  #become(state: ModelState): void {
    this.#model = state;
    this.#parts.onModel(state);
  }

  #showLoading({ stage, name, done, total }: LoadProgress): void {
    const verb = stage === "download" ? `Fetching ${name}` : "Loading the weights";
    if (total === 0) this.#parts.status.show(verb, formatBytes(done), undefined);
    else this.#parts.status.show(verb, `${formatBytes(done)} of ${formatBytes(total)}`, done / total);
  }

  async #ask(text: string, question: string, attention: Attention, signal: AbortSignal): Promise<void> {
    const model = await this.#loaded(signal);
    const turn = new Turn(question);
    this.#answers.add(turn.element);
    const { expected } = this.#exampleOf(text, question) ?? {};
    try {
      const answer = await this.#engine.call("ask", { text, question, attention }, {
        signal,
        onEvent: (event) => this.#hear(event, model, expected, (piece) => turn.said.write(piece)),
      });
      turn.said.end(answer.text);
      turn.tell(summary(answer), expected === undefined ? undefined : answer.text === expected);
      this.#finish(answer, expected);
    } catch (error) {
      turn.said.end();
      turn.tell(signal.aborted ? "Stopped." : "This did not work; the notice below says why.");
      throw error;
    }
  }

  #hear(event: AskEvent, model: LoadedModel, expected: string | undefined, onPiece: (piece: string) => void): void {
    const { status, picture } = this.#parts;
    if (event.type === "prompt") {
      status.phase("reading");
      status.show(`Reading ${plural(event.tokens, "token")}`);
      for (const figure of ["reading", "writing", "visible"] as const) status.figure(figure, "–");
      picture.begin(model, event.blocks, expected);
    } else if (event.type === "read") {
      const { cached, processed, total, seconds } = event;
      status.show(`Reading ${plural(cached + total, "token")}`, `${count(processed)} of ${count(total)}`, processed / total);
      status.figure("reading", rate(processed, seconds), reading(processed, cached));
      picture.read(cached + processed);
      this.#showCache(model, cached + processed);
    } else if (event.type === "piece") {
      status.phase("writing");
      status.show("Writing", "", 1);
      onPiece(event.text);
    } else {
      picture.see(event.seen);
      this.#showCache(model, event.seen.length);
      status.figure("visible", plural(visible(event.seen, model.blockSize), "token"), `of ${count(event.seen.length)}`);
    }
  }

  /** All of the cache is allocated at load; what grows is the part of it that holds tokens. */
  #showCache({ cacheBytes, contextLength }: LoadedModel, tokens: number): void {
    this.#parts.status.figure("cache", formatBytes(cacheBytes), `${count(tokens)} of ${count(contextLength)}`);
  }

  #finish({ stats, seen, blocks }: Answer, expected: string | undefined): void {
    const { status, picture } = this.#parts;
    picture.see(seen, blocks, expected);
    picture.suggest();
    const read = stats.promptTokens - stats.cachedTokens;
    status.figure("reading", rate(read, stats.prefillSeconds), reading(read, stats.cachedTokens));
    status.figure("writing", rate(stats.generatedTokens - 1, stats.decodeSeconds), plural(stats.generatedTokens, "token"));
    status.figure("visible", plural(stats.visibleTokens, "token"), `of ${count(seen.length)}`);
  }

  #exampleOf(text: string, question: string): Example | undefined {
    const example = this.#example;
    return example?.text === text && example.question === question ? example : undefined;
  }
}

function reading(tokens: number, cached: number): string {
  return cached === 0 ? plural(tokens, "token") : `${plural(tokens, "token")}, ${count(cached)} from the cache`;
}

/** Tokens that the busiest head read. */
function visible({ length, selection }: { readonly length: number; readonly selection: Answer["seen"]["selection"] }, blockSize: number): number {
  if (selection === undefined) return length;
  const blocks = Math.max(...selection.layers.flat().map((head) => head.length));
  return Math.min(length, (blocks - 1) * blockSize + (selection.position % blockSize) + 1);
}

function summary({ stats }: Answer): string {
  const { sparse, promptTokens, cachedTokens, prefillSeconds, stopReason, visibleTokens } = stats;
  const read = promptTokens - cachedTokens;
  const parts = [
    sparse ? "Sparse" : "Dense",
    `read ${plural(read, "token")} in ${duration(prefillSeconds)}${cachedTokens > 0 ? `, ${count(cachedTokens)} from the cache` : ""}`,
    `the last query saw ${count(visibleTokens)}`,
    ...(stopReason === "length" || stopReason === "context" ? ["cut off at the longest answer"] : []),
  ];
  return `${parts.join(" · ")}.`;
}
