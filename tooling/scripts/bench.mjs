/** Runs the benchmarks: `npm run bench -- cpu`. */
import { join } from "node:path";
import { ensureBuilt } from "./ensure-built.mjs";
import { root, run } from "./pnpm.mjs";

ensureBuilt("@infllm/bench");
run(process.execPath, [join(root, "apps/bench/dist/main.js"), ...process.argv.slice(2)], { shell: false });
