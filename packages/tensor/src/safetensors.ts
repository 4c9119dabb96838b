/** Reading and writing safetensors files. Header rules are in safetensors-header.ts. */
import type { ByteSource } from "./byte-source.ts";
import type { DType } from "./dtype.ts";
import { FormatError, NotAvailableError, ShapeError, UnsupportedError } from "./errors.ts";
import type { HostTensor } from "./host-tensor.ts";
import { readSafetensorsHeader } from "./safetensors-header.ts";
import type { SafetensorsEntry, SafetensorsHeader } from "./safetensors-header.ts";
import { formatShape, rowBytes, tensorBytes } from "./shape.ts";
import { rowRange } from "./stored-rows.ts";

export interface SafetensorsFile extends SafetensorsHeader {
  readonly name: string;
  /**
   * Bytes of the rows `[rowFrom, rowTo)` of a tensor, all rows by default, read straight from their place in the
   * file. Rows run along the last axis: `[2, 3, 4]` has 6 rows. `into` is memory that they may come in: see `ByteSource`.
   * @throws NotAvailableError (no such tensor), UnsupportedError (a type we cannot read), ShapeError (rows out of range)
   */
  read(name: string, rowFrom?: number, rowTo?: number, into?: Uint8Array): Promise<Uint8Array>;
  /** The whole tensor. */
  tensor(name: string): Promise<HostTensor>;
  /** Closes the source. */
  close(): Promise<void>;
}

/** Reads the header of `source` and keeps it open for reads by range. @throws FormatError */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const header = await readSafetensorsHeader(source);
  const entry = (name: string): SafetensorsEntry => findEntry(source.name, header, name);
  const read = async (name: string, rowFrom?: number, rowTo?: number, into?: Uint8Array): Promise<Uint8Array> => {
    const { from, to } = rowRange(source.name, name, entry(name), rowFrom, rowTo);
    return source.read(from, to, into);
  };
  return {
    ...header,
    name: source.name,
    read,
    async tensor(name) {
      const { dtype, shape } = entry(name);
      return { dtype, shape, data: await read(name) };
    },
    close: () => source.close(),
  };
}

function findEntry(file: string, header: SafetensorsHeader, name: string): SafetensorsEntry {
  const entry = header.tensors.get(name);
  if (entry !== undefined) return entry;
  const unreadable = header.unreadable.get(name);
  if (unreadable !== undefined) {
    throw new UnsupportedError(
      `${file}: tensor "${name}" is ${unreadable.typeName}; F32, F16, BF16, I32, U32 and U8 can be read. Convert it first.`,
    );
  }
  const names = [...header.tensors.keys()];
  const some = names.slice(0, 8).join(", ") + (names.length > 8 ? `, … (${names.length} in all)` : "");
  throw new NotAvailableError(`${file} has no tensor "${name}"; it has ${names.length === 0 ? "none" : some}.`);
}

const fileTypeNames: Partial<Record<DType, string>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  i32: "I32",
  u32: "U32",
  u8: "U8",
};

/**
 * A whole file in memory. Tensors are laid out by descending element size, then name, so that each is aligned; the
 * data starts at a multiple of 8 bytes.
 * @throws UnsupportedError (a quantised dtype), ShapeError (data that does not fit its shape), FormatError (a reserved name)
 */
export function writeSafetensors(
  tensors: Iterable<readonly [name: string, tensor: HostTensor]> | Readonly<Record<string, HostTensor>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = [...(Symbol.iterator in tensors ? tensors : Object.entries(tensors))];
  const names = new Set<string>();
  for (const [name, tensor] of entries) {
    assertWritable(name, tensor);
    if (names.has(name)) throw new FormatError(`Two tensors are named "${name}"; names in a file must be unique.`);
    names.add(name);
  }
  entries.sort(
    ([nameA, a], [nameB, b]) => elementSize(b) - elementSize(a) || (nameA < nameB ? -1 : nameA > nameB ? 1 : 0),
  );

  const fields: string[] = metadata === undefined ? [] : [`"__metadata__":${JSON.stringify(metadata)}`];
  let offset = 0;
  for (const [name, { dtype, shape, data }] of entries) {
    const entry = { dtype: fileTypeNames[dtype], shape, data_offsets: [offset, offset + data.length] };
    // Built as text: an object would move integer-like names to the front and lose `__proto__`.
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
    offset += data.length;
  }
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8;

  const file = new Uint8Array(8 + headerBytes + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(json, 8);
  let at = 8 + headerBytes;
  for (const [, { data }] of entries) {
    file.set(data, at);
    at += data.length;
  }
  return file;
}

function elementSize(tensor: HostTensor): number {
  return rowBytes(tensor.dtype, 1);
}

function assertWritable(name: string, { dtype, shape, data }: HostTensor): void {
  if (name === "__metadata__") throw new FormatError(`A tensor cannot be named __metadata__; the format reserves it.`);
  if (fileTypeNames[dtype] === undefined) {
    throw new UnsupportedError(
      `safetensors cannot hold ${dtype} (tensor "${name}"); f32, f16, bf16, i32, u32 and u8 fit. Write GGUF, or convert it.`,
    );
  }
  const needed = tensorBytes(dtype, shape);
  if (data.length !== needed) {
    throw new ShapeError(`Tensor "${name}" ${dtype} ${formatShape(shape)} takes ${needed} bytes; it holds ${data.length}.`);
  }
}
