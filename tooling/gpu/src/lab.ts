/** The kernels beside torch: packages/backend-cuda/bench/record.py, whose figures become part of the record. */
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export async function lab(): Promise<{ report: unknown; ok: boolean }> {
  const script = fileURLToPath(new URL("../bench/record.py", import.meta.url));
  const file = join(tmpdir(), "infllm-lab.json");
  const code = await new Promise((resolve, reject) => {
    const child = spawn("python3", [script, file], { stdio: "inherit" });
    child.on("error", reject);
    child.on("exit", resolve);
  });
  return { report: JSON.parse(await readFile(file, "utf8")), ok: code === 0 };
}
