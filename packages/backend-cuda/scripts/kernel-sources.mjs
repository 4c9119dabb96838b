/** The kernel sources, what each includes, and the hash that ties a build and a verification record to them. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const kernelFolder = fileURLToPath(new URL("../kernels/", import.meta.url));

/** Every `.cu` file: its name, the hash of it and all it includes, and whether it is for compute capability 9.0 alone. */
export function kernelSources() {
  return readdirSync(kernelFolder)
    .filter((file) => file.endsWith(".cu"))
    .sort()
    .map((file) => {
      const files = withIncludes(file);
      const hash = createHash("sha256");
      for (const one of files) hash.update(one).update("\0").update(readFileSync(join(kernelFolder, one))).update("\0");
      return {
        name: file.slice(0, -3),
        file: join(kernelFolder, file),
        hash: hash.digest("hex").slice(0, 32),
        hopper: files.includes(normalize("common/wgmma.cuh")),
      };
    });
}

/** `file` and what it includes from our own folder, sorted. */
function withIncludes(file) {
  const found = new Set();
  const visit = (path) => {
    if (found.has(path)) return;
    found.add(path);
    for (const [, name] of readFileSync(join(kernelFolder, path), "utf8").matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)) {
      visit(normalize(join(dirname(path), name)));
    }
  };
  visit(file);
  return [...found].sort();
}

/** Names of the kernels that a source defines, macros expanded by the C compiler `cc`. */
export function kernelsNamedIn(file) {
  const text = execFileSync("cc", ["-E", "-P", "-x", "c++", "-"], { input: inlined(relative(kernelFolder, file), new Set()), encoding: "utf8" });
  const kernel = /extern\s+"C"\s+__global__\s+void\s+(?:__cluster_dims__\s*\([^()]*\)\s*|__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)\s*)*(\w+)\s*\(/g;
  return [...new Set([...text.matchAll(kernel)].map(([, name]) => name))].sort();
}

/** A source with our own includes in place and those of the toolkit left out. */
function inlined(path, seen) {
  if (seen.has(path)) return "";
  seen.add(path);
  return readFileSync(join(kernelFolder, path), "utf8").replace(/^\s*#\s*(?:include\s+(?:"([^"]+)"|<[^>]+>)|pragma once).*$/gm, (_, name) =>
    name === undefined ? "" : inlined(normalize(join(dirname(path), name)), seen),
  );
}
