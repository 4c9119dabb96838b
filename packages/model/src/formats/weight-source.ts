/** Named tensors read by rows, whatever file format they lie in. */
import { FormatError, NotAvailableError, UnsupportedError, openSafetensors } from "@infllm/tensor";
import type { DType, SafetensorsFile } from "@infllm/tensor";
import type { GgufFile } from "./gguf.ts";
import { openGguf } from "./gguf.ts";
import type { ModelFiles } from "./model-files.ts";

export interface WeightSource {
  /** Every tensor, also those of types that cannot be read. Names are the file's own. */
  readonly names: readonly string[];
  /** Shapes are row-major, outermost axis first. @throws NotAvailableError (no such tensor), UnsupportedError (unreadable type) */
  info(name: string): { readonly dtype: DType; readonly shape: readonly number[] };
  /**
   * Bytes of the rows `[from, to)`; rows run along the last axis, so a vector is one row. `into` is memory that they may
   * come in: see `ByteSource`. Several reads may be under way at once.
   */
  readRows(name: string, from: number, to: number, into?: Uint8Array): Promise<Uint8Array>;
  /** Checks what headers do not show, before memory is taken. @throws FormatError, UnsupportedError */
  verify?(signal?: AbortSignal): Promise<void>;
}

/** The weights of a model with what else their file says. */
export interface OpenWeights extends WeightSource {
  /** Bytes of all tensors as stored. */
  readonly bytes: number;
  /** Present when the weights are a GGUF file: it holds configuration and tokenizer, too. */
  readonly gguf?: GgufFile;
  close(): Promise<void>;
}

/** The fields that safetensors and GGUF files share. */
interface TensorFile {
  readonly name: string;
  readonly tensors: ReadonlyMap<string, { readonly dtype: DType; readonly shape: readonly number[]; readonly bytes: number }>;
  readonly unreadable: ReadonlyMap<string, { readonly typeName: string }>;
  read(name: string, rowFrom?: number, rowTo?: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

const INDEX = "model.safetensors.index.json";
/** An index of 100,000 tensors takes about 10 MB. */
const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/**
 * Opens the weights among `files`: a sharded model by its index, model.safetensors, the only other safetensors file,
 * or the only GGUF file, in this order.
 * @throws NotAvailableError (no weights), FormatError (a damaged file, an index that contradicts its shards)
 */
export async function openWeights(files: ModelFiles): Promise<OpenWeights> {
  const names = await files.list();
  const safetensors = names.filter((name) => name.endsWith(".safetensors"));
  const gguf = names.filter((name) => name.endsWith(".gguf"));
  if (names.includes(INDEX)) return openSharded(files, names);
  const single = safetensors.includes("model.safetensors") ? "model.safetensors" : only(files, safetensors);
  if (single !== undefined) return openSingle(files, single);
  const ggufName = only(files, gguf);
  if (ggufName !== undefined) return openGgufWeights(files, ggufName);
  const some = names.slice(0, 12).join(", ") || "nothing";
  throw new NotAvailableError(
    `${files.name} has no weights: a .safetensors or .gguf file is needed, and it holds ${some}.`,
  );
}

function only(files: ModelFiles, candidates: readonly string[]): string | undefined {
  if (candidates.length > 1) {
    throw new NotAvailableError(
      `${files.name} has ${candidates.length} weight files and no ${INDEX} that binds them (${candidates.slice(0, 8).join(", ")}). Name one of them as the model.`,
    );
  }
  return candidates[0];
}

async function openSingle(files: ModelFiles, path: string): Promise<OpenWeights> {
  const file = await openTensors(files, path);
  return overFiles([file]);
}

async function openGgufWeights(files: ModelFiles, path: string): Promise<OpenWeights> {
  const source = await files.open(path);
  try {
    const gguf = await openGguf(source);
    const parts = gguf.number("split.count") ?? 1;
    if (parts > 1) {
      throw new UnsupportedError(`${gguf.name} is part of a GGUF model split into ${parts} files; join them with llama-gguf-split --merge.`);
    }
    return { ...overFiles([gguf]), gguf };
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openTensors(files: ModelFiles, path: string): Promise<SafetensorsFile> {
  const source = await files.open(path);
  try {
    return await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

function overFiles(files: readonly TensorFile[]): OpenWeights {
  const owner = new Map<string, TensorFile>();
  let bytes = 0;
  for (const file of files) {
    for (const name of [...file.tensors.keys(), ...file.unreadable.keys()]) owner.set(name, file);
    for (const entry of file.tensors.values()) bytes += entry.bytes;
  }
  const find = (name: string): TensorFile => {
    const file = owner.get(name);
    if (file !== undefined) return file;
    throw new NotAvailableError(`${files.map((one) => one.name).join(", ").slice(0, 300)}: there is no tensor "${name}".`);
  };
  return {
    names: [...owner.keys()],
    bytes,
    info(name) {
      const file = find(name);
      const entry = file.tensors.get(name);
      if (entry !== undefined) return { dtype: entry.dtype, shape: entry.shape };
      throw new UnsupportedError(
        `${file.name}: tensor "${name}" is stored as ${file.unreadable.get(name)?.typeName}, which cannot be read. ` +
          `Fetch the model in another precision.`,
      );
    },
    readRows: async (name, from, to, into) => find(name).read(name, from, to, into),
    async close() {
      await Promise.all(files.map((file) => file.close()));
    },
  };
}

async function openSharded(files: ModelFiles, present: readonly string[]): Promise<OpenWeights> {
  const where = `${files.name}: ${INDEX}`;
  const placement = parseIndex(where, await readText(files, INDEX));
  const shardNames = [...new Set(placement.values())].sort();
  const missing = shardNames.filter((shard) => !present.includes(shard));
  if (missing.length > 0) {
    throw new NotAvailableError(`${where} names ${missing.length} shards that are not there (${missing.slice(0, 5).join(", ")}). Fetch them into the same folder.`);
  }
  const shards = new Map<string, SafetensorsFile>();
  try {
    for (const shard of shardNames) shards.set(shard, await openTensors(files, shard));
    assertShardsMatch(where, placement, shards);
  } catch (error) {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
    throw error;
  }
  return overFiles([...shards.values()]);
}

async function readText(files: ModelFiles, path: string): Promise<string> {
  const source = await files.open(path);
  try {
    if (source.size > MAX_INDEX_BYTES) {
      throw new FormatError(`${source.name} has ${source.size} bytes; up to ${MAX_INDEX_BYTES} are allowed. Fetch it again.`);
    }
    return new TextDecoder().decode(await source.read(0, source.size));
  } finally {
    await source.close();
  }
}

/** Shard of each tensor. */
function parseIndex(where: string, text: string): ReadonlyMap<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(`${where} is not JSON. Fetch it again.`, { cause });
  }
  const map: unknown = typeof json === "object" && json !== null && "weight_map" in json ? json.weight_map : undefined;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new FormatError(`${where} has no object "weight_map" from tensor to shard. Fetch it again.`);
  }
  const placement = new Map<string, string>();
  for (const [tensor, shard] of Object.entries(map)) {
    const safe = typeof shard === "string" && /^[\w][\w.-]*\.safetensors$/.test(shard) && !shard.includes("..");
    if (!safe) {
      throw new FormatError(
        `${where} puts tensor "${tensor}" into ${typeof shard === "string" ? `"${shard.slice(0, 80)}"` : typeof shard}; ` +
          `the plain name of a .safetensors file in the same folder is allowed.`,
      );
    }
    placement.set(tensor, shard);
  }
  return placement;
}

function assertShardsMatch(
  where: string,
  placement: ReadonlyMap<string, string>,
  shards: ReadonlyMap<string, SafetensorsFile>,
): void {
  const has = (file: SafetensorsFile, tensor: string): boolean => file.tensors.has(tensor) || file.unreadable.has(tensor);
  for (const [tensor, shard] of placement) {
    const file = shards.get(shard);
    if (file === undefined || !has(file, tensor)) {
      throw new FormatError(`${where} puts tensor "${tensor}" into ${shard}, which does not hold it. The files do not belong together; fetch them again.`);
    }
  }
  const first = new Map<string, string>();
  for (const [shard, file] of shards) {
    for (const tensor of [...file.tensors.keys(), ...file.unreadable.keys()]) {
      const other = first.get(tensor);
      if (other !== undefined) {
        throw new FormatError(`${where}: tensor "${tensor}" lies in ${other} and in ${shard}. The files do not belong together; fetch them again.`);
      }
      if (!placement.has(tensor)) {
        throw new FormatError(`${where} does not list tensor "${tensor}" of ${shard}. The files do not belong together; fetch them again.`);
      }
      first.set(tensor, shard);
    }
  }
}
