/** Writing GGUF files (version 3, little-endian) piece by piece, so that no model need fit in memory. */
import { FormatError, ShapeError, UnsupportedError, formatShape, tensorBytes } from "@infllm/tensor";
import type { DType } from "@infllm/tensor";
import { DEFAULT_ALIGNMENT, ggmlCode, ggufNumberBytes, ggufValueTypes } from "./gguf-types.ts";
import type { GgufNumberType, GgufValue, GgufValueType } from "./gguf-types.ts";

/** Takes a file's bytes in order. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

export interface GgufTensor {
  readonly name: string;
  readonly dtype: DType;
  /** Row-major, outermost axis first; at most 4 axes. */
  readonly shape: readonly number[];
  /** The data in order, in pieces of any size. */
  data(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

export interface GgufContents {
  /** In the order given. `general.alignment`, where present, rules. */
  readonly metadata: Iterable<readonly [key: string, value: GgufValue]>;
  readonly tensors: readonly GgufTensor[];
}

/**
 * Writes a whole file. Returns its bytes.
 * @throws FormatError (a name twice, a value its type cannot hold), UnsupportedError (a dtype GGUF lacks),
 * ShapeError (data that does not fill its shape)
 */
export async function writeGguf(sink: ByteSink, contents: GgufContents): Promise<number> {
  const metadata = uniqueMap("metadata", contents.metadata);
  const tensors = uniqueMap("tensor", contents.tensors.map((tensor) => [tensor.name, tensor] as const));
  const alignment = alignmentOf(metadata);
  const header = headerBytes(metadata, [...tensors.values()], alignment);
  await sink.write(header);
  let written = header.length;
  for (const tensor of tensors.values()) {
    written += await writeTensor(sink, tensor);
    const padding = padded(written, alignment) - written;
    if (padding > 0) await sink.write(new Uint8Array(padding));
    written += padding;
  }
  return written;
}

/** `writeGguf` into memory. */
export async function ggufBytes(contents: GgufContents): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const size = await writeGguf({ write: async (bytes) => void pieces.push(bytes) }, contents);
  const file = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    file.set(piece, at);
    at += piece.length;
  }
  return file;
}

function padded(at: number, alignment: number): number {
  return Math.ceil(at / alignment) * alignment;
}

function uniqueMap<Value>(kind: string, entries: Iterable<readonly [string, Value]>): ReadonlyMap<string, Value> {
  const map = new Map<string, Value>();
  for (const [name, value] of entries) {
    if (map.has(name)) throw new FormatError(`GGUF: the ${kind} name "${name}" is given twice; names must be unique.`);
    map.set(name, value);
  }
  return map;
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>): number {
  const given = metadata.get("general.alignment");
  if (given === undefined) return DEFAULT_ALIGNMENT;
  const { type, value } = given;
  if (type === "u32" && typeof value === "number" && value >= 8 && Number.isInteger(Math.log2(value))) return value;
  throw new FormatError(`GGUF: general.alignment is ${type} ${String(value).slice(0, 40)}; a u32 power of two from 8 on is allowed.`);
}

async function writeTensor(sink: ByteSink, tensor: GgufTensor): Promise<number> {
  const needed = tensorBytes(tensor.dtype, tensor.shape);
  let written = 0;
  for await (const piece of tensor.data()) {
    written += piece.length;
    if (written <= needed) await sink.write(piece);
  }
  if (written !== needed) {
    throw new ShapeError(`GGUF: tensor "${tensor.name}" ${tensor.dtype} ${formatShape(tensor.shape)} takes ${needed} bytes; ${written} were given.`);
  }
  return written;
}

function headerBytes(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[], alignment: number): Uint8Array {
  const out = new ByteWriter();
  out.raw(new TextEncoder().encode("GGUF"));
  out.number("u32", 3, "version");
  out.number("u64", tensors.length, "tensor count");
  out.number("u64", metadata.size, "metadata count");
  for (const [key, value] of metadata) {
    out.string(key);
    out.number("u32", ggufValueTypes.indexOf(value.type), key);
    writeValue(out, value, key);
  }
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    out.string(name);
    if (shape.length > 4) throw new UnsupportedError(`GGUF: tensor "${name}" ${formatShape(shape)} has ${shape.length} axes; 4 are allowed.`);
    out.number("u32", shape.length, name);
    for (const axis of [...shape].reverse()) out.number("u64", axis, name);
    out.number("u32", ggmlCodeOf(name, dtype), name);
    out.number("u64", offset, name);
    offset = padded(offset + tensorBytes(dtype, shape), alignment);
  }
  out.raw(new Uint8Array(padded(out.length, alignment) - out.length));
  return out.finish();
}

function ggmlCodeOf(name: string, dtype: DType): number {
  const code = ggmlCode(dtype);
  if (code === undefined) throw new UnsupportedError(`GGUF has no type ${dtype} (tensor "${name}"). Convert it to a float or i32.`);
  return code;
}

function writeValue(out: ByteWriter, value: GgufValue, key: string): void {
  switch (value.type) {
    case "string":
      return out.string(value.value);
    case "bool":
      return out.number("u8", Number(value.value), key);
    case "array":
      out.number("u32", ggufValueTypes.indexOf(value.of satisfies GgufValueType), key);
      out.number("u64", value.value.length, key);
      return writeItems(out, value, key);
    default:
      return out.number(value.type, value.value, key);
  }
}

function writeItems(out: ByteWriter, array: Extract<GgufValue, { type: "array" }>, key: string): void {
  switch (array.of) {
    case "string":
      for (const item of array.value) out.string(item);
      return;
    case "array":
      for (const item of array.value) writeValue(out, item, key);
      return;
    case "bool":
      for (const item of array.value) out.number("u8", Number(item), key);
      return;
    default:
      for (const item of array.value) out.number(array.of, item, key);
  }
}

/** Bounds of the integer types. */
const bounds: Partial<Record<GgufNumberType, readonly [least: bigint, most: bigint]>> = Object.fromEntries(
  ([8, 16, 32, 64] as const).flatMap((bits) => [
    [`u${bits}`, [0n, 2n ** BigInt(bits) - 1n]],
    [`i${bits}`, [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n]],
  ]),
);

class ByteWriter {
  private buffer = new Uint8Array(4096);
  private view = new DataView(this.buffer.buffer);
  length = 0;
  private readonly text = new TextEncoder();

  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  raw(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.buffer.set(bytes, at);
  }

  string(text: string): void {
    const bytes = this.text.encode(text);
    this.number("u64", bytes.length, text);
    this.raw(bytes);
  }

  number(type: GgufNumberType, value: number | bigint, what: string): void {
    const bound = bounds[type];
    if (bound !== undefined) assertInteger(type, value, bound, what);
    const at = this.reserve(ggufNumberBytes[type]);
    const { view } = this;
    if (type === "f32") view.setFloat32(at, Number(value), true);
    else if (type === "f64") view.setFloat64(at, Number(value), true);
    else if (type === "u64" || type === "i64") view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true);
    else for (let i = 0; i < ggufNumberBytes[type]; i++) view.setUint8(at + i, (Number(value) >> (8 * i)) & 255);
  }

  private reserve(bytes: number): number {
    const at = this.length;
    this.length += bytes;
    if (this.length > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.length, this.buffer.length * 2));
      larger.set(this.buffer);
      this.buffer = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }
}

function assertInteger(type: string, value: number | bigint, [least, most]: readonly [bigint, bigint], what: string): void {
  const whole = typeof value === "bigint" || Number.isInteger(value);
  if (whole && value >= least && value <= most) return;
  throw new FormatError(`GGUF: "${what.slice(0, 80)}" is ${value}, which a ${type} cannot hold; ${least} to ${most} are allowed.`);
}
