import { execFile } from "node:child_process";
import { availableParallelism, cpus, totalmem } from "node:os";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Backend } from "@infllm/tensor";
import { version } from "../../package.json";
import type { Environment } from "./record.ts";

export function environment(backend?: Pick<Backend, "name" | "capabilities">): Environment {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown CPU",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    version,
    ...(backend && { backend: { name: backend.name, description: backend.capabilities.description } }),
  };
}

/** Says which commit a copy was made from that has left its repository behind. */
const commitVariable = "INFLLM_BENCH_COMMIT";

/** The commit of the checkout that this code runs from; the package's version where it is installed without one. */
export async function codeCommit(folder = dirname(fileURLToPath(import.meta.url))): Promise<string> {
  const stated = process.env[commitVariable];
  if (stated !== undefined && stated !== "") return stated;
  const git = async (...args: string[]): Promise<string> => (await promisify(execFile)("git", ["-C", folder, ...args])).stdout.trim();
  try {
    // A package in somebody's node_modules is not what their repository's commit names.
    if (folder.includes("node_modules")) return version;
    const [commit, changes] = [await git("rev-parse", "--short=12", "HEAD"), await git("status", "--porcelain", "--", ":/apps", ":/packages")];
    return changes === "" ? commit : `${commit}+changes`;
  } catch {
    return version;
  }
}
