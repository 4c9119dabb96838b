/** What the page asks of the worker that runs the model, and what it hears back. */
import type { GenerateStats, Selection } from "@infllm/model";

export type BackendChoice = "auto" | "webgpu" | "cpu";
export type Attention = "auto" | "dense" | "sparse";

/** How weight matrices are held: as stored, or converted while they load. */
export type WeightsChoice = "stored" | "q8_0" | "q4_0";

export type ModelSource =
  | { readonly kind: "embedded" }
  /** `hf:org/name…` or the URL of a GGUF file. */
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "files"; readonly name: string; readonly files: ReadonlyMap<string, File> };

export interface LoadArgs {
  readonly source: ModelSource;
  readonly backend: BackendChoice;
  /** Tokens; the model's default when absent. */
  readonly contextLength?: number | undefined;
  readonly weights: WeightsChoice;
}

export interface LoadProgress {
  readonly stage: "download" | "weights";
  readonly name: string;
  /** Bytes. */
  readonly done: number;
  /** 0 where a server does not say. */
  readonly total: number;
}

export interface LoadedModel {
  readonly name: string;
  readonly parameters: number;
  readonly layers: number;
  readonly kvHeads: number;
  readonly contextLength: number;
  /** Bytes of the KV cache, all of which is allocated. */
  readonly cacheBytes: number;
  /** Tokens. */
  readonly blockSize: number;
  readonly denseLen: number;
  readonly backend: {
    readonly name: string;
    readonly description: string;
    readonly limitations: readonly string[];
  };
  /** What the visitor should know: why not WebGPU, why not kept for offline use. */
  readonly notices: readonly string[];
}

export interface AskArgs {
  readonly text: string;
  readonly question: string;
  readonly attention: Attention;
}

export type AskEvent =
  /** Before anything is read: the prompt's text, block by block. */
  | { readonly type: "prompt"; readonly tokens: number; readonly blocks: readonly string[] }
  | {
      readonly type: "read";
      /** Tokens taken from the cache. */
      readonly cached: number;
      readonly processed: number;
      readonly total: number;
      readonly seconds: number;
    }
  | { readonly type: "piece"; readonly text: string }
  | { readonly type: "seen"; readonly seen: Seen };

/** What the last query attended to. */
export interface Seen {
  /** Tokens up to and with the query. */
  readonly length: number;
  /** Undefined when the query read everything. */
  readonly selection: Selection | undefined;
}

export interface Answer {
  readonly text: string;
  readonly stats: GenerateStats;
  readonly seen: Seen;
  /** The prompt's and the answer's text, block by block. */
  readonly blocks: readonly string[];
}

export interface CompareArgs {
  readonly text: string;
  readonly question: string;
}

export type CompareEvent =
  | { readonly type: "warming" }
  | { readonly type: "side"; readonly side: "dense" | "sparse"; readonly event: AskEvent };

export interface Comparison {
  readonly dense: Answer;
  readonly sparse: Answer;
}

export interface ExampleArgs {
  /** Tokens of the prompt that the example will make. */
  readonly tokens: number;
  readonly seed: number;
}

export interface Example {
  readonly text: string;
  readonly question: string;
  /** The hidden sentence, and the right answer. */
  readonly expected: string;
}

export interface KeptModel {
  readonly name: string;
  readonly bytes: number;
}

/** Every call with its arguments, its events while it runs, and its result. */
export interface Calls {
  load: { args: LoadArgs; event: LoadProgress; result: LoadedModel };
  ask: { args: AskArgs; event: AskEvent; result: Answer };
  compare: { args: CompareArgs; event: CompareEvent; result: Comparison };
  example: { args: ExampleArgs; event: never; result: Example };
  /** Tokens of a text. */
  count: { args: { readonly text: string }; event: never; result: number };
  kept: { args: undefined; event: never; result: readonly KeptModel[] };
  forget: { args: { readonly name: string }; event: never; result: undefined };
}

export type CallName = keyof Calls;

export type ToWorker =
  | { [Name in CallName]: { readonly call: Name; readonly id: number; readonly args: Calls[Name]["args"] } }[CallName]
  | { readonly call: "stop"; readonly id: number };

/** An error as it crosses from the worker: classes do not survive, names do. */
export interface Failure {
  readonly name: string;
  readonly message: string;
}

export type FromWorker =
  | { readonly type: "event"; readonly id: number; readonly event: unknown }
  | { readonly type: "result"; readonly id: number; readonly result: unknown }
  | { readonly type: "failure"; readonly id: number; readonly failure: Failure };
