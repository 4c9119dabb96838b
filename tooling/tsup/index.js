import { defineConfig } from "tsup";

/** The one build recipe of every published package: ESM for Node 20 and browsers, declarations, source maps. */
export function library({ entry, ...rest }) {
  return defineConfig({
    entry,
    format: "esm",
    target: "es2022",
    dts: true,
    sourcemap: true,
    clean: true,
    splitting: false,
    treeshake: true,
    // Bundlers for browsers recognise Node modules, which are only ever loaded lazily, by their node: prefix.
    removeNodeProtocol: false,
    ...rest,
  });
}
