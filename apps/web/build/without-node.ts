import type { Plugin } from "vite";

/** Node's modules are imported lazily, where there is Node: a page gets an empty module for each, and no warning. */
export function withoutNode(): Plugin {
  const empty = "\0without-node";
  return {
    name: "without-node",
    enforce: "pre",
    resolveId: (id) => (id.startsWith("node:") ? empty : undefined),
    load: (id) => (id === empty ? "export default {};" : undefined),
  };
}
