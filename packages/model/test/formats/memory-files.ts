import { NotAvailableError, bytesSource } from "@infllm/tensor";
import type { ModelFiles } from "../../src/formats/model-files.ts";

/** A model's files in memory. Counts sources that were opened and not closed. */
export function memoryFiles(files: Readonly<Record<string, Uint8Array | string>>): ModelFiles & { readonly stillOpen: () => number } {
  let open = 0;
  return {
    name: "test model",
    stillOpen: () => open,
    list: async () => Object.keys(files).sort(),
    async open(path) {
      const content = files[path];
      if (content === undefined) throw new NotAvailableError(`no ${path}`);
      open++;
      const source = bytesSource(typeof content === "string" ? new TextEncoder().encode(content) : content, path);
      return {
        ...source,
        close: async () => {
          open--;
        },
      };
    },
    async close() {},
  };
}
