/** Reading GGUF files: typed access to metadata, tensors by rows. Header rules are in gguf-header.ts. */
import { FormatError, NotAvailableError, UnsupportedError, rowRange } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import { readGgufHeader } from "./gguf-header.ts";
import type { GgufEntry, GgufHeader } from "./gguf-header.ts";
import { readableGgmlTypes } from "./gguf-types.ts";

/**
 * An open GGUF file. The metadata accessors return undefined for a missing key and throw FormatError for a value of
 * another kind.
 */
export interface GgufFile extends GgufHeader {
  readonly name: string;
  string(key: string): string | undefined;
  /** Any numeric type; 64-bit integers must be exact in a number. */
  number(key: string): number | undefined;
  boolean(key: string): boolean | undefined;
  strings(key: string): readonly string[] | undefined;
  /** An array of any numeric or bool type, as numbers. */
  numbers(key: string): readonly number[] | undefined;
  /**
   * Bytes of the rows `[rowFrom, rowTo)` of a tensor, all by default. Rows run along the last axis. `into` is memory that
   * they may come in: see `ByteSource`.
   * @throws NotAvailableError (no such tensor), UnsupportedError (a type we cannot read), ShapeError (rows out of range)
   */
  read(name: string, rowFrom?: number, rowTo?: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Reads the header of `source` and keeps it open for reads by range. @throws FormatError, UnsupportedError (version, byte order) */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  const header = await readGgufHeader(source);
  return {
    ...header,
    name: source.name,
    ...metadataAccess(source.name, header),
    async read(name, rowFrom, rowTo, into) {
      const { from, to } = rowRange(source.name, name, findEntry(source.name, header, name), rowFrom, rowTo);
      return source.read(from, to, into);
    },
    close: () => source.close(),
  };
}

type MetadataAccess = Pick<GgufFile, "string" | "number" | "boolean" | "strings" | "numbers">;

function metadataAccess(file: string, { metadata }: GgufHeader): MetadataAccess {
  const mismatch = (key: string, wanted: string): never => {
    const found = metadata.get(key);
    const kind = found?.type === "array" ? `array of ${found.of}` : found?.type;
    throw new FormatError(`${file}: metadata "${key}" is of type ${kind}; ${wanted} is needed.`);
  };
  return {
    string(key) {
      const found = metadata.get(key);
      if (found === undefined || found.type === "string") return found?.value;
      return mismatch(key, "a string");
    },
    boolean(key) {
      const found = metadata.get(key);
      if (found === undefined || found.type === "bool") return found?.value;
      return mismatch(key, "a bool");
    },
    number(key) {
      const found = metadata.get(key);
      if (found === undefined) return undefined;
      return typeof found.value === "number" ? found.value : mismatch(key, "a number below 2^53");
    },
    strings(key) {
      const found = metadata.get(key);
      if (found === undefined) return undefined;
      return found.type === "array" && found.of === "string" ? found.value : mismatch(key, "an array of strings");
    },
    numbers(key) {
      const found = metadata.get(key);
      if (found === undefined) return undefined;
      if (found.type !== "array" || found.of === "string" || found.of === "array") return mismatch(key, "an array of numbers");
      return Array.from<number | bigint | boolean, number>(found.value, Number);
    },
  };
}

function findEntry(file: string, header: GgufHeader, name: string): GgufEntry {
  const entry = header.tensors.get(name);
  if (entry !== undefined) return entry;
  const unreadable = header.unreadable.get(name);
  if (unreadable !== undefined) {
    throw new UnsupportedError(
      `${file}: tensor "${name}" is stored as ${unreadable.typeName}; ${readableGgmlTypes} can be read. ` +
        `Fetch the model in one of these.`,
    );
  }
  throw new NotAvailableError(`${file} has no tensor "${name}" among its ${header.tensors.size + header.unreadable.size}.`);
}
