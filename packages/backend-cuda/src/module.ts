/**
 * The kernels: `data/kernels.fatbin` holds the fatbins of all compiled sources one after the other, `data/kernels.json`
 * says where each starts and which kernels it has. A source is loaded when one of its kernels is first used.
 */
import { InfllmError, NotAvailableError } from "@infllm/tensor";
import type { Context } from "./context.ts";
import { FUNCTION_LARGE_CLUSTERS, FUNCTION_SHARED_BYTES } from "./driver.ts";

export interface KernelUnit {
  /** The source's name without `.cu`. */
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
  /** Runs on GPUs of this compute capability only; every one from 8.0 on when absent. */
  readonly only?: string;
  readonly kernels: readonly string[];
}

export interface KernelFile {
  readonly units: readonly KernelUnit[];
  readonly image: Uint8Array;
}

/** @throws NotAvailableError when the kernels were not built */
export async function readKernels(data = new URL("../data/", import.meta.url)): Promise<KernelFile> {
  const { readFile } = await import("node:fs/promises");
  try {
    const [index, image] = await Promise.all([
      readFile(new URL("kernels.json", data), "utf8"),
      readFile(new URL("kernels.fatbin", data)),
    ]);
    return { units: (JSON.parse(index) as { units: KernelUnit[] }).units, image };
  } catch (cause) {
    throw new NotAvailableError(
      "The CUDA kernels of @infllm/backend-cuda were not built. The published package has them; in a checkout of its " +
        "repository, install the CUDA toolkit 13 (nvcc) and run: npm run build:cuda",
      { cause },
    );
  }
}

interface Kernel {
  readonly handle: number;
  sharedBytes: number;
  largeClusters: boolean;
}

export class KernelModules {
  readonly #unitOf = new Map<string, KernelUnit>();
  readonly #modules = new Map<KernelUnit, number>();
  readonly #kernels = new Map<string, Kernel>();

  constructor(
    private readonly context: Context,
    private readonly file: KernelFile,
  ) {
    for (const unit of file.units) for (const name of unit.kernels) this.#unitOf.set(name, unit);
  }

  /** Is this kernel built, and for this GPU? */
  has(name: string): boolean {
    const unit = this.#unitOf.get(name);
    const { major, minor } = this.context.device;
    return unit !== undefined && (unit.only === undefined || unit.only === `${major}.${minor}`);
  }

  /** Handle of a kernel that may use this much dynamic shared memory, and clusters of more than 8 blocks if asked. */
  kernel(name: string, sharedBytes: number, largeClusters = false): number {
    const { context } = this;
    let kernel = this.#kernels.get(name);
    if (kernel === undefined) {
      const out = new BigUint64Array(1);
      context.check(context.driver.api.cuModuleGetFunction(out, this.#module(name), name), `looking up the kernel ${name}`);
      kernel = { handle: Number(out[0]), sharedBytes: 0, largeClusters: false };
      this.#kernels.set(name, kernel);
    }
    // Up to 48 KiB need no asking, but static shared memory counts towards them.
    if (sharedBytes > kernel.sharedBytes) {
      context.check(
        context.driver.api.cuFuncSetAttribute(kernel.handle, FUNCTION_SHARED_BYTES, sharedBytes),
        `giving ${name} ${sharedBytes} bytes of shared memory of the ${context.device.sharedBytes} there are`,
      );
      kernel.sharedBytes = sharedBytes;
    }
    if (largeClusters && !kernel.largeClusters) {
      const status = context.driver.api.cuFuncSetAttribute(kernel.handle, FUNCTION_LARGE_CLUSTERS, 1);
      context.check(status, `allowing ${name} clusters of more than 8 blocks`);
      kernel.largeClusters = true;
    }
    return kernel.handle;
  }

  close(): void {
    for (const module of this.#modules.values()) this.context.driver.api.cuModuleUnload(module);
    this.#modules.clear();
    this.#kernels.clear();
  }

  #module(kernel: string): number {
    const unit = this.#unitOf.get(kernel);
    if (unit === undefined) throw new InfllmError(`The built kernels have no ${kernel}; build them again.`);
    const loaded = this.#modules.get(unit);
    if (loaded !== undefined) return loaded;
    const { context } = this;
    const out = new BigUint64Array(1);
    // A copy of its own: the driver reads on from the image's start as far as its header says.
    const image = this.file.image.slice(unit.offset, unit.offset + unit.bytes);
    context.check(
      context.driver.api.cuModuleLoadData(out, image),
      `loading the kernels of ${unit.name}.cu (${unit.bytes} bytes) on ${context.device.name}`,
    );
    const module = Number(out[0]);
    this.#modules.set(unit, module);
    return module;
  }
}
