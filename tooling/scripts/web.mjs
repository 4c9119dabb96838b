/** Builds and serves the page: `npm run web`, `npm run web -- --port 8080`. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./ensure-built.mjs";
import { root } from "./pnpm.mjs";

ensureBuilt("@infllm/web");
const child = spawn(process.execPath, [join(root, "apps/web/scripts/serve.mjs"), ...process.argv.slice(2)], { stdio: "inherit" });
// Ctrl-C reaches the child through the terminal; this process only waits for it to end.
process.on("SIGINT", () => {});
// Others, such as a supervisor's, reach only this one.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)));
