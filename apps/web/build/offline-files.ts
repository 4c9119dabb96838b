import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Plugin } from "vite";

/**
 * Tells the service worker which files make up the page, and a version that changes with any of them. Weights are not among
 * them: the engine keeps those itself, once they were wanted.
 */
export function offlineFiles(): Plugin {
  let publicDir = "";
  return {
    name: "offline-files",
    apply: "build",
    enforce: "post",
    configResolved(config) {
      publicDir = config.publicDir;
    },
    generateBundle(_, bundle) {
      const worker = bundle["sw.js"];
      if (worker?.type !== "chunk") throw new Error("the service worker is missing from the build");
      const hash = createHash("sha256");
      const files: string[] = [];
      for (const name of Object.keys(bundle).sort()) {
        if (name === "sw.js" || name.endsWith(".map") || name.endsWith(".safetensors")) continue;
        const file = bundle[name];
        if (file === undefined) continue;
        hash.update(name).update(file.type === "chunk" ? file.code : file.source);
        files.push(name);
      }
      for (const name of readdirSync(publicDir).sort()) {
        hash.update(name).update(readFileSync(`${publicDir}/${name}`));
        files.push(name);
      }
      const version = hash.digest("hex").slice(0, 16);
      worker.code = `const offlineFiles = ${JSON.stringify(files)};\nconst offlineVersion = "${version}";\n${worker.code}`;
    },
  };
}
