import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { canLimit, findIsolation, findPython } from "./host.ts";
import { runPython } from "./sandbox.ts";

const limits = { seconds: 5, memory: 512 };
let python: string | undefined;
let ready = false;
let isolated = false;
beforeAll(async () => {
  python = await findPython();
  ready = python !== undefined && (await canLimit());
  isolated = (await findIsolation()) !== undefined;
});
const folders = async () => (await readdir(tmpdir())).filter((name) => name.startsWith("infllm-program-"));

describe("programs", () => {
  // Programs here are this file's own, so the network may stay where it cannot be cut off.
  const run = (source: string, given: object = {}) => runPython(source, { ...limits, allowNetwork: !isolated, ...given });

  it("run with their input and give back what they print", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    expect(await run("print(int(input()) * 2)", { stdin: "21\n" })).toEqual({ end: "done", stdout: "42\n", stderr: "" });
    expect(await run("import sys; sys.exit(3)")).toMatchObject({ end: "failed" });
    const failed = await run("raise ValueError('no')");
    expect([failed.end, failed.stderr.includes("ValueError: no")]).toEqual(["failed", true]);
  });

  it("end when their time is over, with all that they started", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    const marker = `7${Date.now()}`;
    const source = `import subprocess, time\nfor _ in range(3): subprocess.Popen(["sleep", "${marker}"], start_new_session=True)\ntime.sleep(60)`;
    const began = performance.now();
    expect(await run(source, { seconds: 0.5 })).toMatchObject({ end: "out of time" });
    expect(performance.now() - began).toBeLessThan(4000);
    if (!isolated) return;
    // Killing the namespace takes the kernel a moment.
    await vi.waitFor(async () => expect(await commandLines()).not.toContain(marker), 3000);
  });

  it("stop when they compute or wait for ever", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    for (const source of ["while True: pass", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"]) {
      expect(await run(source, { seconds: 0.5 })).toMatchObject({ end: "out of time" });
    }
  });

  it("get no more memory than allowed", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    const result = await run("x = bytearray(2 ** 30)");
    expect([result.end, result.stderr.includes("MemoryError")]).toEqual(["failed", true]);
    expect(await run("x = bytearray(2 ** 27); print(len(x))")).toMatchObject({ end: "done", stdout: "134217728\n" });
  });

  it("stop when they print without end", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    const { end, stdout } = await run("while True: print('x' * 65536)");
    expect(end).toBe("too much output");
    expect(stdout.length).toBeLessThanOrEqual(16 * 2 ** 20);
  });

  it("have no network", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    if (!isolated) return test.skip("needs unshare with user namespaces");
    const source = `import socket\nserver = socket.socket()\nserver.bind(("127.0.0.1", 0))\ntry:\n  socket.create_connection(("203.0.113.1", 80), 2)\nexcept OSError as error:\n  print(error)\nprint([name for _, name in socket.if_nameindex()])`;
    expect(await run(source)).toMatchObject({ end: "done", stdout: "[Errno 101] Network is unreachable\n['lo']\n" });
  });

  it("see an empty folder and no variables, and leave nothing behind", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    vi.stubEnv("SECRET_OF_THE_TEST", "1");
    const before = await folders();
    const { stdout } = await run("import os\nopen('left.txt', 'w').write('x')\nprint(sorted(os.listdir('.')), 'SECRET_OF_THE_TEST' in os.environ)");
    vi.unstubAllEnvs();
    expect(stdout).toBe("['left.txt', 'program.py'] False\n");
    expect(await folders()).toEqual(before);
  });

  it("stop when the caller gives up", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error("enough")), 200);
    await expect(run("import time; time.sleep(60)", { signal: controller.signal })).rejects.toThrow("enough");
  });
});

describe("machines", () => {
  const withPath = async (path: string) => {
    vi.resetModules();
    vi.stubEnv("PATH", path);
    return (await import("./sandbox.ts")).runPython("print(1)", limits).finally(() => vi.unstubAllEnvs());
  };

  it("without python3 say so", async () => {
    await expect(withPath("/nowhere")).rejects.toThrow(/python3 cannot be started.*Install Python/);
  });

  it("that cannot cut off the network refuse to run programs", async (test) => {
    if (!ready) return test.skip("needs python3 and a shell that limits memory");
    vi.doMock("./host.ts", () => ({ findPython: async () => python, findIsolation: async () => undefined, canLimit: async () => true }));
    vi.resetModules();
    const { runPython } = await import("./sandbox.ts");
    await expect(runPython("print(1)", limits)).rejects.toThrow(/network cannot be kept from programs.*--allow-network/);
    expect(await runPython("print(1)", { ...limits, allowNetwork: true })).toMatchObject({ end: "done", stdout: "1\n" });
    vi.doUnmock("./host.ts");
  });

  it("that cannot limit memory refuse to run programs", async () => {
    vi.doMock("./host.ts", () => ({ findPython: async () => "python3", findIsolation: async () => ["env"], canLimit: async () => false }));
    vi.resetModules();
    const { runPython } = await import("./sandbox.ts");
    await expect(runPython("print(1)", limits)).rejects.toThrow(/cannot be limited in memory/);
    vi.doUnmock("./host.ts");
  });
});

async function commandLines(): Promise<string> {
  const { readFile } = await import("node:fs/promises");
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(processes.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return lines.join("\n");
}
