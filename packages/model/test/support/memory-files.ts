import { NotAvailableError, bytesSource } from "@infllm/tensor";
import type { ModelFiles } from "../../src/formats/model-files.ts";

/** A model's files in memory; objects are stored as JSON. */
export function memoryFiles(entries: Readonly<Record<string, Uint8Array | object | string>>): ModelFiles {
  const files = new Map(Object.entries(entries).map(([path, content]) => [path, bytesOf(content)]));
  return {
    name: "memory",
    list: async () => [...files.keys()],
    async open(path) {
      const bytes = files.get(path);
      if (bytes === undefined) throw new NotAvailableError(`memory has no ${path}`);
      return bytesSource(bytes, path);
    },
    close: async () => {},
  };
}

function bytesOf(content: Uint8Array | object | string): Uint8Array {
  if (content instanceof Uint8Array) return content;
  return new TextEncoder().encode(typeof content === "string" ? content : JSON.stringify(content));
}
