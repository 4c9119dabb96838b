/** The cuda backend as users get it, on a machine that need not have a GPU: a fake driver stands in for one. */
import { cp, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { existsSync, realpathSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { command, emptyFolder, installed, pack, root, withDependencies, type CommandResult } from "./workspace.ts";

const source = join(root, "packages/backend-cuda");
const built = existsSync(join(source, "data/kernels.json"));
const linux = process.platform === "linux";

let tarball = "";
let folder = "";
const infllm = (args: readonly string[], env: Record<string, string> = {}): Promise<CommandResult> =>
  command(join(folder, "node_modules/.bin/infllm"), args, folder, { INFLLM_CUBLASLT: "none", ...env });
const cudaReport = ({ stdout }: CommandResult): Record<string, unknown> =>
  (JSON.parse(stdout) as { backends: Record<string, unknown>[] }).backends.find(({ name }) => name === "cuda") ?? {};

beforeAll(async () => {
  const tarballs = await pack([...withDependencies("infllm"), "@infllm/backend-cuda"], await emptyFolder());
  tarball = tarballs.at(-1) ?? "";
  folder = await installed(tarballs);
}, 240_000);

test(`has its kernels as data files${built ? "" : " (none here: they were not built, as nvcc was not found)"}`, async () => {
  const { stdout } = await command("tar", ["-tzf", tarball], folder);
  const files = stdout.trim().split("\n").filter((file) => file.startsWith("package/data/"));
  expect(files.toSorted()).toEqual(built ? ["package/data/kernels.fatbin", "package/data/kernels.json"] : []);
});

test("cannot be packed without its kernels", async () => {
  const copy = await mkdtemp(join(tmpdir(), "backend-cuda-"));
  for (const name of ["package.json", "scripts", "kernels"]) await cp(join(source, name), join(copy, name), { recursive: true });
  const { code, stderr } = await command("npm", ["pack", "--dry-run"], copy);
  expect(code).not.toBe(0);
  expect(stderr).toContain("cannot be packed: its kernels are not built");
});

describe("without koffi", () => {
  test("imports, and says what to install", async () => {
    const program = 'import { probeCuda } from "@infllm/backend-cuda";\nconsole.log(JSON.stringify(await probeCuda()));\n';
    await writeFile(join(folder, "probe.mjs"), program);
    const { code, stdout, stderr } = await command(process.execPath, ["probe.mjs"], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const found = JSON.parse(stdout) as { readonly devices: unknown[]; readonly missing: string[] };
    expect(found.devices).toEqual([]);
    expect(found.missing[0]).toMatch(/koffi, which is not installed. Run: npm install koffi$/);
    expect(found.missing).toHaveLength(built ? 1 : 2);
  });

  test("the command passes that on, and auto computes on the cpu", async () => {
    const { code, stderr } = await infllm(["generate", "--prompt", "Hello", "--backend", "cuda"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^infllm: The cuda backend is not usable: .*koffi, which is not installed. Run: npm install koffi\. The cpu/);
    expect(cudaReport(await infllm(["devices", "--json"]))).toMatchObject({ usable: false, reason: expect.stringContaining("koffi") });
    const { stdout } = await infllm(["inspect", "--backend", "auto", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ backend: "cpu" });
  });
});

describe.runIf(linux)(`with koffi and a driver${linux ? "" : " (skipped: the fake driver is found by the loader of Linux only)"}`, () => {
  const env: Record<string, string> = {};
  beforeAll(async () => {
    await symlink(realpathSync(join(source, "node_modules/koffi")), join(folder, "node_modules/koffi"));
    const driver = await emptyFolder();
    env["LD_LIBRARY_PATH"] = driver;
    const args = ["-shared", "-fPIC", "-O1", "-o", join(driver, "libcuda.so.1"), join(source, "test/fake-libcuda/fake-libcuda.c")];
    const { code, stderr } = await command("cc", args, folder);
    if (code !== 0) throw new Error(`The fake driver needs a C compiler named cc:\n${stderr}`);
  });

  test("the command lists the GPU, and the kernels that a model gets or that there are none", async () => {
    const report = cudaReport(await infllm(["devices", "--json"], env));
    expect(report).toMatchObject({ usable: built, hardware: { devices: [{ name: "Fake GPU 0", major: 9, minor: 0 }] } });
    const run = await infllm(["inspect", "--backend", "cuda", "--context", "4096"], env);
    if (built) {
      expect(report).toMatchObject({ paths: expect.arrayContaining([{ op: "attendDense", prefill: "hopper", decode: "rows" }]) });
      expect(run).toMatchObject({ code: 0, stderr: "" });
      expect(run.stdout).toMatch(/Kernels on cuda:\nop +prefill +decode\nselectBlocks +hopper +rows\n/);
    } else {
      expect(run.code).toBe(1);
      expect(run.stderr).toContain("were not built");
    }
  });

  test("auto takes the GPU where it works", async () => {
    const { stdout } = await infllm(["inspect", "--backend", "auto", "--json"], env);
    expect(JSON.parse(stdout)).toMatchObject({ backend: built ? "cuda" : "cpu" });
  });
});
