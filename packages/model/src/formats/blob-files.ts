/** Files that a page was given: dropped, picked, or read from the browser's own storage. */
import { FormatError, NotAvailableError, assertRange } from "@infllm/tensor";
import type { ByteSource } from "@infllm/tensor";
import type { ModelFiles } from "./model-files.ts";
import { assertListed } from "./node-files.ts";

/** A model whose files are blobs (a `File` is one), by their names without folders. Nothing is read before it is asked for. */
export function blobFiles(name: string, blobs: ReadonlyMap<string, Blob>): ModelFiles {
  const names = [...blobs.keys()].sort();
  return {
    name,
    list: async () => [...names],
    async open(path) {
      assertListed(name, names, path);
      const blob = blobs.get(path);
      if (blob === undefined) throw new NotAvailableError(`${name} has no file "${path}".`);
      return blobSource(path, blob);
    },
    async close() {},
  };
}

function blobSource(name: string, blob: Blob): ByteSource {
  const source = { name, size: blob.size };
  return {
    ...source,
    async read(from, to) {
      assertRange(source, from, to);
      const bytes = await blob
        .slice(from, to)
        .arrayBuffer()
        .catch((cause: unknown) => {
          throw new NotAvailableError(`${name} cannot be read any more (${String(cause)}). It was moved or changed; choose it again.`, { cause });
        });
      if (bytes.byteLength === to - from) return new Uint8Array(bytes);
      throw new FormatError(`${name} gave ${bytes.byteLength} bytes where ${to - from} were asked for. It changed; choose it again.`);
    },
    async close() {},
  };
}
