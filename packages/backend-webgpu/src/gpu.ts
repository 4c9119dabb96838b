/** Finds WebGPU: the browser's own, or in Node the optional package `webgpu` (Dawn). */
/// <reference types="@webgpu/types" />
import { NotAvailableError } from "@infllm/tensor";

export interface GpuOptions {
  /** Which of several GPUs; the system's choice when absent. */
  readonly powerPreference?: GPUPowerPreference | undefined;
  /** Node only: flags for Dawn, such as `backend=vulkan`, `adapter=llvmpipe` or `enable-dawn-features=…`. */
  readonly dawnFlags?: readonly string[] | undefined;
}

/**
 * Dawn's instances by their flags, kept for good: one that is collected while anything of it is at work takes the process
 * along. They do not keep Node from ending.
 */
const instances = new Map<string, GPU>();

/** @throws NotAvailableError saying what is missing and what would help */
export async function findAdapter({ powerPreference, dawnFlags = [] }: GpuOptions): Promise<GPUAdapter> {
  const instance = browserGpu() ?? (await nodeGpu(dawnFlags));
  let adapter: GPUAdapter | null;
  try {
    adapter = await instance.requestAdapter(powerPreference === undefined ? {} : { powerPreference });
  } catch (cause) {
    throw new NotAvailableError(`WebGPU gives no adapter: ${String(cause)}`, { cause });
  }
  if (adapter !== null) return adapter;
  throw new NotAvailableError(
    browserGpu()
      ? "This browser has WebGPU but no GPU for it. Turn on hardware acceleration in its settings, or update the graphics driver."
      : "WebGPU finds no GPU on this machine: it needs a Vulkan, Metal or Direct3D 12 driver. On Linux install the GPU's own, or " +
        "Mesa 25 or newer (mesa-vulkan-drivers), whose lavapipe works without a GPU.",
  );
}

/** Does the CPU stand in for a GPU, as with lavapipe, SwiftShader or WARP? Then the cpu backend is faster. */
export function isSoftware({ isFallbackAdapter, vendor, architecture, device, description }: GPUAdapterInfo): boolean {
  return isFallbackAdapter || /software|swiftshader|llvmpipe|lavapipe|basic render/i.test([vendor, architecture, device, description].join(" "));
}

function browserGpu(): GPU | undefined {
  const { navigator } = globalThis as { readonly navigator?: { readonly gpu?: GPU } };
  return navigator?.gpu;
}

/** The package's name, kept from bundlers: in browsers it is never asked for. */
const nodePackage = "webgpu";

interface NodeWebGpu {
  create(flags: readonly string[]): GPU;
  readonly globals: object;
}

async function nodeGpu(flags: readonly string[]): Promise<GPU> {
  if (globalThis.process?.versions?.node === undefined) {
    throw new NotAvailableError(
      "This browser has no WebGPU. Chrome and Edge 113, Safari 26 and Firefox 141 or newer have it, on pages served over https or from localhost.",
    );
  }
  const known = instances.get(flags.join("\n"));
  if (known !== undefined) return known;
  let module: NodeWebGpu;
  try {
    module = (await import(/* @vite-ignore */ nodePackage)) as NodeWebGpu;
  } catch (cause) {
    throw new NotAvailableError(
      `The package "webgpu", which brings WebGPU to Node, does not load. Install it with: npm install webgpu@0.6.2 (${String(cause)})`,
      { cause },
    );
  }
  const instance = module.create(flags);
  instances.set(flags.join("\n"), instance);
  return instance;
}
