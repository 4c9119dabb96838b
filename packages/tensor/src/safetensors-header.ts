/**
 * The header of a safetensors file: 8 bytes of length, that many bytes of JSON
 * `{ name: { dtype, shape, data_offsets: [begin, end] }, "__metadata__": { key: string } }`, then the data, which the
 * tensors cover exactly. Everything is checked here, so that reading a tensor later cannot go wrong.
 */
import type { ByteSource } from "./byte-source.ts";
import type { DType } from "./dtype.ts";
import { FormatError, ShapeError } from "./errors.ts";
import { duplicateJsonKey } from "./json-keys.ts";
import { elementCount, formatShape } from "./shape.ts";

/** What the format calls its types, with bits of one number, and our name of those we can read. */
const fileTypes: ReadonlyMap<string, { readonly bits: number; readonly dtype?: DType }> = new Map([
  ["F32", { bits: 32, dtype: "f32" }],
  ["F16", { bits: 16, dtype: "f16" }],
  ["BF16", { bits: 16, dtype: "bf16" }],
  ["I32", { bits: 32, dtype: "i32" }],
  ["U32", { bits: 32, dtype: "u32" }],
  ["U8", { bits: 8, dtype: "u8" }],
  ["BOOL", { bits: 8 }],
  ["I8", { bits: 8 }],
  ["I16", { bits: 16 }],
  ["U16", { bits: 16 }],
  ["I64", { bits: 64 }],
  ["U64", { bits: 64 }],
  ["F64", { bits: 64 }],
  ["C64", { bits: 64 }],
  ["F8_E4M3", { bits: 8 }],
  ["F8_E5M2", { bits: 8 }],
  ["F8_E8M0", { bits: 8 }],
  ["F6_E2M3", { bits: 6 }],
  ["F6_E3M2", { bits: 6 }],
  ["F4", { bits: 4 }],
]);

/** Where a tensor lies. */
export interface SafetensorsEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Byte of the file at which the data starts. */
  readonly offset: number;
  readonly bytes: number;
}

/** A tensor of a type that the format knows and we do not: listed, refused only when read. */
export interface UnreadableEntry extends Omit<SafetensorsEntry, "dtype"> {
  /** The format's name of the type, such as `I64`. */
  readonly typeName: string;
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly tensors: ReadonlyMap<string, SafetensorsEntry>;
  readonly unreadable: ReadonlyMap<string, UnreadableEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** Byte of the file at which the data section starts. */
  readonly dataStart: number;
}

/** The format's own cap on the header, in bytes. */
const MAX_HEADER = 100_000_000;

const RETRY = "The file is truncated, corrupt or no safetensors file; fetch or write it again.";

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value for a message, on one short line; only one level deep, whatever the file nests. */
function show(value: unknown): string {
  const item = (part: unknown): string =>
    Array.isArray(part) ? "[…]" : isObject(part) ? "{…}" : (JSON.stringify(part) ?? "missing");
  const text = Array.isArray(value) ? `[${value.slice(0, 12).map(item).join(", ")}]` : item(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

/**
 * Reads and checks the header; the data is not touched.
 * @throws FormatError naming the file, the tensor, what was found and what is allowed
 */
export async function readSafetensorsHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const { text, dataStart } = await readHeaderText(source);
  const json = parseHeader(source.name, text);
  const dataBytes = source.size - dataStart;
  const placed = Object.entries(json)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => parseEntry(`${source.name}: tensor ${show(name)}`, name, entry, dataBytes));
  placed.sort((a, b) => a.begin - b.begin || a.end - b.end);
  assertCovered(source.name, placed, dataBytes);

  const tensors = new Map<string, SafetensorsEntry>();
  const unreadable = new Map<string, UnreadableEntry>();
  for (const { name, fileType, dtype, shape, begin, end } of placed) {
    const place = { shape, offset: dataStart + begin, bytes: end - begin };
    if (dtype === undefined) unreadable.set(name, { typeName: fileType, ...place });
    else tensors.set(name, { dtype, ...place });
  }
  return { tensors, unreadable, metadata: parseMetadata(source.name, json), dataStart };
}

async function readHeaderText(source: ByteSource): Promise<{ text: string; dataStart: number }> {
  const { name, size } = source;
  if (size < 10) throw new FormatError(`${name} has ${size} bytes; a safetensors file has at least 10. ${RETRY}`);
  const prefix = await source.read(0, 8);
  const length = Number(new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true));
  const allowed = Math.min(MAX_HEADER, size - 8);
  if (length > allowed || length < 2) {
    throw new FormatError(
      `${name}: the first 8 bytes give a header of ${length} bytes; 2 to ${allowed} are possible ` +
        `(the file has ${size}, the format caps headers at ${MAX_HEADER}). ${RETRY}`,
    );
  }
  const bytes = await source.read(8, 8 + length);
  try {
    // ignoreBOM keeps a byte order mark in the text, where it is the syntax error that the format makes of it.
    return { text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes), dataStart: 8 + length };
  } catch (cause) {
    throw new FormatError(`${name}: the header is not UTF-8 text. ${RETRY}`, { cause });
  }
}

function parseHeader(file: string, text: string): JsonObject {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FormatError(`${file}: the header is not JSON (${reason.slice(0, 200)}). ${RETRY}`, { cause });
  }
  if (!isObject(json) || !text.startsWith("{")) {
    throw new FormatError(`${file}: the header must be a JSON object; it is ${show(json)}. ${RETRY}`);
  }
  const twice = duplicateJsonKey(text);
  if (twice !== undefined) {
    throw new FormatError(`${file}: the header gives ${show(twice)} twice; names must be unique. ${RETRY}`);
  }
  return json;
}

function parseMetadata(file: string, json: JsonObject): ReadonlyMap<string, string> {
  const metadata = Object.hasOwn(json, "__metadata__") ? json["__metadata__"] : {};
  if (!isObject(metadata)) {
    throw new FormatError(`${file}: __metadata__ is ${show(metadata)}; an object of strings is allowed.`);
  }
  const result = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      throw new FormatError(`${file}: __metadata__ ${show(key)} is ${show(value)}; only strings are allowed.`);
    }
    result.set(key, value);
  }
  return result;
}

/** A checked entry; `begin` and `end` count from the start of the data. */
interface PlacedTensor {
  readonly name: string;
  readonly fileType: string;
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

const ENTRY_KEYS: readonly string[] = ["dtype", "shape", "data_offsets"];

function parseEntry(who: string, name: string, entry: unknown, dataBytes: number): PlacedTensor {
  if (!isObject(entry)) throw new FormatError(`${who} is ${show(entry)}; an object with ${ENTRY_KEYS.join(", ")} is needed.`);
  const unknown = Object.keys(entry).find((key) => !ENTRY_KEYS.includes(key));
  if (unknown !== undefined) {
    throw new FormatError(`${who} has the key ${show(unknown)}; only ${ENTRY_KEYS.join(", ")} are allowed. ${RETRY}`);
  }
  const fileType = entry["dtype"];
  const type = typeof fileType === "string" ? fileTypes.get(fileType) : undefined;
  if (typeof fileType !== "string" || type === undefined) {
    const known = [...fileTypes.keys()].join(", ");
    throw new FormatError(`${who} has dtype ${show(fileType)}; the format knows ${known}. ${RETRY}`);
  }
  const shape = parseShape(who, entry["shape"]);
  const { begin, end } = parseOffsets(who, entry["data_offsets"], dataBytes);
  // bits × elements stays exact: elements fit 53 bits, and a product beyond is far larger than any file.
  const needed = (elementsOf(who, shape) * type.bits) / 8;
  if (needed !== end - begin) {
    throw new FormatError(
      `${who} is ${fileType} ${formatShape(shape)}, which takes ${needed} bytes, but data_offsets span ${end - begin}. ${RETRY}`,
    );
  }
  return { name, fileType, dtype: type.dtype, shape, begin, end };
}

function parseShape(who: string, shape: unknown): readonly number[] {
  const valid =
    Array.isArray(shape) && shape.every((axis) => typeof axis === "number" && Number.isSafeInteger(axis) && axis >= 0);
  if (!valid) throw new FormatError(`${who} has shape ${show(shape)}; a list of non-negative integers is needed. ${RETRY}`);
  return shape as readonly number[];
}

function elementsOf(who: string, shape: readonly number[]): number {
  try {
    return elementCount(shape);
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause;
    throw new FormatError(`${who}: ${cause.message} ${RETRY}`, { cause });
  }
}

function parseOffsets(who: string, offsets: unknown, dataBytes: number): { begin: number; end: number } {
  const pair: readonly unknown[] = Array.isArray(offsets) && offsets.length === 2 ? offsets : [];
  const [begin, end] = pair;
  const valid = Number.isSafeInteger(begin) && Number.isSafeInteger(end);
  if (!valid || typeof begin !== "number" || typeof end !== "number" || begin < 0 || begin > end || end > dataBytes) {
    throw new FormatError(
      `${who} has data_offsets ${show(offsets)}; [begin, end] with 0 ≤ begin ≤ end ≤ ${dataBytes} is needed, ` +
        `the bytes after the header. ${RETRY}`,
    );
  }
  return { begin, end };
}

/** The format allows neither overlaps nor holes nor bytes after the last tensor. */
function assertCovered(file: string, placed: readonly PlacedTensor[], dataBytes: number): void {
  let reached = 0;
  for (const { name, begin, end } of placed) {
    if (begin !== reached) {
      const fault = begin < reached ? "overlaps the tensor before it" : "leaves a hole before it";
      throw new FormatError(
        `${file}: tensor ${show(name)} starts at data byte ${begin} and ${fault}, which ends at ${reached}. ${RETRY}`,
      );
    }
    reached = end;
  }
  if (reached !== dataBytes) {
    throw new FormatError(
      `${file}: the tensors take ${reached} bytes, but ${dataBytes} follow the header; they must be equal. ${RETRY}`,
    );
  }
}
