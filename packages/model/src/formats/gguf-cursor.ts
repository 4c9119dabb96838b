import { FormatError } from "@infllm/tensor";

/** Thrown when the header goes on past the bytes read so far; `needed` counts from the start of the file. */
export class NeedMoreBytes {
  constructor(readonly needed: number) {}
}

const RETRY = "The file is truncated or corrupt; fetch or write it again.";

/**
 * Walks over the first bytes of a file. Every length is held against the whole file before anything is made of it:
 * beyond the file it is a FormatError, beyond the bytes at hand a NeedMoreBytes.
 */
export class GgufCursor {
  at = 0;
  private readonly view: DataView;
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(
    private readonly file: string,
    private readonly bytes: Uint8Array,
    private readonly fileSize: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  fail(message: string): never {
    throw new FormatError(`${this.file}: ${message} (at byte ${this.at}). ${RETRY}`);
  }

  /** Moves past `length` bytes and returns where they start. */
  take(length: number, what: string): number {
    const from = this.at;
    if (length > this.fileSize - from) {
      this.fail(`${what} takes ${length} bytes, but the file has ${this.fileSize - from} left`);
    }
    if (from + length > this.bytes.length) throw new NeedMoreBytes(from + length);
    this.at = from + length;
    return from;
  }

  /** Refuses a count whose items, of at least `itemBytes` each, cannot fit in the rest of the file. */
  assertFits(count: number, itemBytes: number, what: string): void {
    const room = Math.floor((this.fileSize - this.at) / itemBytes);
    if (count > room) this.fail(`${what}: ${count} are claimed, but the rest of the file holds ${room} at most`);
  }

  u8(what: string): number {
    return this.view.getUint8(this.take(1, what));
  }

  u32(what: string): number {
    return this.view.getUint32(this.take(4, what), true);
  }

  /** A 64-bit count or length; beyond 2^53 it exceeds any file, and the nearest number serves to say so. */
  u64(what: string): number {
    return Number(this.view.getBigUint64(this.take(8, what), true));
  }

  number(type: "i8" | "u16" | "i16" | "i32" | "f32" | "f64" | "u64" | "i64", what: string): number | bigint {
    const { view } = this;
    switch (type) {
      case "i8":
        return view.getInt8(this.take(1, what));
      case "u16":
        return view.getUint16(this.take(2, what), true);
      case "i16":
        return view.getInt16(this.take(2, what), true);
      case "i32":
        return view.getInt32(this.take(4, what), true);
      case "f32":
        return view.getFloat32(this.take(4, what), true);
      case "f64":
        return view.getFloat64(this.take(8, what), true);
      case "u64":
        return exactNumber(view.getBigUint64(this.take(8, what), true));
      case "i64":
        return exactNumber(view.getBigInt64(this.take(8, what), true));
    }
  }

  /** A copy of `length` bytes at offset 0 of its own buffer. */
  block(length: number, what: string): ArrayBuffer {
    const from = this.take(length, what);
    const copy = new Uint8Array(length);
    copy.set(this.bytes.subarray(from, from + length));
    return copy.buffer;
  }

  string(what: string): string {
    const length = this.u64(what);
    const from = this.take(length, what);
    return this.ascii(from, this.at) ?? this.decode(from, what);
  }

  /** Short ASCII strings, nearly all tokens, without the cost of a decoder call: several times faster. */
  private ascii(from: number, to: number): string | undefined {
    if (to - from > 24) return undefined;
    let text = "";
    for (let i = from; i < to; i++) {
      const byte = this.bytes[i] as number;
      if (byte > 127) return undefined;
      text += String.fromCharCode(byte);
    }
    return text;
  }

  private decode(from: number, what: string): string {
    try {
      return this.text.decode(this.bytes.subarray(from, this.at));
    } catch {
      return this.fail(`${what} is not UTF-8 text`);
    }
  }
}

function exactNumber(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}
