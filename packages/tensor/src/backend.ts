/**
 * The contract between models and devices.
 *
 * A backend owns memory and runs ops on it. Ops are enqueued in order and may run later; only `read` and `sync`
 * wait. Every op writes into tensors that the caller allocated, so a step allocates nothing and can be recorded.
 * Whatever changes between two decode steps (token ids, positions, lengths) is read from device memory.
 *
 * Ops come in groups: `neural` here, `selection` in `@infllm/block-selection`, `attention` in `@infllm/attention`.
 * A backend may fulfil some of them only; `capabilities.ops` says which, and shared code reads that, never `name`.
 */
import type { CacheDType, DType, FloatDType, WeightDType } from "./dtype.ts";
import type { NeuralOps } from "./neural-ops.ts";

export type OpGroup = "neural" | "selection" | "attention";

export interface Capabilities {
  readonly ops: readonly OpGroup[];
  /** The type of activations: q, k, v, hidden states. Logits and sampling settings are always f32. */
  readonly activation: FloatDType;
  /** Types a `WeightMatrix` may be stored as, best first for weights that arrive in another type. */
  readonly weights: readonly WeightDType[];
  /** Types of a KV cache, the default first. */
  readonly kvCache: readonly CacheDType[];
  /** Allowed head_dim: from `min` to `max` in steps of `multipleOf`. */
  readonly headDim: { readonly min: number; readonly max: number; readonly multipleOf: number };
  /** Query rows a prefill should pass at once for good speed. */
  readonly prefillRows: number;
  /**
   * Do ops run after they were enqueued, and does `read` take what is enqueued before it whatever is enqueued while it
   * waits? Then a step may be enqueued while the one before runs; otherwise there is nothing to gain.
   */
  readonly runsLater?: boolean;
  /** One line for people: device, threads, instruction set. */
  readonly description: string;
  /** What this instance runs slower or cannot use, and what would change that; empty when nothing was lost. */
  readonly limitations: readonly string[];
}

/** Bytes; `available` is what further allocations may take. */
export interface MemoryUse {
  readonly used: number;
  readonly available: number;
  /** Of `used`: temporary memory, kept for the ops to come. Absent where the backend cannot tell. */
  readonly scratch?: number;
  /** Of `used`: what recorded steps hold beside it until they are released. Absent where the backend cannot tell. */
  readonly recorded?: number;
  /** Host memory for copies, beside `used`. Absent where there is none. */
  readonly staging?: number;
}

/** A rectangle of a tensor: rows `[from, to)` of the first axis, columns `[from, to)` of the flattened rest. */
export interface Region {
  readonly rows?: readonly [from: number, to: number];
  readonly columns?: readonly [from: number, to: number];
}

/**
 * Memory on a device, row-major. `shape[0]` counts rows; a row is the product of the other axes. Views made with
 * `view` share memory; a column view has `rowStride` larger than its row.
 */
export interface DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Elements from the start of one row to the start of the next. */
  readonly rowStride: number;
  /** A window onto the same memory, of shape `[rows, columns]`. Releasing a view does nothing. */
  view(region: Region): DeviceTensor;
  release(): void;
}

/** A weight matrix `[rows, columns]` (`[out, in]`, as checkpoints store it) in a layout private to the backend. */
export interface WeightMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly dtype: WeightDType;
  readonly bytes: number;
  /**
   * Stores whole rows of little-endian `dtype` data from row `from` on. Rows may come in any order and amount. `data` may be
   * changed afterwards, unless it lies in `UploadMemory`.
   */
  writeRows(from: number, data: Uint8Array): void;
  release(): void;
}

/** Host memory that a device fetches from by itself. */
export interface UploadMemory {
  readonly bytes: Uint8Array;
  /** Resolves when all that was written from it has been fetched: only then may `bytes` change. @throws DeviceLostError */
  fetched(): Promise<void>;
  /** To be called when all was fetched, or the device lost; `bytes` must not be touched any more. */
  release(): void;
}

/** A sequence of ops that can be run again with whatever the device memory then holds. */
export interface RecordedStep {
  run(): void;
  release(): void;
}

export type HostArray = Float32Array | Int32Array | Uint32Array | Uint16Array | Uint8Array;

export interface Backend {
  /** `cpu`, `webgpu`, `cuda`, …: for people and logs only. */
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly neural?: NeuralOps;

  /** Uninitialised memory. @throws OutOfMemoryError with needed and available bytes. */
  allocate(dtype: DType, shape: readonly number[]): DeviceTensor;
  /** Copies host data (the dtype's own bits: f16 and bf16 as `Uint16Array`) in. Ordered with the ops around it. */
  write(tensor: DeviceTensor, data: HostArray, rowOffset?: number): void;
  /**
   * Memory to read files into: `write` and `writeRows` do not copy what lies in it, but let the device fetch it later. Absent
   * where a backend copies anyway. @throws OutOfMemoryError
   */
  uploadMemory?(bytes: number): UploadMemory;
  /** Waits for all ops before it and copies out, in the dtype's own bits. */
  read(tensor: DeviceTensor): Promise<HostArray>;
  /** Records the ops that `step` enqueues, without promising to run them; `run()` enqueues them. */
  record(step: () => void): RecordedStep;
  /**
   * Runs pieces of work one after the other and gives the seconds that the device spent on each: for profiles, since they do
   * not overlap as they would otherwise. What a piece enqueues must be such that it can be recorded. Absent where only the
   * host's clock can tell.
   */
  measure?(pieces: readonly (() => void)[]): Promise<readonly number[]>;
  /** Resolves when every op enqueued so far has finished. @throws DeviceLostError */
  sync(): Promise<void>;
  memory(): MemoryUse;
  /** Releases everything; any further use throws UsageError. Safe to call twice. */
  close(): Promise<void>;
}
