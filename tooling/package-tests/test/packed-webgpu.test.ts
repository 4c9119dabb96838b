/** The webgpu backend as users get it: in Node it asks for the package `webgpu`, and without a GPU it runs on lavapipe. */
import { realpathSync } from "node:fs";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { build } from "esbuild";
import { command, emptyFolder, installed, pack, root, withDependencies, withoutDawnRemarks, type CommandResult } from "./workspace.ts";

const dawn = realpathSync(join(root, "packages/backend-webgpu/node_modules/webgpu"));

let folder = "";
const infllm = (...args: readonly string[]): Promise<CommandResult> =>
  command(join(folder, "node_modules/.bin/infllm"), args, folder, { LP_NATIVE_VECTOR_WIDTH: "128" });
const webgpuReport = ({ stdout }: CommandResult): Record<string, unknown> =>
  (JSON.parse(stdout) as { backends: Record<string, unknown>[] }).backends.find(({ name }) => name === "webgpu") ?? {};

beforeAll(async () => {
  folder = await installed(await pack([...withDependencies("infllm"), "@infllm/backend-webgpu"], await emptyFolder()));
}, 240_000);

describe("without the package webgpu", () => {
  test("imports, and says what to install", async () => {
    const program = 'import { probeWebGpu } from "@infllm/backend-webgpu";\nconsole.log(JSON.stringify(await probeWebGpu()));\n';
    await writeFile(join(folder, "probe.mjs"), program);
    const { code, stdout, stderr } = await command(process.execPath, ["probe.mjs"], folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toEqual({ features: [], missing: expect.stringContaining("Install it with: npm install webgpu@0.6.2") });
  });

  test("the command passes that on, and auto computes on the cpu", async () => {
    const { code, stderr } = await infllm("generate", "--prompt", "Hello", "--backend", "webgpu");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^infllm: The webgpu backend is not usable: .*npm install webgpu@0\.6\.2/);
    expect(webgpuReport(await infllm("devices", "--json"))).toMatchObject({ usable: false, reason: expect.stringContaining("npm install webgpu") });
    expect(JSON.parse((await infllm("inspect", "--backend", "auto", "--json")).stdout)).toMatchObject({ backend: "cpu" });
  });
});

test("bundles for browsers, with nothing of Node in it", async () => {
  await writeFile(join(folder, "page.mjs"), 'import { webgpuBackend } from "@infllm/backend-webgpu";\nglobalThis.open = webgpuBackend;\n');
  const { outputFiles } = await build({ absWorkingDir: folder, entryPoints: ["page.mjs"], bundle: true, format: "esm", platform: "browser", write: false });
  expect(outputFiles[0]?.text).toContain("@compute");
  expect(outputFiles[0]?.text).not.toMatch(/node:|require\(/);
});

describe("with it and a driver", () => {
  beforeAll(() => symlink(dawn, join(folder, "node_modules/webgpu")));

  test("the command lists the adapter and its features", async () => {
    expect(webgpuReport(await infllm("devices", "--json"))).toMatchObject({
      usable: true,
      hardware: { adapter: expect.any(String), software: expect.any(Boolean), features: expect.arrayContaining(["core-features-and-limits"]) },
    });
    expect((await infllm("inspect", "--backend", "webgpu", "--context", "4096")).stdout).toContain("Memory on webgpu:");
  });

  test("the command answers on it", { timeout: 120_000 }, async () => {
    const args = ["generate", "--prompt", "Once upon a time", "--raw", "--max-tokens", "3", "--temperature", "0", "--json", "--backend"];
    const [gpu, cpu] = [await infllm(...args, "webgpu"), await infllm(...args, "cpu")];
    expect({ code: gpu.code, stderr: withoutDawnRemarks(gpu.stderr) }).toEqual({ code: 0, stderr: "" });
    const text = ({ stdout }: CommandResult): unknown => (JSON.parse(stdout) as { text: unknown }).text;
    expect(text(gpu)).toBe(text(cpu));
  });

  test("auto takes it on a GPU, and the cpu where the CPU stands in for one", async () => {
    const { hardware } = webgpuReport(await infllm("devices", "--json")) as { hardware: { software: boolean } };
    const { stdout } = await infllm("inspect", "--backend", "auto", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ backend: hardware.software ? "cpu" : "webgpu" });
  });
});
