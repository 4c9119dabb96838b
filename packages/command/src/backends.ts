/**
 * The backends by name. Each lives in a package of its own that is imported only when it is asked for, so a missing
 * or broken one never stands in the way of another.
 */
import type { AttentionBackend } from "@infllm/attention";
import type { CudaBackend, CudaProbe, PathReport } from "@infllm/backend-cuda";
import type { WebGpuProbe } from "@infllm/backend-webgpu";
import { NotAvailableError, type Capabilities, type NeuralOps } from "@infllm/tensor";
import { BadUsageError } from "./exit-codes.ts";

/** What loading a model takes: all three groups of ops; and what some backends tell about their kernels. */
export type ModelBackend = AttentionBackend & { readonly neural: NeuralOps } & Partial<Pick<CudaBackend, "paths">>;

export interface BackendOptions {
  readonly threads?: number | undefined;
}

export interface BackendEntry {
  readonly name: string;
  readonly package: string;
  /** What to type after `npm install`. */
  readonly install: string;
  /** What the machine must have besides the package. */
  readonly needs: string;
  /** Whether `--threads` means anything to it. */
  readonly threads?: boolean;
  /** Taken by `auto` before the cpu backend, where it works; the first listed of several. */
  readonly preferred?: boolean;
  /** Checks by the plain reference: not a choice for work, so `infllm devices` leaves it out. */
  readonly hidden?: boolean;
  /** Name of the factory that the package exports. */
  readonly factory: string;
  /** Name of its function that looks for hardware without opening it. */
  readonly probe?: string;
  load(): Promise<unknown>;
}

const entries: readonly BackendEntry[] = [
  {
    name: "cpu",
    package: "@infllm/backend-cpu",
    install: "@infllm/backend-cpu",
    needs: "Node 20.19 or newer and some free memory",
    threads: true,
    factory: "cpuBackend",
    load: () => import("@infllm/backend-cpu"),
  },
  {
    name: "cuda",
    package: "@infllm/backend-cuda",
    install: "@infllm/backend-cuda koffi",
    needs: "an NVIDIA GPU with its driver",
    preferred: true,
    factory: "cudaBackend",
    probe: "probeCuda",
    load: () => import("@infllm/backend-cuda"),
  },
  {
    name: "webgpu",
    package: "@infllm/backend-webgpu",
    install: "@infllm/backend-webgpu webgpu",
    needs: "a GPU with a Vulkan, Metal or Direct3D 12 driver",
    preferred: true,
    factory: "webgpuBackend",
    probe: "probeWebGpu",
    load: () => import("@infllm/backend-webgpu"),
  },
  {
    name: "reference",
    package: "@infllm/backend-cpu",
    install: "@infllm/backend-cpu",
    needs: "patience",
    hidden: true,
    factory: "referenceBackend",
    load: () => import("@infllm/backend-cpu"),
  },
];

/** Stands for the fastest backend that works: a preferred one, or else the cpu. */
const AUTO = "auto";

export const backendNames: readonly string[] = [...entries.map(({ name }) => name), AUTO];

/** What a backend finds of hardware without opening it. */
export type Hardware = CudaProbe | WebGpuProbe;

/** What `infllm devices` tells about one backend. */
export interface BackendReport {
  readonly name: string;
  readonly usable: boolean;
  /** Device, threads, instruction set; absent when the backend is not usable. */
  readonly description?: string;
  readonly limitations?: readonly string[];
  readonly capabilities?: Capabilities;
  /** GPUs and libraries found, usable or not; absent for backends that need none. */
  readonly hardware?: Hardware;
  /** Kernels that the embedded model's attention takes, for backends that have several kinds. */
  readonly paths?: readonly PathReport[];
  /** Why the backend is not usable. */
  readonly reason?: string;
  /** What would make it usable, where the reason does not say so itself. */
  readonly remedy?: string;
}

/**
 * Opens a backend by name; `auto` opens the best that works.
 * @throws NotAvailableError (why, and what would help), BadUsageError for other names and options
 */
export async function openBackend(name: string, options: BackendOptions = {}, from = entries): Promise<ModelBackend> {
  if (name === AUTO) return openBest(options, from);
  const entry = from.find((each) => each.name === name);
  if (!entry) throw new BadUsageError(`Unknown backend "${name}". Allowed: ${backendNames.join(", ")}.`);
  if (options.threads !== undefined && !entry.threads) {
    throw new BadUsageError(`--threads is for the cpu backend; --backend ${name} does not take it.`);
  }
  try {
    return await open(entry, entry.threads && options.threads !== undefined ? { threads: options.threads } : {});
  } catch (error) {
    const { reason, remedy } = explain(entry, error);
    const help = remedy === undefined ? "" : `To use it: ${remedy}. `;
    throw new NotAvailableError(`The ${name} backend is not usable: ${reason}. ${help}The cpu backend works everywhere.`, { cause: error });
  }
}

async function openBest(options: BackendOptions, from: readonly BackendEntry[]): Promise<ModelBackend> {
  for (const entry of from.filter(({ preferred }) => preferred)) {
    try {
      if (await isWorthwhile(entry)) return await open(entry, {});
    } catch {
      // Not on this machine; `infllm devices` tells why.
    }
  }
  return openBackend("cpu", options, from);
}

/** Not where the CPU stands in for a GPU. */
async function isWorthwhile(entry: BackendEntry): Promise<boolean> {
  const hardware = await lookFor(entry);
  return hardware === undefined || !("software" in hardware && hardware.software);
}

/** What the backend finds of hardware; undefined for one that looks for none. */
async function lookFor(entry: BackendEntry): Promise<Hardware | undefined> {
  return entry.probe === undefined ? undefined : exported<Probe>(await importPackage(entry), entry, entry.probe)();
}

/** Tries every backend in turn: opens it, notes what it can do and which kernels `pathsOf` says it takes, closes it. */
export async function probeBackends(pathsOf: PathsOf, from = entries): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  for (const entry of from) {
    if (!entry.hidden) reports.push(await probe(entry, pathsOf));
  }
  return reports;
}

async function probe(entry: BackendEntry, pathsOf: PathsOf): Promise<BackendReport> {
  const { name } = entry;
  let found: Pick<BackendReport, "hardware"> = {};
  try {
    const hardware = await lookFor(entry);
    if (hardware !== undefined) found = { hardware };
    const backend = await open(entry, {});
    try {
      const { capabilities } = backend;
      const { description, limitations } = capabilities;
      const paths = await pathsOf(backend);
      return { name, usable: true, description, limitations, capabilities, ...found, ...(paths && { paths }) };
    } finally {
      await backend.close();
    }
  } catch (error) {
    return { name, usable: false, ...found, ...explain(entry, error) };
  }
}

type Factory = (options: BackendOptions) => ModelBackend | Promise<ModelBackend>;
type Probe = () => Promise<Hardware>;
type PathsOf = (backend: ModelBackend) => Promise<readonly PathReport[] | undefined>;

/** The package is not there. */
class NotInstalledError extends Error {}
/** The package is there and not what this version of the command knows. */
class WrongVersionError extends Error {}

async function open(entry: BackendEntry, options: BackendOptions): Promise<ModelBackend> {
  return exported<Factory>(await importPackage(entry), entry, entry.factory)(options);
}

/** A function of the package, whose type its name stands for. */
function exported<Call>(module: unknown, entry: BackendEntry, name: string): Call {
  const value: unknown = typeof module === "object" && module !== null ? Reflect.get(module, name) : undefined;
  if (typeof value !== "function") throw new WrongVersionError(`${entry.package} does not export ${name}`);
  return value as Call;
}

async function importPackage(entry: BackendEntry): Promise<unknown> {
  try {
    return await entry.load();
  } catch (error) {
    if (!isMissing(error, entry.package)) throw error;
    throw new NotInstalledError(`the package ${entry.package} is not installed`, { cause: error });
  }
}

/** Loaders word it differently; what they share is the name of what was looked for. */
function isMissing(error: unknown, name: string): boolean {
  return error instanceof Error && /not found|cannot find|failed to (load|resolve)/i.test(error.message) && error.message.includes(name);
}

function explain(entry: BackendEntry, error: unknown): { readonly reason: string; readonly remedy?: string } {
  const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
  const install = `npm install ${entry.install}, beside this command`;
  if (error instanceof NotInstalledError) return { reason, remedy: `${install}; it needs ${entry.needs}` };
  if (error instanceof WrongVersionError) return { reason, remedy: `${install}, in the version of this command` };
  // A backend's own message says what to do.
  return error instanceof NotAvailableError ? { reason } : { reason, remedy: `this backend needs ${entry.needs}` };
}
