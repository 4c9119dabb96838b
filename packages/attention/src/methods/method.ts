/**
 * Attention methods to compare with InfLLM-V2. A method says what the model must do for it (`model`), and, when it
 * computes attention itself, makes one `SequenceAttention` for every layer and sequence.
 */
import type { DeviceTensor } from "@infllm/tensor";
import type { SparseConfig } from "@infllm/block-selection";
import type { AttentionBackend } from "../contracts.ts";
import type { HostOps } from "../host-ops.ts";
import type { AttentionMode } from "../switch.ts";

export interface AttentionMethod {
  /** For people and logs. */
  readonly name: string;
  /** Every option with its value, as JSON: what a result must state to be repeated. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly model: ModelNeeds;
  /** Attention of one layer over one sequence, from its start. Absent: the backend's own ops do what `model` says. */
  readonly begin?: ((place: LayerPlace) => SequenceAttention) | undefined;
}

/** What a model does differently under a method. */
export interface ModelNeeds {
  /** Which of the model's attention ops are called: a method with `begin` stands in for the dense one. */
  readonly attention: AttentionMode;
  /** Changes to the model's sparse config. */
  readonly sparse?: Partial<SparseConfig> | undefined;
  /** Stretches the rotary embedding. */
  readonly yarn?: YarnScaling | undefined;
  /** The whole prompt is one chunk: its pattern depends on the prompt's end. */
  readonly wholePrompt?: boolean | undefined;
  /** Queries matter to later ones, so every layer attends for every row, and no cached prefix is taken up again. */
  readonly everyQuery?: boolean | undefined;
}

/** YaRN (arXiv 2309.00071): `factor` times the `originalContext` tokens that the weights were trained for. */
export interface YarnScaling {
  readonly factor: number;
  readonly originalContext: number;
  readonly betaFast: number;
  readonly betaSlow: number;
}

/** A backend that methods with `begin` can run on. */
export type HostSteeredBackend = AttentionBackend & { readonly host: HostOps };

/** The rotation that q and k have when attention gets them: element i pairs with i + frequencies.length. */
export interface Rotation {
  /** f32 `[rotaryDim / 2]`, radians per position */
  readonly frequencies: Float32Array;
}

export interface LayerPlace {
  readonly backend: HostSteeredBackend;
  /** 0-based */
  readonly layer: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Most tokens that the sequence may have. */
  readonly contextLength: number;
  readonly rotation: Rotation;
}

/** New rows of one sequence, all at consecutive positions. */
export interface AttendStep {
  /** Position of the first row: how many tokens came before. */
  readonly first: number;
  readonly rows: number;
  /** f32 `[rows, heads * headDim]`, after RoPE */
  readonly q: DeviceTensor;
  /** f32 `[contextLength, kvHeads * headDim]`, after RoPE; rows 0 … first + rows − 1 are filled. */
  readonly k: DeviceTensor;
  readonly v: DeviceTensor;
  readonly scale: number;
  /** `[rows, heads * headDim]` */
  readonly out: DeviceTensor;
  /** Full attention of these rows to `out`, by the backend's own op. */
  attendDense(out: DeviceTensor): void;
}

export interface SequenceAttention {
  /** Rows come in order; when some are taken back, `first` is smaller than before (never with `everyQuery`). */
  attend(step: AttendStep): void;
  /** Gives device memory back. */
  release(): void;
}
