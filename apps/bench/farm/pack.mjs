/**
 * Packs what a 64-bit Linux machine with many cores and nothing else needs for the quality suites: a Node binary (stripped,
 * xz), `infllm-bench` and the runner of many processes in a file each, and `run.sh`. Weights and the book are taken from the
 * repository that the pack lies in.
 *
 *     node apps/bench/farm/pack.mjs [FOLDER]        (pack/ beside this file)
 */
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { packNode } from "../../../tooling/scripts/pack-node.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const pack = resolve(process.argv[2] ?? join(here, "pack"));
mkdirSync(join(pack, "dist"), { recursive: true });
mkdirSync(join(pack, "done"), { recursive: true });

for (const [name, entry] of [["bench", "../src/cli.ts"], ["main", "main.ts"]]) {
  await build({
    entryPoints: [join(here, entry)],
    outfile: join(pack, "dist", `${name}.mjs`),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    conditions: ["@infllm/source"],
    // None of them is needed by the suites that run there, and each is imported only when it is.
    external: ["koffi", "webgpu", "node-llama-cpp", "jieba-wasm"],
    // Bundled CommonJS asks for Node's own modules.
    banner: { js: 'import { createRequire as createBundleRequire } from "node:module"; const require = createBundleRequire(import.meta.url);' },
    logLevel: "warning",
  });
}
packNode(pack);
copyFileSync(join(here, "run.sh"), join(pack, "run.sh"));
chmodSync(join(pack, "run.sh"), 0o755);
writeFileSync(join(pack, "commit"), `${commit()}\n`);
console.log(`${pack}: in the repository around it, OUT=results sh ${join(pack, "run.sh")}`);

function commit() {
  const head = run("git", ["-C", here, "rev-parse", "--short=12", "HEAD"]).trim();
  return run("git", ["-C", here, "status", "--porcelain", "--", ":/apps", ":/packages"]).trim() === "" ? head : `${head}+changes`;
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${error?.message ?? stderr}`);
  return stdout;
}
