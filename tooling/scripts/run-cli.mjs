/** Runs `infllm` from the checkout: `npm run infllm -- generate --help`, `npm run demo`. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./ensure-built.mjs";
import { root } from "./pnpm.mjs";

ensureBuilt("infllm");
const child = spawn(process.execPath, [join(root, "apps/cli/dist/cli.js"), ...process.argv.slice(2)], {
  stdio: "inherit",
  cwd: process.env.INIT_CWD ?? process.cwd(),
});
// Ctrl-C reaches the child through the terminal; this process only waits for it to end.
process.on("SIGINT", () => {});
child.on("exit", (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)));
