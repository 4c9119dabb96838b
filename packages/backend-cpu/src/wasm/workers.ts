/** Starts worker threads in Node and in browsers. */
import type { WasmMemory, WasmModule } from "./engine.ts";
import { workerSource } from "./worker-source.ts";

/** What a worker is given: everything is shared, nothing is copied. */
export interface WorkerInput {
  readonly module: WasmModule;
  readonly memory: WasmMemory;
  /** Which part of the scratch memory is its own; the calling thread's is 0. */
  readonly index: number;
}

export interface RunningWorker {
  stop(): Promise<void>;
}

/** Resolves when the worker runs. Workers cannot start while the calling thread is busy, so wait for this. */
export async function startWorker(input: WorkerInput): Promise<RunningWorker> {
  const node = globalThis.process?.getBuiltinModule?.("node:worker_threads");
  return node === undefined ? startWebWorker(input) : startNodeWorker(node, input);
}

async function startNodeWorker(node: typeof import("node:worker_threads"), input: WorkerInput): Promise<RunningWorker> {
  const worker = new node.Worker(workerSource, { eval: true, workerData: input, execArgv: [], name: "infllm-cpu" });
  await new Promise<void>((resolve, reject) => {
    worker.once("message", () => resolve());
    worker.once("error", reject);
  });
  // An idle worker must not keep the process alive.
  worker.unref();
  return {
    async stop() {
      await worker.terminate();
    },
  };
}

/** As much of the browser's Worker as is used here; the package is compiled without the DOM's types. */
interface WebWorker {
  onmessage: (() => void) | null;
  onerror: ((event: { readonly message?: string }) => void) | null;
  postMessage(message: WorkerInput): void;
  terminate(): void;
}

async function startWebWorker(input: WorkerInput): Promise<RunningWorker> {
  const { Worker } = globalThis as unknown as { readonly Worker: new (url: string) => WebWorker };
  const url = URL.createObjectURL(new Blob([workerSource], { type: "text/javascript" }));
  try {
    const worker = new Worker(url);
    await new Promise<void>((resolve, reject) => {
      worker.onmessage = () => resolve();
      worker.onerror = (event) => reject(new Error(event.message ?? "The worker did not start."));
      worker.postMessage(input);
    });
    return {
      async stop() {
        worker.terminate();
      },
    };
  } finally {
    URL.revokeObjectURL(url);
  }
}
