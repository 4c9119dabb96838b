/** The backend over one WebGPU device: binds the ops to one machine. */
import { ConfigError, NotAvailableError } from "@infllm/tensor";
import type { DType, DeviceTensor, HostArray, MemoryUse, NeuralOps, WeightDType } from "@infllm/tensor";
import type { LayerCacheShape, SelectionOps } from "@infllm/block-selection";
import type { AttentionBackend, AttentionOps } from "@infllm/attention";
import { BufferPool } from "./buffer-pool.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { ownTensor } from "./checks.ts";
import { Context } from "./context.ts";
import { hasSubgroupMatrix, openDevice } from "./device.ts";
import type { DeviceOptions } from "./device.ts";
import { isSoftware } from "./gpu.ts";
import { appendKv } from "./launch/append-kv.ts";
import { attendBlocks } from "./launch/attend-blocks.ts";
import { attendDense } from "./launch/attend-dense.ts";
import { compressKeys } from "./launch/compress-keys.ts";
import { embed } from "./launch/embed.ts";
import { linear } from "./launch/linear.ts";
import { readCache } from "./launch/read-cache.ts";
import { rmsNorm } from "./launch/rms-norm.ts";
import { rotate } from "./launch/rotate.ts";
import { sample } from "./launch/sample.ts";
import { selectBlocks } from "./launch/select-blocks.ts";
import { swiglu } from "./launch/swiglu.ts";
import { Machine } from "./machine.ts";
import { Profiler } from "./profiler.ts";
import type { KernelTime } from "./profiler.ts";
import { Readback } from "./readback.ts";
import { Recorder } from "./recorder.ts";
import { WebGpuCache, cacheBytes } from "./webgpu-cache.ts";
import { WebGpuTensor } from "./webgpu-tensor.ts";
import { WebGpuWeight } from "./webgpu-weight.ts";

export interface WebGpuOptions extends DeviceOptions {
  /** The type of activations and, by default, of the KV cache: `auto`, f16 where the GPU computes with it, when absent. */
  readonly activation?: "auto" | "f32" | "f16" | undefined;
  /** Bytes that tensors, weights, caches and scratch may take together; what the device gives when absent. */
  readonly memoryLimit?: number | undefined;
}

export type WebGpuBackend = AttentionBackend & {
  readonly neural: NeuralOps;
  /** What the GPU is: name, and the WebGPU features in use. */
  readonly device: { readonly name: string; readonly features: readonly string[] };
  /** Buffers on the device now: 0 after `close`. */
  buffers(): number;
  /**
   * GPU time by kernel of what `work` enqueues, longest first. Each launch is timed alone, so the sum exceeds what the
   * same work takes otherwise; with `byKernel` false it is one sum of the launches as they follow each other.
   * @throws NotAvailableError where the GPU has no timestamps
   */
  profile(work: () => void | Promise<void>, options?: { readonly byKernel?: boolean }): Promise<readonly KernelTime[]>;
};

/**
 * Opens a GPU: the browser's, in Node the one that Dawn finds, or the caller's own adapter or device.
 * @throws NotAvailableError (no WebGPU, no GPU, no package `webgpu` in Node; the message says what helps), ConfigError
 */
export async function webgpuBackend(options: WebGpuOptions = {}): Promise<WebGpuBackend> {
  const { activation = "auto", memoryLimit } = options;
  if (!["auto", "f32", "f16"].includes(activation)) {
    throw new ConfigError(`webgpuBackend: activation is ${JSON.stringify(activation)}; it must be "auto", "f32" or "f16".`);
  }
  const { device, info, name, owned } = await openDevice(options);
  const f16 = device.features.has("shader-f16");
  const context = new Context(device, name, owned);
  try {
    if (activation === "f16" && !f16) {
      throw new NotAvailableError(`webgpuBackend: ${name} does not compute with f16 (no shader-f16); use activation "f32" or "auto".`);
    }
    const { limits } = device;
    const features = {
      f16,
      subgroupMatrix: hasSubgroupMatrix(device, info),
      software: isSoftware(info),
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      invocations: limits.maxComputeInvocationsPerWorkgroup,
    };
    const pool = new BufferPool(context, memoryLimit);
    const machine = new Machine(context, pool, activation === "f32" || !f16 ? "f32" : "f16", features);
    return bindOps(machine);
  } catch (error) {
    context.close();
    throw error;
  }
}

function bindOps(machine: Machine): WebGpuBackend {
  const { context, pool } = machine;
  const recorder = new Recorder(machine);
  const readback = new Readback(machine);
  const { device } = context;
  let closed = false;
  const bind =
    <Args>(op: (machine: Machine, args: Args) => void) =>
    (args: Args): void => {
      machine.use();
      op(machine, args);
    };
  const neural: NeuralOps = {
    allocateWeight(rows: number, columns: number, dtype: WeightDType) {
      machine.use();
      return new WebGpuWeight(machine, rows, columns, dtype);
    },
    embed: bind(embed),
    rmsNorm: bind(rmsNorm),
    linear: bind(linear),
    rotate: bind(rotate),
    swiglu: bind(swiglu),
    sample: bind(sample),
  };
  const selection: SelectionOps = {
    allocateCache(shape: LayerCacheShape) {
      machine.use();
      return new WebGpuCache(machine, shape);
    },
    cacheBytes,
    appendKv: bind(appendKv),
    compressKeys: bind(compressKeys),
    selectBlocks: bind(selectBlocks),
    async readCache(...args: Parameters<SelectionOps["readCache"]>) {
      recorder.useNow("readCache");
      return readCache(machine, readback, ...args);
    },
  };
  const attention: AttentionOps = { attendDense: bind(attendDense), attendBlocks: bind(attendBlocks) };
  const features = [...device.features].filter((feature) => ["shader-f16", "subgroups", "timestamp-query"].includes(feature));

  return {
    name: "webgpu",
    capabilities: capabilitiesOf(machine, limitationsOf(machine)),
    device: { name: context.adapterName, features },
    neural,
    selection,
    attention,
    buffers: () => pool.count,
    async profile(work, { byKernel = true } = {}) {
      recorder.useNow("profile");
      return profile(machine, work, byKernel);
    },
    allocate(dtype: DType, shape: readonly number[]): DeviceTensor {
      machine.use();
      return WebGpuTensor.allocate(machine, dtype, shape);
    },
    write(tensor: DeviceTensor, data: HostArray, rowOffset = 0): void {
      recorder.useNow("write");
      ownTensor(machine, "write: tensor", tensor).write(data, rowOffset);
    },
    async read(tensor: DeviceTensor): Promise<HostArray> {
      recorder.useNow("read");
      return ownTensor(machine, "read: tensor", tensor).toHost(readback);
    },
    record: (step) => recorder.record(step),
    async sync(): Promise<void> {
      recorder.useNow("sync");
      await machine.finish();
    },
    memory(): MemoryUse {
      context.use();
      return pool.use();
    },
    async close(): Promise<void> {
      if (closed) return;
      closed = true;
      machine.close();
      recorder.close();
      readback.close();
      pool.close();
      context.close();
    },
  };
}

function limitationsOf({ activation, features, device }: Machine): string[] {
  const missing: string[] = [];
  if (isSoftware(device.adapterInfo)) missing.push("The CPU stands in for a GPU here: the cpu backend is faster.");
  if (!features.f16) missing.push("No shader-f16: activations are f32, and products run at f32's speed.");
  else if (activation === "f32") missing.push('f16 is not used: activation is "f32".');
  if (features.workgroupBytes < 32768) missing.push("16 KiB of workgroup memory: attention runs in smaller tiles.");
  return missing;
}

async function profile(machine: Machine, work: () => void | Promise<void>, byKernel: boolean): Promise<readonly KernelTime[]> {
  const { context } = machine;
  if (!context.device.features.has("timestamp-query")) {
    throw new NotAvailableError(`profile: ${context.adapterName} has no timestamp queries. Measure wall time around sync() instead.`);
  }
  await machine.finish();
  const profiler = new Profiler(context.device, byKernel);
  machine.profiler = profiler;
  try {
    await work();
    await machine.finish();
    return await context.wait(profiler.report());
  } finally {
    machine.profiler = undefined;
    profiler.close();
  }
}
