/**
 * The header of a GGUF file (versions 2 and 3, little-endian): magic, version, counts, metadata, tensor list; the
 * tensors' data starts at the next multiple of the alignment. Checked whole, so that reading a tensor cannot go wrong.
 */
import { FormatError, ShapeError, UnsupportedError, elementCount, formatShape } from "@infllm/tensor";
import type { ByteSource, DType } from "@infllm/tensor";
import { GgufCursor, NeedMoreBytes } from "./gguf-cursor.ts";
import { DEFAULT_ALIGNMENT, ggmlTypes, ggufNumberBytes, ggufValueTypes } from "./gguf-types.ts";
import type { GgmlType, GgufArray, GgufNumbers, GgufNumberType, GgufValue, GgufValueType } from "./gguf-types.ts";

/** Where a tensor lies. Shapes are row-major, outermost axis first (GGUF itself lists them innermost first). */
export interface GgufEntry {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Byte of the file at which the data starts. */
  readonly offset: number;
  readonly bytes: number;
}

/** A tensor of a type we cannot read: listed, refused only when read. */
export interface UnreadableGgufEntry {
  readonly typeName: string;
  readonly shape: readonly number[];
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: ReadonlyMap<string, GgufEntry>;
  readonly unreadable: ReadonlyMap<string, UnreadableGgufEntry>;
  /** Byte of the file at which the data section starts. */
  readonly dataStart: number;
}

/** A first read that holds the header of small models; it doubles while the header goes on. */
const FIRST_READ = 256 * 1024;
/** A vocabulary of a million tokens with merges takes about 50 MiB. */
const MAX_HEADER = 128 * 1024 * 1024;
const MAX_NESTING = 4;
/** GGUF's magic as a little-endian number: the letters GGUF. */
const MAGIC = 0x46554747;
// The least a metadata entry takes (key length, type, one byte) and a tensor entry (name length, axes, type, offset).
const LEAST_VALUE = 8 + 4 + 1;
const LEAST_TENSOR = 8 + 4 + 4 + 8;

/** Reads and checks the header with ever larger reads from the front; the data is not touched. @throws FormatError, UnsupportedError */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  let bytes = await source.read(0, Math.min(source.size, FIRST_READ));
  for (;;) {
    try {
      return parseHeader(source, bytes);
    } catch (stop) {
      if (!(stop instanceof NeedMoreBytes)) throw stop;
      bytes = await longer(source, bytes, stop.needed);
    }
  }
}

async function longer(source: ByteSource, bytes: Uint8Array, needed: number): Promise<Uint8Array> {
  if (needed > MAX_HEADER) {
    throw new FormatError(
      `${source.name}: the header needs ${needed} bytes; ${MAX_HEADER} are allowed. The file is corrupt; fetch it again.`,
    );
  }
  const size = Math.min(source.size, Math.max(needed, bytes.length * 2));
  const all = new Uint8Array(size);
  all.set(bytes);
  all.set(await source.read(bytes.length, size), bytes.length);
  return all;
}

function parseHeader(source: ByteSource, bytes: Uint8Array): GgufHeader {
  const cursor = new GgufCursor(source.name, bytes, source.size);
  const version = parseVersion(cursor, source.name);
  const tensorCount = cursor.u64("the tensor count");
  const valueCount = cursor.u64("the metadata count");
  cursor.assertFits(valueCount, LEAST_VALUE, "metadata entries");
  cursor.assertFits(tensorCount, LEAST_TENSOR, "tensors");

  const metadata = parseMetadata(cursor, valueCount);
  const alignment = parseAlignment(cursor, metadata);
  const placed: PlacedTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = parseTensor(cursor);
    if (names.has(tensor.name)) cursor.fail(`two tensors are named "${tensor.name}"`);
    names.add(tensor.name);
    placed.push(tensor);
  }
  const dataStart = Math.ceil(cursor.at / alignment) * alignment;
  assertPlaced(source, placed, dataStart, alignment);
  return { version, metadata, dataStart, ...byReadability(placed, dataStart) };
}

function parseVersion(cursor: GgufCursor, file: string): number {
  const magic = cursor.u32("the magic number");
  if (magic !== MAGIC) cursor.fail(`this is no GGUF file: it starts with 0x${magic.toString(16)}, not with "GGUF"`);
  const version = cursor.u32("the version");
  if (version === 2 || version === 3) return version;
  const swapped = [0x01000000, 0x02000000, 0x03000000].includes(version);
  throw new UnsupportedError(
    swapped
      ? `${file} is a big-endian GGUF file; little-endian ones can be read. Convert it, or fetch the little-endian file.`
      : `${file} is GGUF version ${version}; versions 2 and 3 can be read. Convert it with a current llama.cpp.`,
  );
}

function parseMetadata(cursor: GgufCursor, count: number): ReadonlyMap<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string("a metadata key");
    if (metadata.has(key)) cursor.fail(`metadata "${key}" is given twice`);
    const what = `metadata "${key}"`;
    metadata.set(key, parseValue(cursor, parseValueType(cursor, what), what));
  }
  return metadata;
}

function parseValueType(cursor: GgufCursor, what: string): GgufValueType {
  const code = cursor.u32(what);
  return ggufValueTypes[code] ?? cursor.fail(`${what} has the type code ${code}; 0 to ${ggufValueTypes.length - 1} exist`);
}

function parseValue(cursor: GgufCursor, type: GgufValueType, what: string): GgufValue {
  switch (type) {
    case "array":
      return parseArray(cursor, what, 1);
    case "string":
      return { type, value: cursor.string(what) };
    case "bool":
      return { type, value: parseBool(cursor, what) };
    case "u8":
      return { type, value: cursor.u8(what) };
    case "u32":
      return { type, value: cursor.u32(what) };
    default:
      return { type, value: cursor.number(type, what) };
  }
}

function parseBool(cursor: GgufCursor, what: string): boolean {
  const byte = cursor.u8(what);
  if (byte > 1) cursor.fail(`${what} is a bool of value ${byte}; 0 and 1 are allowed`);
  return byte === 1;
}

function parseArray(cursor: GgufCursor, what: string, depth: number): GgufArray {
  if (depth > MAX_NESTING) cursor.fail(`${what} nests arrays more than ${MAX_NESTING} deep`);
  const of = parseValueType(cursor, what);
  const count = cursor.u64(what);
  switch (of) {
    case "string": {
      cursor.assertFits(count, 8, `strings of ${what}`);
      return { type: "array", of, value: items(count, () => cursor.string(what)) };
    }
    case "array": {
      cursor.assertFits(count, 12, `arrays of ${what}`);
      return { type: "array", of, value: items(count, () => parseArray(cursor, what, depth + 1)) };
    }
    case "bool": {
      cursor.assertFits(count, 1, `bools of ${what}`);
      return { type: "array", of, value: items(count, () => parseBool(cursor, what)) };
    }
    default: {
      cursor.assertFits(count, ggufNumberBytes[of], `numbers of ${what}`);
      return { type: "array", of, value: numberArray(of, cursor.block(count * ggufNumberBytes[of], what)) };
    }
  }
}

/** Grows with what was really there, so that a lying count allocates nothing. */
function items<Item>(count: number, next: () => Item): Item[] {
  const list: Item[] = [];
  for (let i = 0; i < count; i++) list.push(next());
  return list;
}

function numberArray(type: GgufNumberType, buffer: ArrayBuffer): GgufNumbers {
  switch (type) {
    case "u8":
      return new Uint8Array(buffer);
    case "i8":
      return new Int8Array(buffer);
    case "u16":
      return new Uint16Array(buffer);
    case "i16":
      return new Int16Array(buffer);
    case "u32":
      return new Uint32Array(buffer);
    case "i32":
      return new Int32Array(buffer);
    case "f32":
      return new Float32Array(buffer);
    case "f64":
      return new Float64Array(buffer);
    case "u64":
      return new BigUint64Array(buffer);
    case "i64":
      return new BigInt64Array(buffer);
  }
}

function parseAlignment(cursor: GgufCursor, metadata: ReadonlyMap<string, GgufValue>): number {
  const given = metadata.get("general.alignment");
  if (given === undefined) return DEFAULT_ALIGNMENT;
  const { type, value } = given;
  const valid = type === "u32" && typeof value === "number" && value > 0 && Number.isInteger(Math.log2(value));
  if (!valid) cursor.fail(`general.alignment is ${type} ${String(value).slice(0, 40)}; a u32 power of two is allowed`);
  return value;
}

interface PlacedTensor {
  readonly name: string;
  readonly typeName: string;
  readonly dtype: DType | undefined;
  readonly shape: readonly number[];
  /** From the start of the data section. */
  readonly offset: number;
  /** 0 for types whose size we do not know. */
  readonly bytes: number;
}

function parseTensor(cursor: GgufCursor): PlacedTensor {
  const name = cursor.string("a tensor name");
  const what = `tensor "${name}"`;
  const axes = cursor.u32(what);
  if (axes > 4) cursor.fail(`${what} has ${axes} axes; 0 to 4 are allowed`);
  const shape = items(axes, () => cursor.u64(what)).reverse();
  const code = cursor.u32(what);
  const type = ggmlTypes.get(code);
  const offset = cursor.u64(what);
  const bytes = tensorSize(cursor, what, type, shape);
  return { name, typeName: type?.name ?? `type ${code}`, dtype: type?.dtype, shape, offset, bytes };
}

function tensorSize(cursor: GgufCursor, what: string, type: GgmlType | undefined, shape: readonly number[]): number {
  let elements: number;
  try {
    elements = elementCount(shape);
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause;
    return cursor.fail(`${what}: ${cause.message}`);
  }
  if (type === undefined) return 0;
  const columns = shape.at(-1) ?? 1;
  if (columns % type.blockElements !== 0) {
    cursor.fail(`${what} is ${type.name} ${formatShape(shape)}; its rows must be multiples of ${type.blockElements}`);
  }
  return (elements / type.blockElements) * type.blockBytes;
}

function assertPlaced(source: ByteSource, placed: readonly PlacedTensor[], dataStart: number, alignment: number): void {
  const dataBytes = Math.max(0, source.size - dataStart);
  const inOrder = [...placed].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let reached = 0;
  for (const { name, offset, bytes, typeName, shape } of inOrder) {
    const who = `${source.name}: tensor "${name}" (${typeName} ${formatShape(shape)})`;
    if (offset % alignment !== 0) {
      throw new FormatError(`${who} starts at data byte ${offset}; multiples of ${alignment} are allowed. Fetch the file again.`);
    }
    if (offset + bytes > dataBytes) {
      throw new FormatError(
        `${who} takes data bytes ${offset} to ${offset + bytes}, but ${dataBytes} are there. ` +
          `The file is truncated or its header lies; fetch it again.`,
      );
    }
    if (offset < reached) {
      throw new FormatError(`${who} starts at data byte ${offset}, inside the tensor before it, which ends at ${reached}. Fetch the file again.`);
    }
    reached = offset + bytes;
  }
}

function byReadability(placed: readonly PlacedTensor[], dataStart: number): Pick<GgufHeader, "tensors" | "unreadable"> {
  const tensors = new Map<string, GgufEntry>();
  const unreadable = new Map<string, UnreadableGgufEntry>();
  for (const { name, typeName, dtype, shape, offset, bytes } of placed) {
    if (dtype === undefined) unreadable.set(name, { typeName, shape });
    else tensors.set(name, { dtype, shape, offset: dataStart + offset, bytes });
  }
  return { tensors, unreadable };
}
