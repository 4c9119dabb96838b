/** Opens the backend that the visitor chose, or the best there is. */
import { cpuBackend } from "@infllm/backend-cpu";
import type { ModelBackend } from "@infllm/model";
import { NotAvailableError } from "@infllm/tensor";
import type { BackendChoice } from "../engine/protocol.ts";

export interface OpenedBackend {
  readonly backend: ModelBackend;
  /** Why it is not WebGPU, where that was not asked for. */
  readonly notice: string | undefined;
}

/** @throws NotAvailableError when WebGPU was asked for and is missing */
export async function openBackend(choice: BackendChoice): Promise<OpenedBackend> {
  if (choice === "cpu") return { backend: await cpuBackend(), notice: undefined };
  // Most visitors have one or the other: the kernels of a backend come when it is used.
  const { webgpuBackend } = await import("@infllm/backend-webgpu");
  if (choice === "webgpu") return { backend: await webgpuBackend(), notice: undefined };
  try {
    if (await rendersInSoftware()) {
      return onCpu("This browser has WebGPU, but only in software, which is slower than WebAssembly.");
    }
    return { backend: await webgpuBackend(), notice: undefined };
  } catch (error) {
    if (error instanceof NotAvailableError) return onCpu(error.message);
    throw error;
  }
}

async function onCpu(why: string): Promise<OpenedBackend> {
  const backend = await cpuBackend();
  return { backend, notice: `${why} The model therefore runs on the processor: ${backend.capabilities.description}.` };
}

/** A fallback adapter computes on the processor, which the WASM backend does faster. */
async function rendersInSoftware(): Promise<boolean> {
  const { gpu } = navigator as { readonly gpu?: GPU };
  const adapter = await gpu?.requestAdapter();
  return adapter?.info.isFallbackAdapter ?? false;
}
