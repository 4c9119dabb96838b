/**
 * Compiles kernels/ with AssemblyScript into src/generated/<variant>.ts, one module a variant with the WASM bytes as
 * base64: with or without relaxed SIMD, for shared (threads) or unshared memory.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const target = join(root, "src", "generated");
/** 4 GiB: the module must allow at least what the memory it is given declares. */
const maximumPages = "65536";
const common = [
  "kernels/index.ts", "-O3", "--noAssert", "--runtime", "stub", "--importMemory",
  "--initialMemory", "2", "--maximumMemory", maximumPages, "--enable", "simd",
];
const variants = {
  "simd-shared": ["--enable", "threads", "--sharedMemory"],
  "simd-unshared": [],
  "relaxed-shared": ["--enable", "relaxed-simd", "--enable", "threads", "--sharedMemory"],
  "relaxed-unshared": ["--enable", "relaxed-simd"],
};

mkdirSync(target, { recursive: true });
for (const [name, flags] of Object.entries(variants)) {
  let binary;
  const { error, stderr } = await asc.main([...common, ...flags, "--baseDir", root, "--outFile", `${name}.wasm`], {
    writeFile(file, contents) {
      if (file.endsWith(".wasm")) binary = contents;
    },
  });
  if (error || !binary) throw new Error(`kernels (${name}) do not compile:\n${stderr.toString()}${error ?? ""}`);
  const base64 = Buffer.from(binary).toString("base64");
  writeFileSync(join(target, `${name}.ts`), `/** Made by scripts/build-kernels.mjs. */\nexport const wasm =\n  "${base64}";\n`);
  console.log(`${name}: ${binary.length} bytes`);
}
