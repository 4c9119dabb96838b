/** Makes the fastest CPU backend that this engine allows, and says what it could not use. */
import { ConfigError, NotAvailableError, dtypes, isQuantized } from "@infllm/tensor";
import type { Capabilities } from "@infllm/tensor";
import { referenceBackend } from "./reference/index.ts";
import { headDims } from "./wasm/cpu-cache.ts";
import { compileKernels, instantiateKernels, supports } from "./wasm/kernels.ts";
import type { Instructions } from "./wasm/kernels.ts";
import { Machine } from "./wasm/machine.ts";
import { MAXIMUM_BYTES, Memory } from "./wasm/memory.ts";
import { Threads } from "./wasm/threads.ts";
import { startWorker } from "./wasm/workers.ts";
import type { RunningWorker, WorkerInput } from "./wasm/workers.ts";
import { wasmBackend } from "./wasm/wasm-backend.ts";
import type { CpuBackend } from "./wasm/wasm-backend.ts";

export interface CpuOptions {
  /** Threads, the calling one included. Default: what the machine can run at once, at most 8. */
  readonly threads?: number;
  /** Instructions to use: the best this engine has ("auto"), or one kind; "none" is the plain reference. */
  readonly simd?: "auto" | "relaxed" | "simd" | "none";
  /**
   * Bytes for weights, caches and activations together. Most: 4 GiB, what 32-bit WebAssembly addresses. Default: that,
   * or the memory that the machine (or its container) has when it is less.
   */
  readonly memoryLimit?: number;
}

const DEFAULT_THREADS = 8;
const MOST_THREADS = 256;
/** Smallest limit: the control words, a little scratch and a little data. */
const LEAST_BYTES = 2 ** 20;

/**
 * The `cpu` backend. Without SIMD it is the plain reference, without SharedArrayBuffer it has one thread; in each case
 * `capabilities.limitations` says so.
 *
 * @throws ConfigError for options outside their range
 * @throws NotAvailableError when `simd` asks for instructions that this engine lacks
 */
export async function cpuBackend(options: CpuOptions = {}): Promise<CpuBackend> {
  const { threads, simd = "auto", memoryLimit = machineBytes() } = options;
  checkOptions(threads, simd, memoryLimit);
  const limitations: string[] = [];
  const instructions = chooseInstructions(simd, limitations);
  if (instructions === undefined) return plainBackend(memoryLimit, limitations);

  const wanted = threads ?? Math.min(parallelism(), DEFAULT_THREADS);
  const shared = wanted > 1 && typeof SharedArrayBuffer === "function";
  if (wanted > 1 && !shared) {
    limitations.push(
      "One thread only: this engine offers no SharedArrayBuffer. In browsers, serve the page cross-origin isolated " +
        "(Cross-Origin-Opener-Policy: same-origin, Cross-Origin-Embedder-Policy: require-corp).",
    );
  }
  const memory = reserve(memoryLimit, shared, limitations);
  const module = await compileKernels(instructions, shared);
  const workers = await startWorkers(shared ? wanted - 1 : 0, { module, memory: memory.wasm }, limitations);
  const pool = new Threads(memory.wasm.buffer, instantiateKernels(module, memory.wasm), workers);
  return wasmBackend(new Machine(memory, pool), capabilitiesOf(instructions, pool.count, limitations));
}

function checkOptions(threads: number | undefined, simd: string, memoryLimit: number): void {
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)) {
    throw new ConfigError(`cpuBackend: threads is ${threads}; it must be an integer from 1 to ${MOST_THREADS}.`);
  }
  if (!["auto", "relaxed", "simd", "none"].includes(simd)) {
    throw new ConfigError(`cpuBackend: simd is ${JSON.stringify(simd)}; it must be "auto", "relaxed", "simd" or "none".`);
  }
  if (!(memoryLimit >= LEAST_BYTES)) {
    throw new ConfigError(`cpuBackend: memoryLimit is ${memoryLimit}; it must be at least ${LEAST_BYTES} bytes.`);
  }
}

/** All workers, or none where one cannot start: their parts of the scratch memory are numbered without gaps. */
async function startWorkers(
  count: number,
  shared: Omit<WorkerInput, "index">,
  limitations: string[],
): Promise<readonly RunningWorker[]> {
  const started = await Promise.allSettled(Array.from({ length: count }, (_, i) => startWorker({ ...shared, index: i + 1 })));
  const failure = started.find((result) => result.status === "rejected");
  const running = started.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  if (failure === undefined) return running;
  await Promise.all(running.map((worker) => worker.stop()));
  limitations.push(
    `One thread only: a worker thread could not start (${String(failure.reason)}). ` +
      "Allow workers (Node: --allow-worker beside --permission; browsers: worker-src blob: in the page's content security policy).",
  );
  return [];
}

/** Undefined stands for the plain reference. */
function chooseInstructions(simd: NonNullable<CpuOptions["simd"]>, limitations: string[]): Instructions | undefined {
  if (simd === "none") {
    limitations.push('Plain loops, many times slower: simd is "none". Leave the option out to use SIMD.');
    return undefined;
  }
  if (simd === "auto") {
    if (supports("relaxed")) return "relaxed";
    if (supports("simd")) {
      limitations.push("No relaxed SIMD in this engine: products run some 10 to 20 % slower. Node 24, Chrome 114 or later have it.");
      return "simd";
    }
    limitations.push("Plain loops, many times slower: this engine has no WebAssembly SIMD. Every Node and browser since 2021 has it.");
    return undefined;
  }
  if (!supports(simd)) {
    throw new NotAvailableError(
      `cpuBackend: this engine has no ${simd === "relaxed" ? "relaxed SIMD (Node 24, Chrome 114 or later do)" : "WebAssembly SIMD"}; ` +
        'use simd "auto" for the best it has.',
    );
  }
  if (simd === "simd" && supports("relaxed")) limitations.push('Relaxed SIMD is not used: simd is "simd".');
  return simd;
}

function plainBackend(memoryLimit: number, limitations: readonly string[]): CpuBackend {
  const plain = referenceBackend({ memoryLimit });
  const capabilities: Capabilities = { ...plain.capabilities, limitations };
  return { ...plain, name: "cpu", capabilities };
}

/** The memory, smaller when the engine cannot reserve the address range asked for. */
function reserve(limit: number, shared: boolean, limitations: string[]): Memory {
  for (let bytes = Math.min(limit, MAXIMUM_BYTES); ; bytes /= 2) {
    try {
      const memory = new Memory(bytes, shared);
      if (bytes < Math.min(limit, MAXIMUM_BYTES)) {
        limitations.push(`At most ${bytes / 2 ** 20} MiB: this engine reserves no more. Close other pages or programs that use memory.`);
      }
      return memory;
    } catch (error) {
      if (!(error instanceof RangeError) || bytes / 2 < LEAST_BYTES) throw error;
    }
  }
}

/** What the machine has, at most 4 GiB; browsers do not tell. */
function machineBytes(): number {
  const os = globalThis.process?.getBuiltinModule?.("node:os");
  if (os === undefined) return MAXIMUM_BYTES;
  // 0 or more than the machine has where no container limits it.
  const allowed = globalThis.process.constrainedMemory?.() ?? 0;
  return Math.min(MAXIMUM_BYTES, os.totalmem(), allowed > 0 ? allowed : Infinity);
}

function parallelism(): number {
  const os = globalThis.process?.getBuiltinModule?.("node:os");
  if (os) return os.availableParallelism();
  const { navigator } = globalThis as { readonly navigator?: { readonly hardwareConcurrency?: number } };
  return navigator?.hardwareConcurrency ?? 1;
}

function capabilitiesOf(instructions: Instructions, threads: number, limitations: readonly string[]): Capabilities {
  const name = instructions === "relaxed" ? "relaxed SIMD" : "SIMD";
  return {
    ops: ["neural", "selection", "attention"],
    activation: "f32",
    weights: ["bf16", "f16", "f32", ...dtypes.filter(isQuantized)],
    kvCache: ["f32", "bf16", "f16", "q8"],
    headDim: headDims,
    prefillRows: 512,
    description: `WebAssembly ${name}, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    limitations,
  };
}
