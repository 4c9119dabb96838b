/** Runs a command of this workspace in the folder where npm was called. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ensureBuilt } from "./ensure-built.mjs";
import { root } from "./pnpm.mjs";

/** @param name of the package  @param folder of the app, in `apps/` */
export function runApp(name, folder) {
  ensureBuilt(name);
  const child = spawn(process.execPath, [join(root, "apps", folder, "dist/cli.js"), ...process.argv.slice(2)], {
    stdio: "inherit",
    cwd: process.env.INIT_CWD ?? process.cwd(),
  });
  // Ctrl-C reaches the child through the terminal; this process only waits for it to end.
  process.on("SIGINT", () => {});
  child.on("exit", (code, signal) => (signal ? process.kill(process.pid, signal) : process.exit(code ?? 1)));
}
