import { blockBudget } from "@infllm/block-selection";
import type { SparseConfig } from "@infllm/block-selection";
import { byteLength } from "@infllm/tensor";
import type { Backend, DType, DeviceTensor } from "@infllm/tensor";
import type { ModelConfig } from "../config/model-config.ts";

/** Buffers of one pass, sized for `rows` token rows and `logitRows` rows of logits. */
export interface Activations {
  /** i32 `[rows]` */
  readonly ids: DeviceTensor;
  /** The residual stream, `[rows, hidden]`. */
  readonly x: DeviceTensor;
  /** `[rows, hidden]` */
  readonly normed: DeviceTensor;
  /** `[rows, (heads + 2 * kvHeads) * headDim]`: q, k, v side by side. */
  readonly qkv: DeviceTensor;
  /** `[rows, heads * headDim]` */
  readonly attended: DeviceTensor;
  /** `[rows, hidden]`: what a block adds to the stream. */
  readonly delta: DeviceTensor;
  /** `[rows, 2 * intermediate]` */
  readonly gateUp: DeviceTensor;
  /** `[rows, intermediate]` */
  readonly gated: DeviceTensor;
  /** f32 `[logitRows, vocabulary]` */
  readonly logits: DeviceTensor;
  /** f32 `[logitRows, 4]`: see `SampleArgs`. */
  readonly settings: DeviceTensor;
  /** i32 `[logitRows]` */
  readonly sampled: DeviceTensor;
  /** i32 `[kvHeads, rows, budget]`, one for each layer; empty without a sparse config. */
  readonly blockIndices: readonly DeviceTensor[];
}

export interface ActivationSizes {
  readonly rows: number;
  readonly logitRows: number;
  readonly sparse: SparseConfig | undefined;
}

type Sized = readonly [dtype: DType, shape: readonly number[]];

function shapes(config: ModelConfig, activation: DType, { rows, logitRows, sparse }: ActivationSizes) {
  const { hidden, heads, kvHeads, headDim, intermediate, vocabulary } = config;
  const selected: Sized[] = Array.from({ length: sparse === undefined ? 0 : config.layers }, () => [
    "i32",
    [kvHeads, rows, sparse === undefined ? 0 : blockBudget(sparse)],
  ]);
  const single = {
    ids: ["i32", [rows]],
    x: [activation, [rows, hidden]],
    normed: [activation, [rows, hidden]],
    qkv: [activation, [rows, (heads + 2 * kvHeads) * headDim]],
    attended: [activation, [rows, heads * headDim]],
    delta: [activation, [rows, hidden]],
    gateUp: [activation, [rows, 2 * intermediate]],
    gated: [activation, [rows, intermediate]],
    logits: ["f32", [logitRows, vocabulary]],
    settings: ["f32", [logitRows, 4]],
    sampled: ["i32", [logitRows]],
  } satisfies Record<Exclude<keyof Activations, "blockIndices">, Sized>;
  return { single: single as Record<keyof typeof single, Sized>, selected };
}

export function activationBytes(config: ModelConfig, activation: DType, sizes: ActivationSizes): number {
  const { single, selected } = shapes(config, activation, sizes);
  const bytes = ([dtype, shape]: Sized) => byteLength(dtype, shape.reduce((product, axis) => product * axis, 1));
  return [...Object.values(single), ...selected].reduce((sum, sized) => sum + bytes(sized), 0);
}

/** @throws OutOfMemoryError; then nothing stays allocated */
export function allocateActivations(backend: Backend, config: ModelConfig, sizes: ActivationSizes) {
  const { single, selected } = shapes(config, backend.capabilities.activation, sizes);
  const owned: DeviceTensor[] = [];
  const release = () => {
    for (const tensor of owned.splice(0)) tensor.release();
  };
  const allocate = ([dtype, shape]: Sized): DeviceTensor => {
    const tensor = backend.allocate(dtype, shape);
    owned.push(tensor);
    return tensor;
  };
  try {
    const activations: Activations = {
      ids: allocate(single.ids),
      x: allocate(single.x),
      normed: allocate(single.normed),
      qkv: allocate(single.qkv),
      attended: allocate(single.attended),
      delta: allocate(single.delta),
      gateUp: allocate(single.gateUp),
      gated: allocate(single.gated),
      logits: allocate(single.logits),
      settings: allocate(single.settings),
      sampled: allocate(single.sampled),
      blockIndices: selected.map(allocate),
    };
    return { activations, release };
  } catch (error) {
    release();
    throw error;
  }
}
