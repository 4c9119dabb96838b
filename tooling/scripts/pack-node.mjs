/** A Node binary for machines that have none. */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, realpathSync } from "node:fs";
import { join } from "node:path";

/** Puts the running Node, stripped and packed, into a folder. Kept from one packing to the next: it takes a minute. */
export function packNode(folder) {
  const target = join(folder, `node-${process.version}.xz`);
  if (existsSync(target)) return;
  const plain = target.slice(0, -3);
  copyFileSync(realpathSync(process.execPath), plain);
  run("strip", [plain]);
  run("xz", ["-9e", "-f", plain]);
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
}
