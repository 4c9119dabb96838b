import { FormatError } from "./errors.ts";

/** Something with bytes that can be read by range: a file, a download, memory. */
export interface ByteSource {
  /** For messages: a path or URL. */
  readonly name: string;
  /** Bytes in total. */
  readonly size: number;
  /**
   * Bytes `[from, to)`, exactly; the caller may keep but not change them.
   *
   * With `into`, memory of the caller's, they may be put at its start: `readMemory` says when. A source that has its bytes
   * elsewhere leaves `into` alone, so only the result tells where they are. They are valid as long as `into` is left
   * alone, too, and no read may share `into` with another that has not ended.
   * @throws FormatError past the end
   */
  read(from: number, to: number, into?: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** @throws FormatError unless 0 ≤ from ≤ to ≤ size: what every `ByteSource.read` checks first. */
export function assertRange(source: Pick<ByteSource, "name" | "size">, from: number, to: number): void {
  if (Number.isSafeInteger(from) && Number.isSafeInteger(to) && 0 <= from && from <= to && to <= source.size) return;
  throw new FormatError(
    `${source.name}: bytes ${from} to ${to} were asked for, but it has ${source.size}. ` +
      `The file is truncated or its header lies; fetch it again.`,
  );
}

/** Memory for `bytes` bytes that are read: the start of `into` where that is large enough, else new. */
export function readMemory(bytes: number, into: Uint8Array | undefined): Uint8Array {
  return into === undefined || into.length < bytes ? new Uint8Array(bytes) : into.subarray(0, bytes);
}

/** Bytes in memory as a source. Reads are views, not copies. */
export function bytesSource(bytes: Uint8Array, name = "memory"): ByteSource {
  const source = { name, size: bytes.length };
  return {
    ...source,
    async read(from, to) {
      assertRange(source, from, to);
      return bytes.subarray(from, to);
    },
    async close() {},
  };
}
