/** One suite for every backend. */
import { afterAll, describe } from "vitest";
import { Checks } from "./checks.ts";
import type { Skip } from "./checks.ts";
import type { AnyBackend } from "./device.ts";
import { goldenCases, loadGolden } from "./goldens.ts";
import { appendCases } from "./groups/append-kv.ts";
import { attendBlocksCases } from "./groups/attend-blocks.ts";
import { attendDenseCases } from "./groups/attend-dense.ts";
import { chunkCases } from "./groups/chunks.ts";
import { compressCases } from "./groups/compress-keys.ts";
import { goldenGroup } from "./groups/goldens.ts";
import { narrowAttendCases, narrowStoreCases } from "./groups/narrow-caches.ts";
import { neuralCases } from "./groups/neural.ts";
import { randomLayerCases } from "./groups/random-layers.ts";
import { recordCases } from "./groups/record.ts";
import { sampleCases } from "./groups/sample.ts";
import { selectCases } from "./groups/select-blocks.ts";
import { tensorCases } from "./groups/tensors.ts";

export interface ConformanceOptions {
  /** For the report. */
  readonly name: string;
  /** Makes the backend; the suite closes it. A backend that cannot be made fails the file. */
  readonly create: () => AnyBackend | Promise<AnyBackend>;
  readonly skip?: readonly Skip[];
  /** Random configurations of each random case; 12 when absent, some hundred for a thorough run. */
  readonly randomCases?: number;
  /** Demands that chunked results equal whole ones to the bit, not only to rounding. */
  readonly bitwiseChunks?: boolean;
}

/**
 * Registers the cases for all op groups that the backend's capabilities name. Call it with `await` at the top of a
 * test file.
 */
export async function runConformance(options: ConformanceOptions): Promise<void> {
  const backend = await options.create();
  const goldens = await Promise.all((await goldenCases()).map(async (test) => ({ test, golden: await loadGolden(test.name) })));
  const { ops } = backend.capabilities;
  const randomCases = options.randomCases ?? 12;
  describe(`conformance: ${options.name}`, () => {
    afterAll(() => backend.close());
    const checks = new Checks(backend, options.skip ?? []);
    tensorCases(checks);
    if (ops.includes("neural")) {
      neuralCases(checks);
      sampleCases(checks);
    }
    if (ops.includes("selection")) {
      appendCases(checks);
      narrowStoreCases(checks);
      compressCases(checks);
      selectCases(checks, randomCases);
    }
    if (ops.includes("attention")) {
      attendDenseCases(checks);
      attendBlocksCases(checks);
      narrowAttendCases(checks);
      chunkCases(checks, Math.ceil(randomCases / 2), options.bitwiseChunks ?? false);
      recordCases(checks);
      randomLayerCases(checks, randomCases);
      goldenGroup(checks, goldens);
    }
    checks.finish();
  });
}
