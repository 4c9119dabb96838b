/**
 * Puts kernels/ together. A file in kernels/ is an entry point; `// uses: a b` in its head names pieces of
 * kernels/common/ that it needs, and a name in angle brackets (`<cache>`) a family of pieces, of which a variant takes one
 * (`cache-f16.wgsl`, …). `// needs: x` names an extension beyond WGSL's core (`src/variants.ts`). Bindings are read off the declarations, so that they are written once.
 */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder = fileURLToPath(new URL("../kernels/", import.meta.url));

/** `{ kernels: { name: { uses, families, needs, code, bindings } }, pieces: { … } }` */
export function kernelSources() {
  const read = (path) =>
    Object.fromEntries(readdirSync(path).filter((file) => file.endsWith(".wgsl")).sort().map((file) => [stem(file), source(join(path, file))]));
  const pieces = read(join(folder, "common"));
  const kernels = read(folder);
  for (const [name, { uses, families }] of Object.entries({ ...pieces, ...kernels })) {
    for (const piece of uses) if (!pieces[piece]) throw new Error(`${name}.wgsl uses ${piece}, which kernels/common/ does not have.`);
    for (const family of families) {
      if (!Object.keys(pieces).some((each) => each.startsWith(`${family}-`))) throw new Error(`${name}.wgsl uses <${family}>, of which there is no piece.`);
    }
  }
  return { kernels, pieces };
}

/** Every kernel's name and the hash of it and all pieces it may take, which ties a record of a run on a GPU to it. */
export function kernelHashes() {
  const { kernels, pieces } = kernelSources();
  return Object.entries(kernels).map(([name, kernel]) => {
    const hash = createHash("sha256").update(kernel.code);
    for (const piece of piecesOf(kernel, pieces)) hash.update("\0").update(piece).update("\0").update(pieces[piece].code);
    return { name, hash: hash.digest("hex").slice(0, 32) };
  });
}

/** Names of the pieces that a source uses, all members of its families and what those use; sorted. */
function piecesOf(kernel, pieces) {
  const found = new Set();
  const visit = ({ uses, families }) => {
    const members = families.flatMap((family) => Object.keys(pieces).filter((name) => name.startsWith(`${family}-`)));
    for (const name of [...uses, ...members]) {
      if (found.has(name)) continue;
      found.add(name);
      visit(pieces[name]);
    }
  };
  visit(kernel);
  return [...found].sort();
}

function source(path) {
  const code = readFileSync(path, "utf8");
  const listed = (word) => [...code.matchAll(new RegExp(`^// ${word}: (.*)$`, "gm"))].flatMap(([, list]) => list.trim().split(/\s+/));
  const wanted = listed("uses");
  const bindings = [...code.matchAll(/@group\(0\)\s+@binding\((\d+)\)\s+var<([^>]*)>/g)].map(([, index, space]) => ({
    index: Number(index),
    kind: space === "uniform" ? "uniform" : space.includes("read_write") ? "storage" : "read-only-storage",
  }));
  return {
    uses: wanted.filter((name) => !name.startsWith("<")),
    needs: listed("needs"),
    families: wanted.filter((name) => name.startsWith("<")).map((name) => name.slice(1, -1)),
    code,
    bindings,
  };
}

function stem(file) {
  return file.slice(0, -".wgsl".length);
}
