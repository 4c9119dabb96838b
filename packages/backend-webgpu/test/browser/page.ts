/** In the page: the conformance suite on the browser's own WebGPU, with `tooling/gpu`'s runner in place of vitest. */
import { runConformance } from "@infllm/conformance";
import { registered, runCases } from "../../../../tooling/gpu/src/runner.ts";
import type { Outcome } from "../../../../tooling/gpu/src/runner.ts";
import { webgpuBackend } from "../../src/index.ts";

/** What the test that drives this page reads and gives. */
export interface PageGlobals {
  begin?: (randomCases: number) => Promise<{ readonly device: string; readonly cases: readonly string[] }>;
  run?: (wanted: readonly string[]) => Promise<void>;
  report?: (outcome: Outcome) => Promise<void>;
}

const page = globalThis as PageGlobals;

page.begin = async (randomCases) => {
  let device = "";
  await runConformance({
    name: "webgpu in Chromium, f32",
    randomCases,
    create: async () => {
      const backend = await webgpuBackend({ activation: "f32" });
      device = backend.capabilities.description;
      return backend;
    },
  });
  return { device, cases: registered() };
};

page.run = async (wanted) => {
  const names = new Set(wanted);
  const reports: (Promise<void> | undefined)[] = [];
  await runCases({ report: (outcome) => void reports.push(page.report?.(outcome)), stop: () => false, wants: (_, name) => names.has(name) });
  await Promise.all(reports);
};
