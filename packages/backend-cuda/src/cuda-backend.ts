/** The backend over one NVIDIA GPU: binds the ops to one machine. */
import { ConfigError } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, MemoryUse, NeuralOps, WeightDType } from "@infllm/tensor";
import type { LayerCacheShape, SelectionOps } from "@infllm/block-selection";
import type { AttentionBackend, AttentionOps } from "@infllm/attention";
import { capabilitiesOf } from "./capabilities.ts";
import { ownTensor } from "./checks.ts";
import { Context } from "./context.ts";
import { closeCublasLt, cublasLtBytes } from "./cublaslt.ts";
import { CudaCache, cacheBytes } from "./cuda-cache.ts";
import { CudaTensor } from "./cuda-tensor.ts";
import { CudaWeight } from "./cuda-weight.ts";
import { loadDriver } from "./driver.ts";
import type { Driver } from "./driver.ts";
import { appendAndCompress } from "./launch/append-compress.ts";
import { appendKv } from "./launch/append-kv.ts";
import { attendBlocks } from "./launch/attend-blocks.ts";
import { attendDense } from "./launch/attend-dense.ts";
import { compressKeys } from "./launch/compress-keys.ts";
import { embed } from "./launch/embed.ts";
import { gatedLinear } from "./launch/gated-linear.ts";
import { linear } from "./launch/linear.ts";
import { addLinear, normGatedLinear, normLinear, suitsFused } from "./launch/linear-whole.ts";
import { readCache } from "./launch/read-cache.ts";
import { rmsNorm } from "./launch/rms-norm.ts";
import { rotate } from "./launch/rotate.ts";
import { sample } from "./launch/sample.ts";
import { selectBlocks } from "./launch/select-blocks.ts";
import { swiglu } from "./launch/swiglu.ts";
import { Machine } from "./machine.ts";
import { MemoryPool } from "./memory-pool.ts";
import { KernelModules, readKernels } from "./module.ts";
import type { KernelFile } from "./module.ts";
import { describePaths } from "./paths.ts";
import type { AttentionShape, PathReport } from "./paths.ts";
import { Recorder } from "./recorder.ts";
import { Stream } from "./stream.ts";

export interface CudaOptions {
  /** Which GPU, counted from 0 as the driver orders them; 0 when absent. */
  readonly device?: number;
  /** Bytes that tensors, weights, caches and scratch may take together; all free memory when absent. */
  readonly memoryLimit?: number;
  /** The type of activations and of the KV cache: `bf16` when absent. */
  readonly activation?: "bf16" | "f16";
  /**
   * For comparison only; true when absent. False lets prefill on the `hopper` path write every head's scores to device
   * memory (up to 2 GiB of scratch) and sum them over the heads of a group afterwards, which is slower and selects the
   * same blocks. Other paths are not affected.
   */
  readonly headGroupFusion?: boolean;
}

export type CudaBackend = AttentionBackend & {
  readonly neural: NeuralOps;
  /** The kernels that a model of this shape gets, op by op. */
  paths(shape: AttentionShape): PathReport[];
  /** Allocations not given back: 0 after `close`. */
  allocations(): number;
};

/**
 * Opens one GPU.
 * @throws NotAvailableError (no koffi, driver, GPU or built kernels; the message says what to install), ConfigError
 */
export async function cudaBackend(options: CudaOptions = {}): Promise<CudaBackend> {
  return openBackend(await loadDriver(), await readKernels(), options);
}

/** The same with a driver and kernels of the caller's. */
export function openBackend(driver: Driver, kernels: KernelFile, options: CudaOptions): CudaBackend {
  const { device = 0, activation = "bf16", headGroupFusion = true } = options;
  if (!Number.isInteger(device) || device < 0) throw new ConfigError(`cudaBackend: device is ${device}; it must be 0 or a positive integer.`);
  if (activation !== "bf16" && activation !== "f16") {
    throw new ConfigError(`cudaBackend: activation is ${JSON.stringify(activation)}; it must be "bf16" or "f16".`);
  }
  if (typeof headGroupFusion !== "boolean") {
    throw new ConfigError(`cudaBackend: headGroupFusion is ${JSON.stringify(headGroupFusion)}; it must be true or false.`);
  }
  const context = Context.open(driver, device);
  const pool = openOr(() => new MemoryPool(context, options.memoryLimit), () => context.close());
  const stream = openOr(() => new Stream(context), () => context.close());
  const close = (): void => {
    stream.release();
    pool.close();
    context.close();
  };
  const open = (): Machine => new Machine(context, pool, stream, new KernelModules(context, kernels), activation, headGroupFusion);
  return openOr(() => bindOps(open()), close);
}

function openOr<Result>(open: () => Result, undo: () => void): Result {
  try {
    return open();
  } catch (error) {
    undo();
    throw error;
  }
}

function bindOps(machine: Machine): CudaBackend {
  const { context, pool, stream } = machine;
  const recorder = new Recorder(machine);
  let closed = false;
  const bind =
    <Args>(op: (machine: Machine, args: Args) => void) =>
    (args: Args): void => {
      context.use();
      op(machine, args);
    };
  const neural: NeuralOps = {
    allocateWeight(rows: number, columns: number, dtype: WeightDType) {
      context.use();
      return new CudaWeight(machine, rows, columns, dtype);
    },
    embed: bind(embed),
    rmsNorm: bind(rmsNorm),
    linear: bind(linear),
    gatedLinear: bind(gatedLinear),
    fused: {
      suits: (weight, rows) => suitsFused(machine, weight, rows),
      normLinear: bind(normLinear),
      normGatedLinear: bind(normGatedLinear),
      addLinear: bind(addLinear),
    },
    rotate: bind(rotate),
    swiglu: bind(swiglu),
    sample: bind(sample),
  };
  const selection: SelectionOps = {
    allocateCache(shape: LayerCacheShape) {
      context.use();
      return new CudaCache(machine, shape);
    },
    cacheBytes: (shape) => cacheBytes(machine, shape),
    appendKv: bind(appendKv),
    compressKeys: bind(compressKeys),
    appendAndCompress: bind(appendAndCompress),
    selectBlocks: bind(selectBlocks),
    async readCache(...args: Parameters<SelectionOps["readCache"]>) {
      recorder.useNow("readCache");
      // Blocks, so that nothing is enqueued between its several copies.
      stream.drain();
      return readCache(machine, ...args);
    },
  };
  const attention: AttentionOps = { attendDense: bind(attendDense), attendBlocks: bind(attendBlocks) };

  return {
    name: "cuda",
    capabilities: capabilitiesOf(machine),
    neural,
    selection,
    attention,
    paths: (shape) => describePaths(machine, shape),
    allocations: () => pool.allocations,
    allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
      context.use();
      return CudaTensor.allocate(machine, dtype, shape);
    },
    write(tensor: DeviceTensor, data: HostArray, rowOffset = 0): void {
      recorder.useNow("write");
      ownTensor(machine, "write: tensor", tensor).write(data, rowOffset);
      machine.interrupted();
    },
    uploadMemory(bytes: number) {
      context.use();
      return stream.lend(bytes);
    },
    async read(tensor: DeviceTensor): Promise<HostArray> {
      recorder.useNow("read");
      return ownTensor(machine, "read: tensor", tensor).toHost();
    },
    record: (step) => recorder.record(step),
    measure: (pieces) => recorder.measure(pieces),
    async sync(): Promise<void> {
      recorder.useNow("sync");
      await stream.finish();
    },
    memory(): MemoryUse {
      context.use();
      return { ...pool.use(), scratch: machine.scratchBytes + cublasLtBytes(machine), recorded: recorder.bytes, staging: stream.pinnedBytes };
    },
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      const recalled = stream.recall();
      if (recalled !== undefined) await recalled;
      if (!context.lost) {
        context.use();
        try {
          stream.drain();
        } catch {
          // A fault in the last ops changes nothing about releasing what there is.
        }
      }
      recorder.close();
      closeCublasLt(machine);
      machine.modules.close();
      stream.release();
      pool.close();
      context.close();
    },
  };
}
