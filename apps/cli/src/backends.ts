/**
 * The backends by name. Each lives in a package of its own that is imported only when it is asked for, so a missing
 * or broken one never stands in the way of another.
 */
import type { AttentionBackend } from "@infllm/attention";
import { NotAvailableError, type Capabilities, type NeuralOps } from "@infllm/tensor";
import { BadUsageError } from "./exit-codes.ts";

/** What loading a model takes: all three groups of ops. */
export type ModelBackend = AttentionBackend & { readonly neural: NeuralOps };

export interface BackendOptions {
  readonly threads?: number | undefined;
}

interface BackendEntry {
  readonly name: string;
  readonly package: string;
  /** What the machine must have besides the package. */
  readonly needs: string;
  /** Whether `--threads` means anything to it. */
  readonly threads: boolean;
  /** Checks by the plain reference: not a choice for work, so `infllm devices` leaves it out. */
  readonly hidden?: boolean;
  /** Name of the factory that the package exports. */
  readonly factory: string;
  load(): Promise<unknown>;
}

const entries: readonly BackendEntry[] = [
  {
    name: "cpu",
    package: "@infllm/backend-cpu",
    needs: "Node 20.19 or newer and some free memory",
    threads: true,
    factory: "cpuBackend",
    load: () => import("@infllm/backend-cpu"),
  },
  optional("webgpu", "a GPU with a WebGPU driver (Vulkan, Metal or Direct3D 12)"),
  optional("cuda", "an NVIDIA GPU with its driver"),
  {
    name: "reference",
    package: "@infllm/backend-cpu",
    needs: "patience",
    threads: false,
    hidden: true,
    factory: "referenceBackend",
    load: () => import("@infllm/backend-cpu"),
  },
];

export const backendNames: readonly string[] = entries.map(({ name }) => name);

/** What `infllm devices` tells about one backend. */
export interface BackendReport {
  readonly name: string;
  readonly usable: boolean;
  /** Device, threads, instruction set; absent when the backend is not usable. */
  readonly description?: string;
  readonly limitations?: readonly string[];
  readonly capabilities?: Capabilities;
  /** Why the backend is not usable. */
  readonly reason?: string;
  /** What would make it usable. */
  readonly remedy?: string;
}

/** Opens a backend by name. @throws NotAvailableError (why, and what would help), BadUsageError for other options. */
export async function openBackend(name: string, options: BackendOptions = {}): Promise<ModelBackend> {
  const entry = entries.find((each) => each.name === name);
  if (!entry) throw new BadUsageError(`Unknown backend "${name}". Allowed: ${backendNames.join(", ")}.`);
  if (options.threads !== undefined && !entry.threads) {
    throw new BadUsageError(`--threads is for the cpu backend; --backend ${name} does not take it.`);
  }
  try {
    return await open(entry, entry.threads && options.threads !== undefined ? { threads: options.threads } : {});
  } catch (error) {
    const { reason, remedy } = explain(entry, error);
    throw new NotAvailableError(
      `The ${name} backend is not usable: ${reason}. To use it: ${remedy}. The cpu backend works everywhere.`,
      { cause: error },
    );
  }
}

/** Tries every backend in turn: opens it, notes what it can do, closes it. */
export async function probeBackends(): Promise<BackendReport[]> {
  const reports: BackendReport[] = [];
  for (const entry of entries) {
    if (!entry.hidden) reports.push(await probe(entry));
  }
  return reports;
}

async function probe(entry: BackendEntry): Promise<BackendReport> {
  try {
    const backend = await open(entry, {});
    const { capabilities } = backend;
    await backend.close();
    const { description, limitations } = capabilities;
    return { name: entry.name, usable: true, description, limitations, capabilities };
  } catch (error) {
    return { name: entry.name, usable: false, ...explain(entry, error) };
  }
}

type Factory = (options: BackendOptions) => ModelBackend | Promise<ModelBackend>;

/** The package is not there. */
class NotInstalledError extends Error {}
/** The package is there and not what this version of the command knows. */
class WrongVersionError extends Error {}

async function open(entry: BackendEntry, options: BackendOptions): Promise<ModelBackend> {
  const module = await importPackage(entry);
  const factory = typeof module === "object" && module !== null ? Reflect.get(module, entry.factory) : undefined;
  if (!isFactory(factory)) throw new WrongVersionError(`${entry.package} does not export ${entry.factory}`);
  return factory(options);
}

function isFactory(value: unknown): value is Factory {
  return typeof value === "function";
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

function explain(entry: BackendEntry, error: unknown): { reason: string; remedy: string } {
  const reason = (error instanceof Error ? error.message : String(error)).replace(/\.$/, "");
  const install = `npm install ${entry.package} beside infllm`;
  if (error instanceof NotInstalledError) return { reason, remedy: `${install}, once it is published; it needs ${entry.needs}` };
  if (error instanceof WrongVersionError) return { reason, remedy: `${install}, in the version of infllm itself` };
  return { reason, remedy: `this backend needs ${entry.needs}` };
}

function optional(name: string, needs: string): BackendEntry {
  // Not a dependency of this package: a name in a variable keeps compilers and bundlers from looking for it.
  const specifier = `@infllm/backend-${name}`;
  return { name, package: specifier, needs, threads: false, factory: `${name}Backend`, load: () => import(specifier) };
}
